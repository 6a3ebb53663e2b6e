"""Claims over seeds and what samples show: against loops over the curves, and where the numbers must be missing."""

import math

import numpy as np
import pytest
from scipy.stats import t

from byrote.statistics.delong import clustered
from byrote.statistics.detectable import smallest_auc, smallest_tpr
from byrote.statistics.roc import auc
from byrote.statistics.seeds import claim, over_seeds
from byrote.study.labels import label_parts
from byrote.tables.configurations import (
    Curve,
    ScoredStratum,
    configuration_rows,
    covariance_of,
    curve_of,
    detectable_rows,
    label_of,
    settings_key,
)
from fake_strata import P, Q, planned, scored_stratum


def rows(trials: list[ScoredStratum], margin: float = 0.02) -> list[dict]:
    return list(configuration_rows(trials, "ratio", margin, 0.95))


def test_seeds_make_no_configuration_of_their_own_and_everything_else_does():
    assert settings_key(planned(1, 3)) == settings_key(planned(1, 4, canary_seed=9))
    assert settings_key(planned(1, 3)) != settings_key(planned(2, 3))
    parts = label_parts("v", 1, 13, [("copies", 8), ("canaries.seed", 5)])
    assert label_of({"label_parts": parts}) == "v · rank 1 · copies 8"


def test_a_configurations_mean_is_over_its_seeds():
    trials = [scored_stratum(1, seed, 0.5) for seed in range(5)]
    (row,) = rows(trials)
    scores = [(t.scores["ratio"].members, t.scores["ratio"].nonmembers) for t in trials]
    areas = np.array([np.mean([(m > n) + (m == n) / 2 for m in ours for n in theirs]) for ours, theirs in scores])
    groups = trials[0].compared.groups
    _, covariance = clustered(np.array([s[0] for s in scores]), np.array([s[1] for s in scores]), *groups)
    expected = over_seeds(areas, covariance)
    assert row["mean"] == pytest.approx(areas.mean())
    assert (row["low"], row["high"]) == pytest.approx((expected.low, expected.high))
    assert (row["seed_sd"], row["sampling_se"]) == pytest.approx((expected.seed_sd, expected.sampling_se))
    assert (row["seeds"], row["label"], row["against"], row["reason"]) == (5, "v · rank 1", "", "")


def test_a_claim_is_paired_by_seed_whatever_the_order():
    a, b = (
        [scored_stratum(1, seed, 0.0) for seed in range(6)],
        [scored_stratum(2, seed, 2.0) for seed in (5, 3, 1, 0, 2, 4)],
    )
    row = rows([*a, *b])[-1]
    by_seed = sorted(b, key=lambda scored: scored.planned["seed"])
    areas = [[auc(t.scores["ratio"].members, t.scores["ratio"].nonmembers) for t in side] for side in (a, by_seed)]
    assert row["difference"] == pytest.approx(np.mean(areas[0]) - np.mean(areas[1]))
    both = [*a, *by_seed]
    joint = clustered(
        np.array([t.scores["ratio"].members for t in both]),
        np.array([t.scores["ratio"].nonmembers for t in both]),
        *a[0].compared.groups,
    )[1]
    contrast = np.concatenate([np.eye(6), -np.eye(6)], axis=1)
    expected = claim(areas[0], areas[1], 0.02, contrast @ joint @ contrast.T)
    assert (row["difference_low"], row["difference_high"]) == pytest.approx((expected.low, expected.high))
    assert (row["verdict"], row["label"], row["against"], row["seeds"]) == ("less", "v · rank 1", "v · rank 2", 6)
    turned = rows([*b, *a])[-1]
    assert (turned["verdict"], turned["difference"]) == ("more", pytest.approx(-row["difference"]))


def test_claims_are_a_family_of_the_pairs_with_enough_seeds():
    trials = [scored_stratum(rank, seed, lift) for rank, lift in ((1, 0.0), (2, 0.6), (3, 2.0)) for seed in range(5)]
    alone = rows([*trials, scored_stratum(4, 0, 1.0)])
    claims = [row for row in alone if row["against"]]
    assert [row.get("family") for row in claims] == ["3 claims", "3 claims", None, "3 claims", None, None]
    (pair,) = (row for row in rows(trials[:10]) if row["against"])
    assert pair["family"] == "1 claim"
    first = claims[0]
    assert first["difference"] == pytest.approx(pair["difference"])
    assert first["difference_low"] < pair["difference_low"] < pair["difference_high"] < first["difference_high"]
    widths = [row["difference_high"] - row["difference_low"] for row in (first, pair)]
    assert widths[0] / widths[1] < t.ppf(1 - 0.025 / 3, 4) / t.ppf(0.975, 4) + 1e-9


def test_few_seeds_and_lost_areas_are_said_and_decide_nothing():
    mean, other_mean, claimed = rows([scored_stratum(1, 0, 0.5), scored_stratum(2, 0, 3.0, nan=P)])
    assert (mean["mean"] is None, mean["low"], mean["reason"]) == (False, None, "one seed shows no spread")
    assert (other_mean["seeds"], other_mean.get("mean"), other_mean["reason"]) == (0, None, "1 trials have no AUC")
    assert claimed["verdict"] == "undecided"
    assert claimed["reason"].startswith("0 seeds have both AUCs")
    assert claimed["difference"] is None


def test_curves_on_other_records_have_variances_only_and_it_is_said():
    curves = [curve_of(scored_stratum(1, seed, 0.5, ids=f"s{seed}"), "ratio") for seed in range(3)]
    variances, why = covariance_of(curves)
    expected = [clustered(c.members[None], c.nonmembers[None], *c.groups)[1][0, 0] for c in curves]
    assert variances.tolist() == pytest.approx(expected)
    assert "share few records" in why
    assert "share few records" in rows([scored_stratum(1, seed, 0.5, ids=f"s{seed}") for seed in range(3)])[0]["reason"]


def test_records_are_matched_by_id_not_by_place():
    curve, longer = curve_of(scored_stratum(1, 0, 0.5), "ratio"), curve_of(scored_stratum(1, 1, 0.5, nan=2), "ratio")
    turn = np.random.default_rng(0).permutation(len(longer.members))
    ids, groups = ((side[0][turn], side[1]) for side in (longer.ids, longer.groups))
    turned = Curve(longer.members[turn], longer.nonmembers, ids, groups)
    covariance, why = covariance_of([curve, turned])
    expected = clustered(
        np.array([curve.members[2:], longer.members]),
        np.array([curve.nonmembers, longer.nonmembers]),
        curve.groups[0][2:],
        curve.groups[1],
    )[1]
    np.testing.assert_allclose(covariance, expected)
    assert why == ""


def test_what_a_sample_can_show_stands_with_its_reason():
    alone = list(detectable_rows([scored_stratum(1, 0, 0.5)], "ratio", (0.1, 0.001)))
    assert [row["target_fpr"] for row in alone] == [0.1, 0.001]
    assert alone[0]["smallest_auc"] == pytest.approx(smallest_auc(P, Q))
    assert alone[0]["smallest_auc_clustered"] >= alone[0]["smallest_auc"]
    assert alone[0]["smallest_tpr"] == pytest.approx(smallest_tpr(P, 0.1))
    assert alone[0]["reason"] == "no other trial on the same records to compare with"
    assert (alone[1]["smallest_tpr"], "cannot resolve" in alone[1]["reason"]) == (None, True)
    two = list(detectable_rows([scored_stratum(1, 0, 0.5), scored_stratum(2, 0, 0.5)], "ratio", (0.1,)))
    assert all(0 < row["smallest_difference"] < 0.5 and row["reason"] == "" for row in two)
    (empty,) = detectable_rows([scored_stratum(1, 0, 0.5, nan=P)], "ratio", (0.1,))
    assert (empty["n_members"], empty.get("smallest_auc"), empty["reason"]) == (
        0, None, "a side is empty; 0 members cannot show a rate above 0.1",
    )  # fmt: skip


def test_a_sample_that_is_told_apart_fully_has_no_factor_of_documents():
    (row,) = detectable_rows([scored_stratum(1, 0, 50.0)], "ratio", (0.1,))
    assert "smallest_auc_clustered" not in row
    assert "needs a variance" in row["reason"]
    assert not math.isnan(row["smallest_auc"])
