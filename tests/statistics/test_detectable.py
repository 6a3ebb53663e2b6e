"""What a sample can show, against slow searches, closed forms and the rules it must agree with."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from byrote.statistics.detectable import design_effect, resolvable, smallest_auc, smallest_difference, smallest_tpr
from byrote.statistics.intervals import clopper_pearson
from byrote.statistics.roc import threshold_at_most

Z_LEVEL, Z_POWER = 1.959964, 0.841621
counts = st.integers(20, 3000)


def se(area: float, p: int, q: int) -> float:
    """Hanley & McNeil 1982, written out again."""
    q1, q2 = area / (2 - area) - area**2, 2 * area**2 / (1 + area) - area**2
    return math.sqrt((area * (1 - area) + (p - 1) * q1 + (q - 1) * q2) / (p * q))


def test_the_reference_studys_sample():
    """SE at 0.5 is √((n₊ + n₋ + 1)/(12·n₊·n₋)) = 0.01072; 2.80 of it is 0.0300."""
    assert math.sqrt(3867 / (12 * 2898 * 968)) == pytest.approx(0.01072, abs=1e-5)
    assert smallest_auc(2898, 968) == pytest.approx(0.530, abs=5e-4)
    assert smallest_difference(0.8, 2898, 968, 0.0) == pytest.approx(2.8 * math.sqrt(2) * 0.0072, rel=0.03)


@pytest.mark.parametrize(("p", "q", "design"), [(2898, 968, 1.0), (100, 50, 1.0), (300, 300, 1.7)])
def test_smallest_auc_is_the_first_that_a_slow_search_accepts(p: int, q: int, design: float):
    area, widen = 0.5, math.sqrt(design)
    while area - 0.5 < widen * (Z_LEVEL * se(0.5, p, q) + Z_POWER * se(area, p, q)):
        area += 1e-5
    assert smallest_auc(p, q, design=design) == pytest.approx(area, abs=2e-5)


@pytest.mark.parametrize(("area", "r"), [(0.5, 0.0), (0.8, 0.5), (0.7, 0.9), (0.6, -0.5)])
def test_smallest_difference_is_the_first_that_a_slow_search_accepts(area: float, r: float):
    se_a, rise = se(area, 500, 300), 0.0
    while True:
        se_b = se(area + rise, 500, 300)
        spread = se_a**2 + se_b**2 - 2 * r * se_a * se_b
        if rise >= Z_LEVEL * math.sqrt(2 * se_a**2 * (1 - r)) + Z_POWER * math.sqrt(spread):
            break
        rise += 1e-5
    assert smallest_difference(area, 500, 300, r) == pytest.approx(rise, abs=2e-5)


def test_at_half_power_a_normal_estimate_just_clears_the_interval():
    assert smallest_auc(400, 400, power=0.5) == pytest.approx(0.5 + Z_LEVEL * se(0.5, 400, 400), abs=1e-6)


@given(counts, counts, st.floats(1, 5))
def test_more_records_show_less_and_documents_hide_more(p: int, q: int, design: float):
    area = smallest_auc(p, q)
    assert smallest_auc(2 * p, q) < area
    assert smallest_auc(p, 2 * q) < area
    assert not smallest_auc(p, q, design=design) < area
    assert not smallest_auc(p, q, level=0.01) < area
    assert not smallest_auc(p, q, power=0.95) < area


@given(counts, counts, st.floats(0, 0.8))
def test_a_higher_correlation_shows_less(p: int, q: int, r: float):
    first, second = smallest_difference(0.7, p, q, r), smallest_difference(0.7, p, q, r + 0.1)
    assert second < first or math.isnan(first)


def test_what_cannot_be_shown_is_missing():
    assert math.isnan(smallest_auc(2, 2))
    assert math.isnan(smallest_auc(0, 100))
    assert math.isnan(smallest_auc(100, 0))
    assert math.isnan(smallest_difference(0.99, 20, 20, 0.0))
    assert math.isnan(smallest_difference(0.7, 0, 20, 0.0))
    assert math.isnan(smallest_tpr(0, 0.1))
    assert math.isnan(smallest_tpr(1, 0.1))


def test_design_effect_by_hand():
    assert design_effect(3, 0.5) == 2
    assert design_effect(1, 0.9) == 1
    assert design_effect(4, 0) == 1
    for size, icc in ((0.5, 0.1), (2, -0.1), (2, 1.1)):
        with pytest.raises(ValueError, match="cluster_size must be at least 1 and icc"):
            design_effect(size, icc)


def test_an_effect_of_clusters_of_one_member_and_nonmember_is_fewer_records():
    """Documents of three identical records are a third of the records."""
    assert smallest_auc(3000, 3000, design=design_effect(3, 1)) == pytest.approx(smallest_auc(1000, 1000), abs=1e-5)


def tail(hits: int, trials: int, rate: float) -> float:
    """P[Bin ≥ hits], summed."""
    return sum(math.comb(trials, k) * rate**k * (1 - rate) ** (trials - k) for k in range(hits, trials + 1))


@pytest.mark.parametrize(("members", "rate"), [(100, 0.1), (100, 0.01), (37, 0.05), (10, 0.3)])
def test_smallest_tpr_by_counting(members: int, rate: float):
    hits = next(k for k in range(members + 1) if tail(k, members, rate) <= 0.025)
    tpr = smallest_tpr(members, rate)
    assert tail(hits, members, tpr) == pytest.approx(0.8)
    assert clopper_pearson(hits, members)[0] >= rate > clopper_pearson(hits - 1, members)[0]


def test_two_members_by_hand():
    """P[Bin(2, .1) ≥ 2] = .01, so both must be hit, and at √.8 they are with chance .8."""
    assert smallest_tpr(2, 0.1) == pytest.approx(math.sqrt(0.8))


@given(st.integers(1, 1500), st.floats(0.001, 0.9))
def test_a_rate_is_resolvable_where_a_threshold_can_be_set(nonmembers: int, rate: float):
    reason = resolvable(nonmembers, rate)
    if reason is None:
        threshold_at_most(np.arange(float(nonmembers)), rate)
        return
    with pytest.raises(ValueError, match="cannot resolve"):
        threshold_at_most(np.arange(float(nonmembers)), rate)
    needed = int(reason.rsplit(" ", 1)[1])
    assert resolvable(needed, rate) is None
    assert resolvable(needed - 1, rate)


def test_the_reason_names_the_numbers():
    assert (
        resolvable(968, 0.001)
        == "968 non-members cannot resolve a false-positive rate of 0.001; it takes at least 1000"
    )
    assert resolvable(0, 0.1) == "0 non-members cannot resolve a false-positive rate of 0.1; it takes at least 10"
    assert resolvable(10, 0.1) is None


@pytest.mark.parametrize("rate", [0.0, 1.0, -0.1, math.nan])
def test_a_rate_that_is_none_is_refused(rate: float):
    for function in (lambda: resolvable(100, rate), lambda: smallest_tpr(100, rate)):
        with pytest.raises(ValueError, match="must lie between 0 and 1"):
            function()


@pytest.mark.parametrize(("area", "correlation"), [(1.0, 0.5), (-0.1, 0.5), (0.7, 1.0), (0.7, -1.1)])
def test_a_difference_needs_an_area_and_a_correlation(area: float, correlation: float):
    with pytest.raises(ValueError, match="area must be in"):
        smallest_difference(area, 100, 100, correlation)
