"""Paired tests, seeds and the matched AUC against naive twins, hand-worked cases and another library."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from MLstatkit import Delong_test
from scipy.stats import ttest_1samp

from byrote.statistics.delong import clustered
from byrote.statistics.matched import matched_auc
from byrote.statistics.paired import compare, holm
from byrote.statistics.roc import auc
from byrote.statistics.seeds import claim, family_level, over_seeds

few = st.lists(st.integers(-3, 3).map(float), min_size=1, max_size=15)


DOCUMENTS = (range(80), range(80, 130))  # each record its own


def two_trials(decimals: int = 8) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Members and non-members under a, then under b, on common noise; with one decimal most are tied."""
    generator = np.random.default_rng(3)
    common = generator.normal(size=80), generator.normal(size=50)
    a, b = ([side + generator.normal(0, 0.5, len(side)) for side in common] for _ in "ab")
    a_members, a_nonmembers, b_members, b_nonmembers = (side.round(decimals) for side in (*a, *b))
    return (a_members + 1.0, a_nonmembers), (b_members + 0.7, b_nonmembers)


@pytest.mark.parametrize("decimals", [1, 8])
def test_the_paired_test_is_the_other_librarys_where_records_are_independent(decimals: int):
    trials = two_trials(decimals)
    result = compare(*trials, DOCUMENTS)
    z, p_value = Delong_test(
        [1] * 80 + [0] * 50, np.concatenate(trials[0]), np.concatenate(trials[1]), return_ci=False, return_auc=False
    )
    assert result.difference == pytest.approx(auc(*trials[0]) - auc(*trials[1]))
    assert result.statistic == pytest.approx(-z)  # it takes b − a
    assert result.p_value == pytest.approx(p_value)
    assert result.reason is None


def test_documents_widen_the_paired_interval_and_the_trials_can_be_swapped():
    trials = two_trials()
    a, b = ((np.tile(members, 2), np.tile(nonmembers, 2)) for members, nonmembers in trials)
    once = compare(*trials, DOCUMENTS)
    twice = compare(a, b, ([*range(80)] * 2, [*range(80, 130)] * 2))
    assert (twice.low, twice.high, twice.p_value) == pytest.approx((once.low, once.high, once.p_value))
    assert compare(a, b, (range(160), range(160, 260))).p_value < once.p_value
    turned = compare(trials[1], trials[0], DOCUMENTS)
    assert (turned.difference, turned.low, turned.high) == pytest.approx((-once.difference, -once.high, -once.low))
    assert turned.p_value == pytest.approx(once.p_value)


def test_the_interval_and_the_p_value_agree_on_zero():
    trials = two_trials()
    result = compare(*trials, DOCUMENTS)
    edge = compare(*trials, DOCUMENTS, level=1 - result.p_value)
    assert min(abs(edge.low), abs(edge.high)) == pytest.approx(0, abs=1e-9)


def test_a_comparison_that_cannot_be_made_says_why():
    members, nonmembers = np.array([1.0, 2.0, 4.0]), np.array([0.0, 3.0])
    same = compare((members, nonmembers), (members * 2, nonmembers * 2), (list("abc"), list("de")))
    assert (same.difference, math.isnan(same.p_value)) == (0.0, True)
    assert "no spread" in (same.reason or "")
    few = compare((members, nonmembers), (-members, nonmembers), (list("aaa"), list("de")))
    assert "fewer than two documents" in (few.reason or "")
    none = compare((np.empty(0), nonmembers), (np.empty(0), nonmembers), ([], list("de")))
    assert math.isnan(none.difference)
    assert "a side is empty" in (none.reason or "")
    with pytest.raises(ValueError, match="a has 3 members and 2 non-members, b 2 and 2"):
        compare((members, nonmembers), (members[:2], nonmembers), (list("abc"), list("de")))


def test_holm_by_hand():
    """R's p.adjust(c(.01, .04, .03, .005), "holm")."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.01, math.nan, 0.04]) == pytest.approx([0.02, math.nan, 0.04], nan_ok=True)
    assert holm([0.9, 0.8]) == pytest.approx([1, 1])
    assert holm([]).shape == (0,)
    assert math.isnan(holm([math.nan])[0])
    with pytest.raises(ValueError, match=r"must lie in \[0, 1\], got 1\.5"):
        holm([0.5, 1.5])


@given(st.lists(st.one_of(st.floats(0, 1), st.just(math.nan)), max_size=8), st.sampled_from([0.01, 0.05, 0.2, 0.7]))
def test_holm_rejects_what_stepping_down_rejects(p_values: list[float], level: float):
    """Smallest first: reject while p ≤ level / (tests left)."""
    done = sorted((p, i) for i, p in enumerate(p_values) if not math.isnan(p))
    rejected = set()
    for step, (p, i) in enumerate(done):
        if p * (len(done) - step) > level:
            break
        rejected.add(i)
    adjusted = holm(p_values)
    assert {i for i, p in enumerate(adjusted) if p <= level} == rejected
    assert [math.isnan(p) for p in adjusted] == [math.isnan(p) for p in p_values]


FIVE = np.array([0.70, 0.72, 0.74, 0.76, 0.78])


def test_mean_over_seeds_by_hand():
    """s² = .001, d = .0004, c = .0002: half² = 2.776445²·.0002 + 1.959964²·.0002; over .74·.26 on the logit scale."""
    result = over_seeds(FIVE, 0.0002 * (np.eye(5) + 1))
    assert (result.mean, result.seeds) == (pytest.approx(0.74), 5)
    centre, half = math.log(0.74 / 0.26), 0.0480627 / (0.74 * 0.26)
    expected = [1 / (1 + math.exp(-x)) for x in (centre - half, centre + half)]
    assert [result.low, result.high] == pytest.approx(expected, abs=1e-6)
    assert result.seed_sd == pytest.approx(math.sqrt(0.0008))
    assert result.sampling_se == pytest.approx(math.sqrt(0.00024))


def test_variances_alone_are_taken_as_errors_shared_in_full():
    result, joint = over_seeds(FIVE, np.full(5, 0.0004)), over_seeds(FIVE, np.full((5, 5), 0.0004))
    assert result == joint
    assert result.sampling_se == pytest.approx(0.02)
    assert result.seed_sd == pytest.approx(math.sqrt(0.001))
    apart = over_seeds(FIVE, 0.0004 * np.eye(5))
    assert result.high - result.low > apart.high - apart.low


def test_without_sampling_error_it_is_the_t_interval_where_the_logit_is_nearly_straight():
    close = 0.5 + (FIVE - 0.74) / 10
    result = over_seeds(close, np.zeros((5, 5)))
    expected = ttest_1samp(close, 0).confidence_interval()
    assert (result.low, result.high) == pytest.approx((expected.low, expected.high), abs=1e-5)


def test_an_interval_over_seeds_stays_inside_what_an_area_can_be():
    near_one = np.array([0.97, 0.99, 0.995, 1.0, 1.0])
    result = over_seeds(near_one, np.full((5, 5), 1e-4))
    assert near_one.mean() + 2.776 * near_one.std(ddof=1) / 5**0.5 > 1
    assert 0.8 < result.low < result.mean < result.high < 1
    mirrored = over_seeds(1 - near_one, np.full((5, 5), 1e-4))
    assert (mirrored.low, mirrored.high) == pytest.approx((1 - result.high, 1 - result.low))


@pytest.mark.parametrize("claims", [0, 1, 3, 105])
def test_intervals_of_a_family_hold_together(claims: int):
    each = family_level(0.95, claims)
    assert max(claims, 1) * (1 - each) == pytest.approx(0.05)


def test_sampling_error_larger_than_the_spread_leaves_none_to_the_seeds():
    assert over_seeds(FIVE, 0.01 * np.eye(5)).seed_sd == 0


def test_one_seed_no_seed_and_seeds_that_agree_have_no_interval():
    alone = over_seeds(np.array([0.7]), np.array([[0.0004]]))
    assert (alone.mean, alone.sampling_se, alone.seeds) == (0.7, pytest.approx(0.02), 1)
    assert all(map(math.isnan, (alone.low, alone.high, alone.seed_sd)))
    none = over_seeds(np.empty(0), np.empty((0, 0)))
    assert all(map(math.isnan, (none.mean, none.low, none.sampling_se)))
    assert math.isnan(over_seeds(np.ones(5), np.zeros((5, 5))).low)
    with pytest.raises(ValueError, match=r"no AUC at seed number \[1\]"):
        over_seeds(np.array([0.7, math.nan]), np.eye(2))
    with pytest.raises(ValueError, match=r"must be \(5, 5\) or \(5,\), got \(4, 4\)"):
        over_seeds(FIVE, np.eye(4))


def test_the_parts_are_told_apart():
    """Seeds of spread 0.03 on common records, many times: both parts come out on average."""
    generator = np.random.default_rng(0)
    covariance = 0.0003 * np.eye(6) + 0.0005
    areas = 0.7 + generator.multivariate_normal(np.zeros(6), covariance + 0.0009 * np.eye(6), size=2000)
    results = [over_seeds(row, covariance) for row in areas]
    assert np.mean([r.seed_sd**2 for r in results]) == pytest.approx(0.0009, rel=0.1)
    assert results[0].sampling_se ** 2 == pytest.approx(0.0005 + 0.0003 / 6)
    assert 0.94 < np.mean([r.low <= 0.7 <= r.high for r in results]) < 0.98


STEPS = np.array([-0.002, -0.001, 0.0, 0.001, 0.002])


@pytest.mark.parametrize(
    ("shift", "scale", "verdict", "why"),
    [
        (0.05, 1, "more", "wholly above"),
        (-0.05, 1, "less", "wholly below"),
        (0.0, 1, "equivalent", "wholly inside"),
        (0.01, 1, "equivalent", "wholly inside"),
        (0.02, 1, "undecided", "more, but whether by the margin"),
        (-0.02, 1, "undecided", "less, but whether by the margin"),
        (0.01, 20, "undecided", "not even the sign"),
    ],
)
def test_a_claim_follows_its_interval(shift: float, scale: float, verdict: str, why: str):
    result = claim(0.7 + shift + scale * STEPS, np.full(5, 0.7), 0.02)
    assert (result.verdict, result.seeds) == (verdict, 5)
    assert why in result.reason
    expected = ttest_1samp(shift + scale * STEPS, 0).confidence_interval()
    assert (result.low, result.high) == pytest.approx((expected.low, expected.high))


def test_a_claim_pairs_by_seed():
    """The seeds vary by far more than the difference does."""
    common = np.array([0.5, 0.6, 0.7, 0.8, 0.9])
    assert claim(common + 0.05 + STEPS, common, 0.02).verdict == "more"
    assert claim(common + 0.05 + STEPS, common[::-1], 0.02).verdict == "undecided"


def test_four_seeds_claim_nothing_and_lost_ones_are_counted():
    a, b = 0.8 + STEPS, np.full(5, 0.7)
    result = claim(a[:4], b[:4], 0.02)
    assert (result.verdict, result.difference) == ("undecided", pytest.approx(0.0995))
    assert "4 seeds have both AUCs, a claim about configurations takes at least 5" in result.reason
    covariance = np.zeros((6, 6))
    covariance[:, 5] = covariance[5] = 1  # the lost seed's
    lost = claim(np.append(a, math.nan), np.append(b, 0.7), 0.02, covariance)
    assert (lost.verdict, lost.seeds) == ("more", 5)
    assert "(1 more without an AUC)" in lost.reason
    assert claim([math.nan] * 5, b, 0.02).seeds == 0
    assert "same under all 5" in claim(b, b, 0.02).reason


def test_a_claim_about_records_like_these_is_wider():
    a, b = 0.75 + STEPS, np.full(5, 0.7)
    narrow, wide = claim(a, b, 0.02), claim(a, b, 0.02, np.full((5, 5), 0.02**2))
    assert (narrow.verdict, wide.verdict) == ("more", "undecided")
    half = math.sqrt((narrow.high - 0.05) ** 2 + (1.959964 * 0.02) ** 2)
    assert (wide.low, wide.high) == pytest.approx((0.05 - half, 0.05 + half))
    assert "covariance of the differences is missing" in claim(a, b, 0.02, np.full((5, 5), math.nan)).reason


def test_a_claim_refuses_what_cannot_be_paired():
    with pytest.raises(ValueError, match=r"areas \(5,\) and \(4,\)"):
        claim(FIVE, FIVE[:4], 0.02)
    with pytest.raises(ValueError, match="margin at least 0"):
        claim(FIVE, FIVE, -0.02)


@given(st.lists(st.floats(-0.1, 0.1), min_size=5, max_size=9), st.floats(0, 0.05))
def test_claims_turn_with_their_sides_and_ignore_the_order_of_seeds(differences: list[float], margin: float):
    a, b = np.array(differences), np.zeros(len(differences))
    there, back, shuffled = claim(a, b, margin), claim(b, a, margin), claim(a[::-1], b, margin)
    mirror = {"more": "less", "less": "more", "equivalent": "equivalent", "undecided": "undecided"}
    assert back.verdict == mirror[there.verdict]
    assert (-back.high, -back.low) == pytest.approx((there.low, there.high), nan_ok=True)
    assert (shuffled.low, shuffled.high) == pytest.approx((there.low, there.high), nan_ok=True)


def test_seeds_of_real_curves_share_their_sampling_error():
    """Five seeds on the same records: the covariance that `clustered` gives is what `over_seeds` takes."""
    generator = np.random.default_rng(1)
    common = generator.normal(size=120), generator.normal(size=60)
    ours, theirs = (np.stack([side + generator.normal(0, 0.3, len(side)) for _ in range(5)]) for side in common)
    areas, covariance = clustered(ours + 1, theirs, range(120), range(120, 180))
    result = over_seeds(areas, covariance)
    assert result.sampling_se == pytest.approx(math.sqrt(covariance.mean()))
    assert result.high - result.low > 2 * 1.9 * result.sampling_se


def naive_matched(ours: list, theirs: list, stratum_of) -> tuple[float, int, int]:
    """Pair by pair within strata; every member weighs the same."""
    shares, used = [], set()
    for score, at in ours:
        rivals = [j for j, (_, other) in enumerate(theirs) if stratum_of(other) == stratum_of(at)]
        if rivals:
            shares.append(sum((score > theirs[j][0]) + (score == theirs[j][0]) / 2 for j in rivals) / len(rivals))
            used.update(rivals)
    return (sum(shares) / len(shares) if shares else math.nan), len(shares), len(used)


@given(few, few, st.data())
def test_matched_auc_is_the_mean_over_members_of_rivals_beaten(
    ours: list[float], theirs: list[float], data: st.DataObject
):
    """With as many bins as records every covariate is a stratum of its own."""
    values = st.integers(0, 3).map(float)
    ours_at, theirs_at = (data.draw(st.lists(values, min_size=len(s), max_size=len(s))) for s in (ours, theirs))
    pairs = [*zip(ours, ours_at, strict=True)], [*zip(theirs, theirs_at, strict=True)]
    result = matched_auc(*map(np.array, (ours, theirs, ours_at, theirs_at)), bins=len(ours) + len(theirs))
    area, members, nonmembers = naive_matched(*pairs, stratum_of=lambda at: at)
    assert result.auc == pytest.approx(area, nan_ok=True)
    assert result[1:] == (members, nonmembers, len(ours) + len(theirs) - members - nonmembers)
    turned = matched_auc(-np.array(ours), -np.array(theirs), np.array(ours_at), np.array(theirs_at), bins=30)
    assert turned.auc == pytest.approx(1 - area, nan_ok=True)


@given(few, few)
def test_one_bin_or_one_value_is_the_plain_area(ours: list[float], theirs: list[float]):
    sides = np.array(ours), np.array(theirs)
    plain = (pytest.approx(auc(*sides)), len(ours), len(theirs), 0)
    assert matched_auc(*sides, np.arange(len(ours)), np.arange(len(theirs)), bins=1) == plain
    assert matched_auc(*sides, np.zeros(len(ours)), np.zeros(len(theirs))) == plain


def test_two_strata_by_hand():
    """At 1 one member beats 1 of 2, at 2 three members beat none: (.5 + 0 + 0 + 0)/4; a non-member at 9 is alone."""
    result = matched_auc(
        np.array([2.0, 0.0, 0.0, 0.0]),
        np.array([1.0, 3.0, 5.0, 0.0]),
        np.array([1, 2, 2, 2]),
        np.array([1, 1, 2, 9]),
        bins=8,
    )
    assert result == (0.125, 4, 3, 1)


def test_matching_removes_what_the_covariate_explains():
    generator = np.random.default_rng(0)
    ours_at, theirs_at = generator.normal(1, 1, 3000), generator.normal(0, 1, 1000)
    ours, theirs = ours_at + generator.normal(size=3000), theirs_at + generator.normal(size=1000)
    assert auc(ours, theirs) > 0.67
    assert matched_auc(ours, theirs, ours_at, theirs_at, bins=50).auc == pytest.approx(0.5, abs=0.02)
    assert matched_auc(ours + 1, theirs, ours_at, theirs_at, bins=50).auc > 0.7


def test_a_record_without_a_covariate_is_counted_and_an_infinite_one_is_a_value():
    result = matched_auc(
        np.array([1.0, 2.0, 3.0]), np.array([0.0, 2.5]), np.array([1, math.nan, math.inf]), np.array([1, math.inf])
    )
    assert result == (1.0, 2, 2, 1)


def test_nothing_in_common_is_missing_and_bad_input_is_named():
    apart = matched_auc(np.ones(2), np.ones(2), np.zeros(2), np.ones(2))
    assert (math.isnan(apart.auc), *apart[1:]) == (True, 0, 0, 4)
    empty = matched_auc(np.empty(0), np.ones(2), np.empty(0), np.ones(2))
    assert (math.isnan(empty.auc), *empty[1:]) == (True, 0, 0, 2)
    none = np.empty(0)
    assert matched_auc(none, none, none, none)[1:] == (0, 0, 0)
    with pytest.raises(ValueError, match="2 non-member scores but 1 covariates"):
        matched_auc(np.ones(2), np.ones(2), np.ones(2), np.ones(1))
    with pytest.raises(ValueError, match="bins must be at least 1, got 0"):
        matched_auc(np.ones(2), np.ones(2), np.ones(2), np.ones(2), bins=0)
