"""Exposed records, agreement of attacks and spread over seeds against loops and scipy."""

import math
import statistics
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from byrote.statistics.agreement import (
    agreement,
    empirical_p,
    jaccard_of_top,
    most_exposed,
    spearman,
    spread_over_seeds,
)

scores = st.integers(-4, 4).map(float) | st.sampled_from([math.nan, math.inf, -math.inf])
columns = st.lists(scores, max_size=12).map(np.array)
nan = math.nan


def scipys(a: np.ndarray, b: np.ndarray) -> float:
    result: Any = stats.spearmanr(a, b)
    return float(result.statistic)


@given(columns, columns)
def test_empirical_p_is_the_loop(members: np.ndarray, nonmembers: np.ndarray):
    known = [q for q in nonmembers if not math.isnan(q)]
    want = [nan if math.isnan(s) or not known else (1 + sum(q >= s for q in known)) / (1 + len(known)) for s in members]
    assert empirical_p(members, nonmembers) == pytest.approx(want, nan_ok=True)


def test_empirical_p_is_small_for_the_exposed_and_never_zero():
    nonmembers = np.arange(99.0)
    assert empirical_p(np.array([1e9, math.inf, 98.0, 0.0, -5.0]), nonmembers) == pytest.approx(
        [0.01, 0.01, 0.02, 1.0, 1.0]
    )


def test_empirical_p_of_nonmembers_is_uniform():
    generator = np.random.default_rng(0)
    p = np.concatenate([empirical_p(generator.normal(size=20), generator.normal(size=99)) for _ in range(200)])
    for x in (0.05, 0.2, 0.5):
        assert np.mean(p <= x) == pytest.approx(x, abs=0.02)


def test_the_most_exposed_are_those_that_all_attacks_find():
    """p by attack a (of 4): 1/4 2/4 4/4; b: 2/4 1/4 4/4 with record 3 in neither and record 4 in b only."""
    members = {"a": np.array([9.0, 2.5, 0.0, nan, nan]), "b": np.array([2.5, 9.0, 0.0, nan, 9.0])}
    result = most_exposed(members, {"b": np.array([1.0, 2.0, 3.0]), "a": np.array([1.0, 2.0, 3.0, nan])}, 9)
    assert result.mean_p == pytest.approx([3 / 8, 3 / 8, 1.0, nan, 1 / 4], nan_ok=True)
    assert result.attacks.tolist() == [2, 2, 1 + 1, 0, 1]
    assert result.records.tolist() == [4, 1, 0, 2]
    assert result.nonmembers == {"a": 3, "b": 3}
    assert most_exposed(members, {k: np.array([1.0, 2.0, 3.0]) for k in members}, 1).records.tolist() == [4]


def test_at_the_floor_the_rank_among_records_decides_then_the_position():
    members = {"a": np.array([5.0, 7.0, 6.0, 7.0, 0.0])}
    assert most_exposed(members, {"a": np.array([1.0])}, 5).records.tolist() == [1, 3, 2, 0, 4]


@given(st.lists(st.tuples(scores, scores), min_size=1, max_size=10), st.integers(1, 12))
def test_listed_records_are_the_lowest_by_a_loop(pairs: list[tuple[float, float]], n: int):
    members = {"a": np.array([p[0] for p in pairs]), "b": np.array([p[1] for p in pairs])}
    nonmembers = {"a": np.array([-2.0, 0.0, 2.0]), "b": np.array([-1.0, 1.0, nan])}
    result = most_exposed(members, nonmembers, n)
    means = []
    for r in range(len(pairs)):
        ps = [float(empirical_p(members[k][r : r + 1], nonmembers[k])[0]) for k in members]
        known = [p for p in ps if not math.isnan(p)]
        means.append(statistics.fmean(known) if known else math.inf)
    listed = [means[r] for r in result.records]
    assert listed == pytest.approx(sorted(m for m in means if m < math.inf)[:n])
    assert len(set(result.records.tolist())) == len(listed)
    monotone = {k: np.exp(np.clip(v, -50, 50)) for k, v in members.items()}
    moved = most_exposed(monotone, {k: np.exp(v) for k, v in nonmembers.items()}, n)
    assert moved.mean_p == pytest.approx(result.mean_p, nan_ok=True)


@given(st.lists(st.tuples(st.integers(-4, 4), st.integers(-4, 4)), max_size=12))
def test_spearman_is_scipys(pairs: list[tuple[int, int]]):
    a, b = (np.array([p[i] for p in pairs], dtype=float) for i in (0, 1))
    rho = spearman(a, b)
    if len(pairs) < 3 or len(set(a)) < 2 or len(set(b)) < 2:
        assert math.isnan(rho)
        return
    assert rho == pytest.approx(scipys(a, b))
    assert spearman(-a, b) == pytest.approx(-rho)
    assert spearman(a**3, b * 2 + 1) == pytest.approx(rho)


def test_infinite_scores_rank_at_the_ends():
    assert spearman(np.array([-math.inf, 0.0, math.inf]), np.array([1.0, 2.0, 3.0])) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("first", "second", "n", "overlap"),
    [
        ([4, 3, 2, 1], [4, 3, 1, 2], 2, 1.0),
        ([4, 3, 2, 1], [1, 2, 3, 4], 2, 0.0),
        ([4, 3, 2, 1], [4, 1, 3, 2], 2, 1 / 3),
        ([4, 3, 3, 1], [4, 3, 2, 1], 2, 2 / 3),  # a tie with the second belongs to the top
        ([1, 1, 1, 1], [4, 3, 2, 1], 2, 1 / 2),
        ([4, 3], [4, 3], 2, nan),
    ],
)
def test_hand_worked_overlaps(first: list[int], second: list[int], n: int, overlap: float):
    similarity = jaccard_of_top(np.array(first, dtype=float), np.array(second, dtype=float), n)
    assert similarity == pytest.approx(overlap, nan_ok=True)


def test_agreement_uses_the_records_both_attacks_score():
    a = np.array([1.0, 2.0, 3.0, 4.0, nan, math.inf])
    result = agreement(
        {"a": a, "reversed": -a, "constant": np.ones(6), "rare": np.array([1.0, nan, nan, 2, 3, nan])}, 2
    )
    assert result.attacks == ("a", "reversed", "constant", "rare")
    assert result.spearman[0, :2] == pytest.approx([1.0, -1.0])
    assert np.isnan(result.spearman[2]).all()
    assert math.isnan(result.spearman[0, 3])  # two records in common
    assert result.records.tolist() == [[5, 5, 5, 2], [5, 5, 5, 2], [5, 5, 6, 3], [2, 2, 3, 3]]
    assert result.jaccard[0, :3] == pytest.approx([1.0, 0.0, 2 / 5])
    assert math.isnan(result.jaccard[0, 3])
    for matrix in (result.spearman, result.jaccard):
        assert matrix == pytest.approx(matrix.T, nan_ok=True)


@given(st.lists(st.tuples(scores, scores), max_size=12), st.randoms(use_true_random=False), st.integers(1, 5))
def test_agreement_does_not_see_the_order_of_records(pairs: list[tuple[float, float]], random, n: int):
    shuffled = random.sample(pairs, len(pairs))
    results = [
        agreement({k: np.array([p[i] for p in rows]) for i, k in enumerate("ab")}, n) for rows in (pairs, shuffled)
    ]
    assert results[0].spearman == pytest.approx(results[1].spearman, nan_ok=True)
    assert results[0].jaccard == pytest.approx(results[1].jaccard, nan_ok=True)


def test_spread_over_seeds_by_hand():
    result = spread_over_seeds(np.array([[1.0, 2.0, nan, 5.0], [3.0, 2.0, 1.0, 6.0], [5.0, nan, nan, math.inf]]))
    assert result == pytest.approx([2.0, 0.0, nan, nan], nan_ok=True)


@given(st.integers(0, 20), st.integers(0, 5), st.integers(0, 7))
def test_spread_over_seeds_is_the_loop(seed: int, seeds: int, records: int):
    values = np.random.default_rng(seed).normal(size=(seeds, records))
    result = spread_over_seeds(values)
    for n in range(records):
        want = statistics.stdev(values[:, n]) if seeds > 1 else nan
        assert result[n] == pytest.approx(want, nan_ok=True)
    assert spread_over_seeds(3 * values[::-1] + 5) == pytest.approx(3 * result, nan_ok=True)


def test_bad_input_is_an_error():
    a = {"a": np.ones(3)}
    with pytest.raises(ValueError, match="n must be at least 1, got 0"):
        most_exposed(a, a, 0)
    with pytest.raises(ValueError, match="n must be at least 1, got 0"):
        agreement(a, 0)
    with pytest.raises(ValueError, match="scores are of a, non-members' of b"):
        most_exposed(a, {"b": np.ones(3)}, 1)
    with pytest.raises(ValueError, match=r"must score the same records, got \{'a': 3, 'b': 4\}"):
        agreement({**a, "b": np.ones(4)}, 1)
    with pytest.raises(ValueError, match="got no attack"):
        agreement({}, 1)
    with pytest.raises(ValueError, match=r"scores_SN must be \(S, N\), got \(3,\)"):
        spread_over_seeds(np.ones(3))
