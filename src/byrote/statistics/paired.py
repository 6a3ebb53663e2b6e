# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false
"""Two trials, or two attacks, on the same records: is the difference of their AUCs more than chance?

Axes: P members · Q non-members, in the same order under a and under b.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import norm

from byrote.statistics.delong import clustered

Sides = tuple[np.ndarray, np.ndarray]  # scores of members (P) and of non-members (Q)
Groups = tuple[Sequence[object] | np.ndarray, Sequence[object] | np.ndarray]  # the document of each of them
ROUNDING = 1e-12  # a variance of the difference below this share of the two variances is rounding, not spread


@dataclass(frozen=True)
class Comparison:
    """AUC of a minus AUC of b, its interval, z = difference/SE and the two-sided p-value; NaN where `reason` is set."""

    difference: float
    low: float
    high: float
    statistic: float
    p_value: float
    reason: str | None = None


def compare(a: Sides, b: Sides, groups: Groups, level: float = 0.95) -> Comparison:
    """DeLong's paired test with Obuchowski's clustered covariance: variance = V_aa + V_bb − 2V_ab, normal.

    It compares two trained models on records like these, not two configurations (see `seeds.claim`). Groups name the
    document of each record; give every record its own where they are independent. Raises ValueError as `clustered`.

    >>> random = np.random.default_rng(0)
    >>> members, others = random.normal(1, 1, 100), random.normal(0, 1, 100)
    >>> noisy = members + random.normal(0, 2, 100), others + random.normal(0, 2, 100)
    >>> test = compare((members, others), noisy, (np.arange(100), 100 + np.arange(100)))
    >>> round(test.difference, 2), test.p_value < 0.05
    (0.18, True)
    """
    sizes = [(len(members), len(nonmembers)) for members, nonmembers in (a, b)]
    if sizes[0] != sizes[1]:
        raise ValueError(
            f"a has {sizes[0][0]} members and {sizes[0][1]} non-members, b {sizes[1][0]} and {sizes[1][1]}; "
            "a paired test needs the same records, in the same order"
        )
    members_KP, nonmembers_KQ = (np.stack(side) for side in zip(a, b, strict=True))
    (auc_a, auc_b), covariance_KK = clustered(members_KP, nonmembers_KQ, *groups)
    difference, together = float(auc_a - auc_b), float(np.trace(covariance_KK))
    variance = together - 2 * float(covariance_KK[0, 1])
    if reason := _why_not(difference, variance, together):
        return Comparison(difference, math.nan, math.nan, math.nan, math.nan, reason)
    error, z = math.sqrt(variance), float(norm.ppf(0.5 + level / 2))
    statistic = difference / error
    p_value = float(2 * norm.sf(abs(statistic)))
    return Comparison(difference, difference - z * error, difference + z * error, statistic, p_value)


def holm(p_values: Sequence[float] | np.ndarray) -> np.ndarray:
    """Adjusted p-values (Holm 1979): of m tests the i-th smallest times m − i + 1, never falling, at most 1.

    NaN marks a test that was not done: it stays NaN and does not count in m. Raises ValueError outside [0, 1].

    >>> holm([0.01, 0.04, 0.03]).round(3).tolist()
    [0.03, 0.06, 0.06]
    """
    values = np.asarray(p_values, dtype=float)
    if ((values < 0) | (values > 1)).any():
        raise ValueError(f"p-values must lie in [0, 1], got {values[(values < 0) | (values > 1)][0]:g}")
    done = np.flatnonzero(~np.isnan(values))
    order = done[np.argsort(values[done], kind="stable")]
    adjusted = np.full(len(values), math.nan)
    adjusted[order] = np.minimum(1, np.maximum.accumulate(values[order] * np.arange(len(order), 0, -1)))
    return adjusted


def _why_not(difference: float, variance: float, together: float) -> str | None:
    if math.isnan(difference):
        return "no AUC: a side is empty"
    if math.isnan(variance):
        return "no variance: a side has fewer than two documents"
    if variance <= ROUNDING * together:
        return "every record is placed alike under both: the difference has no spread to test"
    return None
