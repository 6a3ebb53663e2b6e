# pyright: reportMissingTypeStubs=false, reportUnknownVariableType=false
"""ROC curve, its area, and thresholds that keep a false-positive rate. Score ≥ threshold calls a record a member.

Arrays: members (P,) and nonmembers (Q,) of finite or infinite scores, without NaN.
"""

import math

import numpy as np
from scipy.stats import rankdata


def auc(members: np.ndarray, nonmembers: np.ndarray) -> float:
    """Area under the ROC curve: the chance that a member scores above a non-member, ties half (Mann–Whitney).

    NaN where either side is empty.

    >>> auc(np.array([0.9, 0.4]), np.array([0.5, 0.1]))
    0.75
    """
    p, q = len(members), len(nonmembers)
    if p == 0 or q == 0:
        return math.nan
    ranks = rankdata(np.concatenate([members, nonmembers]))
    return float((ranks[:p].sum() - p * (p + 1) / 2) / (p * q))


def roc_curve(members: np.ndarray, nonmembers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """False-positive and true-positive rates (K,) from (0, 0) to (1, 1), a point a distinct score.

    Empty arrays where either side is empty.

    >>> fpr, tpr = roc_curve(np.array([0.9, 0.4]), np.array([0.5, 0.1]))
    >>> fpr.tolist(), tpr.tolist()
    ([0.0, 0.0, 0.5, 0.5, 1.0], [0.0, 0.5, 0.5, 1.0, 1.0])
    """
    if len(members) == 0 or len(nonmembers) == 0:
        return np.empty(0), np.empty(0)
    thresholds = np.unique(np.concatenate([members, nonmembers]))[::-1]
    rates = [
        np.concatenate([[0.0], (len(side) - np.searchsorted(np.sort(side), thresholds, side="left")) / len(side)])
        for side in (nonmembers, members)
    ]
    return rates[0], rates[1]


def corners(fpr: np.ndarray, tpr: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The points of a curve (K,) without those inside a level or an upright run, which lie on the line between its
    ends: the curve is the same (as scikit-learn's `roc_curve` with `drop_intermediate`).

    >>> fpr, tpr = corners(np.array([0.0, 0.0, 0.0, 1.0]), np.array([0.0, 0.5, 1.0, 1.0]))
    >>> fpr.tolist(), tpr.tolist()
    ([0.0, 0.0, 1.0], [0.0, 1.0, 1.0])
    """
    if len(fpr) < 3:
        return fpr, tpr
    level, upright = np.diff(tpr) == 0, np.diff(fpr) == 0
    inside = (level[1:] & level[:-1]) | (upright[1:] & upright[:-1])
    kept = np.concatenate([[True], ~inside, [True]])
    return fpr[kept], tpr[kept]


def threshold_at_most(nonmembers: np.ndarray, rate: float) -> float:
    """The highest threshold that calls as many of the non-members members as `rate` allows: one of their own scores.

    Of n non-members k = ⌊rate·n⌋ may be called. The threshold lies on the lowest score of those above the cut, not
    just above the next lower one: it calls the same, and of fresh non-members a share whose mean is at most k/(n + 1),
    so never above `rate`. Raises ValueError where fewer than 1/rate non-members cannot resolve the rate, and where more
    than k share the highest score: above those a threshold calls nobody, and its rates say nothing of the attack.

    >>> threshold_at_most(np.arange(100.0), rate=0.05)
    95.0
    """
    allowed = math.floor(rate * len(nonmembers) + 1e-9)
    if allowed < 1:
        raise ValueError(f"{len(nonmembers)} non-members cannot resolve a false-positive rate of {rate:g}")
    if allowed >= len(nonmembers):
        return -math.inf
    ascending = np.sort(nonmembers)
    cut = ascending[-1 - allowed]
    above = ascending[ascending > cut]
    if not len(above):
        tied = int((ascending == cut).sum())
        raise ValueError(
            f"{tied} of {len(nonmembers)} non-members share the highest score: no threshold among them keeps a "
            f"false-positive rate of {rate:g}"
        )
    return float(above[0])


def rate_at(scores: np.ndarray, threshold: float) -> tuple[int, int]:
    """How many scores are at or above the threshold, of how many.

    >>> rate_at(np.array([0.2, 0.7, 0.9]), threshold=0.7)
    (2, 3)
    """
    return int((scores >= threshold).sum()), len(scores)
