"""Checkpoints of a training side by side: leakage and loss over its steps, and the last at which every rule is held.

Intervals of the K subjects of an audit hold together (Bonferroni), as the rules' bounds do: at level 1 − (1 − level)/K,
and those of the strongest of A attacks at 1 − (1 − level)/(K·A), for it is picked by its result.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from byrote.records import RECORDS_STRATUM
from byrote.statistics.delong import clustered, interval
from byrote.statistics.verdicts import EXCEEDED, HELD, UNDECIDED
from byrote.tables.compared import ScoredStratum, known_scores, present, strongest
from byrote.tables.membership import Settings, calibrated_point

Row = dict[str, Any]
NO_STEPS = "its files do not say after how many steps it was saved"
ALONE = "no other step of its training was measured"


@dataclass(frozen=True, eq=False)
class Results:
    """What is known of the subjects that are given. trials, rules, membership: rows of these tables · strata: the
    stratum `records` of each scored trial, by trial · series: the training that each subject is of, by trial."""

    trials: Sequence[Mapping[str, Any]]
    strata: Mapping[str, ScoredStratum]
    rules: Sequence[Mapping[str, Any]]
    membership: Sequence[Mapping[str, Any]]
    series: Mapping[str, str]


def results_of(
    planned: Iterable[Mapping[str, Any]],
    strata: Iterable[ScoredStratum],
    rows: Mapping[str, Sequence[Mapping[str, Any]]],
) -> Results:
    """The subjects that are given. planned: the trials as plan.json has them · rows: of the tables so far."""
    series = {
        row["trial"]: row["settings"]["subject"].get("series", "") for row in planned if "subject" in row["settings"]
    }
    return Results(
        [row for row in rows["trials"] if row["trial"] in series],
        {scored.trial: scored for scored in strata if scored.trial in series},
        rows["rules"],
        rows["membership"],
        series,
    )


def checkpoint_rows(results: Results, settings: Settings) -> Iterator[Row]:
    """A row a checkpoint, by training and steps; none of a training unless two of its steps have scores."""
    share = (1 - settings.level) / max(1, len(results.trials))
    for name, rows in _by_series(results).items():
        verdicts = {row["trial"]: _verdicts(results, row["trial"]) for row in rows}
        steps = sorted({row["steps"] for row in rows})
        held = [s for s in steps if all(_worst(verdicts[r["trial"]]) == HELD for r in rows if r["steps"] == s)]
        for row in rows:
            trial, stratum = row["trial"], results.strata[row["trial"]]
            areas = {attack: _area(stratum, attack, 1 - share) for attack in stratum.scores}
            most = strongest({attack: area for attack, (area, _, _) in areas.items()})
            most_ends = _area(stratum, most, 1 - share / len(areas))
            yield {
                **{column: row[column] for column in ("trial", "label", "steps")},
                "series": name,
                **present(
                    loss_nonmembers=_log(row["perplexity_tuned"]),
                    loss_members=_log(row["perplexity_tuned_members"]),
                    loss_base=_log(row["perplexity_base"]),
                ),
                "attack": settings.primary,
                **present(**dict(zip(("auc", "auc_low", "auc_high"), areas[settings.primary], strict=True))),
                **_control(results, trial, settings.primary),
                "strongest": most,
                **present(**dict(zip(("strongest_auc", "strongest_low", "strongest_high"), most_ends, strict=True))),
                **_operating_point(stratum, settings, 1 - share),
                "verdict": _worst(verdicts[trial]),
                "rules": "; ".join(f"{rule}: {verdict}" for rule, verdict in verdicts[trial].items()),
                "last_held": bool(held) and row["steps"] == held[-1],
            }


def left_out(trials: pd.DataFrame, checkpoints: pd.DataFrame) -> dict[str, str]:
    """Label → why, of given subjects that stand in no order of steps; none where one alone was given. The arguments
    are these tables."""
    if len(trials) < 2:
        return {}
    others = trials[~trials["trial"].isin(checkpoints["trial"])]
    return {str(row["label"]): _why(row) for _, row in others.iterrows()}


def _why(row: Any) -> str:
    return NO_STEPS if pd.isna(row["steps"]) else ALONE if row["state"] == "done" else f"it is {row['state']}"


def _by_series(results: Results) -> dict[str, list[Mapping[str, Any]]]:
    """Rows of scored trials by training, in the order of steps, then of the study; trainings with two steps or more."""
    series: dict[str, list[Mapping[str, Any]]] = {}
    for row in results.trials:
        if row["trial"] in results.strata and row["steps"] is not None:
            series.setdefault(results.series[row["trial"]], []).append(row)
    return {
        name: sorted(rows, key=lambda row: row["steps"])
        for name, rows in series.items()
        if len({row["steps"] for row in rows}) > 1
    }


def _verdicts(results: Results, trial: str) -> dict[str, str]:
    """Rule → verdict of a subject."""
    return {row["rule"]: row["verdict"] for row in results.rules if row.get("subject") == trial}


def _worst(verdicts: Mapping[str, str]) -> str:
    """Of all rules on a subject: the worst verdict; empty without rules."""
    return next((name for name in (EXCEEDED, UNDECIDED, HELD) if name in verdicts.values()), "")


def _control(results: Results, trial: str, attack: str) -> Row:
    """The primary attack's control, as the table `membership` has it."""
    key = trial, RECORDS_STRATUM, attack
    rows = {(row["trial"], row["stratum"], row["attack"]): row for row in results.membership}
    row = rows.get(key, dict[str, Any]())
    return {name: row.get(name) for name in ("control", "auc_control", "auc_control_low", "auc_control_high")}


def _area(stratum: ScoredStratum, attack: str, level: float) -> tuple[float, float, float]:
    """AUC with its interval by document at a level; NaN where there is none."""
    members, nonmembers, groups = known_scores(stratum.compared, stratum.scores[attack])
    if not len(members) or not len(nonmembers):
        return math.nan, math.nan, math.nan
    area, variance = (float(part.ravel()[0]) for part in clustered(members[None], nonmembers[None], *groups))
    return area, *interval(area, variance, level)


def _operating_point(stratum: ScoredStratum, settings: Settings, level: float) -> Row:
    """The primary attack's TPR at the lowest false-positive rate that has an interval; where none has, the highest."""
    rate, point = math.nan, dict[str, Any]()
    for rate in sorted(settings.rates):
        point = calibrated_point(stratum.compared, stratum.scores[settings.primary], rate, level)
        if point.get("tpr_low") is not None:
            break
    return {"target_fpr": rate, **{name: point.get(name) for name in ("tpr", "tpr_low", "tpr_high")}}


def _log(perplexity: float | None) -> float:
    return math.nan if perplexity is None else math.log(perplexity)
