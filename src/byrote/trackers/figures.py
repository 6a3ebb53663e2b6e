"""The figures that trackers are told: names to numbers, never a text, a record's id or a path.

Names are those of AuditCallback (`byrote.integrations.looks.measure`), so that a training's own looks and an audit of
what it left stand in one chart.
"""

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from byrote.records import RECORDS_STRATUM

PREFIX = "byrote/"
VERDICTS = {"held": 1.0, "undecided": 0.0, "exceeded": -1.0}
"""A verdict as a number."""

_LOGGED = ("loss", "learning_rate", "grad_norm")  # columns of log.jsonl under their own names
_ENDS = ("", "_low", "_high")


def step_figures(row: Mapping[str, Any]) -> tuple[int, dict[str, float]]:
    """The number of a step, counted from 1 as Trainer counts, and its figures, from its line in log.jsonl.

    train/loss (nats a token), train/learning_rate, train/grad_norm, train/steps_per_second and
    train/tokens_per_second, where trials that are trained in one pass have an equal share of its time each.
    """
    figures = {f"train/{name}": float(row[name]) for name in _LOGGED}
    if row["seconds"] > 0:
        figures["train/steps_per_second"] = 1 / row["seconds"]
        figures["train/tokens_per_second"] = row["tokens"] / row["seconds"]
    return int(row["step"]) + 1, figures


def result_figures(tables: Mapping[str, Iterable[Mapping[str, Any]]], trial: str) -> dict[str, float]:
    """The results of a trial, from rows of its run's tables; what is missing there is left out.

    byrote/auc_ATTACK with _low, _high and _control · byrote/tpr_at_fpr_RATE_ATTACK with _low and _high, its threshold
    from calibration records; published_tpr_at_fpr_RATE_ATTACK, the convention of published figures · perplexity_members
    and perplexity_nonmembers, base_perplexity_…; loss_…, their logarithms (nats a token) · verdict_RULE (1 held, 0
    undecided, −1 exceeded) with value_, low_, high_ and limit_RULE. Of a stratum other than `records`: its name before
    the figure's, as in byrote/canaries_8/auc_ratio.
    """
    rows = {name: [row for row in tables[name] if row["trial"] == trial] for name in _TRIAL_TABLES}
    rules = [row for row in tables["rules"] if row["subject"] == trial]
    figures = dict(
        [*_aucs(rows["membership"]), *_rates(rows["operating_points"]), *_losses(rows["trials"]), *_verdicts(rules)]
    )
    return {
        name: float(figure) for name, figure in figures.items() if figure is not None and math.isfinite(float(figure))
    }


_TRIAL_TABLES = ("membership", "operating_points", "trials")

TABLES = (*_TRIAL_TABLES, "rules")
"""The tables that `result_figures` reads."""


def _aucs(rows: Iterable[Mapping[str, Any]]) -> Iterator[tuple[str, float | None]]:
    for row in rows:
        for end in _ENDS:
            yield _name(row, f"auc_{row['attack']}{end}"), row[f"auc{end}"]
        yield _name(row, f"auc_{row['attack']}_control"), row["auc_control"]


def _rates(rows: Iterable[Mapping[str, Any]]) -> Iterator[tuple[str, float | None]]:
    for row in rows:
        calibrated = row["threshold_source"] == "calibration"
        key = f"{'' if calibrated else 'published_'}tpr_at_fpr_{row['target_fpr']:g}_{row['attack']}"
        for end in _ENDS if calibrated else ("",):
            yield _name(row, f"{key}{end}"), row[f"tpr{end}"]


def _losses(rows: Iterable[Mapping[str, Any]]) -> Iterator[tuple[str, float | None]]:
    for row in rows:
        for model, before in (("tuned", ""), ("base", "base_")):
            for side, end in (("members", "_members"), ("nonmembers", "")):
                perplexity = row[f"perplexity_{model}{end}"]
                yield f"{PREFIX}{before}perplexity_{side}", perplexity
                yield f"{PREFIX}{before}loss_{side}", perplexity and math.log(perplexity)


def _verdicts(rows: Iterable[Mapping[str, Any]]) -> Iterator[tuple[str, float | None]]:
    for row in rows:
        yield _name(row, f"verdict_{row['rule']}"), VERDICTS[row["verdict"]]
        for column in ("value", "low", "high", "limit"):
            yield _name(row, f"{column}_{row['rule']}"), row[column]


def _name(row: Mapping[str, Any], figure: str) -> str:
    """A figure's name with its stratum before it, of characters that every tracker takes."""
    stratum = "" if row["stratum"] in (None, "", RECORDS_STRATUM) else f"{row['stratum']}/"
    return PREFIX + re.sub(r"[^\w./-]", "_", stratum + figure)
