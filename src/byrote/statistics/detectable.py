# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
"""What a sample can show before anything is trained: the smallest AUC, difference and rate it can tell from chance.

Plain numbers in and out. Tests are two-sided at `level`, as the intervals are; `power` is the chance to find the
effect. NaN where the sample can show nothing at that power.
"""

import math
from collections.abc import Callable
from typing import cast

from scipy.optimize import brentq
from scipy.stats import binom, norm

from byrote.statistics.intervals import hanley_mcneil_se


def design_effect(cluster_size: float, icc: float) -> float:
    """Factor on the variance where records come in documents: 1 + (m − 1)·ICC (Kish 1965).

    cluster_size: records a document; with unequal documents the mean over records, Σm²/Σm, which is above the mean over
    documents. icc: correlation of two records' scores within a document. Raises ValueError for a size below 1 or an icc
    outside [0, 1].

    >>> design_effect(cluster_size=3, icc=0.5)
    2.0
    """
    if cluster_size < 1 or not 0 <= icc <= 1:
        raise ValueError(f"cluster_size must be at least 1 and icc in [0, 1], got {cluster_size:g} and {icc:g}")
    return 1 + (cluster_size - 1) * icc


def smallest_auc(members: int, nonmembers: int, level: float = 0.05, power: float = 0.8, design: float = 1.0) -> float:
    """Smallest AUC above 0.5 that is told from 0.5, by Hanley & McNeil's standard error (1982).

    A − 0.5 = z_{1−level/2}·SE(0.5) + z_power·SE(A). design: the `design_effect`, a factor on both variances. NaN of an
    empty side, and where even an AUC of 1 would not do.

    >>> round(smallest_auc(100, 100), 3)
    0.614
    """

    def excess(area: float) -> float:
        null, alternative = (_error(a, members, nonmembers, design) for a in (0.5, area))
        return area - 0.5 - _z(1 - level / 2) * null - _z(power) * alternative

    return _root(excess, 0.5, 1.0)


def smallest_difference(
    area: float,
    members: int,
    nonmembers: int,
    correlation: float,
    level: float = 0.05,
    power: float = 0.8,
    design: float = 1.0,
) -> float:
    """Smallest rise above `area` that a second trial on the same records must show to be told from it.

    correlation: of the two estimated areas, near that of the two trials' scores (Hanley & McNeil 1983). With SE at area
    and SE' at area + d: d = z_{1−level/2}·√(2·SE²·(1 − r)) + z_power·√(SE² + SE'² − 2r·SE·SE'). NaN where no rise up to
    an AUC of 1 is enough. Raises ValueError for an area outside [0, 1) or a correlation outside [−1, 1).

    >>> round(smallest_difference(0.7, 200, 200, correlation=0.8), 3)
    0.046
    """
    if not (0 <= area < 1 and -1 <= correlation < 1):
        raise ValueError(f"area must be in [0, 1) and correlation in [-1, 1), got {area:g} and {correlation:g}")

    def excess(rise: float) -> float:
        se, raised_se = (_error(a, members, nonmembers, design) for a in (area, area + rise))
        null = se * math.sqrt(2 * (1 - correlation))
        alternative = math.sqrt(max(se**2 + raised_se**2 - 2 * correlation * se * raised_se, 0.0))
        return rise - _z(1 - level / 2) * null - _z(power) * alternative

    return _root(excess, 0.0, 1 - area)


def smallest_tpr(members: int, rate: float, level: float = 0.05, power: float = 0.8) -> float:
    """Smallest true-positive rate that is told from the false-positive rate `rate`, by the exact binomial.

    k is the least number of hits that puts the Clopper–Pearson interval of members above `rate`: P[Bin(n, rate) ≥ k] ≤
    level/2. The answer is the rate at which k or more come with chance `power`. The threshold is taken as exactly at
    `rate`. NaN where even every member hit would not do.

    >>> round(smallest_tpr(200, rate=0.01), 3)
    0.039
    """
    _check_rate(rate)
    hits = int(binom.isf(level / 2, members, rate)) + 1 if members else 1
    if hits > members:
        return math.nan
    return _root(lambda tpr: float(binom.sf(hits - 1, members, tpr)) - power, rate, 1.0)


def resolvable(nonmembers: int, rate: float) -> str | None:
    """Why these non-members cannot resolve a false-positive rate, or None where `roc.threshold_at_most` can.

    >>> resolvable(50, rate=0.01)
    '50 non-members cannot resolve a false-positive rate of 0.01; it takes at least 100'
    """
    _check_rate(rate)
    if math.floor(rate * nonmembers + 1e-9) >= 1:
        return None
    needed = math.ceil(1 / rate - 1e-9)
    return f"{nonmembers} non-members cannot resolve a false-positive rate of {rate:g}; it takes at least {needed}"


def _check_rate(rate: float) -> None:
    if not 0 < rate < 1:
        raise ValueError(f"a false-positive rate must lie between 0 and 1, got {rate:g}")


def _error(area: float, members: int, nonmembers: int, design: float) -> float:
    return math.sqrt(design) * hanley_mcneil_se(area, members, nonmembers)


def _z(probability: float) -> float:
    return float(norm.ppf(probability))


def _root(excess: Callable[[float], float], low: float, high: float) -> float:
    """Where the excess turns positive; NaN where it does not by `high`, or is NaN itself."""
    if not excess(low) < 0 < excess(high):
        return math.nan
    return float(cast(float, brentq(excess, low, high)))
