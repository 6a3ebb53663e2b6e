"""Exposure against hand-worked cases, loops, and quadrature of the density."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import norm, skewnorm

from byrote.statistics.exposure import (
    LEAST_REFERENCES,
    STEEPEST,
    exposure_by_rank,
    exposure_extrapolated,
    log_skew_normal_cdf,
)

perplexities = st.lists(st.integers(1, 9).map(float), max_size=12).map(np.array)
some = st.lists(st.integers(1, 9).map(float), min_size=1, max_size=12).map(np.array)


def lognormal(seed: int, count: int, mean: float = 3.0, sd: float = 0.5) -> np.ndarray:
    return np.exp(np.random.default_rng(seed).normal(mean, sd, size=count))


def by_loop(canary: float, references: np.ndarray) -> float:
    rank = 1
    for reference in references:
        rank += reference <= canary
    return math.log2(len(references) + 1) - math.log2(rank)


@pytest.mark.parametrize(
    ("canary", "references", "bits"),
    [
        (5, [10, 20, 30], 2.0),  # first of four
        (15, [10, 20, 30], 1.0),  # second of four
        (99, [10, 20, 30], 0.0),  # last
        (10, [10, 20, 30], 1.0),  # a tie counts against the canary
        (10, [10, 10, 10], 0.0),
        (5, range(6, 1029), 10.0),  # below 1023 references
        (math.inf, [10, math.inf, 30], 0.0),
    ],
)
def test_hand_worked_ranks(canary: float, references: list[float], bits: float):
    assert exposure_by_rank(np.array([canary]), np.array(list(references))) == pytest.approx([bits])


@given(perplexities, some, st.randoms(use_true_random=False))
def test_rank_exposure_is_the_loop_whatever_order_and_unit(canaries: np.ndarray, references: np.ndarray, random):
    exposures = exposure_by_rank(canaries, references)
    assert exposures == pytest.approx([by_loop(c, references) for c in canaries])
    assert (exposures >= 0).all()
    assert (exposures <= math.log2(len(references) + 1)).all()
    shuffled = random.sample(list(references), len(references))
    assert exposure_by_rank(3 * canaries, 3 * np.array(shuffled)) == pytest.approx(exposures)


@given(some)
def test_a_lower_perplexity_is_never_less_exposed(references: np.ndarray):
    grid = np.arange(0.5, 10, 0.5)
    assert (np.diff(exposure_by_rank(grid, references)) <= 0).all()


def test_what_is_missing_stays_missing():
    assert np.isnan(exposure_by_rank(np.array([1.0, 2.0]), np.array([]))).all()
    assert np.isnan(exposure_by_rank(np.array([math.nan, 2.0]), np.array([1.0]))).tolist() == [True, False]
    assert exposure_by_rank(np.array([]), np.array([1.0])).shape == (0,)
    extrapolated = exposure_extrapolated(np.array([math.nan, 9.0]), lognormal(0, 60))
    assert np.isnan(extrapolated.exposure).tolist() == [True, False]


@pytest.mark.parametrize("function", [exposure_by_rank, exposure_extrapolated])
def test_bad_perplexities_are_errors(function):
    with pytest.raises(ValueError, match="1 of 2 references have no perplexity"):
        function(np.array([1.0]), np.array([2.0, math.nan]))
    with pytest.raises(ValueError, match=r"canary's perplexity is -3.*not logarithms"):
        function(np.array([1.0, -3.0]), np.array([2.0]))
    with pytest.raises(ValueError, match="reference's perplexity is 0"):
        function(np.array([1.0]), np.array([2.0, 0.0]))


@pytest.mark.parametrize("shape", [-10.0, -1.0, 0.0, 0.5, 3.0, 10.0])
@pytest.mark.parametrize("x", [3.0, 0.5, 0.0, -0.2, -0.35, -1.0, -2.0, -3.1, -6.0, -12.0])
def test_the_log_cdf_is_the_integral_of_the_density(shape: float, x: float):
    """The twin integrates the density relative to its value at x, in steps of the tail's own length."""
    at_x = skewnorm.logpdf(x, shape)
    edges = [0.0, *(0.1 / (1 + abs(shape)) ** 2 * 2.0 ** np.arange(16))]
    parts = [quad(lambda s: math.exp(skewnorm.logpdf(x - s, shape) - at_x), a, b)[0] for a, b in pairwise(edges)]
    assert log_skew_normal_cdf(np.array([x]), shape)[0] == pytest.approx(at_x + math.log(sum(parts)), rel=1e-7)


def test_the_log_cdf_where_the_cdf_underflows():
    x = np.array([-5.0, -40.0, -1e4])
    assert log_skew_normal_cdf(x, 0.0) == pytest.approx(norm.logcdf(x), rel=1e-12)
    assert log_skew_normal_cdf(x, 1.0) == pytest.approx(2 * norm.logcdf(x), rel=1e-12)  # F = Φ² at shape 1
    logs = log_skew_normal_cdf(np.array([-math.inf, math.inf, math.nan]), 2.0)
    assert (logs[0], logs[1], np.isnan(logs[2])) == (-math.inf, 0.0, True)
    assert log_skew_normal_cdf(np.array([]), 2.0).shape == (0,)


@pytest.mark.parametrize("shape", [-10.0, 0.0, 10.0])
def test_the_log_cdf_rises_without_a_step_where_the_two_ways_meet(shape: float):
    x = np.linspace(-6, 1, 20001)
    logs = log_skew_normal_cdf(x, shape)
    assert (np.diff(logs) >= -1e-12).all()
    assert np.abs(np.diff(logs, 2)).max() < 1e-3


def test_extrapolation_is_minus_log2_of_the_fitted_tail():
    references = lognormal(1, 400)
    result = exposure_extrapolated(np.exp(np.array([1.0, 2.0, 3.0, 4.0])), references)
    assert result.reason is None
    fit = (result.shape, result.location, result.scale)
    assert result.exposure == pytest.approx(-np.log2(skewnorm.cdf([1.0, 2.0, 3.0, 4.0], *fit)), rel=1e-6)
    others = [np.add(fit, step) for step in ((0.3, 0, 0), (-0.3, 0, 0), (0, 0.05, 0), (0, -0.05, 0), (0, 0, 0.05))]
    likelihood = skewnorm.logpdf(np.log(references), *fit).sum()
    assert all(skewnorm.logpdf(np.log(references), *other).sum() < likelihood for other in others)


def test_extrapolation_of_normal_references_is_near_the_normal_tail():
    """Four standard deviations below: −log₂ Φ(−4) = 14.95 bits, where the rank of 20000 ends at 14.3."""
    result = exposure_extrapolated(np.array([math.exp(1.0)]), lognormal(2, 20000))
    assert result.exposure[0] == pytest.approx(14.95, abs=0.5)
    assert result.fit_p > 0.05


def test_no_finite_perplexity_has_an_infinite_exposure():
    result = exposure_extrapolated(np.array([1.0, 1e-300, 1e300, math.inf]), lognormal(3, 100))
    assert np.isfinite(result.exposure).all()
    assert result.exposure[1] > result.exposure[0] > 10
    assert result.exposure[2:].tolist() == [0.0, 0.0]


@given(st.floats(0.1, 10), st.integers(0, 3))
def test_extrapolation_has_no_unit_and_no_order(factor: float, seed: int):
    canaries, references = lognormal(seed, 5), lognormal(seed + 50, 80)
    plain = exposure_extrapolated(canaries, references)
    other = exposure_extrapolated(factor * canaries, factor * references[::-1])
    assert other.exposure == pytest.approx(plain.exposure, rel=1e-3, abs=1e-3)
    assert (np.diff(plain.exposure[np.argsort(canaries)]) <= 0).all()


def test_a_fit_that_references_refute_says_so():
    two_heaps = np.concatenate([lognormal(4, 200, 1.0, 0.1), lognormal(5, 200, 5.0, 0.1)])
    assert exposure_extrapolated(np.array([2.0]), two_heaps).fit_p < 0.001


@pytest.mark.parametrize(
    ("references", "reason"),
    [
        (lognormal(0, LEAST_REFERENCES - 1), f"{LEAST_REFERENCES - 1} references; a skew-normal fit needs"),
        (np.array([]), "0 references"),
        (np.append(lognormal(0, 99), math.inf), "1 references have an infinite perplexity"),
        (np.full(100, 7.0), "hardly differ"),
        (np.exp(np.random.default_rng(0).exponential(size=200)), f"at most {STEEPEST:g} is trusted"),
    ],
)
def test_without_a_fit_all_is_missing_and_the_reason_said(references: np.ndarray, reason: str):
    result = exposure_extrapolated(np.array([2.0, 3.0]), references)
    assert reason in (result.reason or "")
    assert np.isnan([*result.exposure, result.fit_p, result.shape, result.location, result.scale]).all()


def test_the_null_control_has_k_bits_with_chance_two_to_minus_k():
    """Canaries never planted, from the references' distribution: 4000 of them."""
    ranked, extrapolated = [], []
    for seed in range(40):
        draws = lognormal(seed, 300)
        ranked.append(exposure_by_rank(draws[:100], draws[100:]))
        extrapolated.append(exposure_extrapolated(draws[:100], draws[100:]).exposure)
    for exposures in (np.concatenate(ranked), np.concatenate(extrapolated)):
        for bits in (1, 2, 3):
            chance = 2.0**-bits
            # canaries of one seed share references, which adds variance: four standard errors of independent ones
            assert np.mean(exposures >= bits) == pytest.approx(chance, abs=4 * math.sqrt(chance * (1 - chance) / 4000))
