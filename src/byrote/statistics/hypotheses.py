# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false
"""Hypotheses about configurations that were stated before the results: supported, contradicted or undecided.

Axes: S seeds, at least `seeds.ENOUGH`. A comparison is of two configurations, its differences of areas paired by seed.
"""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from byrote.statistics.paired import holm
from byrote.statistics.seeds import half_width as seeds_half_width

MOST_SEEDS = 1000  # beyond which no number of seeds is named
Verdict = Literal["supported", "contradicted", "undecided"]


@dataclass(frozen=True)
class Comparison:
    """Differences of areas (S,) of one configuration minus another, and the variance of their mean that all seeds
    share, which more seeds do not shrink (mean off the diagonal of their sampling covariance; 0: these records)."""

    differences: np.ndarray
    shared: float = 0.0

    @property
    def mean(self) -> float:
        """The mean difference."""
        return float(self.differences.mean())

    @property
    def seeds(self) -> int:
        """How many seeds."""
        return len(self.differences)

    @property
    def among(self) -> float:
        """The variance among the differences."""
        return float(self.differences.var(ddof=1))


@dataclass(frozen=True)
class Judged:
    """p of what supports the hypothesis and of what contradicts it, each the chance of such data where the opposite
    holds; `weakest`: the comparison, by position, on which that rests; `plateau`: of `levels_off`, the position of the
    first configuration from which on all are within the margin of the last, None where there is none."""

    support: float
    contradict: float
    weakest: int
    plateau: int | None = None


def half_width(comparison: Comparison, error: float, seeds: int | None = None) -> float:
    """Distance of a one-sided bound of the given error from the mean (`seeds.half_width`).

    seeds: as if there were so many with the same variance among them.

    >>> round(half_width(Comparison(np.array([0.01, 0.03, 0.02, 0.04, 0.00])), 0.025), 4)
    0.0196
    """
    return seeds_half_width(comparison.among, seeds or comparison.seeds, comparison.shared, 1 - error)


def p_above(comparison: Comparison, bound: float) -> float:
    """p of a mean difference above `bound`: the error at which its one-sided lower bound is at `bound`.

    Without a shared part this is Student's t-test. Found by bisection, to 1e-9.

    >>> round(p_above(Comparison(np.array([0.01, 0.03, 0.02, 0.04, 0.00])), 0.0), 4)
    0.0237
    """
    distance = comparison.mean - bound
    low, high = 0.0, 0.5  # the half-width falls from infinity to 0 between these errors
    while high - low > 1e-9:
        middle = (low + high) / 2
        low, high = (middle, high) if half_width(comparison, middle) > abs(distance) else (low, middle)
    return high if distance > 0 else 1 - high


def p_below(comparison: Comparison, bound: float) -> float:
    """p of a mean difference below `bound`.

    >>> round(p_below(Comparison(np.array([0.01, 0.03, 0.02, 0.04, 0.00])), 0.0), 4)
    0.9763
    """
    return 1 - p_above(comparison, bound)


def p_within(comparison: Comparison, margin: float) -> float:
    """p of a mean difference inside ±margin: two one-sided tests (Schuirmann 1987).

    >>> p_within(Comparison(np.array([0.001, -0.001, 0.002, 0.0, 0.001])), 0.02) < 1e-4
    True
    """
    return max(p_above(comparison, -margin), p_below(comparison, margin))


def judge_above(comparisons: Sequence[Comparison], margin: float) -> Judged:
    """Every difference is above the margin. Supported where all of them are (an intersection-union test: no correction
    within the hypothesis, Berger 1982); contradicted where some is below the margin (Bonferroni within it).

    >>> judge_above([Comparison(np.array([0.05, 0.06, 0.05, 0.06, 0.05]))], 0.02).support < 0.001
    True
    """
    support = [p_above(comparison, margin) for comparison in comparisons]
    against = [p_below(comparison, margin) for comparison in comparisons]
    weakest = int(np.argmin([comparison.mean for comparison in comparisons]))
    return Judged(max(support), min(1.0, len(against) * min(against)), weakest)


def judge_same(comparisons: Sequence[Comparison], margin: float) -> Judged:
    """Every difference is inside ±margin. Supported where all of them are (`p_within`); contradicted where some is
    outside it, on either side.

    >>> judge_same([Comparison(np.array([0.05, 0.06, 0.05, 0.06, 0.05]))], 0.02).contradict < 0.01
    True
    """
    support = [p_within(comparison, margin) for comparison in comparisons]
    beyond = [min(p_above(c, margin), p_below(c, -margin)) for c in comparisons]
    weakest = int(np.argmax([abs(comparison.mean) for comparison in comparisons]))
    return Judged(max(support), min(1.0, 2 * len(beyond) * min(beyond)), weakest)


def judge_levels_off(from_last: Sequence[Comparison], margin: float, error: float) -> Judged:
    """Configurations in order rise and level off. from_last: the last minus each of the others, in order.

    Supported where the last is above the first by the margin and the last but one is inside ±margin of it; contradicted
    where the last is not above the first by the margin, or is above the last but one by it. `plateau` goes back from
    the last but one as long as each is within the margin at `error`: a fixed sequence, which needs no correction.

    >>> to_first, to_second = np.array([0.10, 0.11, 0.10, 0.11, 0.10]), np.array([0.0, 0.001, 0.0, 0.002, 0.0])
    >>> judge_levels_off([Comparison(to_first), Comparison(to_second)], 0.02, 0.025).plateau
    1
    """
    first, before = from_last[0], from_last[-1]
    support = max(p_above(first, margin), p_within(before, margin))
    contradict = min(1.0, 2 * min(p_below(first, margin), p_above(before, margin)))
    plateau = None
    for position in range(len(from_last) - 1, -1, -1):
        if p_within(from_last[position], margin) > error:
            break
        plateau = position
    weakest = 0 if p_above(first, margin) >= p_within(before, margin) else len(from_last) - 1
    return Judged(support, contradict, weakest, plateau)


def verdicts(judged: Sequence[Judged], error: float) -> list[tuple[Verdict, float, float]]:
    """The verdict on each hypothesis of a family, with its two p, adjusted.

    Supports are one family and contradictions another, each corrected by Holm (1979) at `error`, so that the chance of
    any wrong verdict at all is at most 2·error.

    >>> verdicts([Judged(0.001, 0.9, 0), Judged(0.04, 0.8, 0)], 0.025)
    [('supported', 0.002, 1.0), ('undecided', 0.04, 1.0)]
    """
    support = holm([hypothesis.support for hypothesis in judged]).tolist()
    contradict = holm([hypothesis.contradict for hypothesis in judged]).tolist()
    return [(_verdict(s, c, error), s, c) for s, c in zip(support, contradict, strict=True)]


def _verdict(support: float, contradict: float, error: float) -> Verdict:
    if support <= error:
        return "supported"
    return "contradicted" if contradict <= error else "undecided"


def seeds_to_decide(comparison: Comparison, distance: float, error: float) -> int | None:
    """The smallest number of seeds whose bound would lie nearer to the mean than `distance` is, were mean and variance
    what they are now; None where even MOST_SEEDS would not do: more records would, or nothing.

    >>> seeds_to_decide(Comparison(np.array([0.01, 0.03, 0.02, 0.04, 0.00])), 0.01, 0.025)
    13
    """
    numbers = range(MOST_SEEDS + 1)
    first = bisect_left(numbers, True, lo=2, key=lambda seeds: half_width(comparison, error, seeds) < distance)
    return numbers[first] if first < len(numbers) else None
