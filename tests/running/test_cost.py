"""The bar of a study ends where its pieces end: what they are said to cost adds up."""

from pathlib import Path

import pytest

import byrote
from byrote.running import pipeline
from byrote.running.cost import Cost, costs
from byrote.running.planning import prepare
from byrote.study import load_study
from fake_listener import Recorder


@pytest.mark.slow
def test_the_pieces_of_a_run_cost_together_what_the_study_was_said_to(study: byrote.Study, tmp_path: Path):
    listener = Recorder()
    pipeline.run(study, tmp_path / "run", listener=listener)
    whole = listener.expected.pop("tiny")
    assert len(listener.expected) == 3 + 2 * 4
    assert whole == pytest.approx(sum(listener.expected.values()))
    assert {listener.units[label].split()[0] for label in listener.done} == {"steps", "tokens"}
    again = Recorder()
    pipeline.run(study, tmp_path / "run", listener=again)
    assert again.expected == {"tiny": 0}


def test_a_stack_costs_what_its_trials_do_and_a_null_trial_counts(tiny_study: dict, tmp_path: Path):
    stacked = load_study(tiny_study, {"machine.stack": 2, "controls.null_trial": True})
    listener = Recorder()
    pipeline.run(stacked, tmp_path / "run", listener=listener)
    whole = listener.expected.pop("tiny")
    assert whole == pytest.approx(sum(listener.expected.values()))
    assert "fine-tune null trial" in listener.expected


def test_costs_are_tokens_read_forward(study: byrote.Study):
    prepared = prepare(study)
    trial, cost = prepared.planned[0], costs(prepared)
    rows = (prepared.plan()["base"], *(p.row() for p in prepared.planned))
    stages = ("finetune", "scores", "completions", "untargeted")
    assert set(cost) == {row[name] for row in rows for name in stages if row.get(name)}
    tokens = sum(len(r.token_ids) for r in prepared.records)
    assert cost[prepared.base.scores] == Cost(read=tokens)
    assert cost[trial.stages.finetune].products == 2 * 2 * sum(map(len, trial.training_ids))
