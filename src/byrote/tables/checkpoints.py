"""Checkpoints of one training side by side: leakage and loss over its steps, and the last at which every rule is held.

Intervals of K checkpoints hold together (Bonferroni): at level 1 − (1 − level)/K, and those of the strongest of A
attacks at 1 − (1 − level)/(K·A), for it is picked by its result.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from byrote.statistics.delong import clustered, interval
from byrote.statistics.verdicts import EXCEEDED, HELD, UNDECIDED
from byrote.tables.compared import ScoredStratum, known_scores, present, strongest
from byrote.tables.membership import Settings, calibrated_point

Row = dict[str, Any]


def checkpoint_rows(
    trials: Sequence[Mapping[str, Any]],
    strata: Sequence[ScoredStratum],
    rules: Sequence[Mapping[str, Any]],
    settings: Settings,
) -> Iterator[Row]:
    """A row a checkpoint, by steps; none unless two subjects that are given say after how many steps they were saved.

    trials: rows of that table · strata: the stratum `records` of each scored trial · rules: rows of that table.
    """
    scored = {s.trial: s for s in strata if "subject" in s.planned["settings"]}
    series = sorted(
        (row for row in trials if row["trial"] in scored and row["steps"] is not None), key=lambda row: row["steps"]
    )
    if len({row["steps"] for row in series}) < 2:
        return
    verdicts = {row["trial"]: _verdict([r["verdict"] for r in rules if r["subject"] == row["trial"]]) for row in series}
    held = [row["trial"] for row in series if verdicts[row["trial"]] == HELD]
    share = (1 - settings.level) / len(series)
    for row in series:
        stratum = scored[row["trial"]]
        areas = {name: _area(stratum, name, 1 - share) for name in stratum.scores}
        most = strongest({name: area for name, (area, _, _) in areas.items()})
        most_ends = _area(stratum, most, 1 - share / len(areas))
        yield {
            **{name: row[name] for name in ("trial", "label", "steps")},
            **present(
                loss_nonmembers=_log(row["perplexity_tuned"]),
                loss_members=_log(row["perplexity_tuned_members"]),
                loss_base=_log(row["perplexity_base"]),
            ),
            "attack": settings.primary,
            **present(**dict(zip(("auc", "auc_low", "auc_high"), areas[settings.primary], strict=True))),
            "strongest": most,
            **present(**dict(zip(("strongest_auc", "strongest_low", "strongest_high"), most_ends, strict=True))),
            **_operating_point(stratum, settings, 1 - share),
            "verdict": verdicts[row["trial"]],
            "last_held": row["trial"] == held[-1] if held else False,
        }


def _verdict(verdicts: Sequence[str]) -> str:
    """Of all rules on a subject: the worst; empty without rules."""
    return next((name for name in (EXCEEDED, UNDECIDED, HELD) if name in verdicts), "")


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
