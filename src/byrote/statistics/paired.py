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

ROUNDING = 1e-12  # a variance of the difference below this share of the two variances is rounding, not spread


@dataclass(frozen=True)
class Comparison:
    """AUC of a less AUC of b, its interval, z = difference/SE and the two-sided p-value; NaN where `reason` is set."""

    difference: float
    low: float
    high: float
    statistic: float
    p_value: float
    reason: str | None = None


def compare(
    a_members: np.ndarray,
    a_nonmembers: np.ndarray,
    b_members: np.ndarray,
    b_nonmembers: np.ndarray,
    member_groups: Sequence[object] | np.ndarray,
    nonmember_groups: Sequence[object] | np.ndarray,
    level: float = 0.95,
) -> Comparison:
    """DeLong's paired test with Obuchowski's clustered covariance: variance = V_aa + V_bb − 2V_ab, normal.

    It compares two trained models on records like these, not two configurations (see `seeds.claim`). Groups name the
    document of each record; give every record its own where they are independent. Raises ValueError as `clustered`.
    """
    if (len(a_members), len(a_nonmembers)) != (len(b_members), len(b_nonmembers)):
        raise ValueError(
            f"a has {len(a_members)} members and {len(a_nonmembers)} non-members, b {len(b_members)} and "
            f"{len(b_nonmembers)}; a paired test needs the same records, in the same order"
        )
    members_KP, nonmembers_KQ = np.stack([a_members, b_members]), np.stack([a_nonmembers, b_nonmembers])
    (a, b), covariance_KK = clustered(members_KP, nonmembers_KQ, member_groups, nonmember_groups)
    difference, together = float(a - b), float(np.trace(covariance_KK))
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
