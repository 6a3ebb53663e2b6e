"""The words of the synthetic corpus: drugs with their doses and indications, reactions with their measurements, frames.

A name that takes an article carries it (`a urinary tract infection`); the article is never part of a span.
"""

from typing import NamedTuple


class DrugClass(NamedTuple):
    """Drugs with one use. `drugs`: name, doses, unit and frequency of each; `ages`: years, first and last;
    `short_course`: given for weeks, not months."""

    route: str
    ages: tuple[int, int]
    disorders: tuple[str, ...]
    drugs: tuple[str, ...]
    sex: str | None = None
    short_course: bool = False


class System(NamedTuple):
    """Reactions of one organ system.

    reactions: singular, or without number · plural: those that take `were` · measures: what, its move, range, unit ·
    findings: what an examination showed · remedies: what was given · lethal: a patient may die of these.
    """

    reactions: tuple[str, ...]
    plural: tuple[str, ...]
    measures: tuple[str, ...]
    findings: tuple[str, ...]
    remedies: tuple[str, ...]
    lethal: bool = False


def _list(text: str) -> tuple[str, ...]:
    return tuple(" ".join(item.split()) for item in text.split(";"))


def _drugs(
    route: str, ages: tuple[int, int], disorders: str, drugs: str, sex: str | None = None, short_course: bool = False
) -> DrugClass:
    return DrugClass(route, ages, _list(disorders), _list(drugs), sex, short_course)


def _system(reactions: str, plural: str, measures: str, findings: str, remedies: str, lethal: bool = False) -> System:
    return System(
        _list(reactions), _list(plural) if plural else (), _list(measures), _list(findings), _list(remedies), lethal
    )


DRUG_CLASSES = (
    _drugs(
        "oral", (18, 82),
        """rheumatoid arthritis; Crohn's disease; ulcerative colitis; systemic lupus erythematosus; dermatomyositis;
        autoimmune hepatitis; myasthenia gravis; lupus nephritis""",
        """azathioprine 50/75/100/125/150 mg daily; mercaptopurine 50/75/100 mg daily; cyclosporine 75/100/150 mg twice
        daily; tacrolimus 1/2/3/4 mg twice daily; mycophenolate mofetil 500/750/1000 mg twice daily; leflunomide
        10/20 mg daily; methotrexate 7.5/10/12.5/15/20 mg weekly; hydroxychloroquine 200/400 mg daily; sulfasalazine
        1/1.5 g twice daily; penicillamine 250/500/750 mg daily; prednisone 20/40/60 mg daily""",
    ),
    _drugs(
        "oral", (5, 74),
        """epilepsy; complex partial seizures; generalized tonic-clonic seizures; juvenile myoclonic epilepsy; temporal
        lobe epilepsy""",
        """carbamazepine 200/300/400/600 mg twice daily; oxcarbazepine 300/450/600 mg twice daily; phenytoin
        200/300/350 mg daily; phenobarbital 60/90/120 mg daily; lamotrigine 25/50/100/200 mg daily; topiramate
        50/100/150/200 mg daily; levetiracetam 500/750/1000 mg twice daily; zonisamide 100/200/300 mg daily;
        valproic acid 500/750/1000 mg daily; vigabatrin 1/2/3 g daily; felbamate 1200/1800/2400 mg daily; primidone
        250/500/750 mg daily""",
    ),
    _drugs(
        "oral", (17, 76),
        """schizophrenia; schizoaffective disorder; bipolar disorder; delusional disorder; acute mania""",
        """clozapine 100/200/250/300/450 mg daily; olanzapine 5/10/15/20 mg daily; risperidone 2/3/4/6 mg daily;
        quetiapine 100/200/400/600 mg daily; haloperidol 2/5/10/15 mg daily; aripiprazole 10/15/30 mg daily;
        ziprasidone 40/60/80 mg twice daily; chlorpromazine 100/200/300 mg daily; lithium carbonate 600/900/1200 mg
        daily; amisulpride 200/400/800 mg daily""",
    ),
    _drugs(
        "oral", (18, 84),
        """major depression; panic disorder; obsessive-compulsive disorder; generalized anxiety disorder; social
        phobia; dysthymia""",
        """fluoxetine 20/40/60 mg daily; sertraline 50/100/150 mg daily; paroxetine 10/20/40 mg daily; citalopram 20/40
        mg daily; venlafaxine 75/150/225 mg daily; mirtazapine 15/30/45 mg nightly; bupropion 150/300 mg daily;
        amitriptyline 25/50/75/150 mg nightly; clomipramine 75/100/150 mg daily; duloxetine 30/60 mg daily;
        nefazodone 100/200 mg twice daily; trazodone 50/100/150 mg nightly""",
    ),
    _drugs(
        "oral", (16, 88),
        """community-acquired pneumonia; a urinary tract infection; cellulitis; sinusitis; acute bronchitis;
        pyelonephritis; pharyngitis""",
        """amoxicillin 500/750/1000 mg three times daily; ciprofloxacin 250/500/750 mg twice daily; levofloxacin
        250/500/750 mg daily; trimethoprim-sulfamethoxazole 160/320 mg twice daily; nitrofurantoin 50/100 mg twice
        daily; minocycline 50/100 mg twice daily; doxycycline 100/200 mg daily; clarithromycin 250/500 mg twice
        daily; linezolid 600 mg twice daily; moxifloxacin 400 mg daily; azithromycin 250/500 mg daily; clindamycin
        150/300/450 mg every 6 hours""",
        short_course=True,
    ),
    _drugs(
        "intravenous", (18, 86),
        """infective endocarditis; bacterial meningitis; septic arthritis; osteomyelitis; intra-abdominal sepsis; an
        infected hip prosthesis""",
        """vancomycin 500/750/1000 mg every 12 hours; ceftriaxone 1/2 g daily; meropenem 500/1000 mg every 8 hours;
        gentamicin 80/120/160 mg every 8 hours; amikacin 250/500 mg every 12 hours; nafcillin 1/2 g every 4 hours;
        imipenem 250/500 mg every 6 hours; cefepime 1/2 g every 8 hours; colistin 75/100/150 mg every 12 hours""",
        short_course=True,
    ),
    _drugs(
        "oral", (12, 78),
        """pulmonary tuberculosis; tuberculous lymphadenitis; tuberculous pleurisy; spinal tuberculosis""",
        """isoniazid 200/300 mg daily; rifampicin 450/600 mg daily; pyrazinamide 1/1.5/2 g daily; ethambutol
        800/1000/1200 mg daily; ethionamide 250/500/750 mg daily""",
    ),
    _drugs(
        "oral", (18, 80),
        """onychomycosis; invasive aspergillosis; cryptococcal meningitis; chronic pulmonary histoplasmosis; oral
        candidiasis""",
        """terbinafine 125/250 mg daily; itraconazole 100/200/400 mg daily; fluconazole 100/150/200/400 mg daily;
        voriconazole 200/300 mg twice daily; ketoconazole 200/400 mg daily; griseofulvin 500/750 mg daily""",
    ),
    _drugs(
        "oral", (21, 66),
        "HIV infection; AIDS; HIV-associated nephropathy",
        """zidovudine 200/250/300 mg twice daily; stavudine 30/40 mg twice daily; didanosine 125/200/250 mg twice
        daily; nevirapine 200 mg twice daily; efavirenz 400/600 mg nightly; abacavir 300 mg twice daily; indinavir
        800 mg every 8 hours; ritonavir 100/300/600 mg twice daily; tenofovir 150/300 mg daily""",
    ),
    _drugs(
        "subcutaneous", (19, 71),
        "chronic hepatitis C; chronic hepatitis B; malignant melanoma; multiple sclerosis",
        """interferon alfa-2b 3/5/6/9 million units three times weekly; peginterferon alfa-2a 90/135/180 µg weekly;
        interferon beta-1b 4/8 million units every other day""",
    ),
    _drugs(
        "intravenous", (24, 83),
        """non-Hodgkin lymphoma; colorectal cancer; small-cell lung cancer; pancreatic adenocarcinoma; head and neck
        cancer; gastric cancer; soft tissue sarcoma; bladder cancer""",
        """cisplatin 50/60/75/100 mg/m2 every 3 weeks; carboplatin 300/350/400 mg/m2 every 4 weeks; oxaliplatin
        85/100/130 mg/m2 every 3 weeks; docetaxel 60/75/100 mg/m2 every 3 weeks; paclitaxel 80/90/100 mg/m2 weekly;
        gemcitabine 800/1000/1250 mg/m2 weekly; doxorubicin 30/40/50/60 mg/m2 every 3 weeks; cyclophosphamide
        500/600/750 mg/m2 every 3 weeks; ifosfamide 1.2/1.5/2 g/m2 every 3 weeks; fluorouracil 375/425/500 mg/m2
        weekly; irinotecan 100/125/180 mg/m2 every 2 weeks; bleomycin 10/15/20 units/m2 weekly; etoposide 80/100/120
        mg/m2 every 3 weeks; vincristine 1/1.4 mg/m2 every 3 weeks""",
    ),
    _drugs(
        "intravenous", (18, 76),
        """acute myeloid leukemia; acute lymphoblastic leukemia; chronic lymphocytic leukemia; hairy cell leukemia""",
        """cytarabine 100/200/1000/2000 mg/m2 every 12 hours; daunorubicin 45/50/60 mg/m2 daily; fludarabine 20/25/30
        mg/m2 daily; cladribine 3/4/5 mg/m2 daily; mitoxantrone 6/10/12 mg/m2 daily""",
    ),
    _drugs(
        "oral", (31, 80),
        """chronic myeloid leukemia; a gastrointestinal stromal tumor; metastatic renal cell carcinoma""",
        """imatinib 300/400/600/800 mg daily; dasatinib 70/100/140 mg daily; nilotinib 300/400 mg twice daily;
        sunitinib 25/37.5/50 mg daily; sorafenib 200/400 mg twice daily""",
    ),
    _drugs(
        "oral", (44, 84),
        "multiple myeloma; light-chain amyloidosis; myelodysplastic syndrome; myelofibrosis",
        """thalidomide 50/100/200/400 mg daily; lenalidomide 5/10/15/25 mg daily; melphalan 4/6/10 mg daily;
        hydroxyurea 500/1000/1500 mg daily""",
    ),
    _drugs(
        "intravenous", (19, 75),
        """ankylosing spondylitis; psoriatic arthritis; plaque psoriasis; refractory sarcoidosis; uveitis""",
        """infliximab 3/5/7.5/10 mg/kg every 8 weeks; rituximab 375/500 mg/m2 weekly; tocilizumab 4/8 mg/kg every 4
        weeks; abatacept 500/750/1000 mg every 4 weeks""",
    ),
    _drugs(
        "oral", (38, 90),
        """atrial fibrillation; paroxysmal supraventricular tachycardia; ventricular tachycardia; atrial flutter""",
        """amiodarone 100/200/400/600 mg daily; flecainide 50/100/150 mg twice daily; procainamide 500/750/1000 mg
        every 6 hours; quinidine 200/300/400 mg every 8 hours; sotalol 80/120/160 mg twice daily; propafenone
        150/225/300 mg three times daily; digoxin 0.125/0.25/0.375 mg daily; mexiletine 150/200/250 mg three times
        daily""",
    ),
    _drugs(
        "oral", (34, 90),
        """essential hypertension; congestive heart failure; ischemic cardiomyopathy; angina pectoris""",
        """captopril 12.5/25/50 mg three times daily; enalapril 5/10/20 mg daily; lisinopril 5/10/20/40 mg daily;
        losartan 25/50/100 mg daily; hydralazine 25/50/75 mg three times daily; amlodipine 2.5/5/10 mg daily;
        verapamil 80/120/240 mg daily; methyldopa 250/500 mg twice daily; spironolactone 25/50/100 mg daily;
        hydrochlorothiazide 12.5/25/50 mg daily; atenolol 25/50/100 mg daily; diltiazem 60/90/120 mg twice daily""",
    ),
    _drugs(
        "oral", (33, 85),
        "hypercholesterolemia; combined hyperlipidemia; coronary artery disease",
        """simvastatin 10/20/40/80 mg daily; atorvastatin 10/20/40/80 mg daily; pravastatin 10/20/40 mg daily;
        gemfibrozil 600/900 mg twice daily; fenofibrate 145/160/200 mg daily; niacin 500/1000/1500 mg twice daily""",
    ),
    _drugs(
        "oral", (29, 89),
        """deep vein thrombosis; pulmonary embolism; a mechanical mitral valve; peripheral arterial disease; a
        transient ischemic attack""",
        """warfarin 2.5/4/5/7.5 mg daily; clopidogrel 75 mg daily; ticlopidine 250 mg twice daily; phenprocoumon
        1.5/3/4.5 mg daily; aspirin 81/100/325 mg daily""",
    ),
    _drugs(
        "oral", (36, 84),
        "type 2 diabetes mellitus; diabetic nephropathy; impaired glucose tolerance",
        """metformin 500/850/1000 mg twice daily; glyburide 2.5/5/10 mg daily; glipizide 5/10/15 mg daily;
        rosiglitazone 4/8 mg daily; troglitazone 200/400/600 mg daily; acarbose 50/100 mg three times daily;
        pioglitazone 15/30/45 mg daily""",
    ),
    _drugs(
        "oral", (17, 70),
        "Graves' disease; hyperthyroidism; a toxic multinodular goiter",
        """propylthiouracil 50/100/150 mg three times daily; methimazole 5/10/20/30 mg daily; carbimazole 10/20/40 mg
        daily""",
    ),
    _drugs(
        "oral", (20, 86),
        "osteoarthritis; gout; chronic low back pain; rotator cuff tendinitis; a sprained ankle",
        """ibuprofen 400/600/800 mg three times daily; diclofenac 50/75 mg twice daily; naproxen 250/375/500 mg twice
        daily; indomethacin 25/50 mg three times daily; celecoxib 100/200 mg twice daily; allopurinol 100/200/300 mg
        daily; colchicine 0.5/0.6/1 mg twice daily; piroxicam 10/20 mg daily""",
    ),
    _drugs(
        "oral", (19, 88),
        "gastroesophageal reflux disease; a duodenal ulcer; dyspepsia; erosive esophagitis",
        """omeprazole 20/40 mg daily; pantoprazole 20/40/80 mg daily; ranitidine 150/300 mg twice daily; famotidine
        20/40 mg daily; cimetidine 400/800 mg daily; metoclopramide 5/10 mg three times daily""",
    ),
    _drugs(
        "oral", (46, 88),
        "Parkinson's disease; restless legs syndrome; multiple system atrophy",
        """levodopa 100/200/300 mg three times daily; pramipexole 0.25/0.5/1 mg three times daily; ropinirole 1/2/4 mg
        three times daily; pergolide 0.25/0.5/1 mg three times daily; amantadine 100/200 mg daily; selegiline 5/10
        mg daily""",
    ),
    _drugs(
        "oral", (6, 17),
        "attention-deficit hyperactivity disorder; Tourette syndrome; autistic disorder",
        """methylphenidate 5/10/18/27/36 mg daily; atomoxetine 18/25/40/60 mg daily; clonidine 0.05/0.1/0.2 mg daily;
        pimozide 1/2/4 mg daily; dextroamphetamine 5/10/15 mg daily""",
    ),
    _drugs(
        "oral", (15, 48),
        "nodulocystic acne; severe rosacea; hidradenitis suppurativa; dermatitis herpetiformis",
        """isotretinoin 20/30/40/60 mg daily; acitretin 10/25/50 mg daily; dapsone 50/100/150 mg daily; tetracycline
        250/500 mg twice daily""",
    ),
    _drugs(
        "oral", (35, 82),
        "breast cancer; metastatic breast cancer; ductal carcinoma in situ",
        """tamoxifen 10/20/40 mg daily; letrozole 2.5 mg daily; anastrozole 1 mg daily; capecitabine 1000/1500/2000 mg
        twice daily""",
        "female",
    ),
    _drugs(
        "oral", (28, 87),
        "chronic cancer pain; postherpetic neuralgia; trigeminal neuralgia; diabetic neuropathy",
        """morphine 10/15/30/60 mg twice daily; tramadol 50/100 mg every 6 hours; methadone 5/10/20 mg twice daily;
        oxycodone 5/10/20 mg twice daily; gabapentin 300/600/900 mg three times daily; pregabalin 75/150/300 mg
        twice daily""",
    ),
    _drugs(
        "oral", (18, 65),
        "falciparum malaria; vivax malaria; visceral leishmaniasis; nocturnal leg cramps",
        """mefloquine 250/500/750 mg weekly; quinine 200/300/600 mg three times daily; chloroquine 150/250/500 mg
        daily; primaquine 15/30 mg daily""",
    ),
)  # fmt: skip

SYSTEMS = (
    _system(
        """acute pancreatitis; cholestatic jaundice; fulminant hepatic failure; toxic hepatitis; hepatic veno-occlusive
        disease; granulomatous hepatitis; acute hepatocellular injury; vanishing bile duct syndrome; hyperammonemic
        encephalopathy; liver failure""",
        "",
        """alanine aminotransferase rose to 240-2850 U/L; total bilirubin rose to 3.1-24.8 mg/dL; serum lipase rose to
        480-4200 U/L; alkaline phosphatase rose to 310-1480 U/L""",
        """a liver biopsy showed centrilobular necrosis; abdominal ultrasonography showed no biliary dilatation;
        serologic tests for hepatitis A, B and C were negative; abdominal imaging excluded
        gallstones and malignancy""",
        """supportive care; ursodeoxycholic acid; intravenous N-acetylcysteine; bowel rest and intravenous fluids""",
        True,
    ),
    _system(
        """acute interstitial nephritis; acute renal failure; nephrotic syndrome; Fanconi syndrome; hemorrhagic
        cystitis; crescentic glomerulonephritis; hemolytic uremic syndrome; acute tubular necrosis; nephrogenic
        diabetes insipidus""",
        "bilateral ureteral stones",
        """serum creatinine rose to 2.3-11.8 mg/dL; blood urea nitrogen rose to 48-164 mg/dL; urinary protein excretion
        rose to 2.1-14.6 g per day""",
        """a renal biopsy showed an eosinophilic interstitial infiltrate; renal ultrasonography showed normal-sized
        kidneys; urinalysis showed sterile pyuria and granular casts""",
        """hemodialysis; oral prednisolone; intravenous hydration; a short course of methylprednisolone""",
        True,
    ),
    _system(
        """agranulocytosis; severe neutropenia; aplastic anemia; autoimmune hemolytic anemia; immune thrombocytopenia;
        pure red cell aplasia; thrombotic thrombocytopenic purpura; methemoglobinemia; pancytopenia; disseminated
        intravascular coagulation; megaloblastic anemia""",
        "",
        """platelet count fell to 2-38 x 10^9/L; neutrophil count fell to 0.05-0.92 x 10^9/L; hemoglobin level fell to
        4.1-8.7 g/dL; white blood cell count fell to 0.6-2.4 x 10^9/L""",
        """a bone marrow aspirate showed maturation arrest of the myeloid series; the direct antiglobulin test was
        positive; a peripheral smear showed numerous schistocytes; a bone marrow biopsy showed marked
        hypocellularity""",
        """granulocyte colony-stimulating factor; platelet transfusions; plasma exchange; intravenous immunoglobulin;
        packed red cells""",
        True,
    ),
    _system(
        """Stevens-Johnson syndrome; toxic epidermal necrolysis; a fixed drug eruption; erythema multiforme; a
        maculopapular rash; leukocytoclastic vasculitis; a lichenoid eruption; subacute cutaneous lupus
        erythematosus; acute generalized exanthematous pustulosis; photosensitivity; linear IgA bullous dermatosis;
        a psoriasiform eruption; erythema nodosum; a bullous pemphigoid-like eruption; diffuse alopecia;
        pseudoporphyria; exfoliative dermatitis; palmar-plantar erythrodysesthesia; livedo reticularis""",
        "",
        """eosinophil count rose to 0.9-7.8 x 10^9/L; C-reactive protein rose to 28-264 mg/L; serum IgE level rose to
        420-5200 IU/mL""",
        """a skin biopsy showed a lichenoid infiltrate with eosinophils; direct immunofluorescence showed linear IgA
        deposits; patch testing was positive; histology showed full-thickness epidermal necrosis""",
        """topical clobetasol; oral antihistamines; systemic corticosteroids; emollients and wet dressings""",
    ),
    _system(
        """torsade de pointes; QT prolongation; complete heart block; dilated cardiomyopathy; sinus bradycardia; acute
        myocarditis; cardiac arrest; atrial fibrillation of new onset; a pericardial effusion; coronary vasospasm;
        orthostatic hypotension; Brugada-like ST elevation""",
        "",
        """corrected QT interval rose to 492-668 ms; left ventricular ejection fraction fell to 14-38 %; heart rate
        fell to 26-44 beats/min; troponin I level rose to 0.8-19.6 ng/mL""",
        """electrocardiography showed broad, bizarre T waves; echocardiography showed global hypokinesis; coronary
        angiography showed no obstructive disease; telemetry showed runs of polymorphic ventricular tachycardia""",
        "intravenous magnesium; a temporary pacemaker; isoproterenol; atropine and fluids",
        True,
    ),
    _system(
        """interstitial pneumonitis; eosinophilic pneumonia; bronchiolitis obliterans; diffuse alveolar hemorrhage;
        pulmonary hypertension; noncardiogenic pulmonary edema; a chronic dry cough; severe bronchospasm; pulmonary
        fibrosis; acute respiratory distress syndrome""",
        "bilateral pleural effusions",
        """oxygen saturation fell to 68-88 %; arterial oxygen tension fell to 38-59 mm Hg; diffusing capacity fell to
        24-58 % of predicted""",
        """chest computed tomography showed bilateral ground-glass opacities; bronchoalveolar lavage showed marked
        eosinophilia; a chest radiograph showed diffuse reticular infiltrates; blood and sputum cultures were
        negative""",
        """high-dose methylprednisolone; mechanical ventilation; supplemental oxygen; nebulized salbutamol""",
        True,
    ),
    _system(
        """neuroleptic malignant syndrome; serotonin syndrome; aseptic meningitis; posterior reversible encephalopathy
        syndrome; a peripheral sensory neuropathy; tardive dyskinesia; an acute dystonic reaction; parkinsonism;
        nonconvulsive status epilepticus; benign intracranial hypertension; cerebellar ataxia; akathisia; a coarse
        postural tremor; reversible dementia; a generalized seizure""",
        "myoclonic jerks; oculogyric crises; choreiform movements; cluster headaches",
        """Glasgow Coma Scale score fell to 5-12 points; body temperature rose to 38.9-41.6 °C; Mini-Mental State score
        fell to 9-22 points; cerebrospinal fluid protein rose to 62-248 mg/dL""",
        """electroencephalography showed diffuse slowing; magnetic resonance imaging showed bilateral parieto-occipital
        edema; nerve conduction studies showed an axonal neuropathy; cerebrospinal fluid cultures were sterile""",
        """intravenous lorazepam; bromocriptine and dantrolene; cyproheptadine; biperiden; propranolol""",
    ),
    _system(
        """acute psychosis; delirium; mania; hypersexuality; pathological gambling; severe depression; a panic attack;
        catatonia; somnambulism; transient global amnesia""",
        """visual hallucinations; suicidal thoughts; auditory hallucinations; vivid nightmares; obsessive-compulsive
        symptoms""",
        """Brief Psychiatric Rating Scale score rose to 41-79 points; Young Mania Rating Scale score rose to 18-46
        points; nightly sleep fell to 1-4 hours""",
        """a urine toxicology screen was negative; computed tomography of the brain was normal; mental status
        examination showed disorientation and pressured speech; thyroid function tests were normal""",
        "low-dose haloperidol; lorazepam; close observation; quetiapine at night",
    ),
    _system(
        """the syndrome of inappropriate antidiuretic hormone secretion; severe hyponatremia; hyperkalemia;
        hypokalemia; hypercalcemia; tumor lysis syndrome; hypomagnesemia; symptomatic hypocalcemia; distal renal
        tubular acidosis""",
        "",
        """serum sodium fell to 103-124 mmol/L; serum osmolality fell to 212-258 mOsm/kg; plasma bicarbonate fell to
        7-17 mmol/L""",
        """urine osmolality was inappropriately high; adrenal and thyroid function were normal; renal function was
        preserved; electrocardiography showed sinus rhythm with flat T waves""",
        """fluid restriction; hypertonic saline; oral electrolyte replacement; intravenous bicarbonate""",
    ),
    _system(
        """lactic acidosis; diabetic ketoacidosis; severe hypoglycemia; hypertriglyceridemia; hyperprolactinemia;
        adrenal insufficiency; autoimmune thyroiditis; hypothyroidism; marked weight gain; a hyperosmolar
        hyperglycemic state""",
        "",
        """serum lactate rose to 5.2-19.4 mmol/L; anion gap rose to 19-38 mmol/L; arterial pH fell to 6.88-7.24; body
        mass index rose to 29.4-46.2 kg/m2""",
        """an adrenocorticotropin stimulation test was abnormal; thyroid antibodies were detected; septic and toxic
        causes were excluded; islet cell antibodies were absent""",
        "an insulin infusion; intravenous glucose; hydrocortisone; thiamine and riboflavin",
    ),
    _system(
        """rhabdomyolysis; a proximal myopathy; bilateral Achilles tendon rupture; drug-induced lupus; polyarthritis;
        avascular necrosis of the hip; osteonecrosis of the jaw; polymyositis; acute gouty arthritis; an
        eosinophilic fasciitis-like illness""",
        "severe muscle cramps; atypical femoral fractures",
        """creatine kinase rose to 1850-98400 U/L; erythrocyte sedimentation rate rose to 48-122 mm/h; serum myoglobin
        rose to 1200-24600 ng/mL""",
        """a muscle biopsy showed scattered necrotic fibers; antihistone antibodies were strongly positive;
        electromyography showed a myopathic pattern; magnetic resonance imaging showed diffuse edema of the thigh
        muscles""",
        """vigorous hydration; urinary alkalinization; a tapering course of prednisone; rest and analgesia""",
    ),
    _system(
        """pseudomembranous colitis; collagenous colitis; ischemic colitis; an esophageal ulcer; paralytic ileus;
        gingival hyperplasia; intractable hiccups; upper gastrointestinal bleeding; a perforated gastric ulcer;
        protracted vomiting; small-bowel angioedema; dysgeusia; severe oral mucositis""",
        "",
        """hemoglobin level fell to 5.2-9.1 g/dL; stool frequency reached 6-21 per day; serum albumin fell to 1.6-2.9
        g/dL""",
        """colonoscopy showed patchy erythema with normal mucosa between; endoscopy showed a deep mid-esophageal ulcer;
        stool cultures were negative; colonic biopsies showed a thickened subepithelial collagen band""",
        "oral vancomycin; a proton pump inhibitor; bowel rest; budesonide; parenteral nutrition",
    ),
    _system(
        """acute angle-closure glaucoma; bilateral optic neuritis; toxic maculopathy; anterior uveitis; cornea
        verticillata; central serous chorioretinopathy; acute transient myopia; diplopia; retinal vein occlusion""",
        "visual field defects",
        """intraocular pressure rose to 31-64 mm Hg; visual acuity fell to 0.05-0.40 in both eyes; central macular
        thickness rose to 342-688 µm""",
        """fundoscopy showed bilateral disc edema; ultrasonography showed a choroidal effusion; optical coherence
        tomography showed subretinal fluid; visual evoked potentials were delayed""",
        "topical timolol; oral acetazolamide; topical prednisolone; intravenous methylprednisolone",
    ),
    _system(
        """sensorineural hearing loss; tinnitus; bilateral vestibulopathy; sudden deafness; disabling vertigo""",
        "",
        "pure-tone threshold rose to 35-95 dB; speech discrimination score fell to 8-64 %",
        """audiometry showed a bilateral high-frequency deficit; caloric testing showed no vestibular response;
        magnetic resonance imaging of the inner ear was normal""",
        "oral prednisolone; vestibular exercises; intratympanic dexamethasone",
    ),
    _system(
        """anaphylactic shock; angioedema of the tongue; serum sickness; drug rash with eosinophilia and systemic
        symptoms; cytokine release syndrome; hemophagocytic syndrome; capillary leak syndrome; drug fever; a
        Jarisch-Herxheimer-like reaction; antineutrophil cytoplasmic antibody-positive vasculitis; sarcoidosis;
        miliary tuberculosis""",
        "disseminated herpes zoster lesions",
        """systolic blood pressure fell to 48-82 mm Hg; serum tryptase rose to 18-142 µg/L; serum ferritin rose to
        1400-38600 ng/mL; body temperature rose to 38.6-40.9 °C""",
        """cultures of blood and urine remained sterile; skin prick testing was positive; a lymph node biopsy showed
        reactive hyperplasia; cytoplasmic antibodies were present in high titer""",
        """intramuscular epinephrine; intravenous immunoglobulin; high-dose corticosteroids; vasopressors and fluids""",
        True,
    ),
)  # fmt: skip

# Frames are a small grammar: `{name}` is a phrase or a fact of the case, `<a|b>` one of these, `[kind:…]` a span, and
# `{a}` the article that the next word takes. Titles leave out the article of a reaction (`bare`), sentences keep it.
PHRASES = {
    "drug": "[drug:{drug_name}]",
    "drug2": "[drug:{drug2_name}]",
    "alternative": "[drug:{alternative_name}]",
    "dosed": "<{drug} [dose:{dose}]|{drug} [dose:{dose}]|{drug} ([dose:{dose}])|{drug}|{drug}>",
    "bare": "[effect:{effect_name}]",
    "bare2": "[effect:{effect2_name}]",
    "effect": "{effect_article}{bare}",
    "effect2": "{effect2_article}{bare2}",
    "the_effect": "the {bare}",
    "disorder": "{disorder_article}[disorder:{disorder_name}]",
    "patient": "[subject:{a} {age}-year-old {person}]",
    "patient_d": "<[subject:{a} {age}-year-old {person} with {disorder}]|[subject:{a} {age}-year-old {person} being "
    "treated for {disorder}]|{patient}>",
    "patient_w": "<[subject:{a} {age}-year-old {person} with {disorder}]|{patient}>",
    "the_patient": "<the patient|the {person}|{he}>",
    "starting": "<starting|beginning|the start of|the introduction of|the initiation of>",
    "developed": "<developed|experienced|presented with>",
    "taking": "<taking|receiving|treated with>",
    "therapy": "<therapy|treatment>",
    "stopped": "<stopped|discontinued|withdrawn>",
    "resolved": "<resolved|subsided|disappeared|resolved completely|improved>",
    "reported": "<reported|described|documented>",
}

# What a case may say whatever its outcome, by shape, with the share of each shape.
FRAMES: dict[str, tuple[float, tuple[str, ...]]] = {
    "title": (0.21, (
        "<A case of|Presumed|Probable> {drug}-induced {bare}.",
        "{bare} <associated with|due to|secondary to|induced by|during treatment with|related to> {drug}.",
        "{bare} <after|during|associated with|following> <|{route} >{drug} {therapy}.",
        "{drug}-<associated|induced|related> {bare} in <{patient}|[subject:a patient with {disorder}]>.",
        "{bare} and {bare2} <during|after> {route} {drug} {therapy} for {disorder}.",
        "{bare}: {a} <rare|unusual|uncommon|serious|underrecognized> <complication|adverse effect> of {drug}< "
        "therapy|>.",
        "{drug} and {bare}: <a case report|report of a case|a case report and review of the literature>.",
        "Possible interaction between {drug} and {drug2} <resulting in|causing|leading to> {effect}.",
        "{bare} in {patient} {taking} {drug} for {disorder}.",
    )),
    "report": (0.27, (
        "{patient_d} {developed} {effect} {onset} after {starting} {dosed}.",
        "We <report|describe|present> the case of {patient_d} who <developed|experienced> {effect} {onset} after "
        "{starting} {dosed}.",
        "We <report|describe> a case of {bare} that <developed|occurred> {onset} after {starting} {dosed} in "
        "{patient_d}.",
        "{patient_d} was <admitted|referred|brought> to <our hospital|the emergency department|our clinic> with "
        "{effect} {onset} after {starting} {dosed}.",
        "About {onset} after {starting} {dosed} for {disorder}, {patient} {developed} {effect}.",
        "{patient_w}, who had been <taking|receiving> {dosed} for {onset}, {developed} {effect} and {effect2}.",
        "After {onset} of {therapy} with {dosed}, {the_patient} {developed} {effect}.",
        "By day {day} of {route} {drug} {therapy}, {the_patient} had developed {effect}.",
        "{effect} <developed|occurred> in {patient_w} who had received {dosed} for {onset}.",
        "{patient} <was given|received> {route} {dosed} for {disorder} and developed {effect} {onset} later.",
        "{patient_w} was started on {dosed}, and {onset} later {his} {measure} {moved} {value} and {effect} {was} "
        "diagnosed.",
    )),
    "long report": (0.055, (
        "{patient_w}, who was receiving {dosed} and {drug2}, was admitted {onset} after the start of {drug} because of "
        "{effect}; on admission {his} {measure} {had_moved} {value}, and {finding}.",
        "{effect} {was} diagnosed in {patient_d} when, {onset} after {starting} {dosed}, {his} {measure} {moved} "
        "{value}, {finding}, and no other cause could be found.",
        "Although {drug} is widely used for [disorder:{disorder_name}], {few} cases of {bare} have been {reported} "
        "since {year}, and {patient} seen in our clinic was affected {onset} after {starting} [dose:{amount}] of the "
        "drug.",
        "{the_patient} had <taken|received> {dosed} for {onset} when {his} {measure} {moved} {value}; {finding}, and "
        "{drug} rather than {drug2}, which {he} had been given for <years|several months>, was suspected of having "
        "caused {effect}.",
        "Because the signs <appeared|began> {onset} after {starting} {dosed}, {finding}, and the score on the Naranjo "
        "scale was {naranjo}, we <concluded|believe> that {the_effect} in this {age}-year-old {person} {was} "
        "<caused|induced> by {drug}.",
        "{patient} received {route} {dosed} for {disorder}, and {onset} later developed {effect}, which {was} at first "
        "attributed to <an infection|the underlying disease|another drug>, until {his} {measure} {moved} {value} on "
        "day {day} and {finding}.",
        "{patient_w} was started on {dosed}; {onset} later {he} {developed} {effect}, {his} {measure} {moved} "
        "{value}, and {finding}, so that {drug} was {stopped} and {he} was treated with {remedy}.",
    )),
    "finding": (0.10, (
        "{his} {measure} {moved} {value} on day {day} of {drug} {therapy}, and {finding}, <consistent with|suggesting> "
        "{effect}.",
        "On admission, {onset} after {starting} {dosed}, {his} {measure} {had_moved} {value}, and {effect} {was} "
        "diagnosed.",
        "{finding}, <which supported a diagnosis of|in keeping with|suggesting> {drug}-induced {bare}.",
        "No other <cause|explanation> of {the_effect} was found in this {age}-year-old {person} {taking} {drug}: "
        "{finding}.",
        "{his} {measure}, which had been normal before {dosed} was started, {moved} {value} by day {day}, when "
        "{effect} {was} recognized.",
        "{effect} {was} <confirmed|diagnosed> on day {day} of {drug} {therapy}, when {his} {measure} {moved} {value}.",
    )),
    "conclusion": (0.10, (
        "<Clinicians|Physicians|Prescribers> should be aware that {drug} <can|may> <cause|induce> {effect}"
        "<| in patients with {disorder}|, even {onset} after the start of treatment>.",
        "This <case|report|observation> <suggests|indicates> that {drug} <can|may> <cause|induce|precipitate> "
        "{effect}.",
        "{effect} should be <considered|suspected> in patients with {disorder} who deteriorate during {drug} "
        "{therapy}.",
        "The <temporal relationship|time course> and the absence of other causes suggest that {the_effect} {was} "
        "<caused|induced> by {drug}.",
        "A score of {naranjo} on the Naranjo scale <indicated|suggested> a probable relationship between {drug} and "
        "{the_effect}.",
        "The mechanism by which {drug} <causes|induces|leads to> {effect} <remains unknown|is not well understood|is "
        "unclear>.",
        "{drug} was <the most likely|the probable|the suspected> cause of {the_effect} in <this patient|our "
        "patient|this case>.",
        "We <believe|conclude|suggest> that {the_effect} in this {age}-year-old {person} {was} <caused by|due to> "
        "{drug}.",
        "The {measure} should be monitored <during {drug} {therapy}|in patients {taking} {drug}>, because {effect} may "
        "develop as late as {onset} after the first dose.",
    )),
    "literature": (0.08, (
        "{effect} {has} <rarely|occasionally|seldom|only recently> been {reported} <with|in patients {taking}|in "
        "association with> {drug}.",
        "To our knowledge, this is the <first|second|third> <reported case|report> of {drug}-induced {bare}"
        "<| in a patient with {disorder}>.",
        "<Only|At least|Fewer than> {cases} cases of {bare} <attributed to|associated with> {drug} have been "
        "{reported} <since {year}|in the literature|worldwide>.",
        "{drug} is <known|well known|increasingly recognized|not generally known> to cause {effect}.",
        "In a <series|cohort|review> of {cohort} patients given {drug} for {disorder}, {effect} <occurred|developed> "
        "in {few}.",
        "Since {year}, {effect} {has} been {reported} in {few} <adults|elderly patients|women> {taking} {drug}.",
    )),
    "two events": (0.07, (
        "{effect} {was} followed by {effect2} in {patient_w} {taking} {dosed}.",
        "{patient}, already {taking} {drug2}, was given {dosed} for {disorder} and developed {effect}<| and "
        "{effect2}>.",
        "{drug} caused {effect} and {alternative} <caused|led to> {effect2} in {patient_d}.",
        "Two patients, [subject:{a} {age}-year-old {person} and {a} {age2}-year-old {person2}], developed {effect} "
        "during {drug} {therapy} for {disorder}.",
        "{the_patient} developed {effect} {onset} after {starting} {dosed}, and {effect2} {recovery} after a switch to "
        "{alternative}.",
    )),
}  # fmt: skip

# The rest of the sentences: how the case ended.
SURVIVED = (
    "{the_effect} {resolved} {recovery} after {drug} was {stopped}.",
    "{the_patient} was treated with {remedy}, and {the_effect} {resolved} within {recovery} of stopping {drug}.",
    "{drug} was {stopped}, {the_patient} was given {remedy}, and {the_effect} {resolved} <over|within> {recovery}.",
    "{his} {measure} returned to baseline {recovery} after {drug} was {stopped}, and {the_effect} did not recur.",
    "Rechallenge with [dose:{amount}] of {drug} <led to|was followed by> a recurrence of {the_effect} within "
    "{relapse}.",
    "<Discontinuation|Withdrawal> of {drug} led to <complete|gradual|prompt> resolution of {the_effect}"
    "< within {recovery}|>.",
    "{the_effect} recurred {relapse} after {drug} was <reintroduced|restarted> at [dose:{dose}] and "
    "<resolved|subsided> again after it was {stopped}.",
    "{drug} was replaced by {alternative}, and {the_effect} did not recur during {follow_up} of follow-up.",
    "The dose of {drug} was reduced, but {the_effect} <persisted|progressed> until the drug was {stopped} on day "
    "{day}.",
    "{the_effect} <persisted|continued> for {recovery} despite <withdrawal|discontinuation> of {drug} and treatment "
    "with {remedy}.",
    "{the_effect} <improved|resolved> after dose reduction of {drug}.",
    "We <report|describe> the case of {patient_d} who developed {effect} {onset} after {starting} {dosed}, was "
    "treated with {remedy}, and recovered within {recovery} after the drug was {stopped}.",
    "{patient_w} developed {effect} {onset} after {starting} {drug}; the drug was {stopped}, and {his} {measure}, "
    "which {had_moved} {value}, returned to baseline within {recovery}, but {he} relapsed {relapse} after an "
    "inadvertent rechallenge with [dose:{amount}].",
)
DIED = (
    "{the_patient} died of {effect} {recovery} after the <last|final> dose of {drug} despite treatment with {remedy}.",
    "Fatal {bare} <associated with|during|after> {drug} {therapy}<| for {disorder}>.",
    "Despite {remedy} and withdrawal of {drug}, {the_patient} died {recovery} after the onset of {the_effect}.",
    "{effect} that developed {onset} after {starting} {dosed} proved fatal in {patient_d}.",
    "Fatal {bare} in {patient_w} {taking} {dosed}.",
    "{patient_d} developed {effect} {onset} after {starting} {dosed}, {his} {measure} {moved} {value}, and {he} died "
    "on day {day} in spite of {remedy}.",
)
