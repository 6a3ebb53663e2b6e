"""What trackers are told: each step once, each trial's results once, nothing after a failure, and never a text."""

import json
import math
from pathlib import Path

import pyarrow as pa
import pytest

from byrote.errors import StudyError
from byrote.store import Run
from byrote.tables.columns import COLUMNS
from byrote.trackers.backends import check_installed
from byrote.trackers.figures import TABLES, result_figures, step_figures
from byrote.trackers.tracking import TrackedTrial, Tracking
from fake_listener import Recorder
from fake_tables import fake_tables
from fake_trackers import FakeTracker

TRIAL = "000000000000"
NAME = "q-rank-1-seed-13-000000"


def row(step: int) -> dict:
    """A line of log.jsonl."""
    return {"step": step, "loss": 3 - step / 4, "learning_rate": 1e-3, "grad_norm": 0.5, "tokens": 90, "seconds": 0.5}


@pytest.fixture(scope="module")
def rows() -> dict[str, list[dict]]:
    """Rows of a run's tables, with a rule."""
    frames = fake_tables(matrices=("q",), ranks=(1,), canaries=8)
    rows = {name: json.loads(getattr(frames, name).to_json(orient="records")) for name in TABLES}
    rule = {"subject": TRIAL, "rule": "max_tpr_at_fpr 0.01", "stratum": "records", "limit": 0.05, "value": 0.1}
    return {**rows, "rules": [{**rule, "low": 0.07, "high": None, "verdict": "exceeded", "reason": "a text"}]}


@pytest.fixture
def store(rows: dict[str, list[dict]], tmp_path: Path) -> Run:
    """A run folder with these tables, and a trial of three steps."""
    store = Run(tmp_path)
    for name in TABLES:
        store.write_table(name, pa.Table.from_pylist(rows[name], pa.schema(list(COLUMNS[name].items()))))
    store.write_text(f"trials/{TRIAL}/log.jsonl", "".join(json.dumps(row(step)) + "\n" for step in range(3)))
    return store


def trial() -> TrackedTrial:
    settings = {"lora": {"rank": 1, "alpha": 16.0, "scaling": "fixed"}, "training": {"epochs": 3}}
    return TrackedTrial.of_row(
        {"trial": TRIAL, "label": "q · rank 1 · seed 13", "finetune": f"trials/{TRIAL}", "settings": settings}
        | {"matrices": "q", "rank": 1, "seed": 13}
    )


def tracking(store: Run, *trackers: FakeTracker) -> tuple[Tracking, Recorder]:
    listener = Recorder()
    told = Tracking(listener, store, {f"fake{i}": tracker for i, tracker in enumerate(trackers)})
    told.follow([trial()])
    return told, listener


def test_figures_of_a_step_are_those_of_its_line():
    number, figures = step_figures(row(2))
    assert number == 3  # Trainer's: the first step is 1
    assert figures == {
        "train/loss": 2.5, "train/learning_rate": 1e-3, "train/grad_norm": 0.5,
        "train/steps_per_second": 2.0, "train/tokens_per_second": 180.0,
    }  # fmt: skip


def test_results_are_the_figures_of_the_tables(rows: dict[str, list[dict]]):
    figures = result_figures(rows, TRIAL)
    ratio = next(r for r in rows["membership"] if r["attack"] == "ratio" and r["stratum"] == "records")
    assert figures["byrote/auc_ratio"] == ratio["auc"]
    assert figures["byrote/auc_ratio_low"] == ratio["auc_low"]
    assert "byrote/canaries_8/auc_ratio" in figures
    point = next(r for r in rows["operating_points"] if r["attack"] == "loss" and r["target_fpr"] == 0.1)
    assert figures["byrote/tpr_at_fpr_0.1_loss"] == point["tpr"]
    assert "byrote/published_tpr_at_fpr_0.1_loss" in figures
    assert figures["byrote/base_perplexity_nonmembers"] == 113.2
    assert figures["byrote/base_loss_nonmembers"] == pytest.approx(math.log(113.2))
    assert figures["byrote/verdict_max_tpr_at_fpr_0.01"] == -1
    assert figures["byrote/limit_max_tpr_at_fpr_0.01"] == 0.05
    assert "byrote/high_max_tpr_at_fpr_0.01" not in figures  # missing there, so left out here
    assert all(type(figure) is float for figure in figures.values())
    assert result_figures(rows, "another") == {}


def test_each_step_is_logged_once_and_the_results_at_the_last(store: Run):
    tracker = FakeTracker()
    told, listener = tracking(store, tracker)
    for step in (0, 1, 1, 2):
        told.step(TRIAL, row(step))
    told.step("a null trial", row(0))
    told.results()
    assert list(tracker.runs) == [NAME]
    run = tracker.runs[NAME]
    assert run.steps == [1, 2, 3]
    assert run.logged[-1][0] == 3
    assert run.closed is True
    assert run.settings == {"trial": TRIAL, "matrices": "q", "rank": 1, "seed": 13, "alpha": 16.0, "epochs": 3}
    assert len(listener.logged[TRIAL]) == 4  # the listener behind it hears all


def test_what_is_logged_already_is_not_logged_again(store: Run):
    tracker, later = FakeTracker(), FakeTracker()
    for chosen in ([tracker], [tracker], [tracker, later]):
        told, _ = tracking(store, *chosen)
        told.results()
        told.close()
    assert list(tracker.runs) == list(later.runs) == [NAME]
    assert tracker.runs[NAME].logged == later.runs[NAME].logged
    assert tracker.runs[NAME].steps == [1, 2, 3]  # from log.jsonl: it was trained before


def test_a_run_that_was_killed_goes_on_as_a_continuation_that_is_complete(store: Run):
    tracker = FakeTracker()
    told, _ = tracking(store, tracker)
    told.step(TRIAL, row(0))  # and killed: nothing closes it
    told, _ = tracking(store, tracker)
    told.results()
    assert list(tracker.runs) == [NAME, f"{NAME}-continued-2"]
    again = tracker.runs[f"{NAME}-continued-2"]
    assert again.steps == [1, 2, 3]
    assert again.settings["continuation"] == 2


def test_a_run_that_stops_leaves_its_tracker_closed_and_unfinished(store: Run):
    tracker = FakeTracker()
    told, _ = tracking(store, tracker)
    told.step(TRIAL, row(0))
    told.close()
    assert tracker.runs[NAME].closed is False


def test_results_that_changed_are_logged_again(store: Run, rows: dict[str, list[dict]]):
    tracker = FakeTracker()
    tracking(store, tracker)[0].results()
    fewer = [{**r, "verdict": "held"} for r in rows["rules"]]
    store.write_table("rules", pa.Table.from_pylist(fewer, pa.schema(list(COLUMNS["rules"].items()))))
    tracking(store, tracker)[0].results()
    last = tracker.runs[f"{NAME}-continued-2"]
    assert last.results["byrote/verdict_max_tpr_at_fpr_0.01"] == 1


def test_a_tracker_that_fails_is_told_nothing_more_and_the_others_are(store: Run):
    broken, whole = FakeTracker(fails_after=1), FakeTracker()
    told, listener = tracking(store, broken, whole)
    for step in range(3):
        told.step(TRIAL, row(step))
    told.results()
    told.close()
    results = len(whole.runs[NAME].results)
    assert whole.runs[NAME].steps == [1, 2, 3]
    assert [line for line in listener.said if "fake0" in line] == [
        "warning: fake0 failed, and is told nothing more: ConnectionError: no route to http://…@server"
    ]
    lost = 2 * 5 + results
    assert told.not_logged() == [
        f"fake0 failed, and {lost:,} figures were not logged to it: ConnectionError: no route to http://…@server"
    ]
    again = FakeTracker()
    tracking(store, again, whole)[0].results()
    assert again.runs[f"{NAME}-continued-2"].steps == [1, 2, 3]  # the next run makes up for it
    assert list(whole.runs) == [NAME]


def test_a_trial_that_failed_is_marked_as_unfinished(store: Run):
    tracker = FakeTracker()
    tracking(store, tracker)[0].results(failed=[TRIAL])
    assert tracker.runs[NAME].closed is False


def test_a_given_subject_is_known_by_its_name_and_not_by_its_folders():
    given = TrackedTrial.of_row(
        {"trial": "abcdef012345", "label": "/home/alice/runs/tuned", "finetune": "trials/abcdef012345", "seed": None}
        | {"matrices": "", "rank": 8, "settings": {"subject": {"name": "/home/alice"}, "training": {"steps": 40}}}
    )
    assert given.name(1) == "tuned-abcdef"
    assert TrackedTrial("abcdef", "\u202e../\n<b>", "", {}).name(2) == "b-abcdef-continued-2"
    assert TrackedTrial("abcdef", "..", "", {}).name(1) == "trial-abcdef"
    assert len(TrackedTrial("abcdef", "ü" * 300, "", {}).name(1).encode()) < 200
    assert "alice" not in repr(dict(given.settings))


def test_a_package_that_is_missing_is_one_line_with_the_way_out():
    with pytest.raises(StudyError, match=r"^report_to names nowhere, which is not installed: pip install 'byrote\[no"):
        check_installed(["nowhere"])
