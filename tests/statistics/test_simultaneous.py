"""Widths and p-values over many curves, against loops written out and against what a picked winner needs."""

import math

import numpy as np
import pytest
from scipy.stats import norm

from byrote.statistics.simultaneous import (
    adjusted_p,
    as_normal,
    as_student,
    critical_value,
    largest,
    largest_difference,
    level_of,
)


def over_curves(areas: np.ndarray, level: float = 0.95) -> float:
    return critical_value(largest(areas), level)


def over_pairs(areas: np.ndarray, level: float = 0.95) -> float:
    return critical_value(largest_difference(areas), level)


def draws(curves: int, resamples: int = 4000, common: float = 0.0) -> np.ndarray:
    generator = np.random.default_rng(1)
    shared = generator.normal(size=(resamples, 1)) * common**0.5
    return 0.6 + 0.03 * (shared + generator.normal(size=(resamples, curves)) * (1 - common) ** 0.5)


def test_the_critical_value_is_the_quantile_of_the_largest_deviation():
    areas = draws(5, 300)
    columns = [[(x - areas[:, k].mean()) / areas[:, k].std(ddof=1) for x in areas[:, k]] for k in range(5)]
    largest = [max(abs(column[b]) for column in columns) for b in range(300)]
    assert over_curves(areas, 0.9) == pytest.approx(np.quantile(largest, 0.9))


@pytest.mark.parametrize("curves", [2, 13])
def test_of_independent_curves_it_is_sidaks(curves: int):
    expected = norm.ppf(0.5 + 0.95 ** (1 / curves) / 2)
    assert over_curves(draws(curves, 20000)) == pytest.approx(expected, rel=0.03)


def test_of_curves_that_move_together_it_is_that_of_one_and_never_below():
    assert over_curves(draws(13, common=1.0)) == pytest.approx(1.96, abs=0.1)
    assert over_curves(draws(1, 20)) >= 1.9599
    assert level_of(over_curves(draws(13))) > 0.95


def test_pairs_are_a_larger_family_than_curves():
    """The studentized range of five independent means: 3.858/√2 (Tukey's table, no limit on degrees of freedom)."""
    assert over_pairs(draws(5, 20000)) == pytest.approx(3.858 / math.sqrt(2), rel=0.03)


def test_the_adjusted_p_counts_resamples_beyond():
    areas = draws(3, 500)
    pairs = [areas[:, a] - areas[:, b] for a, b in ((0, 1), (0, 2), (1, 2))]
    largest = np.max([np.abs(pair - pair.mean()) / pair.std(ddof=1) for pair in pairs], axis=0)
    assert adjusted_p(2.0, largest_difference(areas)) == (1 + (largest >= 2).sum()) / 501
    assert adjusted_p(-2.0, largest_difference(areas)) == adjusted_p(2.0, largest_difference(areas))
    assert adjusted_p(99.0, largest_difference(areas)) == 1 / 501
    assert adjusted_p(0.1, largest_difference(draws(2, 20))) >= 2 * norm.sf(0.1)


def test_what_has_no_spread_or_no_draws_takes_no_part():
    areas = draws(3, 500)
    flat, lost = np.full((500, 1), 0.5), np.full((500, 1), math.nan)
    assert over_curves(np.hstack([areas, flat, lost])) == over_curves(areas)
    assert math.isnan(over_curves(lost))
    assert math.isnan(over_curves(flat))
    assert math.isnan(over_pairs(areas[:, :1]))
    assert math.isnan(adjusted_p(1.0, largest_difference(areas[:, :1])))
    assert math.isnan(adjusted_p(math.nan, largest_difference(areas)))
    alike = np.hstack([areas[:, :1], areas[:, :1]])
    assert math.isnan(over_pairs(alike))


def test_few_documents_make_a_statistic_less_rare():
    """P[|t| ≥ 2.000] with 60 degrees of freedom is 5% (any table), as is P[|z| ≥ 1.960]."""
    assert as_normal(2.0003, 61) == pytest.approx(1.95996, abs=1e-3)
    assert as_student(1.95996, 61) == pytest.approx(2.0003, abs=1e-3)
    assert as_normal(-2.0, 61) == as_normal(2.0, 61)
    assert as_normal(3.0, 100_000) == pytest.approx(3.0, abs=1e-3)
    assert math.isnan(as_normal(2.0, 1))
