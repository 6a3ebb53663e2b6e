"""The time that a report says is time on the clock."""

import dataclasses
import json
from pathlib import Path

import pandas as pd
import pytest

import byrote
from byrote.report.findings import machine_sentences, seconds_worked
from byrote.running import pipeline
from byrote.store import Run
from byrote.tables import build
from fake_listener import Recorder
from fake_tables import fake_tables


def at(second: float) -> str:
    minutes, seconds = divmod(second, 60)
    return f"2026-01-01T10:{int(minutes):02d}:{seconds:06.3f}+00:00"


@pytest.mark.parametrize(
    ("spans", "worked"),
    [
        ([], 0),
        ([(0, 10)], 10),
        ([(0, 10), (10, 15)], 15),
        ([(0, 10), (4, 12)], 12),  # two workers
        ([(0, 100), (20, 30), (40, 50)], 100),  # one inside the other
        ([(30, 40), (0, 10)], 20),  # killed, and gone on with later
        ([(0, 10), (0, 10), (0, 10)], 10),
    ],
)
def test_time_worked_is_the_length_of_the_union(spans: list, worked: float):
    assert seconds_worked([(at(a), at(b)) for a, b in spans]) == worked
    # the slow twin: seconds in which anybody works
    assert worked == sum(any(a <= second < b for a, b in spans) for second in range(200))


def test_a_report_adds_nothing_up_that_ran_side_by_side():
    tables = fake_tables(("q", "v"), (1,), seeds=(1, 2))
    assert tables.timings["seconds"].sum() == 4 * 413
    sentence = machine_sentences(tables, 0)[0]
    assert sentence == "The stored stages took 6 min 53 s, on cpu; stages that ran side by side are counted once."
    none = dataclasses.replace(tables, timings=tables.timings.iloc[:0])
    assert machine_sentences(none, 0)[0] == "No timings are stored."


@pytest.mark.slow
def test_every_stage_says_when_it_began_and_finished_the_null_trial_too(tiny_study: dict, tmp_path: Path):
    out = tmp_path / "run"
    study = byrote.load_study(tiny_study, {"grid.matrices": [["v"]], "controls.null_trial": True})
    pipeline.run(study, out, listener=Recorder())
    timings, (null,) = build(Run.open(out)).timings, Run.open(out).plan()["nulls"]
    assert list(timings["trial"]) == ["base"] * 3 + [null["trial"]] * 2 + [timings["trial"].iloc[-1]] * 4
    began, finished = (pd.to_datetime(timings[name], format="ISO8601") for name in ("began", "finished"))
    assert ((finished - began).dt.total_seconds() > timings["seconds"] - 0.01).all()


@pytest.mark.slow
def test_a_run_of_an_earlier_byrote_counts_its_seconds(study: byrote.Study, tmp_path: Path):
    out = tmp_path / "run"
    pipeline.run(study, out, listener=Recorder())
    manifest = out / Run(out).plan()["base"]["scores"] / "manifest.json"
    kept = json.loads(manifest.read_text())
    del kept["finished"]
    manifest.write_text(json.dumps(kept | {"created": at(0), "seconds": 12.5}))
    row = build(Run.open(out)).timings.iloc[0]
    assert (row["began"], row["finished"]) == (at(0), at(12.5))
