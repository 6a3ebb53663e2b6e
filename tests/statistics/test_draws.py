"""Chances of many draws against exact fractions and long decimals."""

import math
from decimal import Decimal, localcontext
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from byrote.statistics.draws import chance_of, draws_needed, extraction_rate, extraction_rates, log_one_minus

log_ps = st.floats(-40, 0)


def by_decimal(log_p: float, draws: int) -> float:
    """1 − (1 − e^log_p)ⁿ with 40 digits of the probability."""
    with localcontext() as context:
        context.prec = 40 + int(-log_p / 2)
        return float(1 - (1 - Decimal(log_p).exp()) ** draws)


def needed_by_decimal(log_p: float, chance: float) -> float:
    with localcontext() as context:
        context.prec = 40 + int(-log_p / 2)
        return float((1 - Decimal(chance)).ln() / (1 - Decimal(log_p).exp()).ln())


@pytest.mark.parametrize(
    ("p", "draws"), [(Fraction(1, 2), 1), (Fraction(1, 2), 2), (Fraction(1, 1024), 100), (Fraction(255, 256), 3)]
)
def test_chances_are_the_exact_fractions(p: Fraction, draws: int):
    assert chance_of(math.log(p), draws) == pytest.approx(float(1 - (1 - p) ** draws), rel=1e-14)


@given(log_ps, st.integers(1, 10**6))
def test_chances_are_those_of_long_decimals(log_p: float, draws: int):
    assert chance_of(log_p, draws) == pytest.approx(by_decimal(log_p, draws), rel=1e-12)


@pytest.mark.parametrize(("log_p", "draws"), [(-600.0, 10**6), (-720.0, 10**12), (-800.0, 10**300), (-1e-12, 2)])
def test_chances_at_the_ends_of_the_floats(log_p: float, draws: int):
    assert 0 < chance_of(log_p, draws) < 1 or log_p > -1
    assert chance_of(log_p, draws) == pytest.approx(by_decimal(log_p, draws), rel=1e-9)


def test_certain_impossible_and_missing_suffixes():
    chances = chance_of(np.array([0.0, 1e-9, -math.inf, math.nan]), 5)
    assert chances[:3].tolist() == [1.0, 1.0, 0.0]
    assert np.isnan(chances[3])
    needed = draws_needed(np.array([0.0, -math.inf, math.nan]), 0.5)
    assert needed[:2].tolist() == [1.0, math.inf]
    assert np.isnan(needed[2])
    assert extraction_rate(np.array([0.0, -math.inf, math.nan]), 5, 0.5) == (1, 2)
    assert extraction_rate(np.array([]), 5, 0.5) == (0, 0)


@given(st.lists(log_ps, min_size=2, max_size=9), st.integers(1, 1000))
def test_chance_rises_with_p_and_with_draws(values: list[float], draws: int):
    chances = chance_of(np.sort(values), draws)
    assert (np.diff(chances) >= 0).all()
    assert (chance_of(np.sort(values), draws + 1) >= chances).all()


@pytest.mark.parametrize(
    ("p", "chance", "draws"),
    [
        (0.5, 0.5, 1),
        (0.5, 0.75, 2),
        (0.5, 0.76, 3),
        (0.1, 0.19, 2),
        (0.1, 0.271, 3),
        (0.01, 0.5, 69),
        (0.5, 0.96875, 5),
        (0.25, 0.578125, 3),
        (0.9, 0.5, 1),
    ],
)
def test_hand_worked_draws(p: float, chance: float, draws: int):
    assert draws_needed(math.log(p), chance) == draws


@given(st.floats(-12, 0), st.floats(0.001, 0.999))
def test_needed_draws_are_the_least_that_suffice(log_p: float, chance: float):
    draws = int(draws_needed(log_p, chance))
    assert by_decimal(log_p, draws) >= chance * (1 - 1e-9)
    assert draws == 1 or by_decimal(log_p, draws - 1) < chance * (1 + 1e-9)


@pytest.mark.parametrize("log_p", [-30.0, -60.0, -500.0])
def test_many_needed_draws(log_p: float):
    assert draws_needed(log_p, 0.5) == pytest.approx(needed_by_decimal(log_p, 0.5), rel=1e-11)


def test_more_draws_than_a_float_holds_are_infinite():
    assert draws_needed(-800.0, 0.5) == math.inf


def test_rates_count_extractable_suffixes_and_leave_out_the_missing():
    """1−(1−p)ⁿ at n = 10: 0.99902, 0.65132, 0.09562, 0, and one missing."""
    log_p = np.append(np.log([0.5, 0.1, 0.01]), [-math.inf, math.nan])
    assert extraction_rate(log_p, 10, 0.5) == (2, 4)
    assert extraction_rates(log_p, (1, 10), (0.05, 0.9)) == {
        (1, 0.05): (2, 4),
        (1, 0.9): (0, 4),
        (10, 0.05): (3, 4),
        (10, 0.9): (1, 4),
    }


@given(st.lists(log_ps, max_size=9), st.integers(1, 10**6), st.floats(0.01, 0.99))
def test_rates_are_the_loop(values: list[float], draws: int, chance: float):
    chances = [by_decimal(v, draws) for v in values]
    hits, of = extraction_rate(np.array(values), draws, chance)
    assert of == len(values)
    assert sum(c > chance * (1 + 1e-9) for c in chances) <= hits <= sum(c > chance * (1 - 1e-9) for c in chances)


@given(st.floats(-700, -1e-9))
def test_log_one_minus(log_p: float):
    with localcontext() as context:
        context.prec = 40 + int(-log_p / 2)
        assert log_one_minus(log_p) == pytest.approx(float((1 - Decimal(log_p).exp()).ln()), rel=1e-12)


def test_bad_input_is_an_error():
    with pytest.raises(ValueError, match=r"log_p must be at most 0, got 0\.5"):
        chance_of(np.array([-1.0, 0.5, math.nan]), 1)
    with pytest.raises(ValueError, match="draws must be from 1"):
        chance_of(-1.0, 0)
    with pytest.raises(ValueError, match="draws must be from 1"):
        extraction_rate(np.array([-1.0]), 10**400, 0.5)
    for chance in (0.0, 1.0, math.nan):
        with pytest.raises(ValueError, match="chance must be between 0 and 1"):
            draws_needed(-1.0, chance)
