# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false
"""Many AUCs of the same records at once: widths and p-values that hold for whichever is picked (max-T bootstrap).

Axes: B resamples of documents · K curves (attacks). areas_BK: the AUC of each curve in each resample, the same
resamples for all (`resampling.auc_draws`), so that their dependence is kept (Westfall & Young 1993).
"""

import math

import numpy as np
from scipy.stats import norm, t

ROUNDING = 1e-9  # a spread below this is rounding: the two curves order the records alike


def largest(areas_BK: np.ndarray, *, above: bool = False) -> np.ndarray | None:
    """max_k |A*_k − mean A*_k| / sd A*_k of each resample (B,): how far chance takes the furthest curve.

    above: without the bars, how far chance takes the furthest curve upwards, which lower bounds need. A curve with a
    NaN among its draws, or without spread, takes no part; None where none is left.

    >>> areas = np.random.default_rng(0).normal(0.7, 0.02, (200, 3))
    >>> largest(areas).shape  # one a resample
    (200,)
    """
    areas_BK = areas_BK[:, ~np.isnan(areas_BK).any(axis=0)]
    sd_K = areas_BK.std(axis=0, ddof=1) if len(areas_BK) > 1 else np.zeros(areas_BK.shape[1])
    areas_BK, sd_K = areas_BK[:, sd_K > ROUNDING], sd_K[sd_K > ROUNDING]
    if not len(sd_K):
        return None
    deviates_BK = (areas_BK - areas_BK.mean(axis=0)) / sd_K
    return (deviates_BK if above else np.abs(deviates_BK)).max(axis=1)


def largest_difference(areas_BK: np.ndarray) -> np.ndarray | None:
    """The same over the differences of all pairs of curves, so of the largest area to each other one.

    >>> areas = np.random.default_rng(0).normal(0.7, 0.02, (200, 3))
    >>> largest_difference(areas).shape
    (200,)
    """
    first, second = np.triu_indices(areas_BK.shape[1], k=1)
    return largest(areas_BK[:, first] - areas_BK[:, second])


def critical_value(largest_B: np.ndarray | None, level: float = 0.95) -> float:
    """How many standard errors either way hold all true values together, with probability `level`.

    The quantile of `largest` or `largest_difference`, never below the normal one of a single interval; NaN of None.

    >>> areas = np.random.default_rng(0).normal(0.7, 0.02, (2000, 3))
    >>> [round(critical_value(largest(areas[:, :curves])), 1) for curves in (3, 1)]
    [2.4, 2.0]
    """
    if largest_B is None:
        return math.nan
    return max(float(np.quantile(largest_B, level)), float(norm.ppf(0.5 + level / 2)))


FEWEST_BEYOND = 10  # resamples beyond a quantile, below which it is too uncertain to be used


def one_sided(values_BK: np.ndarray, error: float) -> float:
    """How many standard errors below the estimates all K lower bounds hold together but for a chance `error`.

    The 1 − error quantile of the largest standardized deviate upwards of a resample (max-T), and at most Bonferroni's
    z of error/K, which holds whatever the dependence: it stands alone where too few of the resamples lie beyond the
    quantile. Never below z of a single bound. Raises ValueError of an error outside (0, 1/2).

    >>> areas = np.random.default_rng(0).normal(0.7, 0.02, (2000, 3))
    >>> [round(one_sided(areas[:, :curves], error=0.025), 1) for curves in (3, 1)]
    [2.4, 2.0]
    """
    if not 0 < error < 0.5:
        raise ValueError(f"error must be between 0 and 1/2, got {error:g}")
    bonferroni, alone = (float(norm.isf(error / bounds)) for bounds in (max(values_BK.shape[1], 1), 1))
    largest_B = largest(values_BK, above=True)
    if largest_B is None or error * len(largest_B) < FEWEST_BEYOND:
        return bonferroni
    return min(max(float(np.quantile(largest_B, 1 - error)), alone), bonferroni)


def adjusted_p(statistic: float, largest_B: np.ndarray | None) -> float:
    """Chance that the largest |z| of a family in which nothing differs reaches |statistic|; NaN of None.

    p = (1 + #{largest ≥ |statistic|})/(1 + B), and never below that of the test alone. It covers the whole family, so
    the pair may be picked by its own result.

    >>> round(adjusted_p(2.0, np.array([0.5, 1.0, 2.5, 3.0])), 2)
    0.6
    """
    if largest_B is None or math.isnan(statistic):
        return math.nan
    p = (1 + int((largest_B >= abs(statistic)).sum())) / (1 + len(largest_B))
    return max(p, float(2 * norm.sf(abs(statistic))))


def as_normal(statistic: float, documents: int) -> float:
    """|difference| over its estimated error, as a normal deviate of the same tail; documents: of the smaller side.

    Resamples are divided by one spread, but a standard error comes from few documents and the pair whose error came out
    small is picked: Student's tails, documents − 1 degrees of freedom. Without this 60 documents a side err in 8.8%.

    >>> round(as_normal(2.5, documents=10), 2)
    2.12
    """
    return float(norm.isf(t.sf(abs(statistic), documents - 1)))


def as_student(deviate: float, documents: int) -> float:
    """The inverse of `as_normal`: how many estimated errors are as rare as so many true ones.

    >>> round(as_student(as_normal(2.5, documents=10), documents=10), 2)
    2.5
    """
    return float(t.isf(norm.sf(deviate), documents - 1))


def level_of(critical: float) -> float:
    """The level of a single normal interval that is so many standard errors wide either way.

    >>> round(level_of(1.96), 3)
    0.95
    """
    return float(1 - 2 * norm.sf(critical))
