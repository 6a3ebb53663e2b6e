# pyright: reportMissingTypeStubs=false
"""Bootstrap of many curves on the same records: documents are drawn once for all of them.

Axes: B resamples · P members · Q non-members · K curves · U distinct places of members among the non-members.
"""

import math
from collections.abc import Callable, Sequence
from typing import cast

import numpy as np
from scipy.sparse import csr_matrix

from byrote.statistics.bootstrap import over_groups

Areas = Callable[[np.ndarray, np.ndarray], np.ndarray]


def auc_draws(
    members_KP: Sequence[np.ndarray],
    nonmembers_KQ: Sequence[np.ndarray],
    member_groups: Sequence[object],
    nonmember_groups: Sequence[object],
    resamples: int,
    seed: int,
) -> np.ndarray:
    """AUC of every curve in every resample (B, K), as `bootstrap.over_groups` draws them for each alone.

    A NaN score leaves its record out of its curve. All NaN where there are too few documents to draw from.
    """
    areas = [_areas(members_P, nonmembers_Q) for members_P, nonmembers_Q in zip(members_KP, nonmembers_KQ, strict=True)]

    def statistic(weights_BP: np.ndarray, weights_BQ: np.ndarray) -> np.ndarray:
        weights_PB, weights_QB = np.ascontiguousarray(weights_BP.T), np.ascontiguousarray(weights_BQ.T)
        return np.stack([areas_of(weights_PB, weights_QB) for areas_of in areas], axis=1)

    values = over_groups(statistic, member_groups, nonmember_groups, resamples, seed)
    return np.full((resamples, len(areas)), math.nan) if values.ndim == 1 else values


def _areas(members_P: np.ndarray, nonmembers_Q: np.ndarray) -> Areas:
    """Weights (P, B) and (Q, B) to weighted AUCs (B,), ties half. Rows are records, so that taking one is one copy."""
    order_P, order_Q = _order(members_P), _order(nonmembers_Q)
    sorted_P, sorted_Q = members_P[order_P], nonmembers_Q[order_Q]
    below, upto = (np.searchsorted(sorted_Q, sorted_P, side) for side in ("left", "right"))
    starts = np.flatnonzero(np.diff(below, prepend=-1) | np.diff(upto, prepend=-1))
    below_U, upto_U = below[starts], upto[starts]
    # Sums of neighbouring rows: ten times as fast as add.reduceat along the first axis.
    ends = np.append(starts, len(sorted_P))
    sum_UP = csr_matrix((np.ones(len(sorted_P)), order_P, ends), (len(starts), len(members_P)))

    def areas(weights_PB: np.ndarray, weights_QB: np.ndarray) -> np.ndarray:
        if not len(sorted_P) or not len(sorted_Q):
            resamples: int = weights_PB.shape[1]
            return np.full(resamples, math.nan)
        sums_QB = np.zeros((len(sorted_Q) + 1, weights_QB.shape[1]))
        np.cumsum(weights_QB[order_Q], axis=0, out=sums_QB[1:])
        sums_UB = cast(np.ndarray, sum_UP @ weights_PB)
        won_B = np.einsum("ub,ub->b", sums_UB, sums_QB[below_U] + sums_QB[upto_U]) / 2
        pairs_B = sums_UB.sum(axis=0) * sums_QB[-1]
        return np.divide(won_B, pairs_B, out=np.full(len(won_B), math.nan), where=pairs_B > 0)

    return areas


def _order(scores: np.ndarray) -> np.ndarray:
    """Positions of the scores there are, lowest first."""
    order = np.argsort(scores, kind="stable")
    return order[: len(scores) - int(np.isnan(scores).sum())]
