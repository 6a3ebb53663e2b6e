# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownParameterType=false
"""The columns of every table: name, type, unit, meaning. One entry a column; the schemas, the test data and
docs/tables.md come from here. A number that cannot be computed is missing, with its reason beside it.
"""

from dataclasses import dataclass

import pyarrow as pa


@dataclass(frozen=True)
class Column:
    """One column of a table. unit: empty for shares, counts of what the meaning names, and words."""

    name: str
    type: pa.DataType
    meaning: str
    unit: str = ""


def text(name: str, meaning: str) -> Column:
    """A column of words."""
    return Column(name, pa.string(), meaning)


def whole(name: str, meaning: str, unit: str = "") -> Column:
    """A column of whole numbers."""
    return Column(name, pa.int64(), meaning, unit)


def real(name: str, meaning: str, unit: str = "") -> Column:
    """A column of real numbers."""
    return Column(name, pa.float64(), meaning, unit)


def flag(name: str, meaning: str) -> Column:
    """A column of true and false."""
    return Column(name, pa.bool_(), meaning)


TRIAL_KEY = text("trial", "key of the trial")
STRATUM = text(
    "stratum", "what is compared: records, prompts (the same records, by what was masked), or canaries@C of C copies"
)
ATTACK = text("attack", "the attack, by its name in docs/attacks.md; auditor is the combination of all signals")
RECORD = text("record", "id of the record")
ROLE = text("role", "role of the record in the trial")
MODEL = text("model", "who wrote: base or tuned")
COPIES = whole("copies", "how often the record was planted, or would have been; 1 for members, 0 for non-members")
PREFIX = real(
    "prefix",
    "the setting: a share of the record's tokens below 1, a number of tokens from 1 on; of a record with an answer its "
    "whole prompt and so much of the answer, 0 for the prompt alone",
)
TEMPERATURE = real("temperature", "of decoding; 0 is greedy")
SUFFIX_TOKENS = whole("suffix_tokens", "length of the true suffix", "tokens")
REASON = text("reason", "why a number is missing or to be read with care; otherwise empty")
NOTE = text("note", "why a number is missing or to be read with care; otherwise empty")
PERPLEXITY_BASE = real("perplexity_base", "of the record, or of its answer where it has one, under the base model")
PERPLEXITY_TUNED = real("perplexity_tuned", "of the record, or of its answer where it has one, under the tuned model")
OUTPUT_PERPLEXITY = real("output_perplexity", "of what was written, under the model that wrote it, before temperature")


def interval(of: str, prefix: str = "") -> tuple[Column, Column]:
    """The two ends of an interval."""
    return real(f"{prefix}low", f"lower end of the interval of {of}"), real(f"{prefix}high", "upper end of it")


TRIAL_COLUMNS = (
    TRIAL_KEY,
    text("matrices", "adapted attention or feed-forward matrices, joined by commas"),
    whole("rank", "LoRA rank"),
    whole("seed", "of initialisation, order and dropout"),
)
TRIAL = tuple(column.name for column in TRIAL_COLUMNS)

# What rows of several tables start with: one attack on a stratum, one record of a trial, one prompted record.
ATTACK_COLUMNS = (TRIAL_KEY, STRATUM, ATTACK)
RECORD_COLUMNS = (TRIAL_KEY, RECORD, ROLE, COPIES)
PROMPTED = (TRIAL_KEY, MODEL, RECORD, ROLE, COPIES, PREFIX, TEMPERATURE)
# Columns that several tables share further on.
ATTACK_PAIR = (text("attack_a", "first attack"), text("attack_b", "second attack"))
SIDES = (
    whole("n_members", "members, or planted canaries, with a score"),
    whole("n_nonmembers", "non-members, or canaries left out, with a score"),
)

TABLES: dict[str, tuple[Column, ...]] = {
    "rules": (
        text("subject", "key of the trial; missing for a rule that was dropped after results"),
        text("rule", "its setting under decide, with the false-positive rate where there is one"),
        text("words", "what the rule says"),
        STRATUM,
        text("attack", "the attack that the verdict rests on; empty where none is read"),
        real("limit", "what the rule sets"),
        real("value", "what was measured: an AUC, a rate, a number of records, or the bound on epsilon"),
        real("low", "lower bound; of attacks it holds with those of all attacks and rules of the subject together"),
        real("high", "upper bound, which holds by itself"),
        text("control", "which controls that the rule reads are off, how many are not, which are missing"),
        text("verdict", "exceeded, held or undecided"),
        text("reason", "what the verdict rests on, in words"),
        text("would_decide", "what would decide an undecided rule; empty where it is decided"),
        text("set", "before results, or after results: a rule that was set or changed after scores existed"),
        whole("look", "how many times verdicts were made on new results so far, this one included"),
        real("error", "one-sided error of the bounds: (1 - level)/2^look, shared over subjects and families of bounds"),
    ),
    "trials": (
        *TRIAL_COLUMNS,
        whole("trainable_parameters", "numbers in the adapter"),
        whole("total_parameters", "numbers in the base model, tied ones once"),
        real("trainable_share", "trainable over total parameters"),
        whole("members", "records with the role member"),
        whole("steps", "optimizer steps"),
        real("loss", "mean training loss of the last epoch", "nats a token"),
        real("perplexity_base", "of the non-members, all tokens (of answers) together, under the base model"),
        real("perplexity_tuned", "of the non-members, all tokens (of answers) together, under the tuned model"),
        real("perplexity_base_members", "of the members, all tokens (of answers) together, under the base model"),
        real("perplexity_tuned_members", "of the members, all tokens (of answers) together, under the tuned model"),
        text(
            "condition",
            "collapsed: worse on all records; overfitted: worse on non-members alone; else empty",
        ),
        text("state", "done, damaged, failed or waiting"),
        text("label", "what the report calls the trial"),
        text("varied", "what varies in the grid beside matrices, rank and seed, a JSON list; empty where nothing does"),
        real("alpha", "numerator of the update's scale"),
        text("scaling", "fixed (alpha/rank), proportional (alpha) or rslora (alpha/√rank)"),
        whole("epochs", "passes over the training records"),
        real("learning_rate", "the highest, after warm-up"),
        text("copies", "numbers of copies that canaries were assigned, joined by commas"),
    ),
    "membership": (
        *TRIAL_COLUMNS,
        STRATUM,
        COPIES,
        ATTACK,
        *SIDES,
        whole("left_out", "records of either side on which the attack has no value"),
        real("auc", "chance that a member scores higher than a non-member, ties counted half"),
        *interval("auc", "auc_"),
        text("interval", "how the interval was made, or why there is none"),
        *interval("auc that holds for all attacks of the trial together", "simultaneous_"),
        whole("resamples", "resamples of documents that the bootstrap and the simultaneous intervals rest on"),
        real("auc_control", "AUC of the same attack where nothing was learned about these records"),
        *interval("auc_control, by document", "auc_control_"),
        real("auc_control_se", "standard error of auc_control, by document"),
        real("auc_blind", "cross-validated AUC of a classifier on words that never saw a model"),
        real("blind_p_value", "chance of an auc_blind so far from 0.5 under equal texts, by permutation of documents"),
        whole("blind_permutations", "permutations that this rests on"),
        text("blind_note", "why a blind figure is missing; empty where none is"),
        text(
            "control",
            "the base model, a null trial (or shadow), a second shadow, or why there is no control",
        ),
        flag("control_matched", "whether the null trial's held-out perplexity is within 10% of the trial's"),
        text("control_note", "what to keep in mind about the control; otherwise empty"),
        real("above_control", "auc minus auc_control, on the same records"),
        *interval("that difference, by document", "above_control_"),
        real("above_control_p", "two-sided p-value of no difference, each test alone"),
        text("knowledge", "outsider, or auditor: who knows which records are members"),
        text(
            "attacker",
            "what it takes to run the attack: subject only, base model too, documents of their own too; or auditor",
        ),
        *interval("auc by Hanley and McNeil 1982, records taken as independent", "hanley_"),
        *interval("auc by DeLong 1988, records taken as independent", "delong_"),
        *interval("auc by a bootstrap over documents", "bootstrap_"),
        real("auc_length_matched", "mean AUC within tenths of the scored tokens"),
        real("auc_perplexity_matched", "mean AUC within tenths of the base model's NLL"),
        real("smallest_auc", "smallest AUC that the sample tells from 0.5 at level 5% with power 80%"),
    ),
    "checkpoints": (
        TRIAL_KEY,
        text("label", "what the report calls the subject"),
        whole("steps", "optimizer steps after which it was saved"),
        real("loss_nonmembers", "mean loss on the non-members, all tokens (of answers) together", "nats a token"),
        real("loss_members", "the same on the members", "nats a token"),
        real("loss_base", "of the base model on the non-members", "nats a token"),
        text("attack", "the primary attack"),
        real("auc", "its AUC on the stratum records"),
        *interval("auc that holds for all checkpoints together", "auc_"),
        text("strongest", "the attack of the highest AUC"),
        real("strongest_auc", "its AUC"),
        *interval("strongest_auc that holds for all attacks and checkpoints together", "strongest_"),
        real("target_fpr", "the lowest false-positive rate that the primary attack has an interval at"),
        real("tpr", "share of members that it finds there, the threshold from calibration records"),
        *interval("tpr that holds for all checkpoints together", "tpr_"),
        text("verdict", "the worst of its rules: exceeded, undecided or held; empty without rules"),
        flag("last_held", "whether this is the last checkpoint at which every rule is held"),
    ),
    "attackers": (
        TRIAL_KEY,
        STRATUM,
        text("attacker", "what they have: subject only, base model too, documents of their own too; or auditor"),
        whole("attacks", "attacks with an AUC that they can run: their own, and those that take less"),
        ATTACK,
        real("auc", "of the strongest of these attacks"),
        *interval("auc that holds for all attacks of the trial together", "simultaneous_"),
        text("control", "what the control of this attack is, or why there is none"),
        real("auc_control", "AUC of the same attack where nothing was learned about these records"),
        *interval("auc_control, by document", "auc_control_"),
    ),
    "null_trials": (
        TRIAL_KEY,
        text("null_trial", "key of its null trial"),
        text("kind", "null trial (or shadow), or second shadow"),
        flag("another_configuration", "whether the null trial was tuned with another configuration's settings"),
        whole("epochs", "the trial's passes over its training records"),
        whole("steps", "the trial's optimizer steps"),
        real("perplexity", "of the non-members under the trial"),
        whole("null_epochs", "the null trial's passes over the calibration records"),
        whole("null_steps", "the null trial's optimizer steps"),
        real("null_perplexity", "of the non-members under the null trial"),
        flag("matched", "whether the two perplexities are within 10% of each other"),
        text("state", "of the null trial: done, damaged, failed or waiting"),
        NOTE,
    ),
    "comparisons": (
        text("kind", "attacks (two on one trial) or trials (two under one attack)"),
        STRATUM,
        text("trial_a", "key of the first trial"),
        text("trial_b", "key of the second trial"),
        *ATTACK_PAIR,
        real("difference", "AUC of the first minus that of the second, on the records that both score"),
        *interval("the difference, by document"),
        real("p_value", "two-sided, of no difference"),
        real("p_holm", "Holm's, over the family; between trials"),
        real("p_max_t", "by the largest standardized difference over all pairs of attacks, in each resample"),
        text("family", "the tests that the correction covers"),
        REASON,
    ),
    "configurations": (
        text("matrices", "adapted matrices, joined by commas"),
        whole("rank", "LoRA rank"),
        text("label", "what the report calls the configuration"),
        whole("seeds", "trials that are included, one per seed"),
        real("mean", "mean AUC over the seeds"),
        *interval("the mean, over seeds and records"),
        real("seed_sd", "standard deviation of the AUC between seeds, with the sampling error removed"),
        real("sampling_se", "standard error of the mean that comes from the sample of records"),
        text("against", "the configuration compared with; empty in rows of one configuration"),
        real("difference", "mean AUC minus that of `against`, paired by seed"),
        *interval("the difference", "difference_"),
        text("verdict", "more, less, equivalent or undecided, by the margin of the study"),
        text("family", "the claims that share the interval's level"),
        REASON,
    ),
    "detectable": (
        TRIAL_KEY,
        STRATUM,
        *SIDES,
        real("smallest_auc", "smallest AUC told from 0.5 at level 5% with power 80%, records independent"),
        real("smallest_auc_clustered", "the same with the correlation within documents that was measured"),
        real("smallest_difference", "smallest difference in AUC between two trials on these records"),
        real("target_fpr", "false-positive rate"),
        real("smallest_tpr", "smallest true-positive rate told from the false-positive rate"),
        REASON,
    ),
    "operating_points": (
        *ATTACK_COLUMNS,
        real("target_fpr", "upper limit of the false-positive rate"),
        text(
            "threshold_source",
            "calibration: fixed on records held out for it; published: read off the ROC curve, as papers do",
        ),
        real("threshold", "lowest score that is called a member"),
        real("tpr", "share of members called members"),
        *interval("the TPR at the score whose population FPR is the target", "tpr_"),
        text("tpr_interval", "how that interval was made, or why there is none"),
        real("realised_fpr", "share of the evaluated non-members called members"),
        *interval("realised_fpr", "realised_fpr_"),
        text("refused_because", "why there is no operating point; empty where there is one"),
    ),
    "extraction": (
        *PROMPTED,
        whole("sample", "number of the completion among those of the same prompt and temperature"),
        whole("prefix_tokens", "length of the prompt", "tokens"),
        SUFFIX_TOKENS,
        whole("longest_ngram", "longest run of token ids that completion and true suffix share", "tokens"),
        real("ngram_share", "longest_ngram over the suffix's length"),
        flag("verbatim", "whether the completion is the true suffix"),
        PERPLEXITY_BASE,
        PERPLEXITY_TUNED,
        OUTPUT_PERPLEXITY,
        real("common_substring", "longest common run of characters over the suffix's length"),
        real("edit_similarity", "1 minus the edit distance over the longer length, in characters"),
        real("bleu", "BLEU of the completion against the suffix"),
        real("rouge_l", "ROUGE-L F-measure"),
        real("keyword_recall", "share of the suffix's annotated terms that the completion holds"),
        real("tfidf_cosine", "cosine of word vectors weighted by rarity among non-members"),
    ),
    "draws": (
        *PROMPTED,
        SUFFIX_TOKENS,
        real("log_probability", "that exactly the true suffix is drawn", "nats"),
        real("chance", "with which the suffix should appear at least once"),
        real("draws_for_chance", "independent draws that this takes"),
    ),
    "extraction_rates": (
        *(column for column in PROMPTED if column is not RECORD),
        text("metric", "a metric of the table extraction, or draws<=N"),
        real("threshold", "at or above which a record counts; N for draws<=N"),
        real("chance", "with which a suffix should appear within so many draws; only for draws<=N"),
        whole("hits", "records that count"),
        whole("of", "records with a value"),
        real("rate", "hits over of"),
        *interval("the rate, by Clopper and Pearson"),
    ),
    "untargeted": (
        TRIAL_KEY,
        MODEL,
        whole("sample", "number of the text"),
        whole("tokens", "length of the text", "tokens"),
        OUTPUT_PERPLEXITY,
        text("matched", "id of the training record with the longest shared run; missing where none is long enough"),
        whole("matched_tokens", "length of that run", "tokens"),
        text("nonmember", "the same among non-members, as a control"),
        whole("nonmember_tokens", "length of that run", "tokens"),
    ),
    "untargeted_rates": (
        TRIAL_KEY,
        MODEL,
        text("attack", "the attack that ranked the texts"),
        whole("first", "how many texts, highest score first"),
        real("matches", "how many of these match a training record; where scores tie, a mean over orders"),
        real("precision", "matches over first"),
        *interval("the precision"),
        real("nonmember_matches", "how many of these match a non-member, as a control"),
        real("nonmember_precision", "nonmember_matches over first"),
        *interval("that", "nonmember_"),
        whole("left_out", "texts on which the attack has no value"),
        REASON,
    ),
    "canaries": (
        *RECORD_COLUMNS,
        real("exposure_rank", "Carlini et al. 2019, by rank among the references", "bits"),
        real("exposure_extrapolated", "the same from the tail of a skew-normal fit", "bits"),
        whole("references", "canaries never planted that it was ranked among"),
        PERPLEXITY_BASE,
        PERPLEXITY_TUNED,
        real("ngram_share", "best share of its suffix in any completion of the tuned model"),
        real("fit_p", "p-value of the skew-normal fit; a low one refutes it"),
        NOTE,
    ),
    "audits": (
        TRIAL_KEY,
        ATTACK,
        COPIES,
        whole("canaries", "canaries of so many copies, in and out"),
        whole("guesses", "canaries that were guessed"),
        whole("right", "guesses that were right"),
        real("delta", "of (epsilon, delta) differential privacy"),
        real("level", "chance that any bound of the family lies above its truth"),
        real("epsilon_low", "lower bound on epsilon (Steinke et al. 2023)"),
        real("largest", "largest bound that so many guesses can show"),
        text("family", "the bounds that share the level"),
        text("unit", "what epsilon protects: record, or group of C"),
        real("null_epsilon", "the same audit of references never planted, as a control"),
        NOTE,
    ),
    "records": (
        *RECORD_COLUMNS,
        whole("exposed_rank", "1 for the most exposed record of the trial"),
        real("percentile", "mean over attacks of the share of non-members below the record"),
        whole("attacks_above", "attacks that put it at or above their threshold for 1% of false positives"),
        text("strongest_attack", "the attack under which its percentile is highest"),
        real("seeds_sd", "standard deviation of the primary attack's score over seeds"),
        NOTE,
    ),
    "agreement": (
        TRIAL_KEY,
        *ATTACK_PAIR,
        real("spearman", "rank correlation of the two over the members"),
        real("jaccard_top", "overlap of the fifty members that each ranks highest"),
        NOTE,
    ),
    "counterfactual": (
        RECORD,
        whole("n_in", "trials trained on the record"),
        whole("n_out", "trials that were not"),
        real("memorization", "mean log-probability a token with the record minus that without", "nats a token"),
        real("lira_online", "mean score under online LiRA over the trials trained on it"),
        real("lira_offline", "mean score under offline LiRA over the trials trained on it"),
        REASON,
        text("label", "the configuration of the trials"),
    ),
    "timings": (
        TRIAL_KEY,
        text("stage", "finetune, scores, completions or untargeted"),
        real("seconds", "wall time of the stage", "s"),
        whole("tokens", "tokens trained on, scored or written", "tokens"),
        real("tokens_per_second", "tokens over seconds", "tokens/s"),
        text("device", "what it ran on"),
        whole("peak_memory", "most memory held so far by the process or the GPU", "bytes"),
        text("began", "when the stage began, in ISO 8601"),
        text("finished", "when it was finished, in ISO 8601"),
    ),
    "roc": (
        *ATTACK_COLUMNS,
        real("fpr", "share of non-members at or above a threshold; corners of the curve alone"),
        real("tpr", "share of members at or above it"),
    ),
}

COLUMNS: dict[str, dict[str, pa.DataType]] = {
    table: {column.name: column.type for column in columns} for table, columns in TABLES.items()
}
