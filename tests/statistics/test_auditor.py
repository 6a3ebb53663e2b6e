"""The auditor's attack: no false alarm, more than one signal, and no look at a record's own label."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from byrote.statistics.auditor import cross_fitted, deal, normal_scores, why_not
from byrote.statistics.roc import auc


def documents(count: int, size: int = 4) -> tuple[np.ndarray, list[str]]:
    """Labels and groups of `count` documents of `size` records, every other document a member."""
    return np.repeat(np.arange(count) % 2 == 0, size), [f"d{i}" for i in range(count) for _ in range(size)]


def area(scores: np.ndarray, labels: np.ndarray) -> float:
    return auc(scores[labels], scores[~labels])


def test_under_the_null_it_raises_no_false_alarm_though_documents_cluster():
    labels, groups = documents(100)
    areas = []
    for seed in range(12):
        generator = np.random.default_rng(seed)
        shared = np.repeat(generator.normal(size=(100, 6)), 4, axis=0)
        features = shared + 0.3 * generator.normal(size=(400, 6))
        areas.append(area(cross_fitted(features, labels, groups, seed=seed), labels))
    assert 0.45 < np.mean(areas) < 0.53
    fitted = LogisticRegression().fit(features, labels).decision_function(features)
    assert area(fitted, labels) > 0.55  # the same combination judged on what it was fitted to


def test_two_independent_signals_beat_each():
    labels, groups = documents(200)
    features = np.random.default_rng(1).normal(size=(800, 2)) + labels[:, None]
    together = area(cross_fitted(features, labels, groups, seed=0), labels)
    assert together > max(area(features[:, k], labels) for k in (0, 1)) + 0.04
    assert together == pytest.approx(0.841, abs=0.03)  # Φ(√2/√2): the best that two unit shifts allow


def test_a_signal_of_the_wrong_sign_is_turned_round():
    labels, groups = documents(100)
    features = np.random.default_rng(2).normal(size=(400, 1)) - labels[:, None]
    assert area(cross_fitted(features, labels, groups, seed=0), labels) > 0.7


@pytest.mark.parametrize("groups_of", [4, 1])
def test_no_score_depends_on_the_records_own_label(groups_of: int):
    labels, groups = documents(48 // groups_of, groups_of)
    features = np.random.default_rng(3).normal(size=(48, 3)) + labels[:, None]
    before = cross_fitted(features, labels, groups, seed=0)
    others_moved = False
    for i in range(48):
        flipped = labels.copy()
        flipped[i] = not flipped[i]
        after = cross_fitted(features, flipped, groups, seed=0)
        assert after[i] == before[i]
        others_moved |= bool((after != before).any())
    assert others_moved


def test_it_equals_fits_written_out():
    labels, groups = documents(20, 2)
    features = np.random.default_rng(4).normal(size=(40, 2)) + labels[:, None]
    scores = cross_fitted(features, labels, groups, seed=5, folds=4)
    fold = deal(groups, 4, 5)
    for i in range(40):
        others = [j for j in range(40) if fold[j] != fold[i]]
        model = LogisticRegression(class_weight="balanced", max_iter=1000)
        model.fit(normal_scores(features)[others], labels[others])
        p_in, p_out = model.predict_proba(normal_scores(features)[[i]])[0][[1, 0]]
        assert scores[i] == pytest.approx(math.log(p_in / p_out), rel=1e-6)


def test_unequal_shares_of_members_in_the_folds_do_not_lower_the_area():
    """A constant feature: all log-odds are 0, where a fit's prior would rank folds against their own share."""
    labels, groups = documents(10)
    assert np.abs(cross_fitted(np.ones((40, 1)), labels, groups, seed=0)).max() < 1e-6


@given(st.lists(st.integers(-3, 3).map(float) | st.sampled_from([math.inf, -math.inf, math.nan]), max_size=12))
def test_normal_scores_keep_the_order_and_leave_nothing_infinite(column: list[float]):
    normal = normal_scores(np.array([column]).reshape(-1, 1))[:, 0]
    assert np.isfinite(normal).all()
    for x, a in zip(column, normal, strict=True):
        assert not math.isnan(x) or a == 0
        for y, b in zip(column, normal, strict=True):
            assert not x < y or a < b
            assert x != y or a == b


def test_normal_scores_by_hand():
    normal = normal_scores(
        np.array([[5.0, math.nan], [-math.inf, math.nan], [math.inf, math.nan], [math.nan, math.nan]])
    )
    np.testing.assert_allclose(normal[:, 0], [0, -0.67449, 0.67449, 0], atol=1e-5)  # Φ⁻¹ of ½, ¼, ¾
    assert (normal[:, 1] == 0).all()


def test_missing_features_weigh_nothing_and_a_record_without_any_is_missing():
    labels, groups = documents(60)
    features = np.random.default_rng(6).normal(size=(240, 2)) + labels[:, None]
    with_empty = np.column_stack([features, np.full(240, np.nan)])
    np.testing.assert_allclose(
        cross_fitted(with_empty, labels, groups, seed=0), cross_fitted(features, labels, groups, seed=0), atol=1e-6
    )
    features[7] = np.nan
    features[8, 0], features[9, 1] = np.nan, math.inf
    scores = cross_fitted(features, labels, groups, seed=0)
    assert np.isnan(scores).nonzero()[0].tolist() == [7]


@given(st.lists(st.sampled_from("abcdefg"), max_size=20), st.integers(2, 6), st.integers(0, 3))
def test_documents_are_dealt_whole_evenly_and_by_the_seed(groups: list[str], folds: int, seed: int):
    fold = deal(groups, folds, seed) if groups else np.array([], dtype=int)
    place = dict(zip(groups, fold, strict=True))
    assert [place[g] for g in groups] == list(fold)
    sizes = [list(place.values()).count(f) for f in range(min(folds, len(place)))]
    assert not sizes or max(sizes) - min(sizes) <= 1
    if groups:
        np.testing.assert_array_equal(deal(groups[::-1], folds, seed), fold[::-1])


def test_another_seed_deals_otherwise():
    _, groups = documents(50)
    assert (deal(groups, 5, 0) != deal(groups, 5, 1)).any()


def test_too_few_documents_are_missing_with_a_reason():
    labels, groups = np.array([True, True, False, False]), ["a", "a", "b", "c"]
    assert np.isnan(cross_fitted(np.arange(4.0)[:, None], labels, groups, seed=0)).all()
    assert why_not(labels, groups) == "documents: 1 of members, 2 of non-members; needs at least two of each"
    assert why_not(np.array([], dtype=bool), []).startswith("documents: 0 of members, 0")
    assert cross_fitted(np.empty((0, 3)), np.array([], dtype=bool), [], seed=0).shape == (0,)


def test_two_documents_a_side_are_enough():
    labels, groups = documents(4, 2)
    assert why_not(labels, groups) == ""
    assert np.isfinite(cross_fitted(np.arange(8.0)[:, None], labels, groups, seed=0)).all()


def test_a_fold_that_leaves_one_class_is_missing():
    labels, groups = documents(40, 1)
    labels = np.array([g in ("d1", "d2") for g in groups])
    seed = next(s for s in range(50) if deal(groups, 2, s)[1] == deal(groups, 2, s)[2])
    scores, fold = cross_fitted(np.arange(40.0)[:, None], labels, groups, seed=seed, folds=2), deal(groups, 2, seed)
    assert np.isnan(scores[fold == fold[1]]).all()
    assert np.isfinite(scores[fold != fold[1]]).all()


@pytest.mark.parametrize(
    ("features", "folds", "message"),
    [(np.zeros((3, 1)), 5, "same records, got features"), (np.zeros(4), 5, "same records"), (np.zeros((4, 1)), 1, "2")],
)
def test_bad_input_is_named(features: np.ndarray, folds: int, message: str):
    with pytest.raises(ValueError, match=message):
        cross_fitted(features, np.array([True, True, False, False]), list("abcd"), seed=0, folds=folds)
