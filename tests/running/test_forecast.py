"""The plan: what it counts is what a run would do, and what it can show is what the tables would say."""

import itertools
import json
import math
from pathlib import Path

import pytest

import byrote
from byrote.errors import ModelError
from byrote.running import pipeline
from byrote.running.cost import Cost
from byrote.running.forecast import _RENDERED, Rates, forecast, makespan
from byrote.running.planning import Prepared, prepare
from byrote.statistics.detectable import smallest_auc
from byrote.study import load_study
from fakes import save_tiny_model


def test_it_counts_what_a_run_would_do(study: byrote.Study):
    prepared = prepare(study)
    expected = forecast(prepared)
    assert [w.label for w in expected.work] == [p.trial.label for p in prepared.planned]
    for work, planned in zip(expected.work, prepared.planned, strict=True):
        assert work.tokens == planned.trial.training.epochs * sum(map(len, planned.training_ids))
        assert work.steps == planned.trial.training.epochs * math.ceil(len(planned.training_ids) / 4)
        assert work.seconds > 0
    assert (expected.workers, expected.threads) == (1, 1)
    assert expected.seconds > sum(w.seconds for w in expected.work)
    assert expected.memory > 2**31
    assert expected.precision.format == "fp32"
    assert expected.flops > 0


def test_memory_grows_with_workers_and_weights_and_disk_with_trials(study: byrote.Study, tmp_path: Path):
    expected = forecast(prepare(study))
    two = study.machine.model_copy(update={"threads": 2, "workers": 2})
    assert forecast(prepare(study.model_copy(update={"machine": two}))).memory > 1.5 * expected.memory
    larger = study.model.model_copy(update={"source": str(save_tiny_model(tmp_path / "deep", layers=40))})
    more = forecast(prepare(study.model_copy(update={"model": larger}))).memory - expected.memory
    assert more >= 4 * 38 * (2 * 32 * 32 + 2 * 32 * 16)  # at least the attention weights of 38 more layers, in fp32
    fewer = study.model_copy(update={"grid": {"lora.matrices": [["q"]]}})
    assert forecast(prepare(fewer)).disk < expected.disk


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
    smaller = study.model_copy(update={"grid": {"lora.matrices": [["q"]]}})
    assert len(forecast(prepare(smaller)).work) == 1
    assert len(forecast(prepare(study)).work) == 2
    assert not list(tmp_path.iterdir())


def test_canaries_stand_in_the_order_of_their_copies(tiny_study: dict):
    canaries = {"design": "many", "count": 4, "copies": [16, 1, 4, 2], "references": 1, "seed": 0}
    power = forecast(prepare(load_study({**tiny_study, "canaries": canaries}))).power
    assert [stratum.stratum for stratum in power] == ["records", *(f"canaries@{c}" for c in (1, 2, 4, 16))]


@pytest.mark.parametrize(("matrices", "rank"), [("all-linear", 64), ("v", 1)])
def test_disk_counts_adapters(tiny_study: dict, tmp_path: Path, matrices: str, rank: int):
    study = load_study(tiny_study, {"grid.matrices": [[matrices]], "grid.rank": [rank]})
    expected = forecast(prepare(study)).disk
    pipeline.run(study, tmp_path / "run")
    rendered = {"figures", "tables", "report.html"}  # one figure of all that a run draws outside the tests
    files = [path for path in (tmp_path / "run").rglob("*") if path.is_file()]
    bytes_of_run = sum(p.stat().st_size for p in files if p.relative_to(tmp_path / "run").parts[0] not in rendered)
    assert bytes_of_run == pytest.approx(expected - _RENDERED, rel=0.6)
    adapter = next((tmp_path / "run").rglob("adapter_model.safetensors")).stat().st_size
    small = forecast(prepare(load_study(tiny_study, {"grid.matrices": [["v"]], "grid.rank": [1]}))).disk
    least = 4 * 32 * (1 + 0.5) * 2  # v of rank 1: widths 32 and 16, two layers
    assert expected - small == pytest.approx(adapter - least, rel=0.1, abs=2_000)


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
def test_an_adapter_takes_the_bytes_that_are_said(tiny_study: dict, tmp_path: Path, kind: str):
    folder = save_tiny_model(tmp_path / kind, kind)
    up = {"model.source": str(folder), "lora.rank": 3, "grid": {"matrices": [["up", "down", "o"]]}}
    rank_3 = load_study(tiny_study, {**up, "extraction.untargeted.completions": 0})
    rank_4 = load_study(tiny_study, {**up, "extraction.untargeted.completions": 0, "lora.rank": 4})
    sizes = [forecast(prepare(study)).disk for study in (rank_3, rank_4)]
    widths = {"gpt2": (32 + 128) + (128 + 32) + (32 + 32), "llama": (32 + 64) + (64 + 32) + (32 + 32)}[kind]
    assert sizes[1] - sizes[0] == 4 * 2 * widths


# The demo's stages on one thread of an Intel Xeon with AMX, bf16, and the rates measured beside (docs/log.md): 18,600
# tokens trained, 11,162 scored, 1154 written after 40 prompts (1240 tokens), 1600 written freely. Seconds of processor.
AMX = Rates(products=0.000249, passes=0.000587)


@pytest.mark.parametrize(
    ("cost", "seconds"),
    [
        (Cost(trained=18_600), 35.7),
        (Cost(read=11_162), 8.9),
        (Cost(written=1154, read=2480), 4.8),
        (Cost(written=1600, read=3200), 5.9),
    ],
)
def test_stages_take_about_what_was_measured(cost, seconds: float):
    assert AMX.seconds(cost) == pytest.approx(seconds, rel=0.25)


def test_a_forecast_adds_up_as_the_workers_share_the_tasks(tiny_study: dict, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("byrote.lm.cores", lambda: 2)
    four = {"grid.matrices": [["q"], ["k"], ["v"], ["o"]], "machine.workers": 2, "machine.threads": 2}
    threads_given = []

    def rates(_prepared: Prepared, threads: int) -> Rates:
        threads_given.append(threads)
        return Rates(1.0, 1.0)

    expected = forecast(prepare(load_study(tiny_study, four)), rates)
    assert (expected.workers, threads_given) == (2, [1])
    seconds_of_trials = {round(w.seconds) for w in expected.work}
    assert expected.seconds > 2 * max(seconds_of_trials)  # two trials a worker, and the base model before one of them
    assert expected.seconds < 3 * max(seconds_of_trials)


def test_makespan_is_that_of_workers_who_take_the_next_task():
    assert makespan([1, 4, 4, 4, 4], 2) == 9
    assert makespan([3, 2], 1) == 5
    assert makespan([], 3) == 0
    for spent in itertools.product((1, 2, 5), repeat=4):  # the slow twin: step by step
        waiting, busy, clock = list(spent), [0, 0, 0], 0
        while waiting or any(busy):
            busy = [left or (waiting.pop(0) if waiting else 0) for left in busy]
            busy, clock = [max(0, left - 1) for left in busy], clock + 1
        assert makespan(spent, 3) == clock


def test_what_a_run_would_refuse_is_refused_before_the_model_is_looked_for(
    tiny_study: dict, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("byrote.lm.resolve_base", lambda *_: pytest.fail("the model was looked for"))
    with pytest.raises(ModelError, match="'nf4' needs a GPU"):
        prepare(load_study(tiny_study, {"model.quantization": "nf4"}))


def test_a_base_that_is_stored_quantized_is_refused(tiny_study: dict, tmp_path: Path):
    folder = save_tiny_model(tmp_path / "model")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(
        json.dumps({**config, "quantization_config": {"quant_method": "gptq", "bits": 4}})
    )
    with pytest.raises(ModelError, match=r"stored quantized \(gptq\)"):
        prepare(load_study(tiny_study, {"model.source": str(folder)}))
