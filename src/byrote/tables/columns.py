"""Columns of every table and their types, in order. A number that cannot be computed is missing; a text says why."""

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from byrote.extraction import METRICS

TEXT, WHOLE, REAL, FLAG = pa.string(), pa.int64(), pa.float64(), pa.bool_()
TRIAL = {"trial": TEXT, "matrices": TEXT, "rank": WHOLE, "seed": WHOLE}
MORE_METRICS = tuple(name for name in METRICS if name not in ("longest_ngram", "ngram_share", "verbatim"))
Row = dict[str, Any]


def _of(kind: pa.DataType, names: str) -> dict[str, pa.DataType]:
    return dict.fromkeys(names.split(), kind)


COLUMNS: dict[str, dict[str, pa.DataType]] = {
    "trials": {
        **TRIAL,
        **_of(WHOLE, "trainable_parameters total_parameters"),
        "trainable_share": REAL,
        **_of(WHOLE, "members steps"),
        **_of(REAL, "loss perplexity_base perplexity_tuned"),
        **_of(TEXT, "state label"),
        "alpha": REAL,
        "scaling": TEXT,
        "epochs": WHOLE,
        "learning_rate": REAL,
        "copies": TEXT,
    },
    "membership": {
        **TRIAL,
        "stratum": TEXT,
        "copies": WHOLE,
        "attack": TEXT,
        **_of(WHOLE, "n_members n_nonmembers left_out"),
        **_of(REAL, "auc auc_low auc_high"),
        "interval": TEXT,
        **_of(REAL, "hanley_low hanley_high delong_low delong_high bootstrap_low bootstrap_high auc_base"),
        "control": TEXT,
        **_of(REAL, "auc_blind auc_length_matched auc_perplexity_matched smallest_auc"),
        **_of(TEXT, "knowledge note"),
    },
    "operating_points": {
        **_of(TEXT, "trial stratum attack"),
        "target_fpr": REAL,
        "threshold_source": TEXT,
        **_of(REAL, "threshold tpr tpr_low tpr_high realised_fpr realised_fpr_low realised_fpr_high"),
        "refused_because": TEXT,
    },
    "comparisons": {
        **_of(TEXT, "kind stratum trial_a trial_b attack_a attack_b"),
        **_of(REAL, "difference low high p_value p_holm"),
        **_of(TEXT, "family reason"),
    },
    "configurations": {
        "matrices": TEXT,
        "rank": WHOLE,
        "label": TEXT,
        "seeds": WHOLE,
        **_of(REAL, "mean low high seed_sd sampling_se"),
        "against": TEXT,
        **_of(REAL, "difference difference_low difference_high"),
        **_of(TEXT, "verdict reason"),
    },
    "detectable": {
        **_of(TEXT, "trial stratum"),
        **_of(WHOLE, "n_members n_nonmembers"),
        **_of(REAL, "smallest_auc smallest_auc_clustered smallest_difference target_fpr smallest_tpr"),
        "reason": TEXT,
    },
    "canaries": {
        **_of(TEXT, "trial record role"),
        "copies": WHOLE,
        **_of(REAL, "exposure_rank exposure_extrapolated"),
        "references": WHOLE,
        **_of(REAL, "perplexity_base perplexity_tuned ngram_share fit_p"),
        "note": TEXT,
    },
    "audits": {
        **_of(TEXT, "trial attack"),
        **_of(WHOLE, "copies canaries guesses right"),
        **_of(REAL, "delta level epsilon_low largest"),
        "unit": TEXT,
        "null_epsilon": REAL,
        "note": TEXT,
    },
    "records": {
        **_of(TEXT, "trial record role"),
        **_of(WHOLE, "copies exposed_rank"),
        "percentile": REAL,
        "attacks_above": WHOLE,
        "strongest_attack": TEXT,
        "seeds_sd": REAL,
        "note": TEXT,
    },
    "agreement": {**_of(TEXT, "trial attack_a attack_b"), **_of(REAL, "spearman jaccard_top"), "note": TEXT},
    "extraction": {
        **_of(TEXT, "trial model record role"),
        "copies": WHOLE,
        **_of(REAL, "prefix temperature"),
        **_of(WHOLE, "sample prefix_tokens suffix_tokens longest_ngram"),
        "ngram_share": REAL,
        "verbatim": FLAG,
        **_of(REAL, "perplexity_base perplexity_tuned output_perplexity"),
        **dict.fromkeys((*MORE_METRICS, "tfidf_cosine"), REAL),
    },
    "draws": {
        **_of(TEXT, "trial model record role"),
        "copies": WHOLE,
        **_of(REAL, "prefix temperature"),
        "suffix_tokens": WHOLE,
        **_of(REAL, "log_probability draws_for_chance"),
    },
    "extraction_rates": {
        **_of(TEXT, "trial model role"),
        "copies": WHOLE,
        **_of(REAL, "prefix temperature"),
        "metric": TEXT,
        "threshold": REAL,
        **_of(WHOLE, "hits of"),
        **_of(REAL, "rate low high"),
    },
    "counterfactual": {
        "record": TEXT,
        **_of(WHOLE, "n_in n_out"),
        **_of(REAL, "memorization lira_online lira_offline"),
        **_of(TEXT, "reason label"),
    },
    "timings": {
        **_of(TEXT, "trial stage"),
        "seconds": REAL,
        "tokens": WHOLE,
        "tokens_per_second": REAL,
        "device": TEXT,
        "peak_memory": WHOLE,
    },
    "roc": {**_of(TEXT, "trial stratum attack"), **_of(REAL, "fpr tpr")},
}


def to_arrow(name: str, rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    """Rows as an Arrow table with the types of COLUMNS; NaN and what a row does not name are missing."""
    columns = COLUMNS[name]
    arrays = [
        pa.array([row.get(column) for row in rows], type=kind, from_pandas=True) for column, kind in columns.items()
    ]
    return pa.Table.from_arrays(arrays, schema=pa.schema(list(columns.items())))
