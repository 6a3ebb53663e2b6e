"""From bounds to verdicts, each formula beside a slow twin."""

import math
from math import comb

import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.stats import norm

from byrote.statistics.bootstrap import over_groups, over_sides
from byrote.statistics.delong import interval
from byrote.statistics.operating_point import weighted_tprs
from byrote.statistics.roc import rate_at, threshold_at_most
from byrote.statistics.simultaneous import one_sided
from byrote.statistics.verdicts import (
    Bounds,
    auc_bound,
    below,
    count_bounds,
    error_of_look,
    times,
    within,
)


def bounds(attack: str, low: float, high: float, missing: str = "") -> Bounds:
    """A little wider where they hold together."""
    return Bounds(attack, (low + high) / 2, low, high, low - 0.02, high + 0.02, missing)


NONE = Bounds("none", math.nan, math.nan, math.nan, math.nan, math.nan, "it was refused")


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.61, 0.70, "undecided"),  # alone it is above 0.6, together with the others not
        (0.63, 0.70, "exceeded"),
        (0.50, 0.60, "held"),
        (0.50, 0.601, "undecided"),
    ],
)
def test_below(low: float, high: float, expected: str) -> None:
    verdict, of = below([bounds("weak", 0.45, 0.55), bounds("strong", low, high)], 0.6)
    assert (verdict, of.attack) == (expected, "strong")


def test_a_missing_attack_is_never_held_and_hides_nothing() -> None:
    assert below([bounds("a", 0.4, 0.5), NONE], 0.6) == ("undecided", NONE)
    assert below([NONE, bounds("a", 0.7, 0.8)], 0.6)[0] == "exceeded"
    assert within([bounds("a", 0.49, 0.51), NONE], 0.5, 0.1) == ("undecided", NONE)
    assert within([NONE, bounds("a", 0.1, 0.2)], 0.5, 0.1)[0] == "exceeded"
    with pytest.raises(ValueError, match="at least one attack"):
        below([], 0.5)


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.41, 0.59, "held"),
        (0.39, 0.55, "undecided"),
        (0.61, 0.70, "undecided"),
        (0.63, 0.70, "exceeded"),
        (0.30, 0.37, "exceeded"),
    ],
)
def test_within(low: float, high: float, expected: str) -> None:
    assert within([bounds("a", low, high), bounds("b", 0.48, 0.52)], 0.5, 0.1)[0] == expected


def test_the_errors_of_all_looks_come_to_one_less_level() -> None:
    errors = [error_of_look(0.95, look) for look in range(1, 60)]
    assert errors[:3] == pytest.approx([0.025, 0.0125, 0.00625])
    assert sum(errors) == pytest.approx(0.05)
    assert error_of_look(0.95, 2, 5) == pytest.approx(0.0025)
    for look, shares in ((0, 1), (1, 0)):
        with pytest.raises(ValueError, match="at least 1"):
            error_of_look(0.95, look, shares)


def test_bounds_of_an_auc_are_one_sided_ends_of_its_interval() -> None:
    deviate = float(norm.isf(0.01))
    ends = [auc_bound(0.7, 0.001, 50, deviate, side) for side in ("low", "high")]
    assert ends == pytest.approx(list(interval(0.7, 0.001, 0.98)))
    assert math.isnan(auc_bound(0.5, 0.0, 50, deviate, "low"))


def test_sides_apart_are_bounded_by_a_sign_test() -> None:
    deviate, documents = float(norm.isf(0.01)), 40
    # The AUC at which all of 40 pairs come out right with chance 1% and no less.
    twin = brentq(lambda area: area**documents - 0.01, 0.1, 1)
    assert auc_bound(1.0, 0.0, documents, deviate, "low") == pytest.approx(twin)
    assert auc_bound(1.0, 0.0, documents, deviate, "high") == 1
    assert auc_bound(0.0, 0.0, documents, deviate, "high") == pytest.approx(1 - twin)
    assert auc_bound(0.0, 0.0, documents, deviate, "low") == 0


def test_so_many_times_the_sample_bring_the_bound_to_the_limit() -> None:
    for on_logit in (False, True):
        factor = times(0.7, 0.62, 0.65, on_logit=on_logit)
        scale = (lambda x: math.log(x / (1 - x))) if on_logit else (lambda x: x)
        width = (scale(0.7) - scale(0.62)) / math.sqrt(factor)
        assert scale(0.7) - width == pytest.approx(scale(0.65))
    assert math.isnan(times(0.7, 0.62, 0.7))
    assert math.isnan(times(1.0, 0.9, 0.8, on_logit=True))


@pytest.mark.parametrize(("population", "sampled", "hits"), [(30, 10, 0), (30, 10, 3), (30, 10, 10), (12, 11, 1)])
def test_counts_of_a_population_by_hand(population: int, sampled: int, hits: int) -> None:
    def chance(of: int, k: int) -> float:
        return comb(of, k) * comb(population - of, sampled - k) / comb(population, sampled)

    kept_low = [n for n in range(population + 1) if sum(chance(n, k) for k in range(hits, sampled + 1)) > 0.025]
    kept_high = [n for n in range(population + 1) if sum(chance(n, k) for k in range(hits + 1)) > 0.025]
    assert count_bounds(population, sampled, hits, 0.025) == (kept_low[0], kept_high[-1])


def test_a_census_is_the_count() -> None:
    assert count_bounds(30, 30, 4, 0.025) == (4, 4)
    with pytest.raises(ValueError, match="is not so: 4, 3, 30"):
        count_bounds(30, 3, 4, 0.025)


# --- what is drawn together ---------------------------------------------------------------------------------------


def test_two_sides_are_drawn_as_they_were() -> None:
    of_P, of_Q = np.repeat(np.arange(8), 3), np.repeat(np.arange(8, 14), 2)
    drawn = over_sides(lambda w: w[0][:, 0] + 10 * w[1][:, 0], (of_P, of_Q), 200, 3)
    assert (drawn == over_groups(lambda p, q: p[:, 0] + 10 * q[:, 0], of_P, of_Q, 200, 3)).all()


def test_three_sides_keep_their_numbers_and_shared_documents_are_drawn_together() -> None:
    sides = (np.arange(6), np.arange(6, 10), np.arange(10, 15))
    sums = over_sides(lambda w: np.stack([side.sum(axis=1) for side in w], axis=1), sides, 300, 0)
    assert (sums == [6, 4, 5]).all()
    shared = (np.arange(6), np.arange(6, 10), np.arange(6, 10))
    both = over_sides(lambda w: np.abs(w[1] - w[2]).sum(axis=1), shared, 100, 0)
    assert (both == 0).all()
    assert np.isnan(over_sides(lambda w: w[0][:, 0], (np.arange(6), np.zeros(3)), 100, 0)).all()


def test_a_weighted_rate_is_that_of_repeated_records() -> None:
    generator = np.random.default_rng(4)
    for _ in range(40):
        members, calibration = generator.integers(0, 12, 30).astype(float), generator.integers(0, 12, 40).astype(float)
        members[3] = calibration[5] = math.nan
        weights_P, weights_C = generator.integers(0, 4, 30), generator.integers(0, 4, 40)
        rates = (0.1, 0.3)
        weights = [weights[:, None].astype(float) for weights in (weights_P, weights_C)]
        got = weighted_tprs(members, calibration, rates)(*weights)
        many_P, many_C = np.repeat(members, weights_P), np.repeat(calibration, weights_C)
        many_P, many_C = many_P[~np.isnan(many_P)], many_C[~np.isnan(many_C)]
        for rate, rates_B in zip(rates, got, strict=True):
            try:
                hits, of = rate_at(many_P, threshold_at_most(many_C, rate))
            except ValueError:  # more tie at the top than are allowed: nobody is called
                hits, of = 0, len(many_P)
            assert rates_B[0] == pytest.approx(hits / of)
    assert np.isnan(weighted_tprs(members, calibration * math.nan, rates)(*weights)).all()


def test_one_sided_is_the_quantile_of_the_largest_deviate_and_at_most_bonferroni() -> None:
    generator = np.random.default_rng(0)
    common = generator.normal(size=(4000, 1))
    alike = common + 0.3 * generator.normal(size=(4000, 10))
    deviates = [max((row - alike.mean(axis=0)) / alike.std(axis=0, ddof=1)) for row in alike]
    assert one_sided(alike, 0.025) == pytest.approx(float(np.quantile(deviates, 0.975)))
    assert norm.isf(0.025) < one_sided(alike, 0.025) < norm.isf(0.0025)
    # One far outlier of a heavy tail: Bonferroni holds whatever the dependence.
    assert one_sided(generator.standard_t(2, size=(4000, 10)), 0.025) == pytest.approx(float(norm.isf(0.0025)))
    # Too few resamples beyond the quantile, and none at all.
    assert one_sided(alike[:300], 0.025) == one_sided(np.full((5, 10), np.nan), 0.025) == norm.isf(0.0025)
    with pytest.raises(ValueError, match="between 0 and 1/2"):
        one_sided(alike, 0.7)
