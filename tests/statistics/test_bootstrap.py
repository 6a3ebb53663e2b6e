"""Many curves on one set of resamples give what each alone gives."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from byrote.statistics.bootstrap import auc_draws, auc_interval, over_groups, percentile

scores = st.lists(st.sampled_from([-math.inf, -1.0, 0.0, 0.5, 2.0, math.inf]), min_size=3, max_size=12).map(np.array)


@settings(max_examples=40)
@given(scores, scores, st.integers(0, 99))
def test_each_interval_is_the_one_of_its_curve_alone(members: np.ndarray, nonmembers: np.ndarray, seed: int):
    groups = [f"d{i // 2}" for i in range(len(members))], [f"e{i // 2}" for i in range(len(nonmembers))]
    curves = (members, -members), (nonmembers, -nonmembers)
    draws = auc_draws(*curves, *groups, 150, seed)
    assert draws.shape == (150, 2)
    for ours, theirs, draws_B in zip(*curves, draws.T, strict=True):
        expected = auc_interval(ours, theirs, *groups, seed=seed, resamples=150, level=0.9)
        np.testing.assert_equal(percentile(draws_B, 0.9), expected)


def test_a_record_without_a_score_is_left_out_of_its_curve_and_of_no_other():
    generator = np.random.default_rng(0)
    members, nonmembers = generator.normal(1, 1, 30), generator.normal(0, 1, 20)
    holed, out = members.copy(), nonmembers.copy()
    holed[[0, 7]], out[3] = math.nan, math.nan
    groups = [i // 2 for i in range(30)], [100 + i // 2 for i in range(20)]

    def by_pairs(weights_BP: np.ndarray, weights_BQ: np.ndarray) -> np.ndarray:
        areas = []
        for w_P, w_Q in zip(weights_BP, weights_BQ, strict=True):
            pairs = [
                (w * v, (m > n) + (m == n) / 2)
                for w, m in zip(w_P, holed, strict=True)
                for v, n in zip(w_Q, out, strict=True)
                if not (math.isnan(m) or math.isnan(n))
            ]
            areas.append(sum(w * won for w, won in pairs) / sum(w for w, _ in pairs))
        return np.array(areas)

    draws = auc_draws([members, holed], [nonmembers, out], *groups, 100, 3)
    whole, part = (percentile(draws_B) for draws_B in draws.T)
    assert part == pytest.approx(percentile(over_groups(by_pairs, *groups, 100, 3)))
    assert whole == auc_interval(members, nonmembers, *groups, seed=3, resamples=100)
    assert whole != part


def test_too_few_documents_or_no_scores_give_none():
    scores = np.array([1.0, 2.0])
    assert np.isnan(auc_draws([scores], [scores], ["a", "a"], ["b", "c"], 100, 0)).all()
    lost = np.full(2, math.nan)
    assert np.isnan(auc_draws([lost], [scores], ["a", "d"], ["b", "c"], 100, 0)).all()
