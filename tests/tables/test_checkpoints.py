"""Checkpoints side by side, from made-up scores, against the plain computation."""

from dataclasses import replace
from typing import Any

import pandas as pd
import pytest

from byrote.statistics.delong import clustered, interval
from byrote.tables.checkpoints import ALONE, NO_STEPS, Results, checkpoint_rows, left_out, results_of
from byrote.tables.compared import ScoredStratum, known_scores
from byrote.tables.membership import Settings, calibrated_point
from fake_subjects import stratum_of

SETTINGS = Settings(0.95, 100, 0, (0.1, 0.01), "loss")


def checkpoint(trial: str, lift: float) -> ScoredStratum:
    return replace(stratum_of({"loss": lift, "zlib": lift / 2}, seed=int(trial)), planned={"trial": trial})


def trial(name: str, steps: int | None, loss: float = 1.0) -> dict[str, Any]:
    numbers = {
        "state": "done",
        "perplexity_tuned": 2.718281828459045**loss,
        "perplexity_tuned_members": 2.0,
        "perplexity_base": None,
    }
    return {"trial": name, "label": f"step {steps}", "steps": steps, **numbers}


def results(
    trials: list[dict[str, Any]],
    strata: list[ScoredStratum],
    verdicts: dict[str, list[str]] | None = None,
    series: dict[str, str] | None = None,
) -> Results:
    rules = [
        {"subject": name, "rule": f"rule {number}", "verdict": verdict}
        for name, of in (verdicts or {}).items()
        for number, verdict in enumerate(of)
    ]
    membership = [
        {"trial": t["trial"], "stratum": "records", "attack": "loss", "control": "base model", "auc_control": 0.5}
        for t in trials
    ]
    planned = [
        {"trial": t["trial"], "settings": {"subject": {"series": (series or {}).get(t["trial"], "out")}}}
        for t in trials
    ]
    return results_of(planned, strata, {"trials": trials, "rules": rules, "membership": membership})


THREE = [checkpoint("2", 0.4), checkpoint("1", 0.1), checkpoint("3", 1.5)]


def rows(verdicts: dict[str, list[str]], series: dict[str, str] | None = None) -> list[dict[str, Any]]:
    trials = [trial("2", 200, 0.9), trial("1", 100, 1.2), trial("3", 300, 1.1)]
    return list(checkpoint_rows(results(trials, THREE, verdicts, series), SETTINGS))


def test_rows_stand_by_steps_with_losses_and_shared_intervals() -> None:
    table = rows({})
    assert [row["steps"] for row in table] == [100, 200, 300]
    assert [row["loss_nonmembers"] for row in table] == pytest.approx([1.2, 0.9, 1.1])
    assert {row["loss_base"] for row in table} == {None}
    last, stratum = table[-1], checkpoint("3", 1.5)
    members, nonmembers, groups = known_scores(stratum.compared, stratum.scores["loss"])
    area, variance = clustered(members[None], nonmembers[None], *groups)
    assert (last["attack"], last["auc"]) == ("loss", float(area[0]))
    low, high = interval(float(area[0]), float(variance[0, 0]), 1 - 0.05 / 3)
    assert (last["auc_low"], last["auc_high"]) == (low, high)
    assert last["strongest"] == "loss"
    assert last["strongest_low"] < low < high < last["strongest_high"]  # shared over two attacks more
    point = calibrated_point(stratum.compared, stratum.scores["loss"], 0.1, 1 - 0.05 / 3)
    assert (last["target_fpr"], last["tpr"], last["tpr_low"]) == (0.1, point["tpr"], point["tpr_low"])


@pytest.mark.parametrize(
    ("verdicts", "worst", "last"),
    [
        ({"1": ["held"], "2": ["held", "held"], "3": ["exceeded"]}, ["held", "held", "exceeded"], 200),
        (
            {"1": ["held", "undecided"], "2": ["held"], "3": ["undecided", "exceeded"]},
            ["undecided", "held", "exceeded"],
            200,
        ),
        ({"1": ["undecided"], "2": ["undecided"], "3": ["exceeded"]}, ["undecided", "undecided", "exceeded"], None),
        ({}, ["", "", ""], None),
    ],
)
def test_the_last_checkpoint_at_which_every_rule_is_held(
    verdicts: dict[str, list[str]], worst: list[str], last: int | None
) -> None:
    table = rows(verdicts)
    assert [row["verdict"] for row in table] == worst
    assert [row["steps"] for row in table if row["last_held"]] == ([] if last is None else [last])


def test_each_rule_and_the_control_stand_in_the_row() -> None:
    row = rows({"1": ["held", "undecided"]})[0]
    assert row["rules"] == "rule 0: held; rule 1: undecided"
    assert (row["control"], row["auc_control"], row["auc_control_low"]) == ("base model", 0.5, None)


def test_trainings_are_series_of_their_own() -> None:
    table = rows({"1": ["held"], "2": ["held"], "3": ["held"]}, {"1": "a", "2": "b", "3": "a"})
    assert [(row["series"], row["steps"], row["last_held"]) for row in table] == [("a", 100, False), ("a", 300, True)]
    assert rows({}, {"1": "a", "2": "b", "3": "c"}) == []


@pytest.mark.parametrize(("verdicts", "last"), [(("held", "exceeded"), [100]), (("held", "held"), [300, 300])])
@pytest.mark.parametrize("order", [1, -1])
def test_at_one_step_all_have_to_be_held(verdicts: tuple[str, str], last: list[int], order: int) -> None:
    trials = [trial("1", 100), trial("2", 300), trial("3", 300)][::order]
    of = {"1": ["held"], "2": [verdicts[0]], "3": [verdicts[1]]}
    table = checkpoint_rows(results(trials, THREE, of), SETTINGS)
    assert [row["steps"] for row in table if row["last_held"]] == last


def test_the_level_is_shared_over_all_subjects_as_by_the_rules() -> None:
    trials = [trial("1", 100), trial("2", 200), trial("3", None), trial("4", 400)]
    row = next(checkpoint_rows(results(trials, THREE), SETTINGS))
    stratum = THREE[1]
    members, nonmembers, groups = known_scores(stratum.compared, stratum.scores["loss"])
    area, variance = clustered(members[None], nonmembers[None], *groups)
    assert (row["auc_low"], row["auc_high"]) == interval(float(area[0]), float(variance[0, 0]), 1 - 0.05 / 4)


def test_subjects_that_stand_in_no_order_are_named_with_the_reason() -> None:
    states = [("1", 100, "done"), ("2", 200, "done"), ("3", None, "done"), ("4", 400, "failed"), ("5", 500, "done")]
    trials = pd.DataFrame([{"trial": t, "label": f"at {t}", "steps": s, "state": state} for t, s, state in states])
    checkpoints = pd.DataFrame([{"trial": "1"}, {"trial": "2"}])
    assert left_out(trials, checkpoints) == {"at 3": NO_STEPS, "at 4": "it is failed", "at 5": ALONE}
    assert left_out(trials.head(1), checkpoints.head(0)) == {}


def test_one_step_and_trials_of_a_grid_are_no_series() -> None:
    of_grid = [{"trial": name, "settings": {"lora": {}}} for name in ("1", "2", "3")]
    trials = [trial("1", 100), trial("2", 200)]
    none = results_of(of_grid, THREE, {"trials": trials, "rules": [], "membership": []})
    assert list(checkpoint_rows(none, SETTINGS)) == []
    assert list(checkpoint_rows(results([trial("1", 100)], THREE), SETTINGS)) == []
    assert list(checkpoint_rows(results([trial("1", None), trial("2", 200)], THREE), SETTINGS)) == []
