# pyright: reportMissingTypeStubs=false, reportUnknownVariableType=false
"""Single records: which are most exposed, whether attacks agree on them, and whether seeds do.

Axes: A attacks, S seeds, N records, Q non-members. Scores are higher for members. NaN is a missing score: it takes no
part, and what took part is counted in the result. +inf and −inf are the highest and lowest scores and tie among
themselves; only a standard deviation cannot be had from them (NaN).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations_with_replacement

import numpy as np
from scipy.stats import rankdata

LEAST_RECORDS = 3  # a rank correlation of two records is 1 or −1 whatever they are


def empirical_p(scores_N: np.ndarray, nonmembers_Q: np.ndarray) -> np.ndarray:
    """(1 + non-members scoring at or above)/(1 + non-members), (N,): small = exposed, never 0.

    A record that was not trained on and is exchangeable with the non-members has p ≤ x with chance at most x. NaN where
    the score is missing, or every non-member's is.

    >>> empirical_p(np.array([0.95, 0.5, np.nan]), np.arange(0.0, 1.0, 0.1)).round(3).tolist()
    [0.091, 0.545, nan]
    """
    scores_N = np.asarray(scores_N, dtype=np.float64)
    known_K = np.sort(np.asarray(nonmembers_Q, dtype=np.float64)[~np.isnan(nonmembers_Q)])
    if len(known_K) == 0:
        return np.full(len(scores_N), np.nan)
    above_N = len(known_K) - np.searchsorted(known_K, scores_N, side="left")
    return np.where(np.isnan(scores_N), np.nan, (1 + above_N) / (1 + len(known_K)))


@dataclass(frozen=True)
class MostExposed:
    """Positions of the most exposed records, most exposed first, (n,) or fewer; of all records, (N,): the mean p across
    attacks and the number of attacks with a score; by attack, the non-members with a score."""

    records: np.ndarray
    mean_p: np.ndarray
    attacks: np.ndarray
    nonmembers: dict[str, int]


def most_exposed(scores: Mapping[str, np.ndarray], nonmembers: Mapping[str, np.ndarray], n: int) -> MostExposed:
    """The n records of lowest `empirical_p`, averaged over the attacks that score them.

    scores: (N,) by attack; nonmembers: (Q,) by attack. The mean orders records and is not itself a p-value: attacks
    depend on each other. Many records share the floor 1/(1 + Q): there the mean rank among the records decides, then
    the position. A record that no attack scores is never listed. Raises ValueError for n below 1, or attacks
    that differ between the two or in the number of records.

    >>> scores = {"loss": np.array([0.2, 0.9]), "ratio": np.array([0.1, 0.8])}
    >>> most_exposed(scores, {name: np.linspace(0, 0.7, 8) for name in scores}, n=1).records.tolist()
    [1]
    """
    _check_attacks(scores, n)
    if set(scores) != set(nonmembers):
        raise ValueError(f"scores are of {', '.join(scores)}, non-members' of {', '.join(nonmembers)}; give the same")
    p_AN = np.array([empirical_p(scores[attack], nonmembers[attack]) for attack in scores])
    rank_AN = np.array([_rank_from_top(scores[attack]) for attack in scores])
    attacks_N = (~np.isnan(p_AN)).sum(axis=0)
    mean_p_N, mean_rank_N = _mean_of_known(p_AN), _mean_of_known(rank_AN)
    order = np.lexsort((mean_rank_N, mean_p_N))[: int((attacks_N > 0).sum())]  # NaN sorts last; lexsort is stable
    known = {attack: int((~np.isnan(nonmembers[attack])).sum()) for attack in scores}
    return MostExposed(order[:n], mean_p_N, attacks_N, known)


@dataclass(frozen=True)
class Agreement:
    """Between each two attacks, (A, A) in the order of `attacks`: Spearman's correlation, overlap of the top n sets
    (Jaccard), and the records that both score, on which both rest."""

    attacks: tuple[str, ...]
    spearman: np.ndarray
    jaccard: np.ndarray
    records: np.ndarray


def agreement(scores: Mapping[str, np.ndarray], n: int) -> Agreement:
    """How far attacks agree on records. scores: (N,) by attack, over the same records in the same order.

    Spearman: ties share their mean rank; NaN for fewer than LEAST_RECORDS in common, or an attack that is constant on
    them. Jaccard: all records that tie with the n-th belong to the top, so the order of records has no say; NaN where
    there are no more than n records in common, for then the top is everything. Raises ValueError for n below 1.

    >>> scores = {"loss": np.array([1.0, 2, 3, 4]), "ratio": np.array([1.0, 3, 2, 4])}
    >>> agreement(scores, n=1).spearman.round(2).tolist()
    [[1.0, 0.8], [0.8, 1.0]]
    """
    _check_attacks(scores, n)
    names = tuple(scores)
    spearman_AA, jaccard_AA = np.full((2, len(names), len(names)), np.nan)
    records_AA = np.zeros((len(names), len(names)), dtype=np.int64)
    for i, j in combinations_with_replacement(range(len(names)), 2):
        first, second = common(scores[names[i]], scores[names[j]])
        records_AA[i, j] = records_AA[j, i] = len(first)
        spearman_AA[i, j] = spearman_AA[j, i] = spearman(first, second)
        jaccard_AA[i, j] = jaccard_AA[j, i] = jaccard_of_top(first, second, n)
    return Agreement(names, spearman_AA, jaccard_AA, records_AA)


def spread_over_seeds(scores_SN: np.ndarray) -> np.ndarray:
    """The unbiased standard deviation of each record's score over seeds, (N,), in the score's unit.

    NaN for fewer than two seeds with a score, and where one of them is infinite. Raises ValueError for an array that is
    not (S, N).

    >>> spread_over_seeds(np.array([[1.0, 2.0], [3.0, 2.0]])).round(3).tolist()  # two seeds, two records
    [1.414, 0.0]
    """
    scores_SN = np.asarray(scores_SN, dtype=np.float64)
    if scores_SN.ndim != 2:
        raise ValueError(f"scores_SN must be (S, N), got {scores_SN.shape}")
    known_SN = ~np.isnan(scores_SN)
    seeds_N = known_SN.sum(axis=0)
    values_SN = np.where(np.isinf(scores_SN).any(axis=0), np.nan, scores_SN)
    square_N = np.where(known_SN, (values_SN - _mean_of_known(values_SN)) ** 2, 0.0).sum(axis=0)
    return np.sqrt(np.where(seeds_N < 2, np.nan, square_N / np.maximum(seeds_N - 1, 1)))


def spearman(first_N: np.ndarray, second_N: np.ndarray) -> float:
    """Pearson's correlation of mean ranks, of values without NaN; NaN below LEAST_RECORDS or where one is constant.

    >>> round(spearman(np.array([1.0, 2, 3, 4]), np.array([1.0, 3, 2, 4])), 3)
    0.8
    """
    if len(first_N) < LEAST_RECORDS:
        return math.nan
    a_N, b_N = (rankdata(values) - (len(values) + 1) / 2 for values in (first_N, second_N))
    size = math.sqrt(float(a_N @ a_N) * float(b_N @ b_N))
    return float(np.clip(a_N @ b_N / size, -1, 1)) if size > 0 else math.nan


def jaccard_of_top(first_N: np.ndarray, second_N: np.ndarray, n: int) -> float:
    """|both tops|/|either top|, a top being every score at or above the n-th highest; NaN for n records or fewer.

    >>> jaccard_of_top(np.array([1.0, 2, 3, 4]), np.array([4.0, 1, 2, 3]), n=2)
    0.3333333333333333
    """
    if len(first_N) <= n:
        return math.nan
    tops = [values >= np.sort(values)[-n] for values in (first_N, second_N)]
    return float((tops[0] & tops[1]).sum() / (tops[0] | tops[1]).sum())


def common(first_N: np.ndarray, second_N: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both without the records that either misses.

    >>> [scores.tolist() for scores in common(np.array([1.0, np.nan, 3.0]), np.array([4.0, 5.0, 6.0]))]
    [[1.0, 3.0], [4.0, 6.0]]
    """
    there_N = ~(np.isnan(first_N) | np.isnan(second_N))
    return np.asarray(first_N)[there_N], np.asarray(second_N)[there_N]


def _rank_from_top(scores_N: np.ndarray) -> np.ndarray:
    """Rank from the top over the records that have a score, ties their mean, (N,); NaN where missing."""
    scores_N = np.asarray(scores_N, dtype=np.float64)
    known_N = ~np.isnan(scores_N)
    ranks_N = np.full(len(scores_N), np.nan)
    ranks_N[known_N] = rankdata(-scores_N[known_N]) / max(int(known_N.sum()), 1)
    return ranks_N


def _mean_of_known(values_XN: np.ndarray) -> np.ndarray:
    """Mean over the first axis of what is not NaN, (N,); NaN where all is."""
    known_XN = ~np.isnan(values_XN)
    total_N: np.ndarray = np.where(known_XN, values_XN, 0.0).sum(axis=0)
    count_N: np.ndarray = known_XN.sum(axis=0)
    return np.divide(total_N, count_N, out=np.full(total_N.shape, np.nan), where=count_N > 0)


def _check_attacks(scores: Mapping[str, np.ndarray], n: int) -> None:
    if n < 1:
        raise ValueError(f"n must be at least 1, got {n}")
    lengths = {attack: len(values) for attack, values in scores.items()}
    if len(set(lengths.values())) != 1:
        raise ValueError(f"attacks must score the same records, got {lengths or 'no attack'}")
