# pyright: reportMissingTypeStubs=false, reportUnknownVariableType=false
"""The true-positive rate at a low false-positive rate: intervals by document, and the convention of published figures.

Axes: P members · Q non-members · C calibration records · X positions of the cut among the calibration records.
"""

import math
from collections.abc import Sequence

import numpy as np
from scipy.special import betainc

from byrote.statistics.bootstrap import Areas
from byrote.statistics.intervals import clopper_pearson
from byrote.statistics.roc import rate_at, threshold_at_most

FEWEST_ABOVE = 4  # calibration records above the cut, below which the cut is too uncertain for an interval
_POSITIONS = 51  # of the cut, of equal probability
_HALVINGS = 20  # of an interval of rates: exact to 1e-6


def design_effect(called: np.ndarray, groups: Sequence[object] | np.ndarray) -> float:
    """How much wider documents make the variance of a share than independent records would; at least 1.

    called (N,): bool · groups (N,): document of each. With r the share and s the sum of called − r within each of G
    documents: G/(G − 1)·Σs² over N/(N − 1)·N·r·(1 − r), two estimates of one variance (Kish 1965). Exactly 1 where
    every record is a document of its own, and taken as 1 where all or none are called; NaN for fewer than two
    documents.

    >>> round(design_effect(np.array([1, 1, 0, 0, 1, 1]), ["a", "a", "b", "b", "c", "c"]), 3)
    2.5
    """
    called = np.asarray(called, dtype=bool)
    _, document = np.unique(np.asarray(groups), return_inverse=True)
    documents = int(document.max()) + 1 if len(document) else 0
    if documents < 2:
        return math.nan
    share = float(called.mean())
    if share in (0.0, 1.0):
        return 1.0
    sums = np.bincount(document, weights=called - share)
    variance = float(sums @ sums) * documents / (documents - 1)
    return max(1.0, variance / (len(called) ** 2 / (len(called) - 1) * share * (1 - share)))


def share_interval(
    called: np.ndarray, groups: Sequence[object] | np.ndarray, level: float = 0.95
) -> tuple[float, float]:
    """Clopper–Pearson with the counts divided by `design_effect` (Korn & Graubard 1998): of a share by document.

    (NaN, NaN) where there are fewer than two documents.

    >>> low, high = share_interval(np.arange(100) < 5, np.arange(100))
    >>> round(low, 3), round(high, 3)
    (0.016, 0.113)
    """
    design, of = design_effect(called, groups), len(called)
    if math.isnan(design):
        return math.nan, math.nan
    return clopper_pearson(float(np.sum(called)) / design, of / design, level)


def tpr_interval(
    members: np.ndarray,
    calibration: np.ndarray,
    member_groups: Sequence[object] | np.ndarray,
    calibration_groups: Sequence[object] | np.ndarray,
    rate: float,
    level: float = 0.95,
) -> tuple[float, float]:
    """Interval of the TPR at the score that a share `rate` of the *population* of non-members reaches.

    Two things are uncertain, where that score lies and what share of members reach it; records of one document are
    alike. Of C independent calibration records Bin(C, rate) lie above the score, so that its position x among them,
    counted from the highest, has the distribution function 1 − I_rate(x, C + 1 − x), I the regularized incomplete beta
    function (the law of order statistics). Between two calibration scores the number of members above it is
    interpolated. Given h of P members above, the TPR has Jeffreys' distribution Beta(h + ½, P − h + ½). The interval
    lies between the quantiles of the mixture over x. Documents: C, P and the counts are divided by `design_effect` on
    either side. At the threshold itself the TPR may lie outside only where scores tie; the interval is widened to it.
    No document may hold both members and calibration records. (NaN, NaN) where `why_no_tpr_interval` gives a reason.

    >>> members, calibration = 40 + np.arange(100.0), np.arange(100.0)
    >>> low, high = tpr_interval(members, calibration, np.arange(100), 100 + np.arange(100), rate=0.1)
    >>> round(low, 2), round(high, 2)
    (0.39, 0.62)
    """
    if why_no_tpr_interval(member_groups, calibration_groups, rate):
        return math.nan, math.nan
    threshold = threshold_at_most(calibration, rate)
    there = members >= threshold
    highest = np.sort(calibration)[::-1]
    cut = highest[_allowed(len(calibration), rate) - 1]
    position_X = _positions(len(calibration), rate, design_effect(calibration >= cut, calibration_groups))
    above = len(members) - np.searchsorted(np.sort(members), highest, side="left")
    hits_X = np.interp(position_X, np.arange(len(highest) + 2), np.concatenate([[0], above, [len(members)]]))
    design, tail = design_effect(there, member_groups), (1 - level) / 2
    low, high = _mixture_quantiles(
        hits_X / design + 0.5, (len(members) - hits_X) / design + 0.5, np.array([tail, 1 - tail])
    )
    share = float(there.mean())
    return min(float(low), share), max(float(high), share)


def weighted_tprs(members: np.ndarray, calibration: np.ndarray, rates: Sequence[float]) -> Areas:
    """The TPRs of weighted records at R rates as a statistic: weights (P, B) and (C, B) to values (R, B).

    The threshold is the lowest calibration score at which the weight at or above it is at most a rate of the whole
    (`roc.threshold_at_most` of repeated records); 0 where the highest weighs more. A NaN score leaves its record out.

    >>> tprs = weighted_tprs(np.array([5.0, 50.0]), np.arange(10.0), rates=[0.1, 0.5])
    >>> tprs(np.ones((2, 1)), np.ones((10, 1))).tolist()
    [[0.5], [1.0]]
    """
    order_P, order_C = _highest_first(members), _highest_first(calibration)
    scores_U, first_U = np.unique(-calibration[order_C], return_index=True)
    last_U = np.append(first_U[1:], len(order_C)) - 1  # of the calibration records at or above each distinct score
    at_U = np.searchsorted(-members[order_P], scores_U, side="right")  # members at or above it
    at_U1 = np.concatenate([[0], at_U])

    def tprs(weights_PB: np.ndarray, weights_CB: np.ndarray) -> np.ndarray:
        if not len(order_C):
            return np.full((len(rates), weights_CB.shape[1]), math.nan)
        above_UB = np.cumsum(weights_CB[order_C], axis=0)[last_U]  # the weight at or above each score
        held_PB = np.zeros((len(order_P) + 1, weights_PB.shape[1]))
        np.cumsum(weights_PB[order_P], axis=0, out=held_PB[1:])
        values: list[np.ndarray] = []
        for rate in rates:
            most_B = np.where(above_UB <= rate * above_UB[-1] + 1e-9, above_UB, 0).max(axis=0, initial=0)
            lowest_B = np.where(most_B > 0, (above_UB < most_B).sum(axis=0) + 1, 0)  # scores of weight 0 are not there
            hits_B, of_B = held_PB[at_U1[lowest_B], np.arange(len(most_B))], held_PB[-1]
            values.append(np.divide(hits_B, of_B, out=np.full(len(of_B), math.nan), where=of_B > 0))
        return np.stack(values)

    return tprs


def _highest_first(scores: np.ndarray) -> np.ndarray:
    """Positions of the scores there are, highest first."""
    return np.argsort(-scores, kind="stable")[: len(scores) - int(np.isnan(scores).sum())]


def why_no_tpr_interval(
    member_groups: Sequence[object] | np.ndarray, calibration_groups: Sequence[object] | np.ndarray, rate: float
) -> str | None:
    """Why `tpr_interval` gives none, or None where it does.

    >>> why_no_tpr_interval(range(100), range(100), rate=0.01)
    '1 calibration record is above the cut, and an interval takes at least 4'
    """
    allowed = _allowed(len(calibration_groups), rate)
    if allowed < FEWEST_ABOVE:
        records = "1 calibration record is" if allowed == 1 else f"{allowed} calibration records are"
        return f"{records} above the cut, and an interval takes at least {FEWEST_ABOVE}"
    for name, groups in (("members", member_groups), ("calibration records", calibration_groups)):
        if len(set(groups)) < 2:
            return f"the {name} come from fewer than two documents"
    return None


def published_point(members: np.ndarray, nonmembers: np.ndarray, rate: float) -> tuple[float, float, float]:
    """Threshold, TPR and FPR as papers print them: the largest TPR among ROC points with an FPR of at most `rate`.

    The threshold is chosen on the very records that are evaluated, so the TPR is flattered, and no interval belongs to
    it. Where the ⌊rate·Q⌋ + 1 highest non-members tie, the members above these count. Raises ValueError where fewer
    than 1/rate non-members cannot resolve the rate, and where no score is above those that tie.

    >>> published_point(np.array([5.5, 9.5, 20.0]), np.arange(10.0), rate=0.1)
    (9.0, 0.6666666666666666, 0.1)
    """
    allowed = _allowed(len(nonmembers), rate)
    if allowed < 1:
        raise ValueError(f"{len(nonmembers)} non-members cannot resolve a false-positive rate of {rate:g}")
    above = np.concatenate([members, nonmembers])
    if allowed < len(nonmembers):
        cut = np.sort(nonmembers)[-1 - allowed]
        above = above[above > cut]
    if not len(above):
        ties = int((nonmembers == nonmembers.max()).sum())
        raise ValueError(
            f"{ties} of {len(nonmembers)} non-members tie at the highest score: no point of the ROC curve but its "
            f"origin keeps a false-positive rate of {rate:g}"
        )
    threshold = float(above.min())
    (hits, of), (wrong, others) = rate_at(members, threshold), rate_at(nonmembers, threshold)
    return threshold, hits / of if of else math.nan, wrong / others


def _allowed(records: int, rate: float) -> int:
    """How many of so many records `threshold_at_most` lets pass."""
    return math.floor(rate * records + 1e-9)


def _positions(calibration: int, rate: float, design: float) -> np.ndarray:
    """Positions (X,) of the true cut among the calibration scores from the highest, 0 to C + 1, of equal probability.

    With a design effect d the number above the cut is as uncertain as that of C/d records; x is shrunk about ½, for a
    cut with k records above lies at k + ½ on average.
    """
    x = np.arange(calibration + 2)
    shrunk, effective = (x - 0.5) / design + 0.5, calibration / design
    inside = (shrunk > 0) & (shrunk < effective + 1)
    below = (shrunk >= effective + 1).astype(float)
    below[inside] = 1 - betainc(shrunk[inside], effective + 1 - shrunk[inside], rate)
    return np.interp((np.arange(_POSITIONS) + 0.5) / _POSITIONS, below, x)


def _mixture_quantiles(a_X: np.ndarray, b_X: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Quantiles, as many as shares, of the even mixture of Beta(a, b) over X, by bisection."""
    low, high = np.zeros(len(shares)), np.ones(len(shares))
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        short = betainc(a_X, b_X, middle[:, None]).mean(axis=1) < shares
        low, high = np.where(short, middle, low), np.where(short, high, middle)
    return (low + high) / 2
