"""What regulators and standards ask to be tested, and what of it this run measured. No verdict on any of it."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from byrote.report.page import Grid, Section
from byrote.report.words import count
from byrote.tables.compared import AUDITOR

if TYPE_CHECKING:
    from byrote.tables import Tables

MEASURED, NOT_MEASURED, OUT_OF_SCOPE = "measured", "not measured", "out of scope"
EDPB, NIST, AISVS = "EDPB opinion 28/2024", "NIST AI 600-1", "OWASP AISVS"
NO_INVERSION = "Attacks that work back from weights or outputs to inputs are not among byrote's."


def annex_section(tables: "Tables") -> Section:
    """The annex: a row for each thing that is asked for."""
    note = (
        "The wording of opinion 28/2024 (paragraphs 55 and 58) and of MS-2.10-001 was read where others quote it, not "
        "in the documents themselves; that of AISVS was not checked. A test that was passed is evidence about that "
        "test alone: no row says that a model is anonymous or that anybody complies with anything."
    )
    grid = Grid("Evidence in this run", ["source", "asked for", "standing", "evidence"], list(_rows(tables)), 4, note)
    return Section("annex", "Annex: what is asked for", (), folded=[grid])


def _rows(tables: "Tables") -> Iterator[list[str]]:
    membership, extraction, canaries = _membership(tables), _extraction(tables), _canaries(tables)
    yield [EDPB, "55 (i): membership inference", *membership]
    yield [EDPB, "55 (i): attribute inference", NOT_MEASURED, "No attack on a single attribute of a known record."]
    yield [EDPB, "55 (ii): exfiltration", OUT_OF_SCOPE, "Theft of the model or of data: another kind of test."]
    yield [EDPB, "55 (iii): regurgitation of training data", *extraction]
    yield [EDPB, "55 (iv): model inversion", OUT_OF_SCOPE, NO_INVERSION]
    yield [EDPB, "55 (v): reconstruction", *_free(tables)]
    yield [EDPB, "58: documentation of tests and their results", MEASURED, "This report, its tables and study.yaml."]
    yield [NIST, "MS-2.10-001: outputting of training data samples", *extraction]
    yield [NIST, "MS-2.10-001: membership inference risks", *membership]
    yield [NIST, "MS-2.10-001: model extraction, reverse engineering", OUT_OF_SCOPE, NO_INVERSION]
    yield [AISVS, "11.2.4: resistance to membership inference", *membership]
    yield [AISVS, "11.2.5: inference no better than guessing, within a margin", *_equivalence(tables)]
    yield [AISVS, "differential privacy, empirically", *canaries]


def _membership(tables: "Tables") -> tuple[str, str]:
    scored = tables.membership[tables.membership["auc"].notna()]
    if scored.empty:
        return NOT_MEASURED, "No trial has scores on both sides."
    attacks = scored[scored["attack"] != AUDITOR]["attack"].nunique()
    trials = scored["trial"].nunique()
    return MEASURED, f"{count(attacks, 'attack')} on {count(trials, 'trial')}: section Membership inference."


def _extraction(tables: "Tables") -> tuple[str, str]:
    prompted = tables.extraction[tables.extraction["model"] == "tuned"]
    if prompted.empty:
        return NOT_MEASURED, "No record was prompted."
    records = prompted[["trial", "record"]].drop_duplicates()
    return MEASURED, f"{count(len(records), 'record')} prompted, over all trials: section Prompted generation."


def _free(tables: "Tables") -> tuple[str, str]:
    if tables.untargeted.empty:
        return NOT_MEASURED, "No free completions were written."
    return MEASURED, "By free completions alone: section Untargeted extraction."


def _canaries(tables: "Tables") -> tuple[str, str]:
    if tables.audits.empty or tables.audits["epsilon_low"].isna().all():
        return NOT_MEASURED, "No canaries give a bound on ε."
    return MEASURED, "A lower bound on ε from canaries: section Canaries."


def _equivalence(tables: "Tables") -> tuple[str, str]:
    asked = tables.rules[tables.rules["rule"].astype(str).str.startswith("equivalent_within")]
    if asked.empty:
        return NOT_MEASURED, "No rule asks whether every AUC lies within a margin of guessing (equivalent_within)."
    return MEASURED, f"By AUC, not by balanced accuracy: {', '.join(sorted(set(asked['verdict'].astype(str))))}."
