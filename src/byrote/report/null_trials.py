"""The null trial, and the second shadow, beside its trial: never how much of an AUC it accounts for, only whether the
two differ."""

from typing import TYPE_CHECKING

import pandas as pd

from byrote.report.page import Grid, labels_of, records_of, text_or_dash, without_empty
from byrote.report.words import MISSING, count, interval, missing, number, p_value, plain, spread
from byrote.tables.membership import NULL_TRIAL, SECOND_SHADOW

if TYPE_CHECKING:
    from byrote.tables import Tables

KINDS = (NULL_TRIAL, SECOND_SHADOW)
DIFFERENT = 0.05  # p below which a trial is called different from its null trial, each test alone


def null_trial_sentences(tables: "Tables", primary: str) -> list[str]:
    """How far the primary attack on members and non-members is above its control, where that is a null trial, and
    whether the null trial resembles its trial."""
    rows = tables.membership
    rows = rows[(rows["stratum"] == "records") & rows["control"].isin(KINDS) & (rows["attack"] == primary)]
    if rows.empty:
        return []
    tested = rows.dropna(subset=["above_control_p"])
    unmatched = [sentence for kind in KINDS for sentence in _unmatched(tables.null_trials, kind)]
    return [*_tested(tested, primary), *unmatched, *_of_another(tables)]


def _tested(rows: pd.DataFrame, primary: str) -> list[str]:
    if rows.empty:
        return []
    control = rows["control"].iloc[0]
    if len(rows) > 1:
        different = int((rows["above_control_p"] < DIFFERENT).sum())
        return [
            f"Paired with the {control} on the same records, by document, the attack {primary} differs from it in "
            f"{different} of {count(len(rows), 'trial')} (p below {DIFFERENT:g}, each test alone); the differences "
            f"are {spread(rows['above_control'], 3)}."
        ]
    row = rows.iloc[0]
    return [
        f"Paired with the {control} on the same records, by document, the attack {primary} differs from it by "
        f"{number(row['above_control'], 3)} ({interval(row['above_control_low'], row['above_control_high'], 3)}, "
        f"p {p_value(row['above_control_p'])})."
    ]


def _unmatched(nulls: pd.DataFrame, kind: str) -> list[str]:
    of_kind = nulls[nulls["kind"] == kind]
    rows = of_kind[of_kind["matched"].eq(False).fillna(False)]
    if rows.empty:
        return []
    whose = f"The {kind}" if len(of_kind) == 1 else f"The {kind} of {count(len(rows), 'trial')}"
    return [
        f"{whose} is unmatched: its perplexity on non-members is {spread(rows['null_perplexity'], 1)}, the trial's "
        f"{spread(rows['perplexity'], 1)}, more than a tenth apart, so the two did not learn the style of the corpus "
        f"equally well, and what the {kind} reaches cannot be subtracted from what the trial reaches."
    ]


def _of_another(tables: "Tables") -> list[str]:
    others = int(tables.null_trials["another_configuration"].fillna(False).sum())
    if not others:
        return []
    return [
        f"One null trial, with the first trial's settings, serves all trials; for {count(others, 'trial')} it is of "
        "another configuration (controls.null_trial: each trains one for every trial)."
    ]


def null_trials_grid(tables: "Tables") -> Grid:
    """Every trial with its null trial: epochs, steps and perplexity on non-members of both."""
    labels = labels_of(tables)
    body = [
        [
            *(labels.get(row["trial"], row["trial"]), row["kind"], _matched(row["matched"])),
            *(plain(row["epochs"]), plain(row["null_epochs"]), plain(row["steps"]), plain(row["null_steps"])),
            *(number(row["perplexity"], 1), number(row["null_perplexity"], 1), text_or_dash(row["note"])),
        ]
        for row in records_of(tables.null_trials)
    ]
    headers = ["trial", "kind", "null trial", "epochs", "of the null trial", "steps", "of the null trial"]
    headers += ["perplexity", "of the null trial", "note"]
    note = (
        "The null trial is tuned on the calibration records (a shadow on half of them), whose documents are on neither "
        "side, for as many steps as the trial, but for at most twice its epochs. Perplexity: on non-members, which "
        "neither has seen. Unmatched: the perplexities differ by more than a tenth of the trial's."
    )
    return without_empty(Grid("Trials and their null trials", headers, body, 3, note, tail=1), "note")


def _matched(value: object) -> str:
    return MISSING if missing(value) else "matched" if value else "unmatched"
