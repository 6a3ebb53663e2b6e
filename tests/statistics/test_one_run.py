"""The one-run audit against exact fractions, an independent library, hand-worked cases and a null simulation."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from jax_privacy.auditing import CanaryScoreAuditor, Explicit

from byrote.statistics.one_run import audit, epsilon_lower_bound, guess, largest_showable, p_value

counts = st.integers(1, 40).flatmap(lambda r: st.tuples(st.integers(r, 80), st.just(r), st.integers(0, r)))


def by_fractions(canaries: int, guesses: int, right: int, odds: int, delta: Fraction) -> Fraction:
    """p at ε = log(odds), q = odds/(1 + odds), term by term."""
    q = Fraction(odds, 1 + odds)
    chance = [math.comb(guesses, j) * q**j * (1 - q) ** (guesses - j) for j in range(guesses + 1)]
    beta = sum(chance[right:])
    alpha = max(
        (Fraction(sum(c for j, c in enumerate(chance) if right - i <= j < right), i) for i in range(1, canaries + 1)),
        default=Fraction(0),
    )
    return min(Fraction(1), beta + 2 * canaries * delta * alpha)


@given(counts, st.integers(1, 30), st.sampled_from([0, 1e-6, 1e-3, 0.1, 0.5]))
def test_p_is_the_formula_in_fractions(numbers: tuple[int, int, int], odds: int, delta: float):
    want = by_fractions(*numbers, odds, Fraction(delta))
    assert p_value(*numbers, math.log(odds), delta) == pytest.approx(float(want), rel=1e-10)


def test_hand_worked_p():
    assert p_value(2, 2, 2, 0.0, 0.0) == pytest.approx(1 / 4)
    assert p_value(2, 2, 2, 0.0, 0.01) == pytest.approx(0.25 + 2 * 2 * 0.01 * 0.5)  # α = P[B = 1]/1
    assert p_value(10, 2, 1, 0.0, 0.0) == pytest.approx(3 / 4)
    assert p_value(10, 3, 0, 5.0, 0.0) == 1
    assert p_value(1000, 1000, 1000, 0.0, 0.0) == pytest.approx(2.0**-1000)


@pytest.mark.parametrize(("guesses", "level"), [(10, 0.05), (100, 0.05), (1000, 0.01), (4, 0.1)])
def test_all_right_has_a_closed_form(guesses: int, level: float):
    """δ = 0 and v = r: q^r = level, so ε = logit(level^(1/r))."""
    q = level ** (1 / guesses)
    assert epsilon_lower_bound(guesses, guesses, guesses, 0.0, level) == pytest.approx(math.log(q / (1 - q)), abs=1e-9)
    assert largest_showable(guesses, guesses, 0.0, level) == pytest.approx(math.log(q / (1 - q)), abs=1e-9)


def test_largest_showable_grows_with_guesses_and_four_guesses_show_nothing_at_five_percent():
    shown = [largest_showable(1000, r, 1e-5) for r in (4, 10, 50, 200, 1000)]
    assert shown[0] == 0  # 2⁻⁴ > 0.05
    assert (np.diff(shown) > 0).all()


@pytest.mark.parametrize("delta", [1e-8, 1e-5, 1e-3])
@pytest.mark.parametrize("significance", [0.01, 0.05, 0.1])
@pytest.mark.parametrize(("canaries", "shift", "threshold"), [(60, 2.0, 1.0), (300, 2.5, 1.5), (1000, 4.0, 2.0)])
def test_the_bound_is_that_of_jax_privacy(
    canaries: int, shift: float, threshold: float, significance: float, delta: float
):
    generator = np.random.default_rng(canaries)
    inside, outside = generator.normal(shift, 1, canaries // 2), generator.normal(0, 1, canaries // 2)
    right = int((inside >= threshold).sum())
    guesses = right + int((outside >= threshold).sum())
    want = CanaryScoreAuditor(inside, outside).epsilon_one_run(
        significance, delta, threshold_strategy=Explicit(threshold)
    )
    assert want > 0
    assert epsilon_lower_bound(canaries, guesses, right, delta, significance) == pytest.approx(want, abs=2e-6)


@given(counts, st.sampled_from([0.0, 1e-5, 1e-3, 0.05]), st.sampled_from([0.01, 0.05, 0.24]))
def test_the_bound_is_the_largest_epsilon_with_p_at_most_level(
    numbers: tuple[int, int, int], delta: float, level: float
):
    """p is at most the level all the way up to the bound, and above it all the way after."""
    bound = epsilon_lower_bound(*numbers, delta, level)
    for epsilon in np.linspace(0, bound, 7) if bound > 0 else []:
        assert p_value(*numbers, epsilon, delta) <= level
    for epsilon in bound + np.array([1e-6, 0.01, 0.1, 0.5, 1, 2, 5, 50]):
        assert p_value(*numbers, epsilon, delta) > level


@given(counts, st.sampled_from([0.0, 1e-4, 0.01, 0.3]))
def test_p_rises_with_epsilon_below_a_quarter(numbers: tuple[int, int, int], delta: float):
    p = np.array([p_value(*numbers, epsilon, delta) for epsilon in np.linspace(0, 8, 41)])
    assert (np.diff(p)[p[1:] < 0.25] >= -1e-15).all()


@given(counts, st.sampled_from([0.0, 1e-5, 1e-3]))
def test_the_bound_rises_with_right_and_falls_with_delta_and_canaries(numbers: tuple[int, int, int], delta: float):
    canaries, guesses, right = numbers
    assume(right < guesses)
    bound = epsilon_lower_bound(canaries, guesses, right, delta)
    assert bound <= epsilon_lower_bound(canaries, guesses, right + 1, delta) + 1e-9
    assert bound >= epsilon_lower_bound(canaries, guesses, right, 2 * delta + 1e-6) - 1e-9
    assert bound >= epsilon_lower_bound(canaries + 50, guesses, right, delta) - 1e-9
    assert bound >= epsilon_lower_bound(canaries, guesses, right, delta, 0.01) - 1e-9


def test_guesses_take_the_ends():
    assert guess(np.array([0.3, 9.0, -2.0, 0.1, 5.0, -7.0]), 4).tolist() == [0, 1, -1, 0, 1, -1]
    assert guess(np.array([math.inf, 1.0, 0.0, -math.inf]), 2).tolist() == [1, 0, 0, -1]
    assert guess(np.array([math.nan, 3.0, 1.0, math.nan, 2.0]), 2).tolist() == [0, 1, -1, 0, 0]


@given(st.lists(st.integers(-3, 3).map(float), min_size=2, max_size=30), st.data())
def test_guesses_are_as_many_as_asked_and_in_order(scores: list[float], data):
    guesses = 2 * data.draw(st.integers(1, len(scores) // 2))
    signs = guess(np.array(scores), guesses)
    assert ((signs == 1).sum(), (signs == -1).sum()) == (guesses // 2, guesses // 2)
    lowest_in = min(s for s, g in zip(scores, signs, strict=True) if g == 1)
    assert all(s <= lowest_in for s, g in zip(scores, signs, strict=True) if g != 1)
    assert guess(np.array(scores) * 4 + 1, guesses).tolist() == signs.tolist()
    distinct = np.array(scores) + 0.01 * np.arange(len(scores))
    assert guess(-distinct, guesses).tolist() == (-guess(distinct, guesses)).tolist()
    assert guess(distinct[::-1], guesses).tolist() == guess(distinct, guesses)[::-1].tolist()


@pytest.mark.parametrize("planted_first", [True, False])
def test_equal_scores_of_canaries_sorted_by_truth_are_right_half_the_time(planted_first: bool):
    is_in = np.array([planted_first] * 100 + [not planted_first] * 100)
    result = audit(np.zeros(200), is_in, 100, 0.0)
    assert 40 <= result.right <= 60
    assert result.epsilon_low == 0


def test_an_audit_counts_and_bounds():
    is_in = np.array([True, False] * 150)
    scores = np.where(is_in, 1.0, 0.0) + np.linspace(0, 0.5, 300)
    scores[[0, 1]] = [-5.0, 5.0]  # two wrong
    result = audit(scores, is_in, 100, 1e-5)
    assert (result.canaries, result.guesses, result.right, result.note) == (300, 100, 98, "")
    assert result.epsilon_low == epsilon_lower_bound(300, 100, 98, 1e-5)
    assert result.largest == largest_showable(300, 100, 1e-5) > result.epsilon_low > 0
    assert result.p_null == p_value(300, 100, 98, 0.0, 1e-5)
    assert audit(-scores, is_in, 100, 1e-5).right == 2
    assert audit(-scores, is_in, 100, 1e-5).epsilon_low == 0


def test_few_canaries_are_noted():
    is_in = np.array([True, False] * 30)
    result = audit(np.where(is_in, 1.0, 0.0), is_in, 40, 0.0)
    assert "60 canaries, fewer than 200" in result.note
    assert f"ε = {result.largest:.3g}" in result.note


def test_without_memorization_the_bound_is_above_zero_in_at_most_level_of_runs():
    generator = np.random.default_rng(7)
    runs, level = 300, 0.05
    shown = sum(
        audit(generator.normal(size=40), generator.random(40) < 0.5, 20, 0.0, level).epsilon_low > 0
        for _ in range(runs)
    )
    assert shown / runs <= level + 3 * math.sqrt(level * (1 - level) / runs)


def test_at_a_true_epsilon_the_bound_is_above_it_in_at_most_level_of_runs():
    """Randomised response at ε tells each coin right with chance 1/(1+e^−ε): the worst case of pure ε."""
    generator, epsilon, level, runs = np.random.default_rng(8), 1.0, 0.05, 400
    right = generator.binomial(100, 1 / (1 + math.exp(-epsilon)), size=runs)
    bounds = np.array([epsilon_lower_bound(100, 100, int(v), 0.0, level) for v in set(right)])
    above = dict(zip(set(right), bounds > epsilon, strict=True))
    share = np.mean([above[v] for v in right])
    assert 0 < share <= level + 3 * math.sqrt(level * (1 - level) / runs)


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ((0, 1, 1, 0.0, 0.0), "canaries must be at least 1"),
        ((5, 6, 1, 0.0, 0.0), "guesses must be from 1 to the 5 canaries, got 6"),
        ((5, 0, 0, 0.0, 0.0), "guesses must be from 1"),
        ((5, 4, 5, 0.0, 0.0), "right must be from 0 to the 4 guesses, got 5"),
        ((5, 4, -1, 0.0, 0.0), "right must be"),
        ((5, 4, 3, -0.1, 0.0), "epsilon must be at least 0"),
        ((5, 4, 3, math.nan, 0.0), "epsilon must be at least 0"),
        ((5, 4, 3, 0.0, 1.0), "delta must be at least 0 and below 1, got 1"),
        ((5, 4, 3, 0.0, -1e-9), "delta must be"),
    ],
)
def test_impossible_numbers_are_errors(numbers: tuple[int, int, int, float, float], message: str):
    with pytest.raises(ValueError, match=message):
        p_value(*numbers)


def test_impossible_audits_are_errors():
    scores, is_in = np.arange(40.0), np.arange(40) % 2 == 0
    with pytest.raises(ValueError, match="guesses must be even and at least 2"):
        guess(scores, 3)
    with pytest.raises(ValueError, match="guesses must be even and at least 2"):
        guess(scores, 0)
    with pytest.raises(ValueError, match="4 guesses from 3 canaries with a score; ask for at most 2"):
        guess(np.array([1.0, 2.0, math.nan, 3.0]), 4)
    with pytest.raises(ValueError, match=r"level must be between 0 and 0\.25"):
        audit(scores, is_in, 10, 0.0, 0.3)
    with pytest.raises(ValueError, match=r"must be \(M,\)"):
        audit(scores, is_in[:-1], 10, 0.0)
    with pytest.raises(ValueError, match="int64"):
        audit(scores, is_in.astype(np.int64), 10, 0.0)
    with pytest.raises(ValueError, match="40 of 40 canaries are in; the audit needs each in with chance 1/2"):
        audit(scores, np.ones(40, dtype=bool), 10, 0.0)
