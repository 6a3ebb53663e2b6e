"""Rates at a low false-positive rate: against slow twins, closed forms, and where the numbers must be missing."""

import math

import numpy as np
import pytest
from scipy.stats import beta, binom

from byrote.statistics.intervals import clopper_pearson
from byrote.statistics.operating_point import (
    FEWEST_ABOVE,
    design_effect,
    published_point,
    share_interval,
    tpr_interval,
    why_no_tpr_interval,
)
from byrote.statistics.roc import roc_curve


def test_the_design_effect_is_one_for_independent_records_and_the_size_of_documents_that_agree():
    called = np.random.default_rng(0).random(400) < 0.3
    assert design_effect(called, range(400)) == pytest.approx(1)
    tripled, documents = np.repeat(called, 3), np.repeat(np.arange(400), 3)
    assert design_effect(tripled, documents) == pytest.approx(3, rel=0.01)
    opposed = np.tile([True, False], 50)  # each document has one of either: no document differs from another
    assert design_effect(opposed, np.repeat(np.arange(50), 2)) == 1


def test_the_design_effect_by_a_loop_over_documents():
    generator = np.random.default_rng(1)
    called, names = generator.random(60) < 0.4, [f"d{i}" for i in generator.integers(0, 12, 60)]
    share = sum(called) / 60
    sums = {name: sum(c - share for c, n in zip(called, names, strict=True) if n == name) for name in names}
    variance = len(sums) / (len(sums) - 1) * sum(s**2 for s in sums.values())
    assert design_effect(called, names) == pytest.approx(max(1, variance / (60 / 59 * 60 * share * (1 - share))))


def test_all_none_or_one_document():
    assert design_effect(np.ones(6, bool), range(6)) == 1
    assert design_effect(np.zeros(6, bool), range(6)) == 1
    assert math.isnan(design_effect(np.ones(6, bool), ["d"] * 6))
    assert all(map(math.isnan, share_interval(np.ones(6, bool), ["d"] * 6)))
    assert share_interval(np.zeros(20, bool), range(20)) == clopper_pearson(0, 20)


def test_a_share_of_documents_that_agree_has_the_interval_of_as_many_documents():
    called = np.arange(40) < 12
    tripled = np.repeat(called, 3), np.repeat(np.arange(40), 3)
    low, high = share_interval(*tripled)
    expected = clopper_pearson(12, 40)
    assert (low, high) == pytest.approx(expected, abs=0.005)
    assert high - low > 1.5 * np.ptp(clopper_pearson(36, 120))


def naive_tpr_interval(members, calibration, rate, draws: int) -> tuple[float, float]:
    """Independent records, by drawing: how many lie above the cut, where between its neighbours, the TPR there."""
    generator, descending = np.random.default_rng(5), sorted(calibration, reverse=True)
    cuts = [0, *(sum(m >= c for m in members) for c in descending), len(members)]
    rates = []
    for above in generator.binomial(len(calibration), rate, draws):
        place = generator.random()
        hits = cuts[above] + place * (cuts[above + 1] - cuts[above])
        rates.append(generator.beta(hits + 0.5, len(members) - hits + 0.5))
    low, high = np.quantile(rates, [0.025, 0.975])
    return float(low), float(high)


@pytest.mark.parametrize(("lift", "rate"), [(0.0, 0.1), (1.2, 0.1), (2.0, 0.05)])
def test_the_interval_is_that_of_drawing_the_cut_and_the_rate(lift: float, rate: float):
    generator = np.random.default_rng(2)
    members, calibration = generator.normal(lift, 1, 150), generator.normal(size=120)
    ends = tpr_interval(members, calibration, range(150), range(120), rate)
    assert ends == pytest.approx(naive_tpr_interval(members, calibration, rate, 20_000), abs=0.012)


def test_where_the_cut_matters_little_the_interval_is_that_of_the_share():
    members = np.concatenate([np.full(30, 9.0), np.full(70, -9.0)])  # no calibration score lies between
    calibration = np.random.default_rng(3).normal(size=1000)
    low, high = tpr_interval(members, calibration, range(100), range(1000), 0.1)
    assert (low, high) == pytest.approx(beta.ppf([0.025, 0.975], 30.5, 70.5), abs=1e-5)


def test_documents_widen_the_interval_on_either_side():
    generator = np.random.default_rng(4)
    members, calibration = generator.normal(1, 1, 60), generator.normal(size=80)
    thrice = [np.repeat(side, 3) for side in (members, calibration)]
    documents = [np.repeat(np.arange(len(side)), 3) for side in (members, calibration)]
    by_document = tpr_interval(*thrice, *documents, 0.1)
    as_independent = tpr_interval(*thrice, range(180), range(240), 0.1)
    alone = tpr_interval(members, calibration, range(60), range(80), 0.1)
    assert np.ptp(by_document) > 1.4 * np.ptp(as_independent)
    assert by_document == pytest.approx(alone, abs=0.04)


def test_too_few_above_the_cut_and_too_few_documents_have_no_interval_and_say_why():
    scores = np.arange(100.0)
    assert binom.pmf(0, 100, FEWEST_ABOVE / 100) < 0.025  # that none lies above the cut is no part of the interval
    assert "3 calibration records are above the cut" in str(why_no_tpr_interval(range(100), range(100), 0.03))
    assert why_no_tpr_interval(range(100), range(100), 0.04) is None
    assert "1 calibration record is above" in str(why_no_tpr_interval(range(100), range(100), 0.01))
    assert why_no_tpr_interval(["d"] * 100, range(100), 0.1) == "the members come from fewer than two documents"
    assert "calibration records come from" in str(why_no_tpr_interval(range(100), ["d"] * 100, 0.1))
    assert all(map(math.isnan, tpr_interval(scores, scores, range(100), range(100), 0.03)))


def test_where_scores_tie_the_interval_holds_the_rate_at_the_threshold():
    calibration = np.concatenate([np.full(5, 3.0), np.ones(30), np.zeros(65)])  # 10% lies among the 30 that tie
    members = np.concatenate([np.full(5, 3.0), np.ones(60), np.zeros(35)])
    low, high = tpr_interval(members, calibration, range(100), range(100), 0.1)
    assert low <= 0.05
    assert high > 0.1


@pytest.mark.parametrize("rate", [0.05, 0.1, 0.5, 1.0])
def test_published_is_the_highest_point_of_the_curve_within_the_rate(rate: float):
    generator = np.random.default_rng(6)
    members, nonmembers = generator.integers(0, 30, 80) + 5.0, generator.integers(0, 30, 60) * 1.0
    fprs, tprs = roc_curve(members, nonmembers)
    threshold, tpr, fpr = published_point(members, nonmembers, rate)
    assert tpr == max(tprs[fprs <= rate + 1e-12])
    assert (tpr, fpr) == (np.mean(members >= threshold), np.mean(nonmembers >= threshold))
    assert fpr <= rate


def test_published_is_at_least_as_high_as_the_threshold_of_the_evaluated_non_members():
    members, nonmembers = (
        np.array([5.0, 4.0, 3.5, 1.0]),
        np.array([4.5, 3.0, 2.0, 1.0, 0.0, -1.0, -2.0, -3.0, -4.0, -5]),
    )
    assert published_point(members, nonmembers, 0.1) == (3.5, 0.75, 0.1)


def test_published_is_refused_where_no_point_of_the_curve_keeps_the_rate():
    with pytest.raises(ValueError, match=r"9 non-members cannot resolve a false-positive rate of 0\.1"):
        published_point(np.ones(5), np.zeros(9), 0.1)
    with pytest.raises(ValueError, match="3 of 10 non-members tie at the highest score"):
        published_point(np.full(5, math.inf), np.array([math.inf] * 3 + [0.0] * 7), 0.1)
    threshold, tpr, _ = published_point(np.empty(0), np.arange(20.0), 0.1)
    assert (threshold, math.isnan(tpr)) == (18, True)
