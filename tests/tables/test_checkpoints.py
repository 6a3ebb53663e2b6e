"""Checkpoints side by side, from made-up scores, against the plain computation."""

from dataclasses import replace
from typing import Any

import pytest

from byrote.statistics.delong import clustered, interval
from byrote.tables.checkpoints import checkpoint_rows
from byrote.tables.compared import ScoredStratum, known_scores
from byrote.tables.membership import Settings, calibrated_point
from fake_subjects import stratum_of

SETTINGS = Settings(0.95, 100, 0, (0.1, 0.01), "loss")


def checkpoint(trial: str, lift: float, given: bool = True) -> ScoredStratum:
    scored = stratum_of({"loss": lift, "zlib": lift / 2}, seed=int(trial))
    settings = {"subject": {"name": trial}} if given else {}
    return replace(scored, planned={"trial": trial, "settings": settings})


def trial(name: str, steps: int | None, loss: float = 1.0) -> dict[str, Any]:
    numbers = {"perplexity_tuned": 2.718281828459045**loss, "perplexity_tuned_members": 2.0, "perplexity_base": None}
    return {"trial": name, "label": f"step {steps}", "steps": steps, **numbers}


def rows(verdicts: dict[str, list[str]], strata: list[ScoredStratum] | None = None) -> list[dict[str, Any]]:
    strata = strata or [checkpoint("2", 0.4), checkpoint("1", 0.1), checkpoint("3", 1.5)]
    trials = [trial("2", 200, 0.9), trial("1", 100, 1.2), trial("3", 300, 1.1)]
    rules = [{"subject": name, "verdict": verdict} for name, of in verdicts.items() for verdict in of]
    return list(checkpoint_rows(trials, strata, rules, SETTINGS))


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


def test_one_step_and_trials_of_a_grid_are_no_series() -> None:
    of_grid = [checkpoint(name, 0.1, given=False) for name in ("1", "2", "3")]
    assert rows({}, of_grid) == []
    assert list(checkpoint_rows([trial("1", 100)], [checkpoint("1", 0.1)], [], SETTINGS)) == []
    unknown = [trial("1", None), trial("2", 200)]
    assert list(checkpoint_rows(unknown, [checkpoint("1", 0.1), checkpoint("2", 0.1)], [], SETTINGS)) == []
