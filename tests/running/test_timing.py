"""Rates that are timed: of what a study does, and of nothing that it does not."""

from pathlib import Path

import pytest

import byrote
from byrote.running.cost import Cost
from byrote.running.forecast import forecast
from byrote.running.planning import prepare
from byrote.running.timing import timed
from byrote.study import load_study
from fake_listener import Recorder


def test_each_kind_of_token_is_timed_and_nothing_is_written(study: byrote.Study, tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    prepared, listener = prepare(study), Recorder()
    speed = timed(prepared, 1, listener)
    assert not list(tmp_path.iterdir())
    assert set(speed.trained) == {planned.trained.lora for planned in prepared.planned}
    assert min(*speed.trained.values(), speed.read, speed.written) > 0
    first = prepared.planned[0]
    spent = speed.seconds(Cost(trained=10, read=3, written=2), first)
    assert spent == pytest.approx(10 * speed.trained[first.trained.lora] + 3 * speed.read + 2 * speed.written)
    expected = forecast(prepared, lambda *_: speed)
    assert expected.timed
    assert expected.tokens.trained == sum(w.tokens for w in expected.work)


def test_an_adapter_between_the_smallest_and_the_largest_takes_a_time_between(tiny_study: dict, monkeypatch):
    by_rank = {1: 0.001, 9: 0.003}
    monkeypatch.setattr("byrote.running.timing._steps", lambda _p, _b, planned: by_rank[planned.trained.rank])
    speed = timed(prepare(load_study(tiny_study, {"grid": {"lora.rank": [9, 1, 5]}})), 1)
    assert {lora.rank: seconds for lora, seconds in speed.trained.items()} == pytest.approx({**by_rank, 5: 0.002})


def test_where_nothing_is_written_nothing_of_it_is_timed(tiny_study: dict):
    silent = {
        "extraction": {"prompts": {"members": 0, "nonmembers": 0, "canaries": 0}, "untargeted": {"completions": 0}}
    }
    assert timed(prepare(load_study({**tiny_study, **silent, "grid": {"matrices": [["q"]]}})), 1).written == 0
