"""Membership rows: what stands beside each AUC, and which comparisons are made."""

import dataclasses
import math

import numpy as np
import pytest
from scipy.stats import norm

from byrote.attacks import ATTACKS, find_attacks
from byrote.records import Assignment, Record, Role, TokenScores
from byrote.statistics.bootstrap import auc_interval
from byrote.statistics.delong import clustered, interval
from byrote.statistics.intervals import hanley_mcneil
from byrote.statistics.operating_point import published_point, share_interval, tpr_interval
from byrote.statistics.roc import auc
from byrote.tables.compared import Compared, Scored, auditor_scores, compare_stratum, score_with, strata_of
from byrote.tables.comparisons import attack_comparisons, paired
from byrote.tables.histograms import BINS, histogram_table
from byrote.tables.membership import Settings, control_of, membership_row, operating_rows
from byrote.tables.resampled import Resampled, resample

SETTINGS = Settings(0.95, 200, 3, (0.1,), "ratio")
N, TOKENS = 60, 12


def records() -> dict[str, Record]:
    splits = ["members"] * N + ["nonmembers"] * N + ["calibration"] * N
    return {f"r{i}": Record(f"r{i}", split, f"d{i // 3}", f"text {i % 7}") for i, split in enumerate(splits)}


def roles() -> list[Assignment]:
    of = {"members": Role.MEMBER, "nonmembers": Role.NONMEMBER, "calibration": Role.CALIBRATION}
    return [Assignment(r.record, of[r.split], int(r.split == "members")) for r in records().values()]


def scores(seed: int, lift: float = 0.0) -> TokenScores:
    """Random token scores; members' are higher by `lift` a token."""
    generator = np.random.default_rng(seed)
    base = np.random.default_rng(0).normal(-4, 0.3, (3 * N, TOKENS))
    logprob = base + generator.normal(0, 0.3, (3 * N, TOKENS)) + lift * (np.arange(3 * N) < N)[:, None]
    flat = np.minimum(logprob, -0.01).astype(np.float32).ravel()
    offsets = np.arange(3 * N + 1) * TOKENS
    top1 = generator.random(len(flat)) < 0.3
    ones = np.ones(len(flat), np.float32)
    return TokenScores(tuple(records()), offsets, flat, top1, -4 * ones, ones)


def records_compared(null: TokenScores | None = None, lift: float = 0.1) -> Compared:
    (stratum,) = strata_of(roles())
    return compare_stratum(stratum, roles(), records(), scores(1, lift), scores(2), null)


def row_of(attack: str, compared: Compared) -> dict:
    scored = score_with(compared, {attack: ATTACKS[attack]})[attack]
    return membership_row(compared, scored, ATTACKS[attack], SETTINGS, together(compared, {attack: scored}))


def together(compared: Compared, by_attack: dict[str, Scored]) -> Resampled:
    return resample(compared, by_attack, SETTINGS.resamples, SETTINGS.seed, SETTINGS.level)


def test_strata_are_apart_and_leave_out_what_is_no_comparison():
    of = [Assignment("a", Role.CANARY_IN, 2), Assignment("b", Role.CANARY_OUT, 2), Assignment("c", Role.REFERENCE, 0)]
    of += [Assignment("d", Role.OVERWRITTEN, 0), Assignment("e", Role.CANARY_IN, 8)]
    names = {s.name: (s.members, s.nonmembers) for s in strata_of([*roles(), *of])}
    assert list(names) == ["records", "canaries@2", "canaries@8"]
    assert names["canaries@2"] == (("a",), ("b",))
    assert names["canaries@8"] == (("e",), ())
    assert not {"a", "b", "c", "d", "e"} & {r for side in names["records"] for r in side}


def test_every_interval_stands_beside_the_area():
    compared = records_compared()
    scored = score_with(compared, {"ratio": ATTACKS["ratio"]})["ratio"]
    row = row_of("ratio", compared)
    area = auc(scored.members, scored.nonmembers)
    assert row["auc"] == area
    variance = float(clustered(scored.members[None], scored.nonmembers[None], *compared.groups)[1][0, 0])
    assert (row["auc_low"], row["auc_high"]) == interval(area, variance, 0.95)
    assert row["interval"] == "by document (Obuchowski)"
    assert (row["hanley_low"], row["hanley_high"]) == hanley_mcneil(area, N, N)
    expected = auc_interval(scored.members, scored.nonmembers, *compared.groups, 3, 200, 0.95)
    assert (row["bootstrap_low"], row["bootstrap_high"]) == expected
    assert row["delong_low"] < area < row["delong_high"]
    assert 0.5 < row["smallest_auc"] < 0.8
    assert row["auc_length_matched"] == pytest.approx(area)  # all records are as long


def test_sides_that_do_not_overlap_have_no_interval_and_say_why():
    row = row_of("difference", records_compared(lift=5.0))
    assert row["auc"] == 1.0
    assert row["interval"].startswith("none: ")
    assert row["auc_low"] is None
    assert row["hanley_low"] is None


def test_single_model_attacks_are_controlled_by_the_base_model_and_others_by_the_null_trial():
    loss, ratio = row_of("loss", records_compared()), row_of("ratio", records_compared())
    assert (loss["control"], ratio["auc_control"]) == ("base model", None)
    assert row_of("ratio", records_compared())["control"] == "none: needs a null trial (controls.null_trial)"
    null = scores(9)
    row = row_of("ratio", records_compared(null))
    compared = compare_stratum(next(strata_of(roles())), roles(), records(), null, scores(2), None)
    under_null = score_with(compared, {"ratio": ATTACKS["ratio"]})["ratio"]
    assert row["control"] == "null trial"
    assert row["auc_control"] == auc(under_null.members, under_null.nonmembers)
    assert abs(row["auc_control"] - 0.5) < 0.15 < row["auc"] - 0.5
    assert row["control_note"] == ""
    assert row_of("rmia", records_compared(null))["control"].startswith(
        "none: a null trial is tuned on the very population"
    )


@pytest.mark.parametrize("attack", ["loss", "ratio"])
def test_a_control_has_an_interval_and_a_paired_test_by_document(attack: str):
    compared = records_compared(scores(9), lift=0.3)
    tuned = score_with(compared, {attack: ATTACKS[attack]})[attack]
    row = row_of(attack, compared)
    null = compare_stratum(compared.stratum, roles(), records(), scores(9), scores(2), None)
    sides = [side.control() for side in compared.sides] if attack == "loss" else null.sides
    members, nonmembers = (ATTACKS[attack].score(side) for side in sides[:2])
    areas, covariance = clustered(
        np.stack([tuned.members, members]), np.stack([tuned.nonmembers, nonmembers]), *compared.groups
    )
    assert row["auc_control"] == pytest.approx(areas[1])
    low, high = interval(areas[1], covariance[1, 1], 0.95)
    assert (row["auc_control_low"], row["auc_control_high"]) == pytest.approx((low, high))
    above, half = areas[0] - areas[1], 1.959964 * math.sqrt(np.trace(covariance) - 2 * covariance[0, 1])
    assert row["above_control"] == pytest.approx(above)
    assert (row["above_control_low"], row["above_control_high"]) == pytest.approx((above - half, above + half))
    assert row["above_control_p"] < 0.05


def test_a_control_without_an_interval_or_a_test_says_why():
    row = row_of("difference", records_compared(scores(9, lift=5.0), lift=5.0))
    assert (row["auc_control"], row["auc_control_low"], row["above_control_p"]) == (1.0, None, None)
    assert "no interval: the AUC is 1" in row["control_note"]
    assert "no test: every record is placed alike under both" in row["control_note"]


def test_the_auditor_is_apart_and_has_no_threshold_from_calibration():
    compared = records_compared()
    by_attack = score_with(compared, find_attacks(["all"]))
    scored, reason = auditor_scores(compared, by_attack, 0)
    assert scored
    assert not reason
    row = membership_row(compared, scored, None, SETTINGS, together(compared, by_attack))
    assert (row["attack"], row["knowledge"]) == ("auditor", "auditor")
    assert row["auc"] > 0.6
    assert row["interval"].startswith("none: its folds are refitted")
    assert not {"auc_low", "simultaneous_low", "hanley_low", "bootstrap_low", "smallest_auc"} & set(row)
    points = list(operating_rows(compared, scored, SETTINGS))
    assert points[0]["refused_because"] == "0 calibration records cannot resolve a false-positive rate of 0.1"
    assert points[1]["tpr"] > 0.1
    assert points[1]["threshold_source"] == "published"


def test_a_rate_from_calibration_has_intervals_by_document_and_the_published_one_has_none():
    compared = records_compared(lift=0.02)
    scored = score_with(compared, {"ratio": ATTACKS["ratio"]})["ratio"]
    fixed, published = operating_rows(compared, scored, SETTINGS)
    sides = (scored.members, scored.calibration, compared.groups[0], compared.calibration_groups)
    assert (fixed["tpr_low"], fixed["tpr_high"]) == tpr_interval(*sides, 0.1)
    wrong = scored.nonmembers >= fixed["threshold"]
    expected = share_interval(wrong, compared.groups[1])
    assert (fixed["realised_fpr_low"], fixed["realised_fpr_high"]) == expected
    assert fixed["tpr_interval"] == "by document (threshold and members)"
    assert (published["threshold"], published["tpr"], published["realised_fpr"]) == published_point(
        *sides[:1], scored.nonmembers, 0.1
    )
    assert published["tpr_interval"] == "none: the threshold is chosen on the evaluated records"
    assert not {"tpr_low", "realised_fpr_low"} & set(published)


def test_few_calibration_records_above_the_cut_leave_the_rate_without_an_interval():
    compared = records_compared()
    scored = score_with(compared, {"ratio": ATTACKS["ratio"]})["ratio"]
    point = next(iter(operating_rows(compared, scored, Settings(0.95, 200, 3, (0.04,), "ratio"))))
    assert point["tpr"] is not None
    assert (point["tpr_low"], point["tpr_high"]) == (None, None)
    assert point["tpr_interval"] == "none: 2 calibration records are above the cut, and an interval takes at least 4"


def test_the_number_of_resamples_stands_beside_the_bootstrap_interval():
    assert row_of("ratio", records_compared())["resamples"] == SETTINGS.resamples
    compared = records_compared()
    alone = dataclasses.replace(compared, groups=(("d",) * N, ("e",) * N))
    assert row_of("ratio", alone)["resamples"] is None


def test_the_strongest_attack_is_tested_against_each_other_over_all_pairs():
    compared = records_compared()
    by_attack = score_with(compared, find_attacks(["all"]))
    resampled = together(compared, by_attack)
    rows = attack_comparisons(compared, by_attack, resampled)
    areas = {
        name: auc(s.members[~np.isnan(s.members)], s.nonmembers[~np.isnan(s.nonmembers)])
        for name, s in by_attack.items()
    }
    best = max((n for n in areas if not math.isnan(areas[n])), key=lambda n: areas[n])
    assert {row["attack_a"] for row in rows} == {best}
    assert {row["attack_b"] for row in rows} == set(areas) - {best}
    assert all(row["p_max_t"] is None or row["p_max_t"] >= row["p_value"] for row in rows)
    assert any(row["p_max_t"] > row["p_value"] for row in rows if row["p_max_t"] is not None)
    loss = next(row for row in rows if row["attack_b"] == "loss")
    assert loss["difference"] == pytest.approx(areas[best] - areas["loss"])
    assert {row["family"] for row in rows} == {f"all pairs of {len(by_attack)} attacks, 200 resamples"}
    alone = paired(compared, by_attack[best], by_attack["loss"], 0.95)
    wider = norm.ppf(0.5 + resampled.difference_level / 2) / norm.ppf(0.975)
    assert loss["high"] - loss["low"] == pytest.approx(wider * (alone["high"] - alone["low"]))
    assert wider > 1.2


def test_the_interval_over_all_attacks_holds_that_of_one():
    compared = records_compared()
    by_attack = score_with(compared, find_attacks(["all"]))
    row = membership_row(compared, by_attack["ratio"], ATTACKS["ratio"], SETTINGS, together(compared, by_attack))
    assert row["simultaneous_low"] < row["auc_low"] < row["auc"] < row["auc_high"] < row["simultaneous_high"]
    assert row["resamples"] == 200
    alone = row_of("ratio", compared)
    assert alone["simultaneous_low"] == pytest.approx(alone["auc_low"], abs=0.02)
    assert alone["auc_low"] == row["auc_low"]


def test_infinite_scores_that_no_threshold_can_keep_are_refused():
    compared = records_compared()
    scored = Scored("x", np.ones(N), np.ones(N), np.array([math.inf] * 30 + [0.0] * 30))
    point = next(iter(operating_rows(compared, scored, SETTINGS)))
    assert "30 of 60 non-members share the highest score" in point["refused_because"]
    assert "tpr" not in point


def test_subject_and_control_have_the_same_bins():
    compared = records_compared(null=scores(7))
    scored = score_with(compared, {"ratio": ATTACKS["ratio"]})["ratio"]
    control = control_of(compared, "ratio", ATTACKS["ratio"])
    assert control.kind == "null trial"
    rows = histogram_table("t", compared, scored, control.scored).to_pydict()
    assert len(rows["low"]) == BINS
    assert rows["high"][:-1] == rows["low"][1:]
    for name in ("members", "nonmembers", "members_control", "nonmembers_control"):
        assert sum(rows[name]) == 60
    together = np.concatenate([scored.members, scored.nonmembers, control.scored.members, control.scored.nonmembers])
    assert (rows["low"][0], rows["high"][-1]) == pytest.approx(tuple(np.quantile(together, (0.005, 0.995))))


def test_without_a_control_its_counts_are_missing_and_without_a_score_there_is_no_row():
    compared = records_compared()
    scored = score_with(compared, {"ratio": ATTACKS["ratio"]})["ratio"]
    rows = histogram_table("t", compared, scored, None).to_pydict()
    assert rows["members_control"] == [None] * BINS
    nothing = Scored("ratio", np.full(60, np.nan), np.full(60, np.nan), np.empty(0))
    assert histogram_table("t", compared, nothing, None).num_rows == 0
