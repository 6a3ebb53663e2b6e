"""The number format of a run: chosen once by the process that plans, handed on, kept by a run that goes on."""

from pathlib import Path
from typing import Any

import pytest

from byrote import lm
from byrote.lm import precision, products
from byrote.running import pipeline
from byrote.store import Run
from byrote.study import load_study
from fake_listener import Recorder

CANARIES = {"design": "many", "count": 6, "references": 3, "copies": [1], "texts": "synthetic"}


class Machine:
    """A processor whose products run at given rates; which formats base models were loaded in."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.rates, self.measured, self.loaded = lm.Rates(85e9, 160e9, 2, "first"), 0, []
        load = lm.load_base

        def measure(*_: Any) -> lm.Rates:
            self.measured += 1
            return self.rates

        def loading(files: Any, name: str, *rest: Any) -> Any:
            self.loaded.append(name)
            return load(files, name, *rest)

        patch.setattr(precision, "multiplies_bf16", lambda _: True)
        patch.setattr(products, "product_rates", measure)
        patch.setattr(lm, "load_base", loading)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(monkeypatch)


def auto(tiny_study: dict, **changes: Any) -> dict:
    return {**tiny_study, "model": {**tiny_study["model"], "precision": "auto"}, "grid": {}, **changes}


@pytest.mark.slow
def test_the_planners_choice_is_everybodys_and_stays_the_runs(
    tiny_study: dict, machine: Machine, tmp_path: Path
) -> None:
    study, out = auto(tiny_study, canaries=CANARIES, machine={"workers": 1}), tmp_path / "run"
    assert not pipeline.run(load_study(study), out).failures
    assert machine.measured == 1
    assert machine.loaded == ["fp32", "fp32"]  # to write canaries, and for the trials
    provenance = Run.open(out).study().provenance
    assert provenance["precision"] == "fp32"
    assert provenance["products"] == {"bf16": 85e9, "fp32": 160e9, "threads": 2, "processor": "first"}
    assert "bf16 85 and fp32 160 GFLOP/s" in provenance["precision_because"]

    # on another machine, with more to do
    machine.rates, machine.loaded = lm.Rates(3200e9, 400e9, 2, "second"), []
    listener = Recorder()
    assert not pipeline.run(load_study(study, {"grid.seed": [13, 8]}), out, listener=listener).failures
    assert machine.loaded == ["fp32"]
    (line,) = [text for text in listener.said if text.startswith("precision")]
    assert line == (
        "precision: keeps fp32, which the run began with; this machine's own choice would be bf16 "
        "(products: bf16 3200 and fp32 400 GFLOP/s on 2 threads)"
    )
    assert Run.open(out).study().provenance["precision"] == "fp32"


def test_workers_are_handed_the_planners_choice(
    tiny_study: dict, machine: Machine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    handed: list[Any] = []
    monkeypatch.setattr(pipeline, "run_tasks", lambda _tasks, backend, *_: handed.append(backend._setup[1]))
    monkeypatch.setattr(pipeline, "render", lambda store: store.path / "report.html")
    pipeline.run(load_study(auto(tiny_study, machine={"workers": 2, "threads": 2})), tmp_path / "run")
    assert [(p.precision, p.chosen.rates) for p in handed] == [("fp32", machine.rates)]
    assert machine.measured == 1
