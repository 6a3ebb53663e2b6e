# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false
"""Confidence intervals, 95% by default."""

import math

import numpy as np
from scipy.stats import beta, norm


def hanley_mcneil_se(area: float, members: int, nonmembers: int) -> float:
    """Standard error of an AUC (Hanley & McNeil 1982), records independent.

    Q1 = A/(2−A), Q2 = 2A²/(1+A), SE² = [A(1−A) + (n₊−1)(Q1−A²) + (n₋−1)(Q2−A²)]/(n₊n₋). NaN where a side is empty.

    >>> round(hanley_mcneil_se(0.8, members=100, nonmembers=100), 4)
    0.0314
    """
    if members == 0 or nonmembers == 0 or math.isnan(area):
        return math.nan
    q1, q2 = area / (2 - area), 2 * area**2 / (1 + area)
    variance = area * (1 - area) + (members - 1) * (q1 - area**2) + (nonmembers - 1) * (q2 - area**2)
    return math.sqrt(max(variance, 0.0) / (members * nonmembers))


def hanley_mcneil(area: float, members: int, nonmembers: int, level: float = 0.95) -> tuple[float, float]:
    """Interval of an AUC by `hanley_mcneil_se`, cut to [0, 1]; (NaN, NaN) where a side is empty.

    >>> low, high = hanley_mcneil(0.8, members=100, nonmembers=100)
    >>> round(low, 3), round(high, 3)
    (0.739, 0.861)
    """
    half = float(norm.ppf(0.5 + level / 2)) * hanley_mcneil_se(area, members, nonmembers)
    return float(np.clip(area - half, 0, 1)), float(np.clip(area + half, 0, 1))


def clopper_pearson(hits: float, trials: float, level: float = 0.95) -> tuple[float, float]:
    """Exact interval of a rate (Clopper & Pearson 1934); (NaN, NaN) for no trials.

    Counts need not be whole: `operating_point.share_interval` divides them by a design effect.

    >>> low, high = clopper_pearson(5, 100)
    >>> round(low, 3), round(high, 3)
    (0.016, 0.113)
    """
    if trials == 0:
        return math.nan, math.nan
    tail = (1 - level) / 2
    low = 0.0 if hits == 0 else float(beta.ppf(tail, hits, trials - hits + 1))
    high = 1.0 if hits == trials else float(beta.ppf(1 - tail, hits + 1, trials - hits))
    return low, high
