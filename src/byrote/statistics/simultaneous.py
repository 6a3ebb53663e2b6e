"""Many AUCs of the same records at once: widths and p-values that hold for whichever is picked (max-T bootstrap).

Axes: B resamples of documents · K curves (attacks). areas_BK: the AUC of each curve in each resample, the same
resamples for all (`resampling.auc_draws`), so that their dependence is kept (Westfall & Young 1993).
"""

import math

import numpy as np
from scipy.stats import norm

ROUNDING = 1e-9  # a spread below this is rounding: the two curves order the records alike


def critical_value(areas_BK: np.ndarray, level: float = 0.95) -> float:
    """How many standard errors either way hold every curve's true area together, with probability `level`.

    The quantile of max_k |A*_k − mean A*_k| / sd A*_k; never below the normal one of a single interval. A curve with a
    NaN among its draws, or without spread, has no interval and takes no part; NaN where none is left.
    """
    return _quantile(_largest(areas_BK), level)


def critical_difference(areas_BK: np.ndarray, level: float = 0.95) -> float:
    """The same for the differences of all pairs of curves, so for the largest area against each other one."""
    return _quantile(_largest(_differences(areas_BK)), level)


def adjusted_p(statistic: float, areas_BK: np.ndarray) -> float:
    """Chance that the largest |z| among the differences of all pairs of equal curves reaches |statistic|.

    p = (1 + #{max_b ≥ |statistic|})/(1 + B), and never below that of the test alone. It covers every pair, so that the
    pair may be picked by its own result. NaN as in `critical_value`.
    """
    largest_B = _largest(_differences(areas_BK))
    if largest_B is None or math.isnan(statistic):
        return math.nan
    p = (1 + int((largest_B >= abs(statistic)).sum())) / (1 + len(largest_B))
    return max(p, float(2 * norm.sf(abs(statistic))))


def level_of(critical: float) -> float:
    """The level of a single normal interval that is so many standard errors wide either way."""
    return float(1 - 2 * norm.sf(critical))


def _differences(areas_BK: np.ndarray) -> np.ndarray:
    first, second = np.triu_indices(areas_BK.shape[1], k=1)
    return areas_BK[:, first] - areas_BK[:, second]


def _largest(values_BK: np.ndarray) -> np.ndarray | None:
    """max_k |value − mean| / sd of each resample (B,); None where no column has a spread."""
    values_BK = values_BK[:, ~np.isnan(values_BK).any(axis=0)]
    sd_K = values_BK.std(axis=0, ddof=1) if len(values_BK) > 1 else np.zeros(values_BK.shape[1])
    values_BK, sd_K = values_BK[:, sd_K > ROUNDING], sd_K[sd_K > ROUNDING]
    if not len(sd_K):
        return None
    return (np.abs(values_BK - values_BK.mean(axis=0)) / sd_K).max(axis=1)


def _quantile(largest_B: np.ndarray | None, level: float) -> float:
    if largest_B is None:
        return math.nan
    return max(float(np.quantile(largest_B, level)), float(norm.ppf(0.5 + level / 2)))
