"""Verdicts on stated hypotheses, against Student's test, brute force and cases whose answer is plain."""

import math

import numpy as np
import pytest
from scipy.stats import norm, t, ttest_1samp

from byrote.statistics.hypotheses import (
    Comparison,
    Judged,
    half_width,
    judge_above,
    judge_levels_off,
    judge_same,
    p_above,
    p_below,
    p_within,
    seeds_to_decide,
    verdicts,
)
from byrote.statistics.paired import holm

ERROR = 0.025


def around(mean: float, spread: float = 0.002, seeds: int = 5, shared: float = 0.0) -> Comparison:
    """Differences with just this mean and standard deviation."""
    steps = np.arange(seeds) - (seeds - 1) / 2
    return Comparison(mean + spread * steps / steps.std(ddof=1), shared)


@pytest.mark.parametrize("mean", [-0.05, 0.0, 0.019, 0.02, 0.021, 0.1])
def test_without_a_shared_part_p_is_students(mean: float):
    comparison = around(mean, 0.01, 7)
    for bound in (-0.02, 0.0, 0.02):
        expected = ttest_1samp(comparison.differences, bound, alternative="greater").pvalue
        assert p_above(comparison, bound) == pytest.approx(expected, abs=1e-8)
        assert p_below(comparison, bound) == pytest.approx(1 - expected, abs=1e-8)


def test_with_a_shared_part_p_is_the_error_at_which_the_bound_meets_the_value():
    comparison = around(0.03, 0.01, 6, shared=1e-4)
    p = p_above(comparison, 0.02)
    bound = math.sqrt(t.ppf(1 - p, 5) ** 2 * 0.01**2 / 6 + norm.ppf(1 - p) ** 2 * 1e-4)
    assert bound == pytest.approx(0.01, abs=1e-6)
    assert half_width(comparison, p) == pytest.approx(0.01, abs=1e-6)
    assert p > p_above(around(0.03, 0.01, 6), 0.02)


def test_inside_the_margin_takes_both_tests():
    comparison = around(0.012, 0.004)
    by_hand = [
        ttest_1samp(comparison.differences, b, alternative=a).pvalue for b, a in ((-0.02, "greater"), (0.02, "less"))
    ]
    assert p_within(comparison, 0.02) == pytest.approx(max(by_hand), abs=1e-8)


def test_holm_is_the_step_down_by_hand():
    generator = np.random.default_rng(0)
    for size in (1, 2, 5, 9):
        p_values = generator.random(size).tolist()
        ordered = sorted(p_values)
        steps = [min(1.0, max((size - j) * ordered[j] for j in range(i + 1))) for i in range(size)]
        assert holm(p_values) == pytest.approx([steps[ordered.index(p)] for p in p_values])


@pytest.mark.parametrize(
    ("means", "verdict"),
    [
        ([0.06, 0.05, 0.07], "supported"),
        ([0.06, 0.05, 0.0], "contradicted"),
        ([0.06, 0.05, -0.3], "contradicted"),
        ([0.06, 0.05, 0.021], "undecided"),
    ],
)
def test_above_asks_for_every_difference(means: list[float], verdict: str):
    judged = judge_above([around(mean) for mean in means], 0.02)
    assert judged.weakest == int(np.argmin(means))
    assert verdicts([judged], ERROR)[0][0] == verdict


@pytest.mark.parametrize(
    ("means", "verdict"),
    [([0.0, 0.01], "supported"), ([0.0, -0.04], "contradicted"), ([0.04, 0.0], "contradicted"), ([0.019], "undecided")],
)
def test_same_asks_for_every_difference(means: list[float], verdict: str):
    judged = judge_same([around(mean) for mean in means], 0.02)
    assert judged.weakest == int(np.argmax(np.abs(means)))
    assert verdicts([judged], ERROR)[0][0] == verdict


@pytest.mark.parametrize(
    ("from_last", "verdict", "plateau"),
    [
        ([0.20, 0.10, 0.01, 0.0], "supported", 2),
        ([0.20, 0.01, 0.10, 0.0], "supported", 3),
        ([0.20, 0.15, 0.10, 0.05], "contradicted", None),
        ([0.0, 0.0, 0.0, 0.0], "contradicted", 0),
        ([0.20, 0.15, 0.10, 0.0195], "undecided", None),
    ],
)
def test_levelling_off_asks_for_a_rise_and_for_an_end_of_it(from_last: list[float], verdict: str, plateau: int | None):
    judged = judge_levels_off([around(mean) for mean in from_last], 0.02, ERROR)
    assert judged.plateau == plateau
    assert verdicts([judged], ERROR)[0][0] == verdict


def test_a_family_makes_each_verdict_harder():
    alone, other = Judged(0.02, 1.0, 0), Judged(0.9, 1.0, 0)
    assert [v for v, *_ in verdicts([alone], ERROR)] == ["supported"]
    assert [v for v, *_ in verdicts([alone, other], ERROR)] == ["undecided", "undecided"]
    assert [v for v, *_ in verdicts([Judged(1.0, 0.001, 0), other], ERROR)] == ["contradicted", "undecided"]


@pytest.mark.parametrize("shared", [0.0, 2e-5])
def test_seeds_that_would_decide_are_the_first_that_do(shared: float):
    comparison = around(0.03, 0.02, shared=shared)
    needed = seeds_to_decide(comparison, 0.01, ERROR)
    widths = [half_width(comparison, ERROR, seeds) for seeds in range(2, 200)]
    assert needed == 2 + next(i for i, width in enumerate(widths) if width < 0.01)
    assert seeds_to_decide(around(0.03, 0.02, shared=1e-3), 0.01, ERROR) is None
