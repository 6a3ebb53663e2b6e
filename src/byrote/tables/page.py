# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
"""docs/tables.md, made from the columns."""

import pyarrow as pa

from byrote.tables.columns import TABLES

ABOUT: dict[str, str] = {
    "rules": "One row per subject and rule of `decide`: the verdict and its grounds. Empty where no rule is set.",
    "trials": "One row per trial: its settings and how well it models text it never saw.",
    "membership": "One row per trial, stratum and attack: how well members are told from non-members, with controls.",
    "checkpoints": "One row per given subject that says after how many steps it was saved, where there are several.",
    "attackers": "What each attacker reaches: per trial, stratum and attacker, the strongest attack they can run.",
    "null_trials": "Each null trial beside the trial that it is the control of.",
    "comparisons": "Paired tests: two attacks on one trial, or two trials under the primary attack.",
    "configurations": "Means over the seeds of one configuration, then a claim for each pair of configurations.",
    "hypotheses": "The verdict on each hypothesis of `claims.hypotheses`. Empty where none is stated.",
    "detectable": "What each sample can show, at level 5% and power 80%.",
    "operating_points": "Shares of members found at false-positive rates fixed beforehand.",
    "extraction": "One row per completion of a prompt, beside the record's true suffix.",
    "draws": "How likely each true suffix is to be drawn, computed without sampling.",
    "extraction_rates": "Shares of prompted records that were extracted, by metric and threshold.",
    "untargeted": "One row per text written from an empty prompt, looked up among the records.",
    "untargeted_rates": "How many of the texts that an attack ranks first match a record.",
    "canaries": "One row per canary, planted or left out, with its exposure.",
    "audits": "Lower bounds on epsilon from one run, for canaries of each number of copies.",
    "records": "The fifty most exposed records of each trial.",
    "agreement": "How far two attacks agree on which members stand out.",
    "counterfactual": "Memorization of canaries over trials in which a coin decided whether they were in.",
    "timings": "One row per stage; the only table that differs between two runs of one study.",
    "roc": "Points of the ROC curves.",
    "histograms": "How the scores of each attack lie: 30 bins of equal width over the middle 99% of them.",
}


def page() -> str:
    """docs/tables.md: every table and column, from TABLES."""
    lines = [
        "# Tables",
        "",
        "<!-- Made from src/byrote/tables/columns.py by `make pages`. -->",
        "",
        "`RUN/tables/` holds each table as CSV and Parquet; `byrote.load(RUN).tables` has them as pandas frames.",
        "A number that cannot be computed is missing, never 0, and the reason is given beside it. Intervals are at",
        "`statistics.level`, 95% unless the study says otherwise.",
    ]
    for table, columns in TABLES.items():
        lines += ["", f"## {table}", "", ABOUT[table], "", "| column | type | unit | meaning |", "|---|---|---|---|"]
        lines += [f"| `{c.name}` | {_TYPES[c.type]} | {c.unit} | {c.meaning} |" for c in columns]
    return "\n".join(lines) + "\n"


_TYPES = {pa.string(): "text", pa.int64(): "whole number", pa.float64(): "number", pa.bool_(): "true or false"}
