# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false
"""Paired tests: of two attacks on one trial, and of two trials under one attack. Rows of tables."""

import math
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

from scipy.stats import norm

from byrote.statistics.paired import compare, holm
from byrote.statistics.roc import auc
from byrote.tables.compared import Compared, Scored, ScoredStratum, known_scores, present, strongest
from byrote.tables.resampled import Resampled


def attack_comparisons(compared: Compared, scores: Mapping[str, Scored], resampled: Resampled) -> list[dict[str, Any]]:
    """The attack of the highest AUC against each other one, on the records that both score.

    The winner is picked on the tested records, so `p_max_t` and the interval hold for all pairs of attacks together.
    """
    areas = {name: auc(*known_scores(compared, scored)[:2]) for name, scored in scores.items()}
    known = {name: area for name, area in areas.items() if not math.isnan(area)}
    if len(known) < 2:
        return []
    best = strongest(known)
    head = {"stratum": compared.stratum.name, "attack_a": best, "family": resampled.family}
    level = resampled.difference_level
    tests = {name: paired(compared, scores[best], scores[name], level) for name in known if name != best}
    return [{**head, "attack_b": name, **test, **_max_t(test, resampled)} for name, test in tests.items()]


def _max_t(test: Mapping[str, Any], resampled: Resampled) -> dict[str, float | None]:
    """The p-value of a test between two attacks that were picked by their results."""
    if test["p_value"] is None:
        return {"p_max_t": None}
    return present(p_max_t=resampled.adjusted_p(float(norm.isf(test["p_value"] / 2))))


def paired(compared: Compared, a: Scored, b: Scored, level: float) -> dict[str, Any]:
    """Paired test of two AUCs on the records that both score, clustered by document."""
    keep = [x & y for x, y in zip(a.known, b.known, strict=True)]
    member_groups, nonmember_groups = (
        [group for group, kept in zip(groups, kept_of_side, strict=True) if kept]
        for groups, kept_of_side in zip(compared.groups, keep, strict=True)
    )
    sides_a, sides_b = ((s.members[keep[0]], s.nonmembers[keep[1]]) for s in (a, b))
    test = compare(sides_a, sides_b, (member_groups, nonmember_groups), level)
    return {
        **present(difference=test.difference, low=test.low, high=test.high, p_value=test.p_value),
        "reason": test.reason or "",
    }


def with_holm(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows with `p_holm`, corrected over all of them, and the family's size in words."""
    adjusted = holm([math.nan if row["p_value"] is None else row["p_value"] for row in rows])
    family = f"{len(rows)} tests"
    return [{**row, **present(p_holm=float(p)), "family": family} for row, p in zip(rows, adjusted, strict=True)]


def trial_comparisons(strata: Sequence[ScoredStratum], primary: str, level: float) -> list[dict[str, Any]]:
    """The primary attack, paired between every two trials that compare the same records; Holm over all pairs.

    strata: the one stratum of each trial.
    """
    rows = [
        {
            "trial_a": a.trial,
            "trial_b": b.trial,
            "attack_a": a.scores[primary].attack,
            "attack_b": b.scores[primary].attack,
            **paired(a.compared, a.scores[primary], b.scores[primary], level),
        }
        for a, b in combinations(strata, 2)
        if _records_of(a) == _records_of(b)
    ]
    stratum = strata[0].compared.stratum.name
    return [{"kind": "trials", "stratum": stratum, **row} for row in with_holm(rows)] if rows else []


def _records_of(scored_stratum: ScoredStratum) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Ids of the members and of the non-members."""
    return scored_stratum.compared.stratum.members, scored_stratum.compared.stratum.nonmembers
