"""Paired tests: of two attacks on one trial, and of two trials under one attack. Rows of tables."""

import math
from collections.abc import Mapping
from typing import Any

from scipy.stats import norm

from byrote.statistics.paired import compare, holm
from byrote.statistics.roc import auc
from byrote.tables.compared import Compared, Scored, known_scores, present
from byrote.tables.resampled import Resampled


def attack_comparisons(this: Compared, found: Mapping[str, Scored], resampled: Resampled) -> list[dict[str, Any]]:
    """The attack of the highest AUC against each other one, on the records that both score.

    The winner is picked on the tested records, so `p_max_t` and the interval hold for all pairs of attacks together.
    """
    areas = {name: auc(*known_scores(this, one)[:2]) for name, one in found.items()}
    known = {name: area for name, area in areas.items() if not math.isnan(area)}
    if len(known) < 2:
        return []
    best = max(known, key=lambda name: known[name])
    head = {"stratum": this.stratum.name, "attack_a": best, "family": resampled.family}
    tests = {name: paired(this, found[best], found[name], resampled.difference_level) for name in known if name != best}
    return [{**head, "attack_b": name, **test, **_max_t(test, resampled)} for name, test in tests.items()]


def _max_t(test: Mapping[str, Any], resampled: Resampled) -> dict[str, float | None]:
    """The p-value of a test between two attacks that were picked by their results."""
    if test["p_value"] is None:
        return {"p_max_t": None}
    return present(p_max_t=resampled.adjusted_p(float(norm.isf(test["p_value"] / 2))))


def paired(this: Compared, a: Scored, b: Scored, level: float) -> dict[str, Any]:
    """Paired test of two AUCs on the records that both score, clustered by document."""
    keep = [x & y for x, y in zip(a.known, b.known, strict=True)]
    ours, theirs = ([g for g, kept in zip(gs, k, strict=True) if kept] for gs, k in zip(this.groups, keep, strict=True))
    (x_in, x_out), (y_in, y_out) = ((s.members[keep[0]], s.nonmembers[keep[1]]) for s in (a, b))
    test = compare(x_in, x_out, y_in, y_out, ours, theirs, level)
    return {
        **present(difference=test.difference, low=test.low, high=test.high, p_value=test.p_value),
        "reason": test.reason or "",
    }


def with_holm(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows with `p_holm`, corrected over all of them, and the family's size in words."""
    adjusted = holm([math.nan if row["p_value"] is None else row["p_value"] for row in rows])
    family = f"{len(rows)} tests"
    return [{**row, **present(p_holm=float(p)), "family": family} for row, p in zip(rows, adjusted, strict=True)]


def trial_comparisons(several: list[tuple[str, Compared, Scored]], level: float) -> list[dict[str, Any]]:
    """The primary attack, paired between every two trials that compare the same records; Holm over all pairs."""
    rows = [
        {
            "trial_a": a,
            "trial_b": b,
            "attack_a": one.attack,
            "attack_b": other.attack,
            **paired(this, one, other, level),
        }
        for i, (a, this, one) in enumerate(several)
        for b, that, other in several[i + 1 :]
        if (this.stratum.members, this.stratum.nonmembers) == (that.stratum.members, that.stratum.nonmembers)
    ]
    stratum = several[0][1].stratum.name
    return [{"kind": "trials", "stratum": stratum, **row} for row in with_holm(rows)] if rows else []
