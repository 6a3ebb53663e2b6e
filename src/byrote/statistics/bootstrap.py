# pyright: reportMissingTypeStubs=false
"""Percentile bootstrap over documents (Efron & Tibshirani 1993), for any statistic of weighted records.

Axes: B resamples · P members · Q non-members · K curves · U distinct places of members among the non-members. A
resample is a weight a record: how often its document was drawn.
"""

import math
from collections.abc import Callable, Sequence
from typing import cast

import numpy as np
from scipy.sparse import csr_matrix

Statistic = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""Weights (B, P) and (B, Q) to values (B,)."""

Areas = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""Weights (P, B) and (Q, B) to values (B,)."""

BATCH = 128  # resamples at a time: a batch of PHEE's 3866 records stays in the processor's cache


def over_groups(
    statistic: Statistic,
    member_groups: Sequence[object] | np.ndarray,
    nonmember_groups: Sequence[object] | np.ndarray,
    resamples: int,
    seed: int,
) -> np.ndarray:
    """The statistic (B,) on documents drawn with replacement, each with all of its records.

    Where no document holds both members and non-members, the documents of either side are drawn apart and their
    numbers kept, as the splits of a corpus are; else all documents are drawn from one pool. All NaN where a side has
    fewer than two documents. Raises ValueError for fewer than one resample.

    >>> statistic = weighted_auc(np.array([1.0, 2.0, 4.0]), np.array([0.0, 3.0]))
    >>> over_groups(statistic, ["a", "a", "b"], ["c", "d"], resamples=4, seed=0).shape
    (4,)
    """
    return over_sides(lambda weights: statistic(*weights), (member_groups, nonmember_groups), resamples, seed)


def over_sides(
    statistic: Callable[[Sequence[np.ndarray]], np.ndarray],
    sides: Sequence[Sequence[object] | np.ndarray],
    resamples: int,
    seed: int,
) -> np.ndarray:
    """The same for any number of sides, such as members, non-members and calibration records.

    sides: the document of each record, side by side · statistic: weights (B, N) of each side to values (B,) or (B, K).
    Sides that share a document are drawn from one pool.

    >>> sides = [["a", "b"], ["c", "d"], ["e", "f"]]
    >>> over_sides(lambda weights: weights[2].sum(axis=1), sides, resamples=3, seed=0).tolist()
    [2.0, 2.0, 2.0]
    """
    if resamples < 1:
        raise ValueError(f"resamples must be at least 1, got {resamples}")
    names = np.concatenate([np.asarray(side) for side in sides])
    documents, of_all = np.unique(names, return_inverse=True)
    of_sides = np.split(of_all, np.cumsum([len(side) for side in sides])[:-1])
    if min(len(np.unique(of_side)) for of_side in of_sides) < 2:
        return np.full(resamples, math.nan)
    pools, generator = _pools(of_sides), np.random.default_rng(seed)
    values: list[np.ndarray] = []
    for start in range(0, resamples, BATCH):
        drawn_BG = _draw(pools, len(documents), min(BATCH, resamples - start), generator)
        values.append(statistic([drawn_BG[:, of_side] for of_side in of_sides]))
    return np.concatenate(values)


def _pools(of_sides: Sequence[np.ndarray]) -> list[np.ndarray]:
    """The documents that are drawn together: those of each side, and of sides that share one."""
    pools: list[np.ndarray] = []
    for of_side in of_sides:
        apart = [pool for pool in pools if np.intersect1d(pool, of_side).size == 0]
        joined = [pool for pool in pools if np.intersect1d(pool, of_side).size > 0]
        pools = [*apart, np.unique(np.concatenate([*joined, of_side]))]
    return pools


def weighted_auc(members: np.ndarray, nonmembers: np.ndarray) -> Statistic:
    """The AUC of weighted records as a statistic for `over_groups`; ties half, NaN where a side weighs nothing.

    members (P,), nonmembers (Q,) without NaN. The sort is done once; a resample costs O(P + Q).

    >>> areas = weighted_auc(np.array([1.0, 4.0]), np.array([0.0, 3.0]))
    >>> areas(np.array([[1.0, 1.0], [2.0, 0.0]]), np.ones((2, 2))).tolist()  # each once; the first twice
    [0.75, 0.5]
    """
    order_Q = np.argsort(nonmembers)
    sorted_Q = np.asarray(nonmembers)[order_Q]
    below_P, upto_P = (np.searchsorted(sorted_Q, members, side) for side in ("left", "right"))

    def areas(weights_BP: np.ndarray, weights_BQ: np.ndarray) -> np.ndarray:
        sums_BQ = np.zeros((len(weights_BQ), len(sorted_Q) + 1))
        np.cumsum(weights_BQ[:, order_Q], axis=1, out=sums_BQ[:, 1:])
        won_B = np.einsum("bp,bp->b", weights_BP, sums_BQ[:, below_P] + sums_BQ[:, upto_P]) / 2
        pairs_B = weights_BP.sum(axis=1) * sums_BQ[:, -1]
        return np.divide(won_B, pairs_B, out=np.full(len(won_B), math.nan), where=pairs_B > 0)

    return areas


def percentile(values_B: np.ndarray, level: float = 0.95) -> tuple[float, float]:
    """Interval between the percentiles of the resamples.

    (NaN, NaN) where a value is NaN: a resample without one of the sides means too few documents to resample. Likewise
    where all are equal: a width of 0 would not be certainty.

    >>> [round(end, 1) for end in percentile(np.arange(101.0), level=0.9)]
    [5.0, 95.0]
    """
    if np.ptp(values_B) == 0:
        return math.nan, math.nan
    low, high = np.quantile(values_B, [0.5 - level / 2, 0.5 + level / 2])
    return float(low), float(high)


def auc_interval(
    members: np.ndarray,
    nonmembers: np.ndarray,
    member_groups: Sequence[object] | np.ndarray,
    nonmember_groups: Sequence[object] | np.ndarray,
    seed: int,
    resamples: int = 2000,
    level: float = 0.95,
) -> tuple[float, float]:
    """Interval of an AUC by documents; (NaN, NaN) as `over_groups` and `percentile` have it.

    >>> random = np.random.default_rng(0)
    >>> members, others = random.normal(1, 1, 60), random.normal(0, 1, 60)
    >>> low, high = auc_interval(members, others, np.arange(60) // 2, 100 + np.arange(60) // 2, seed=0, resamples=200)
    >>> f"{low:.2f} to {high:.2f}"
    '0.68 to 0.85'
    """
    statistic = weighted_auc(members, nonmembers)
    return percentile(over_groups(statistic, member_groups, nonmember_groups, resamples, seed), level)


def _draw(pools: list[np.ndarray], documents: int, resamples: int, generator: np.random.Generator) -> np.ndarray:
    """How often each document was drawn (B, G), as many draws from each pool as it has documents."""
    shift_B1 = np.arange(resamples)[:, None] * documents
    drawn = [pool[generator.integers(len(pool), size=(resamples, len(pool)))] + shift_B1 for pool in pools]
    flat = np.concatenate([d.ravel() for d in drawn])
    return np.bincount(flat, minlength=resamples * documents).reshape(resamples, documents).astype(float)


def auc_draws(
    members_KP: Sequence[np.ndarray],
    nonmembers_KQ: Sequence[np.ndarray],
    member_groups: Sequence[object],
    nonmember_groups: Sequence[object],
    resamples: int,
    seed: int,
) -> np.ndarray:
    """AUC of every curve in every resample (B, K), as `over_groups` draws them for each alone.

    A NaN score leaves its record out of its curve. All NaN where there are too few documents to draw from.

    >>> members, others = [np.array([1.0, 4.0]), np.array([2.0, 1.0])], [np.array([0.0, 3.0]), np.array([0.0, 0.5])]
    >>> auc_draws(members, others, ["a", "b"], ["c", "d"], resamples=5, seed=0).shape  # resamples, curves
    (5, 2)
    """
    areas = [weighted_areas(m, n) for m, n in zip(members_KP, nonmembers_KQ, strict=True)]

    def statistic(weights_BP: np.ndarray, weights_BQ: np.ndarray) -> np.ndarray:
        weights_PB, weights_QB = np.ascontiguousarray(weights_BP.T), np.ascontiguousarray(weights_BQ.T)
        return np.stack([areas_of(weights_PB, weights_QB) for areas_of in areas], axis=1)

    values = over_groups(statistic, member_groups, nonmember_groups, resamples, seed)
    return np.full((resamples, len(areas)), math.nan) if values.ndim == 1 else values


def weighted_areas(members_P: np.ndarray, nonmembers_Q: np.ndarray) -> Areas:
    """Weights (P, B) and (Q, B) to weighted AUCs (B,), ties half. Rows are records, so that taking one is one copy.

    >>> areas = weighted_areas(np.array([1.0, 4.0]), np.array([0.0, 3.0]))
    >>> areas(np.array([[1.0, 2.0], [1.0, 0.0]]), np.ones((2, 2))).tolist()  # columns are resamples
    [0.75, 0.5]
    """
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
