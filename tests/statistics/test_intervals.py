"""Statistics against naive twins, closed forms, an independent library and published figures."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom
from sklearn.metrics import roc_auc_score

from byrote.statistics.intervals import clopper_pearson, hanley_mcneil, hanley_mcneil_se
from byrote.statistics.roc import auc, corners, rate_at, roc_curve, threshold_at_most

numbers = st.lists(st.integers(-5, 5).map(float), min_size=1, max_size=20).map(np.array)

# Table 3.1 of Savine et al.: the printed ± of all fifteen cells is Hanley–McNeil at 2898 members and 968 non-members.
CELLS = {
    "q": {1: (0.68, 0.02), 2: (0.70, 0.02), 4: (0.72, 0.02)},
    "k": {1: (0.68, 0.02), 2: (0.71, 0.02), 4: (0.71, 0.02)},
    "v": {1: (0.80, 0.01), 2: (0.82, 0.01), 4: (0.83, 0.01)},
    "o": {1: (0.77, 0.02), 2: (0.79, 0.01), 4: (0.80, 0.01)},
    "q,k": {1: (0.76, 0.02), 2: (0.77, 0.02), 4: (0.79, 0.01)},
}


@pytest.mark.parametrize(("area", "half"), [cell for row in CELLS.values() for cell in row.values()])
def test_hanley_mcneil_gives_the_papers_intervals(area: float, half: float):
    low, high = hanley_mcneil(area, 2898, 968)
    assert round((high - low) / 2, 2) == half


@pytest.mark.parametrize(("area", "half"), [(0.68, 0.018), (0.80, 0.014), (0.83, 0.013)])
def test_hanley_mcneil_to_three_places(area: float, half: float):
    assert round(1.959964 * hanley_mcneil_se(area, 2898, 968), 3) == half


def test_intervals_of_nothing_are_missing_and_of_certainty_stay_inside():
    assert all(map(math.isnan, hanley_mcneil(math.nan, 0, 5)))
    assert hanley_mcneil(1.0, 10, 10) == (1.0, 1.0)
    assert hanley_mcneil(0.99, 5, 5)[1] == 1.0
    assert all(map(math.isnan, clopper_pearson(0, 0)))


@given(numbers, numbers)
def test_auc_is_the_share_of_pairs_in_order(members: np.ndarray, nonmembers: np.ndarray):
    pairs = [(m > n) + (m == n) / 2 for m in members for n in nonmembers]
    assert auc(members, nonmembers) == pytest.approx(sum(pairs) / len(pairs))
    labels = [1] * len(members) + [0] * len(nonmembers)
    assert auc(members, nonmembers) == pytest.approx(roc_auc_score(labels, [*members, *nonmembers]))
    assert auc(nonmembers, members) == pytest.approx(1 - auc(members, nonmembers))
    assert auc(members * 3 + 1, nonmembers * 3 + 1) == pytest.approx(auc(members, nonmembers))


@given(numbers, numbers)
def test_the_curve_rises_from_corner_to_corner_over_the_same_area(members: np.ndarray, nonmembers: np.ndarray):
    fpr, tpr = roc_curve(members, nonmembers)
    assert (fpr[0], tpr[0], fpr[-1], tpr[-1]) == (0, 0, 1, 1)
    assert (np.diff(fpr) >= 0).all()
    assert (np.diff(tpr) >= 0).all()
    assert np.trapezoid(tpr, fpr) == pytest.approx(auc(members, nonmembers))


def test_an_empty_side_has_no_area_and_no_curve():
    assert math.isnan(auc(np.array([]), np.array([1.0])))
    assert len(roc_curve(np.array([1.0]), np.array([]))[0]) == 0


@given(numbers, st.floats(0.01, 0.99))
def test_the_threshold_is_a_score_that_keeps_the_rate_as_no_lower_score_would(nonmembers: np.ndarray, rate: float):
    if math.floor(rate * len(nonmembers) + 1e-9) < 1:
        with pytest.raises(ValueError, match="cannot resolve"):
            threshold_at_most(nonmembers, rate)
        return
    at_the_top = int((nonmembers == nonmembers.max()).sum())
    if at_the_top > rate * len(nonmembers) + 1e-6:
        with pytest.raises(ValueError, match=f"{at_the_top} of {len(nonmembers)} non-members share the highest score"):
            threshold_at_most(nonmembers, rate)
        return
    threshold = threshold_at_most(nonmembers, rate)
    called, of = rate_at(nonmembers, threshold)
    assert 0 < called <= rate * of + 1e-6
    assert threshold in nonmembers
    lower = nonmembers[nonmembers < threshold]
    assert rate_at(nonmembers, lower.max())[0] > rate * of


@pytest.mark.parametrize(("count", "rate"), [(10, 0.1), (10, 0.35), (25, 0.2), (9, 0.5)])
def test_of_fresh_non_members_the_mean_share_called_is_k_of_n_plus_1(count: int, rate: float):
    """Exact: of n + 1 exchangeable scores each in turn is the fresh one, the others set the threshold."""
    scores = np.random.default_rng(3).normal(size=count + 1)
    called = [scores[i] >= threshold_at_most(np.delete(scores, i), rate) for i in range(count + 1)]
    assert sum(called) == math.floor(rate * count + 1e-9)
    assert np.mean(called) <= rate


def test_infinite_scores_keep_the_rate_or_are_refused():
    few, many = np.array([math.inf] + [0.0, 1.0] * 5), np.array([math.inf] * 3 + [0.0] * 7)
    assert threshold_at_most(few, 0.1) == math.inf
    assert rate_at(few, math.inf) == (1, 11)
    assert threshold_at_most(many, 0.3) == math.inf
    with pytest.raises(ValueError, match="3 of 10 non-members share the highest score"):
        threshold_at_most(many, 0.2)
    assert threshold_at_most(np.array([-math.inf] * 9 + [2.0]), 0.2) == 2.0


def test_the_threshold_lies_on_the_score_not_just_above_the_next():
    assert threshold_at_most(np.array([1.0, 2.0, 3.0, 10.0]), 0.25) == 10.0
    assert threshold_at_most(np.array([1.0, 2.0, 9.0, 10.0]), 0.5) == 9.0


@pytest.mark.parametrize("top", [1.0, math.inf])
def test_more_ties_at_the_top_than_the_rate_allows_are_refused_finite_or_not(top: float):
    """A threshold above them would call nobody: a TPR of 0 that says nothing of the attack."""
    scores = np.array([top] * 3 + [0.0] * 17)
    with pytest.raises(ValueError, match=r"3 of 20 non-members share the highest score: no threshold .* 0\.1$"):
        threshold_at_most(scores, 0.1)
    assert rate_at(scores, threshold_at_most(scores, 0.15)) == (3, 20)


def test_a_tenth_of_ten_is_one():
    assert rate_at(np.arange(10.0), threshold_at_most(np.arange(10.0), 0.1)) == (1, 10)


@pytest.mark.parametrize(("hits", "trials"), [(0, 20), (3, 20), (20, 20), (1, 968)])
def test_clopper_pearson_bounds_have_exactly_the_tail_they_promise(hits: int, trials: int):
    low, high = clopper_pearson(hits, trials)
    assert (low == 0) if hits == 0 else binom.sf(hits - 1, trials, low) == pytest.approx(0.025)
    assert (high == 1) if hits == trials else binom.cdf(hits, trials, high) == pytest.approx(0.025)


@given(numbers, numbers)
def test_corners_keep_the_curve(members: np.ndarray, nonmembers: np.ndarray) -> None:
    whole = list(zip(*roc_curve(members, nonmembers), strict=True))
    kept = list(zip(*corners(*roc_curve(members, nonmembers)), strict=True))
    inside = [
        b for a, b, c in zip(whole, whole[1:], whole[2:], strict=False) if a[0] == b[0] == c[0] or a[1] == b[1] == c[1]
    ]
    assert kept == [point for point in whole if point not in inside]
    assert [(p, q) for p, q in (kept[0], kept[-1])] == [(0.0, 0.0), (1.0, 1.0)]
