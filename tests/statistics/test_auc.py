"""AUC variances and the document bootstrap against naive twins, hand-worked cases and other libraries."""

import math

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st
from jax_privacy.auditing import BootstrapParams, CanaryScoreAuditor

from byrote.statistics.bootstrap import auc_interval, over_groups, percentile, weighted_auc
from byrote.statistics.delong import clustered, delong, documents_of, interval, placements, why_no_interval
from byrote.statistics.roc import auc

scores = st.integers(-4, 4).map(float)


@st.composite
def samples(draw: st.DrawFn, curves: int = 2, least: int = 2) -> tuple[np.ndarray, np.ndarray, list[str], list[str]]:
    """Tied scores of several curves on both sides, and the few documents of each record."""
    members, nonmembers = draw(st.integers(least, 9)), draw(st.integers(least, 9))
    sides = [
        draw(st.lists(st.lists(scores, min_size=n, max_size=n), min_size=curves, max_size=curves))
        for n in (members, nonmembers)
    ]
    groups = [draw(st.lists(st.sampled_from("abcde"), min_size=n, max_size=n)) for n in (members, nonmembers)]
    return np.array(sides[0]), np.array(sides[1]), groups[0], groups[1]


def naive_placements(members: np.ndarray, nonmembers: np.ndarray) -> tuple[list[float], list[float]]:
    """Every pair, one by one."""
    wins = [[1.0 if m > n else 0.5 if m == n else 0.0 for n in nonmembers] for m in members]
    return [sum(row) / len(nonmembers) for row in wins], [
        sum(column) / len(members) for column in zip(*wins, strict=True)
    ]


def naive_clustered(members_KP: np.ndarray, nonmembers_KQ: np.ndarray, ours: list, theirs: list) -> np.ndarray:
    """Obuchowski's S10/M + S01/N + 2·S11/(MN), as printed, for each pair of curves."""
    curves, p, q = len(members_KP), len(ours), len(theirs)
    sides = [naive_placements(members_KP[k], nonmembers_KQ[k]) for k in range(curves)]
    areas = [sum(side[0]) / p for side in sides]
    documents = sorted({*ours, *theirs})

    def total(k: int, document: str, side: int) -> float:
        return sum(v - areas[k] for v, g in zip(sides[k][side], (ours, theirs)[side], strict=True) if g == document)

    def correction(count: int) -> float:
        return count / (count - 1) if count > 1 else math.nan

    covariance = np.empty((curves, curves))
    for k in range(curves):
        for j in range(curves):
            s10 = correction(len(set(ours))) / p * sum(total(k, d, 0) * total(j, d, 0) for d in documents)
            s01 = correction(len(set(theirs))) / q * sum(total(k, d, 1) * total(j, d, 1) for d in documents)
            s11 = correction(len(documents)) * sum(
                total(k, d, 0) * total(j, d, 1) + total(k, d, 1) * total(j, d, 0) for d in documents
            )
            covariance[k, j] = s10 / p + s01 / q + s11 / (p * q)
    return covariance


def alone(sample: tuple) -> tuple[list[int], list[int]]:
    """A document a record."""
    p, q = sample[0].shape[1], sample[1].shape[1]
    return list(range(p)), list(range(p, p + q))


def test_two_against_two_by_hand():
    """Placements .5 and 1 on either side: variances .125, so .125/2 + .125/2."""
    members, nonmembers = np.array([[1.0, 3.0]]), np.array([[0.0, 2.0]])
    ours, theirs = placements(members, nonmembers)
    assert ours.tolist() == [[0.5, 1.0]]
    assert theirs.tolist() == [[1.0, 0.5]]
    areas, covariance = delong(members, nonmembers)
    assert (areas[0], covariance[0, 0]) == (0.75, 0.125)


@pytest.mark.parametrize(("theirs", "variance"), [(["a", "b"], 0.0), (["b", "a"], 0.25), (["c", "d"], 0.125)])
def test_documents_of_both_sides_by_hand(theirs: list[str], variance: float):
    """Deviations −, + of the members and +, − of the non-members (each 1/8) cancel or add up within a document."""
    _, covariance = clustered(np.array([[1.0, 3.0]]), np.array([[0.0, 2.0]]), ["a", "b"], theirs)
    assert covariance[0, 0] == pytest.approx(variance)


@given(samples())
def test_placements_are_shares_of_pairs(sample: tuple):
    ours, theirs = placements(sample[0], sample[1])
    for k in range(2):
        naive = naive_placements(sample[0][k], sample[1][k])
        assert ours[k] == pytest.approx(naive[0])
        assert theirs[k] == pytest.approx(naive[1])
        assert ours[k].mean() == pytest.approx(auc(sample[0][k], sample[1][k]))


@given(samples())
def test_clustered_is_obuchowskis_formula_and_never_negative(sample: tuple):
    areas, covariance = clustered(*sample)
    assert areas == pytest.approx([auc(m, n) for m, n in zip(*sample[:2], strict=True)])
    assert covariance == pytest.approx(naive_clustered(*sample), nan_ok=True)
    if not np.isnan(covariance).any():
        assert np.linalg.eigvalsh(covariance).min() > -1e-12


@given(samples())
def test_a_document_a_record_is_delong(sample: tuple):
    ours, theirs = alone(sample)
    areas, covariance = delong(*sample[:2])
    again, clusters = clustered(sample[0], sample[1], ours, theirs)
    assert areas == pytest.approx(again)
    assert covariance == pytest.approx(clusters)
    assert covariance == pytest.approx(naive_clustered(sample[0], sample[1], ours, theirs))


@given(samples(), st.randoms(use_true_random=False))
def test_orientation_order_and_scale(sample: tuple, chance):
    members, nonmembers, ours, theirs = sample
    areas, covariance = clustered(*sample)
    turned, same = clustered(nonmembers, members, theirs, ours)
    assert turned == pytest.approx(1 - areas)
    assert same == pytest.approx(covariance, nan_ok=True)
    order = list(range(len(ours)))
    chance.shuffle(order)
    shuffled = clustered(members[:, order] * 3 + 1, nonmembers * 3 + 1, [ours[i] for i in order], theirs)
    assert shuffled[0] == pytest.approx(areas)
    assert shuffled[1] == pytest.approx(covariance, nan_ok=True)
    assert clustered(members[::-1], nonmembers[::-1], ours, theirs)[1] == pytest.approx(
        covariance[::-1, ::-1], nan_ok=True
    )


def test_infinite_scores_are_scores():
    areas, covariance = delong(np.array([[math.inf, 0.0, 1.0]]), np.array([[-math.inf, 0.5, -math.inf]]))
    assert areas[0] == pytest.approx(8 / 9)
    assert covariance[0, 0] > 0


@pytest.mark.parametrize(("members", "nonmembers"), [(0, 3), (3, 0), (0, 0)])
def test_an_empty_side_is_missing(members: int, nonmembers: int):
    sides = np.ones((2, members)), np.ones((2, nonmembers))
    for areas, covariance in (delong(*sides), clustered(*sides, ["a"] * members, ["b"] * nonmembers)):
        assert areas.shape == (2,)
        assert covariance.shape == (2, 2)
        assert np.isnan(areas).all()
        assert np.isnan(covariance).all()


def test_one_record_or_one_document_has_an_area_and_no_variance():
    members, nonmembers = np.array([[1.0, 3.0]]), np.array([[0.0, 2.0]])
    areas, covariance = delong(members[:, :1], nonmembers)
    assert (areas[0], math.isnan(covariance[0, 0])) == (0.5, True)
    areas, covariance = clustered(members, nonmembers, ["a", "a"], ["b", "c"])
    assert (areas[0], math.isnan(covariance[0, 0])) == (0.75, True)


def test_bad_scores_and_groups_are_named():
    good = np.ones((1, 2))
    with pytest.raises(ValueError, match="1 non-member records have a NaN score"):
        delong(good, np.array([[1.0, math.nan]]))
    with pytest.raises(ValueError, match=r"got \(2,\) and \(1, 2\)"):
        delong(np.ones(2), good)
    with pytest.raises(ValueError, match="1 and 2 groups for 2 members and 2 non-members"):
        clustered(good, good, ["a"], ["a", "b"])


def test_documents_are_numbered_across_both_sides():
    ours, theirs, count = documents_of(["x", "y", "x"], ["y", "z"])
    assert (ours.tolist(), theirs.tolist(), count) == ([0, 1, 0], [1, 2], 3)
    assert documents_of([7, 8], [])[2] == 2


def test_interval_by_hand_and_mirrored():
    """At 1/2 the logit is 0 and its half-width 1.959964·0.1/0.25."""
    low, high = interval(0.5, 0.01)
    assert high == pytest.approx(1 / (1 + math.exp(-0.7839856)))
    assert low + high == pytest.approx(1)
    low, high = interval(0.97, 0.001)
    assert interval(0.03, 0.001) == pytest.approx((1 - high, 1 - low))
    assert low < 0.97 < high < 1
    assert interval(0.97, 0.001, 0.5)[0] > low


@pytest.mark.parametrize(
    ("area", "variance", "why"),
    [
        (1.0, 0.0, "the AUC is 1"),
        (0.0, 0.0, "the AUC is 0"),
        (0.5, 0.0, "the variance is 0"),
        (0.7, math.nan, "fewer than two documents"),
        (math.nan, math.nan, "a side is empty"),
    ],
)
def test_no_interval_has_a_reason(area: float, variance: float, why: str):
    assert all(map(math.isnan, interval(area, variance)))
    assert why in (why_no_interval(area, variance) or "")


def test_an_interval_has_no_reason_against_it():
    assert why_no_interval(0.7, 0.01) is None


@given(samples(curves=1), st.integers(0, 9))
def test_a_weighted_area_is_the_area_of_repeated_records(sample: tuple, seed: int):
    members, nonmembers = sample[0][0], sample[1][0]
    generator = np.random.default_rng(seed)
    weights = [generator.integers(0, 4, size=(3, len(side))) for side in (members, nonmembers)]
    repeated = [auc(np.repeat(members, w), np.repeat(nonmembers, v)) for w, v in zip(*weights, strict=True)]
    areas = weighted_auc(members, nonmembers)(weights[0].astype(float), weights[1].astype(float))
    assert areas == pytest.approx(repeated, nan_ok=True)
    assert weighted_auc(members, nonmembers)(*(np.ones((1, len(s))) for s in (members, nonmembers))) == pytest.approx(
        auc(members, nonmembers)
    )


def drawn(member_groups: list, nonmember_groups: list, resamples: int = 300) -> tuple[np.ndarray, np.ndarray]:
    """The weights that a statistic is given, over all batches."""
    samples: list[tuple[np.ndarray, np.ndarray]] = []

    def watch(weights_BP: np.ndarray, weights_BQ: np.ndarray) -> np.ndarray:
        samples.append((weights_BP, weights_BQ))
        return weights_BP[:, 0]

    values = over_groups(watch, member_groups, nonmember_groups, resamples, seed=5)
    ours, theirs = (np.concatenate(side) for side in zip(*samples, strict=True))
    assert (values == ours[:, 0]).all()
    return ours, theirs


def test_whole_documents_are_drawn_and_their_number_kept_on_either_side():
    ours, theirs = drawn(["a", "a", "b", "c"], ["x", "y", "y"])
    assert (ours.shape, theirs.shape) == ((300, 4), (300, 3))
    assert (ours[:, 0] == ours[:, 1]).all()
    assert (theirs[:, 1] == theirs[:, 2]).all()
    assert (ours[:, 1:].sum(axis=1) == 3).all()
    assert (theirs[:, :2].sum(axis=1) == 2).all()
    assert ours[:, 0].mean() == pytest.approx(1, abs=0.15)
    assert ours[:, 0].var() == pytest.approx(3 * 1 / 3 * 2 / 3, abs=0.15)
    assert len(np.unique(ours, axis=0)) == 10  # of three documents: all the ways to draw three
    assert abs(np.corrcoef(ours[:, 0], theirs[:, 0])[0, 1]) < 0.2


def test_a_document_of_both_sides_is_drawn_with_all_its_records():
    ours, theirs = drawn(["a", "b", "c"], ["b", "c", "d"])
    assert (ours[:, 1:] == theirs[:, :2]).all()
    assert (ours[:, 0] + theirs.sum(axis=1) == 4).all()


def test_the_seed_decides_and_fewer_resamples_are_the_first_of_more():
    members, nonmembers = np.arange(6.0), np.arange(4.0) + 0.5
    statistic, groups = weighted_auc(members, nonmembers), ([1, 1, 2, 2, 3, 3], [4, 4, 5, 6])
    values = over_groups(statistic, *groups, resamples=256, seed=1)
    assert (values[:128] == over_groups(statistic, *groups, resamples=128, seed=1)).all()
    assert (values != over_groups(statistic, *groups, resamples=256, seed=2)).any()
    with pytest.raises(ValueError, match="resamples must be at least 1, got 0"):
        over_groups(statistic, *groups, resamples=0, seed=1)


def test_scipys_bootstrap_of_independent_records():
    """Quantiles of 4000 resamples have a Monte-Carlo error of 0.0016 here."""
    generator = np.random.default_rng(8)
    members, nonmembers = generator.normal(0.8, 1, 90), generator.normal(0, 1, 60)
    low, high = auc_interval(members, nonmembers, range(90), range(90, 150), seed=2, resamples=4000)
    expected = scipy.stats.bootstrap(
        (members, nonmembers),
        auc,
        vectorized=False,
        n_resamples=4000,
        method="percentile",
        rng=np.random.default_rng(1),
    ).confidence_interval
    assert (low, high) == pytest.approx((expected.low, expected.high), abs=0.007)


def test_jax_privacys_bootstrap_of_its_own_area():
    """Its area is that under the concave hull of the curve, larger than the AUC; documents of one record."""
    generator = np.random.default_rng(8)
    members, nonmembers = generator.normal(0.8, 1, 90), generator.normal(0, 1, 60)

    def hull(weights_BP: np.ndarray, weights_BQ: np.ndarray) -> np.ndarray:
        pairs = zip(weights_BP.astype(int), weights_BQ.astype(int), strict=True)
        return np.array(
            [CanaryScoreAuditor(np.repeat(members, p), np.repeat(nonmembers, q)).attack_auroc() for p, q in pairs]
        )

    params = BootstrapParams(num_samples=2000, bias_correction=False, seed=2)
    expected = CanaryScoreAuditor(members, nonmembers).attack_auroc(bootstrap_params=params)
    assert percentile(over_groups(hull, range(90), range(90, 150), 2000, seed=2)) == pytest.approx(
        tuple(np.asarray(expected)), abs=0.01
    )


def test_resampled_documents_spread_as_obuchowski_says():
    generator = np.random.default_rng(4)
    ours, theirs = np.repeat(np.arange(80), 3), np.repeat(np.arange(60, 140), 2)
    effects = generator.normal(size=140)
    members = effects[ours] + generator.normal(1, 0.5, 240)
    nonmembers = effects[theirs] + generator.normal(0, 0.5, 160)
    values = over_groups(weighted_auc(members, nonmembers), ours, theirs, 2000, seed=3)
    documents = clustered(members[None], nonmembers[None], ours, theirs)[1][0, 0]
    records = delong(members[None], nonmembers[None])[1][0, 0]
    assert values.std() == pytest.approx(math.sqrt(documents), rel=0.1)
    assert documents > 1.5 * records


def test_percentiles_of_a_known_set():
    assert percentile(np.arange(101.0)) == pytest.approx((2.5, 97.5))
    assert percentile(np.arange(101.0), 0.5) == pytest.approx((25, 75))


@pytest.mark.parametrize(
    ("members", "nonmembers", "ours", "theirs"),
    [
        ([], [1.0, 2.0], [], ["a", "b"]),
        ([1.0, 2.0], [0.5, 1.5], ["a", "a"], ["b", "c"]),
        ([1.0, 2.0], [0.5, 1.5], ["a", "b"], ["a", "a"]),
        ([3.0, 4.0], [1.0, 2.0], ["a", "b"], ["c", "d"]),
        ([1.0, 2.0], [0.5, 1.5], ["a", "b"], ["b", "c"]),
    ],
    ids=["no members", "one document", "one document of both", "apart", "resamples without non-members"],
)
def test_too_few_documents_give_no_interval(members: list, nonmembers: list, ours: list, theirs: list):
    assert all(map(math.isnan, auc_interval(np.array(members), np.array(nonmembers), ours, theirs, seed=0)))
