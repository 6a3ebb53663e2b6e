"""The view of single records against counting by hand, on scores whose order is known."""

import math

import numpy as np
import pytest

from byrote.attacks import Evidence
from byrote.records import TokenScores
from byrote.statistics.agreement import spearman
from byrote.study.labels import label_parts
from byrote.tables.compared import Compared, Scored, ScoredStratum, Stratum
from byrote.tables.single_records import TOP, agreement_rows, counterfactual_rows, record_rows

Q = 200


def tokens(ids: tuple[str, ...], mean: np.ndarray) -> TokenScores:
    """Two tokens a record, of the given mean log-probability."""
    flat = np.repeat(mean, 2).astype(np.float32)
    ones = np.ones(len(flat), np.float32)
    return TokenScores(ids, np.arange(len(ids) + 1) * 2, flat, ones > 2, -ones, ones)


def side(ids: tuple[str, ...], mean: np.ndarray) -> Evidence:
    scores = tokens(ids, mean)
    return Evidence(scores, scores, ("",) * len(ids))


def scored_stratum(
    members: dict[str, float], trial: str = "t", seed: int = 0, copies: int = 0, out: dict[str, float] | None = None
) -> ScoredStratum:
    """Members' scores under two attacks, the second the reverse of the first; non-members score 0 to 199 under both."""
    member_scores = np.array(list(members.values()))
    nonmember_scores = np.arange(float(Q)) if out is None else np.array(list(out.values()))
    names = tuple(members), tuple(f"n{i}" for i in range(Q)) if out is None else tuple(out)
    stratum = Stratum(f"canaries@{copies}" if copies else "records", max(copies, 1), *names, ())
    empty = side((), np.zeros(0))
    sides = (side(names[0], -np.abs(member_scores) - 0.01), side(names[1], -np.abs(nonmember_scores) - 0.01), empty)
    settings = {
        "lora": {"rank": 1},
        "training": {"seed": seed},
        "canaries": {"design": "many", "seed": seed},
    }
    planned = {"trial": trial, "label_parts": label_parts("v", 1, seed, ()), "settings": settings}
    calibration = np.arange(float(Q)) if not copies else np.zeros(0)
    scores = {
        "loss": Scored("loss", member_scores, nonmember_scores, calibration),
        "ratio": Scored("ratio", -member_scores, nonmember_scores, calibration),
    }
    return ScoredStratum(planned, Compared(stratum, sides, ((), ()), None), scores)


def test_the_most_exposed_come_first_with_what_puts_them_there():
    records = scored_stratum({"a": 50.5, "b": 199.5, "c": math.nan, "d": -300.0})
    rows = list(record_rows([[records]], "loss"))
    assert [(row["record"], row["exposed_rank"]) for row in rows] == [("b", 1), ("d", 2), ("a", 3)]
    of = {row["record"]: row for row in rows}
    assert of["b"]["percentile"] == pytest.approx((1 + 0) / 2)
    assert of["a"]["percentile"] == pytest.approx((51 / 200 + 0) / 2)
    assert of["d"]["percentile"] == pytest.approx((0 + 1) / 2)
    assert [of[r]["strongest_attack"] for r in "abd"] == ["loss", "loss", "ratio"]
    assert [of[r]["attacks_above"] for r in "abd"] == [0, 1, 1]  # 198 and above: two of 200 calibration records
    assert {row["seeds_sd"] for row in rows} == {None}
    assert {row["note"] for row in rows} == {"one seed: no spread over seeds"}


def test_planted_canaries_stand_among_the_members_and_no_more_than_the_top_are_listed():
    records = scored_stratum({f"m{i}": float(i) for i in range(TOP)})
    planted = scored_stratum({"x": 500.0, "y": 0.5}, copies=8, out={"z": 900.0})
    rows = list(record_rows([[records, planted]], "loss"))
    assert len(rows) == TOP
    assert "z" not in {row["record"] for row in rows}
    x = next(row for row in rows if row["record"] == "x")
    assert (x["role"], x["copies"], x["percentile"]) == ("canary_in", 8, pytest.approx(0.5))
    assert {row["role"] for row in rows} == {"member", "canary_in"}


def test_seeds_spread_is_over_the_trials_that_trained_on_the_record_as_often():
    first = [scored_stratum({"a": 1.0, "b": 2.0}), scored_stratum({"x": 5.0}, copies=2, out={"y": 1.0})]
    second = [scored_stratum({"a": 4.0, "b": 2.0}, seed=1), scored_stratum({"y": 7.0}, copies=2, out={"x": 0.0})]
    of_both = list(record_rows([first, second], "loss"))
    rows = {row["record"]: row for row in of_both if row["trial"] == first[0].trial}
    assert {row["trial"] for row in of_both} == {first[0].trial, second[0].trial}
    assert rows["a"]["seeds_sd"] == pytest.approx(np.std([1, 4], ddof=1))
    assert rows["b"]["seeds_sd"] == 0
    assert rows["x"]["seeds_sd"] is None


def test_without_a_threshold_nothing_is_counted_as_above():
    short = scored_stratum({"a": 1.0})
    few = {name: Scored(name, s.members, s.nonmembers[:20], s.calibration[:20]) for name, s in short.scores.items()}
    (row,) = record_rows([[ScoredStratum(short.planned, short.compared, few)]], "loss")
    assert row["attacks_above"] is None
    assert "2 of 2 attacks have no threshold for 1%" in row["note"]


def test_agreement_of_attacks_that_rank_in_reverse():
    (row,) = agreement_rows(scored_stratum({f"m{i}": float(i) for i in range(2 * TOP)}))
    assert (row["attack_a"], row["attack_b"]) == ("loss", "ratio")
    assert (row["spearman"], row["jaccard_top"], row["note"]) == (pytest.approx(-1), 0, "")
    (few,) = agreement_rows(scored_stratum({"a": 1.0, "b": 2.0}))
    assert (few["spearman"], few["jaccard_top"]) == (None, None)
    assert few["note"] == "spearman: 2 records, fewer than 3; jaccard_top: 2 records are no more than the top 50"
    assert math.isnan(spearman(np.ones(2), np.ones(2)))


def coins(trials: int, lift: float = 2.0) -> list[ScoredStratum]:
    """Canaries c0 to c5, each in under every other seed: mean log-probability −5 out and −5 + lift in, with noise."""
    generator, made = np.random.default_rng(0), []
    for seed in range(trials):
        values = {f"c{i}": 5 + float(generator.normal(0, 0.1)) for i in range(6)}
        inside = {c: v - lift for i, (c, v) in enumerate(values.items()) if (i + seed) % 2}
        outside = {c: v for c, v in values.items() if c not in inside}
        made += [scored_stratum({"m": 1.0}, f"t{seed}", seed), scored_stratum(inside, f"t{seed}", seed, 4, outside)]
    return made


def test_counterfactual_memorization_is_the_difference_of_means():
    trials = coins(8)
    rows = list(counterfactual_rows(trials))
    assert [row["record"] for row in rows] == [f"c{i}" for i in range(6)]
    values: dict[str, tuple[list, list]] = {f"c{i}": ([], []) for i in range(6)}
    for trial in trials:
        for which, evidence in enumerate(trial.compared.sides[:2]):
            for record, span in zip(evidence.tuned.records, evidence.tuned.spans(), strict=True):
                if record in values:
                    values[record][which].append(float(evidence.tuned.logprob[span].mean()))
    for row in rows:
        inside, outside = values[row["record"]]
        assert (row["n_in"], row["n_out"]) == (len(inside), len(outside)) == (4, 4)
        assert row["memorization"] == pytest.approx(np.mean(inside) - np.mean(outside), abs=1e-6)
        assert row["memorization"] == pytest.approx(2, abs=0.3)
        assert row["lira_online"] > 5
        assert row["lira_offline"] > 5
        assert (row["label"], row["reason"]) == ("v · rank 1", "")


def test_counterfactual_rows_need_four_trials_of_one_configuration():
    assert list(counterfactual_rows(coins(3))) == []
    assert list(counterfactual_rows([trial for trial in coins(8) if trial.compared.stratum.name == "records"])) == []
    assert {row["lira_online"] for row in counterfactual_rows(coins(4))} == {None}
    assert all("LiRA needs two other trials a side" in row["reason"] for row in counterfactual_rows(coins(4)))
