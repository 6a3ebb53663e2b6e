"""The plan: what it counts is what a run would do, and what it can show is what the tables would say."""

import math
from pathlib import Path

import pytest

import byrote
from byrote.running.forecast import forecast
from byrote.running.planning import prepare
from byrote.statistics.detectable import smallest_auc
from byrote.study import load_study
from fakes import save_tiny_model


def test_it_counts_what_a_run_would_do(study: byrote.Study):
    prepared = prepare(study)
    found = forecast(prepared)
    assert [w.label for w in found.work] == [p.trial.label for p in prepared.planned]
    for work, planned in zip(found.work, prepared.planned, strict=True):
        assert work.tokens == planned.trial.training.epochs * sum(map(len, planned.training_ids))
        assert work.steps == planned.trial.training.epochs * math.ceil(len(planned.training_ids) / 4)
        assert work.seconds > 0
    assert (found.workers, found.threads) == (1, 1)
    assert found.seconds > sum(w.seconds for w in found.work)


def test_memory_grows_with_workers_and_weights_and_disk_with_trials(study: byrote.Study, tmp_path: Path):
    found = forecast(prepare(study))
    two = study.machine.model_copy(update={"threads": 2, "workers": 2})
    assert forecast(prepare(study.model_copy(update={"machine": two}))).memory > 1.5 * found.memory
    larger = study.model.model_copy(update={"source": str(save_tiny_model(tmp_path / "deep", layers=40))})
    more = forecast(prepare(study.model_copy(update={"model": larger}))).memory - found.memory
    assert more >= 4 * 38 * (2 * 32 * 32 + 2 * 32 * 16)  # at least the attention weights of 38 more layers, in fp32
    fewer = study.model_copy(update={"grid": {"lora.matrices": [["q"]]}})
    assert forecast(prepare(fewer)).disk < found.disk


def test_it_says_what_each_comparison_can_show(study: byrote.Study):
    records, canaries = forecast(prepare(study)).power
    assert (records.stratum, canaries.stratum) == ("records", "canaries@3")
    assert records.auc == pytest.approx(smallest_auc(records.members, records.nonmembers), nan_ok=True)
    assert canaries.nonmembers == 0
    assert math.isnan(canaries.auc)
    assert [rate for rate, _ in records.tpr] == [0.1, 0.01]
    assert "cannot resolve a false-positive rate of 0.01" in str(records.tpr[1][1])


def test_more_trials_take_longer_and_nothing_is_written(study: byrote.Study, tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    one = study.model_copy(update={"grid": {"lora.matrices": [["q"]]}})
    assert len(forecast(prepare(one)).work) == 1
    assert len(forecast(prepare(study)).work) == 2
    assert not list(tmp_path.iterdir())


def test_canaries_stand_in_the_order_of_their_copies(tiny_study: dict):
    canaries = {"design": "many", "count": 4, "copies": [16, 1, 4, 2], "references": 1, "seed": 0}
    power = forecast(prepare(load_study({**tiny_study, "canaries": canaries}))).power
    assert [one.stratum for one in power] == ["records", *(f"canaries@{c}" for c in (1, 2, 4, 16))]
