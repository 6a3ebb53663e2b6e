# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
"""A lower bound on ε from one training run with many canaries (Steinke, Nasr, Jagielski 2023).

m canaries, each planted or not by a fair coin of its own; r of them are guessed in or out from their scores, v guesses
are right. r is fixed before the scores are seen. The bound is at record level only where a planted canary has one copy:
with c copies it bounds groups of c, and must not be compared with an ε of single records.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from scipy.special import expit
from scipy.stats import binom, binomtest

FEW_CANARIES = 200
FEWEST_GUESSES = 20
_IMPOSSIBLE = 1e-6  # chance under fair coins below which the coins were not fair
_GOLDEN = (math.sqrt(5) - 1) / 2
_HALVINGS = 60


def p_value(canaries: int, guesses: int, right: int, epsilon: float, delta: float) -> float:
    """An upper bound on the chance, under (ε, δ)-differential privacy, of at least `right` right guesses.

    q = 1/(1+e^−ε), B ~ Bin(guesses, q); β = P[B ≥ right]; α = max_i P[right > B ≥ right − i]/i;
    p = min(1, β + 2·canaries·δ·α) (Steinke et al. 2023). Both are sums of positive terms, so small values keep their
    precision; below 1e-308 they underflow to 0. Raises ValueError for impossible counts and for ε or δ out of range.

    >>> round(p_value(canaries=100, guesses=100, right=65, epsilon=0.0, delta=0.0), 4)
    0.0018
    """
    _check_counts(canaries, guesses, right)
    _check_level(0.05, delta)
    if not epsilon >= 0:
        raise ValueError(f"epsilon must be at least 0, got {epsilon}")
    q = float(expit(epsilon))
    beta = float(binom.sf(right - 1, guesses, q))
    below_I = np.cumsum(binom.pmf(np.arange(right - 1, -1, -1), guesses, q))
    alpha = float(np.max(below_I / np.arange(1, right + 1), initial=0.0))
    return min(1.0, beta + 2 * canaries * delta * alpha)


def epsilon_lower_bound(canaries: int, guesses: int, right: int, delta: float, level: float = 0.05) -> float:
    """The largest ε with p ≤ level, by bisection from below (its own p is ≤ level); 0 where there is none.

    β rises with ε (binomials with a larger q are stochastically larger) and tends to 1, so the search ends. α may fall
    with ε, but only where β is above 1/4: not proved, but checked for every count up to 120 guesses, and with many
    guesses that point moves up towards 1/e. Hence the level must be below 1/4: there p rises with ε up to the
    crossing and stays above the level after it, so there is one crossing. Rises with `right`, falls with δ.
    Raises ValueError as `p_value` does, and for a level outside (0, 1/4).

    >>> round(epsilon_lower_bound(canaries=100, guesses=100, right=80, delta=1e-5), 2)
    0.96
    """
    _check_level(level, delta)
    if p_value(canaries, guesses, right, 0.0, delta) > level:
        return 0.0
    return largest_where(lambda epsilon: p_value(canaries, guesses, right, epsilon, delta) <= level)


def largest_where(holds: Callable[[float], bool]) -> float:
    """The largest number at which something holds that holds at 0 and from some number on no more: by doubling, then by
    bisection from below.

    >>> round(largest_where(lambda x: x * x <= 2), 6)
    1.414214
    """
    low, high = 0.0, 1.0
    while holds(high):
        low, high = high, 2 * high
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low


_known_bound = lru_cache(maxsize=1 << 12)(epsilon_lower_bound)  # the same counts come again in every trial


def largest_showable(canaries: int, guesses: int, delta: float, level: float = 0.05) -> float:
    """The bound when every guess is right: the largest ε that so many canaries and guesses can show.

    >>> round(largest_showable(canaries=100, guesses=100, delta=1e-5), 2)
    3.49
    """
    return epsilon_lower_bound(canaries, guesses, guesses, delta, level)


def guesses_of(asked: int | Literal["all"] | None, canaries: int) -> int:
    """How many of so many canaries are guessed, an even number: as many as were asked for, all, or by default (None) a
    quarter, at least FEWEST_GUESSES; never more than there are.

    Where an attack is sure of few canaries, guesses on the others are right by chance and lower the bound; a quarter is
    fixed before the scores are seen, and leaves these out.

    >>> guesses_of(None, 240), guesses_of(None, 50), guesses_of("all", 51), guesses_of(100, 240)
    (60, 20, 50, 100)
    """
    if asked is None:
        asked = max(FEWEST_GUESSES, canaries // 4)
    most = canaries if asked == "all" else min(asked, canaries)
    return most - most % 2


def guess(scores_M: np.ndarray, guesses: int) -> np.ndarray:
    """+1 (in) for the guesses/2 highest scores, −1 (out) for the guesses/2 lowest, 0 for the rest, int (M,).

    Ties are broken by position, spread by the golden ratio: it is the same for any truth, and where canaries happen to
    lie sorted by truth it still takes about as many of either kind. A canary without a score (NaN) is never guessed.
    Raises ValueError for an odd number of guesses, or more than there are canaries with a score.

    >>> guess(np.array([0.1, 0.9, 0.5, 0.4]), guesses=2).tolist()
    [-1, 1, 0, 0]
    """
    scores_M = np.asarray(scores_M, dtype=np.float64)
    scored = int((~np.isnan(scores_M)).sum())
    if guesses < 2 or guesses % 2:
        raise ValueError(f"guesses must be even and at least 2 (half in, half out), got {guesses}")
    if guesses > scored:
        raise ValueError(f"{guesses} guesses from {scored} canaries with a score; ask for at most {scored // 2 * 2}")
    spread_M = np.arange(len(scores_M)) * _GOLDEN % 1
    order = np.lexsort((spread_M, scores_M))[:scored]  # NaN sorts last
    signs_M = np.zeros(len(scores_M), dtype=np.int64)
    signs_M[order[: guesses // 2]] = -1
    signs_M[order[-(guesses // 2) :]] = 1
    return signs_M


@dataclass(frozen=True)
class Audit:
    """`right` of `guesses` guesses on `canaries` canaries. epsilon_low: the bound (0: nothing shown). largest: what all
    right would show. p_null: p at ε = 0 and the same δ. note: what to know before quoting it, else empty."""

    canaries: int
    guesses: int
    right: int
    epsilon_low: float
    largest: float
    p_null: float
    note: str


def audit(scores_M: np.ndarray, is_in_M: np.ndarray, guesses: int, delta: float, level: float = 0.05) -> Audit:
    """Guess, count and bound. scores_M: higher = in. is_in_M: bool, each the outcome of a fair coin.

    Raises ValueError as `guess` and `epsilon_lower_bound` do, for arrays that do not fit, and where so many or so few
    canaries are in that the coins cannot have been fair (chance below 1e-6): guessing all in would then be right.

    >>> is_in = np.arange(40) % 2 == 0
    >>> bound = audit(is_in + 0.01 * np.arange(40), is_in, guesses=20, delta=1e-5)
    >>> bound.right, round(bound.epsilon_low, 2), round(bound.largest, 2)
    (20, 1.82, 1.82)
    """
    scores_M, is_in_M = np.asarray(scores_M), np.asarray(is_in_M)
    if scores_M.shape != is_in_M.shape or scores_M.ndim != 1 or is_in_M.dtype != np.bool_:
        shapes = f"{scores_M.shape} and {is_in_M.shape} {is_in_M.dtype}"
        raise ValueError(f"scores_M and is_in_M must be (M,), the latter bool; got {shapes}")
    canaries, planted = len(scores_M), int(is_in_M.sum())
    signs_M = guess(scores_M, guesses)
    if binomtest(planted, canaries).pvalue < _IMPOSSIBLE:
        raise ValueError(f"{planted} of {canaries} canaries are in; the audit needs each in with chance 1/2")
    right = int((signs_M[is_in_M] == 1).sum() + (signs_M[~is_in_M] == -1).sum())
    largest = _known_bound(canaries, guesses, guesses, delta, level)
    note = f"{canaries} canaries, fewer than {FEW_CANARIES}: at most ε = {largest:.3g} could be shown"
    return Audit(
        canaries=canaries,
        guesses=guesses,
        right=right,
        epsilon_low=_known_bound(canaries, guesses, right, delta, level),
        largest=largest,
        p_null=p_value(canaries, guesses, right, 0.0, delta),
        note=note if canaries < FEW_CANARIES else "",
    )


def _check_counts(canaries: int, guesses: int, right: int) -> None:
    if canaries < 1:
        raise ValueError(f"canaries must be at least 1, got {canaries}")
    if not 1 <= guesses <= canaries:
        raise ValueError(f"guesses must be from 1 to the {canaries} canaries, got {guesses}")
    if not 0 <= right <= guesses:
        raise ValueError(f"right must be from 0 to the {guesses} guesses, got {right}")


def _check_level(level: float, delta: float) -> None:
    if not 0 <= delta < 1:
        raise ValueError(f"delta must be at least 0 and below 1, got {delta}")
    if not 0 < level < 0.25:
        raise ValueError(f"level must be between 0 and 0.25, got {level}")
