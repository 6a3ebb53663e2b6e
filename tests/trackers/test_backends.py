"""Every tracker in its local or offline mode, read back from its own files. Their packages must be installed."""

import json
import os
import sqlite3
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import byrote
from byrote.errors import StudyError
from byrote.running import pipeline
from byrote.store import Run
from byrote.study.settings import Tracker
from byrote.trackers import connect
from byrote.trackers.backends import BACKENDS, check_installed
from fake_listener import Recorder, tables

pytestmark = [
    pytest.mark.slow,
    pytest.mark.usefixtures("one_figure"),
    pytest.mark.filterwarnings("ignore:.*noload.*"),  # SQLAlchemy's word on how mlflow uses it
]
TRACKERS = ("mlflow", "tensorboard", "trackio", "wandb")
Logged = dict[str, dict[str, dict[int, float]]]  # by run of a tracker, figure and step


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that all trackers write to, none of them to a server."""
    monkeypatch.chdir(tmp_path)
    for name in ("HTTP_PROXY", "WANDB_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    monkeypatch.setattr("trackio.sqlite_storage.TRACKIO_DIR", tmp_path / "trackio")
    yield tmp_path
    import wandb

    wandb.teardown()  # it reads its environment once a process


# --- what each has in its files -------------------------------------------------------------------------------------


def tensorboard(place: Path) -> Logged:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    logged: Logged = {}
    for folder in (place / "run" / "tensorboard").iterdir():
        events = EventAccumulator(str(folder))
        events.Reload()
        for name in events.Tags()["scalars"]:
            points = events.Scalars(name)
            assert len({point.step for point in points}) == len(points)  # no step twice
            logged.setdefault(folder.name, {})[name] = {point.step: point.value for point in points}
    return logged


def mlflow(place: Path) -> Logged:
    logged: Logged = {}
    with closing(sqlite3.connect(place / "mlflow.db")) as database:
        rows = database.execute("select name, key, step, value from metrics join runs using (run_uuid)").fetchall()
        states = database.execute("select distinct status from runs").fetchall()
    assert states == [("FINISHED",)]
    for run, name, step, value in rows:
        at = logged.setdefault(run, {}).setdefault(name, {})
        assert step not in at
        at[step] = value
    return logged


def trackio(_: Path) -> Logged:
    from trackio.sqlite_storage import SQLiteStorage

    logged: Logged = {}
    for run in SQLiteStorage.get_runs("tiny"):
        for row in SQLiteStorage.get_logs("tiny", run):
            for name in set(row) - {"step", "timestamp"}:
                logged.setdefault(run, {}).setdefault(name, {})[row["step"]] = row[name]
    return logged


def wandb(place: Path) -> Logged:
    logged: Logged = {}
    for path in place.glob("wandb/offline-run-*/*.wandb"):
        name, points = read_wandb(path)
        logged[name] = points
    return logged


def read_wandb(path: Path) -> tuple[str, dict[str, dict[int, float]]]:
    """The name of a run that was logged offline, and its figures."""
    from wandb.proto import wandb_internal_pb2

    name, points = "", {}
    for payload in leveldb_records(path.read_bytes()):
        record = wandb_internal_pb2.Record()
        record.ParseFromString(payload)
        if record.WhichOneof("record_type") == "run":
            name = record.run.display_name
        if record.WhichOneof("record_type") == "history":
            items = {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in record.history.item}
            for key in set(items) - {"_step", "_runtime", "_timestamp"}:
                points.setdefault(key, {})[int(items.get("_step", record.history.step.num))] = items[key]
    return name, points


def leveldb_records(data: bytes) -> Iterator[bytes]:
    """The records of a file in LevelDB's log format, which begins with seven bytes of W&B's own."""
    place, parts = 7, b""
    while place + 7 <= len(data):
        if 32768 - place % 32768 < 7:
            place += 32768 - place % 32768
            continue
        _, length, kind = struct.unpack("<IHB", data[place : place + 7])
        parts += data[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):  # whole, or the last part
            yield parts
            parts = b""


READ = {"mlflow": mlflow, "tensorboard": tensorboard, "trackio": trackio, "wandb": wandb}


# --- tests ----------------------------------------------------------------------------------------------------------


def test_every_tracker_is_known_to_the_settings_and_read_here():
    assert set(BACKENDS) == set(Tracker.__args__) == set(READ) == set(TRACKERS)


def test_all_trackers_are_told_the_same_of_a_run_and_change_nothing_of_it(tiny_study: dict, place: Path):
    study = {**tiny_study, "decide": {"max_auc": 0.9}, "machine": {"device": "cpu", "threads": 2, "workers": 2}}
    study["corpus"] = {**study["corpus"], "path": str(place / "corpus")}
    (place / "corpus").mkdir()
    for path in Path(tiny_study["corpus"]["path"]).glob("*.jsonl"):  # ids that stand nowhere else by chance
        (place / "corpus" / path.name).write_text(path.read_text().replace('"id": "', '"id": "Zyrqavex-'))
    plain = pipeline.run(study, place / "plain")
    tracked = pipeline.run({**study, "report_to": TRACKERS}, place / "run")
    assert plain.failures == tracked.failures == tracked.not_logged == ()
    assert tables(place / "run") == tables(place / "plain")
    assert Run.open(place / "run").plan()["trials"] == Run.open(place / "plain").plan()["trials"]
    logged = {name: read(place) for name, read in READ.items()}
    results = byrote.load(place / "run").tables
    (first, second) = sorted(logged["mlflow"])
    assert (first[:2], second[:2]) == ("q-", "v-")
    for name in TRACKERS:
        assert sorted(logged[name]) == [first, second], name
        for run, figures in logged[name].items():
            assert sorted(figures) == sorted(logged["mlflow"][run]), name
            assert list(figures["train/loss"]) == [1, 2, 3, 4, 5, 6]
            for figure, at in figures.items():
                assert at == pytest.approx(logged["mlflow"][run][figure], rel=1e-6), (name, figure)
    for run, figures in logged["mlflow"].items():
        (log,) = (place / "run" / "trials").glob(f"{run[-6:]}*/log.jsonl")
        losses = [json.loads(line)["loss"] for line in log.read_text().splitlines()]
        assert list(figures["train/loss"].values()) == pytest.approx(losses)
    for row in results.membership[results.membership.stratum == "records"].itertuples():
        run = next(run for run in (first, second) if run.endswith(row.trial[:6]))
        assert logged["mlflow"][run][f"byrote/auc_{row.attack}"] == {6: pytest.approx(row.auc)}
    for run in (first, second):
        assert {*logged["mlflow"][run]} >= {"byrote/verdict_max_auc", "byrote/perplexity_nonmembers"}
    holding = [*place.glob("wandb/**/*.wandb"), *place.glob("wandb/*/files/*"), place / "mlflow.db"]
    holding += [path for folder in (place / "trackio", place / "run" / "tensorboard") for path in folder.rglob("*")]
    files = [path for path in holding if path.is_file()]
    assert len(files) >= 6
    records = Run.open(place / "run").records()
    assert records[0].record.startswith("Zyrqavex-")
    told = {word for record in records for word in (record.text, record.record)} | {f"{Path.home()}/", str(place)}
    for path in files:
        data = path.read_bytes().replace(f"{place}/mlruns".encode(), b"")  # where mlflow would put artifacts
        assert [word for word in told if word.encode() in data] == [], path


def test_the_same_command_again_logs_nothing_twice(tiny_study: dict, place: Path):
    study = {**tiny_study, "grid": {"matrices": [["q"]]}, "report_to": TRACKERS}
    killed = Recorder("prompt q", 0, KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        pipeline.run(study, place / "run", listener=killed)
    for _ in range(2):
        assert pipeline.run(study, place / "run").failures == ()
    without, listener = {**study, "report_to": []}, Recorder()
    assert pipeline.run(without, place / "run", listener=listener).failures == ()
    assert listener.done == {}  # it is no part of any key
    (name,) = [name for name in tensorboard(place) if "continued" not in name]
    for tracker in ("tensorboard", "trackio", "wandb"):
        logged = READ[tracker](place)
        assert sorted(logged) == [name, f"{name}-continued-2"], tracker
        assert list(logged[f"{name}-continued-2"]["train/loss"]) == [1, 2, 3, 4, 5, 6]
        assert [figure for figure in logged[name] if figure.startswith("byrote/")] == []


class Breaking(Recorder):
    """Takes mlflow's table of metrics away while the second trial is about to be trained."""

    def task(self, label: str, *rest: Any):
        if label.startswith("fine-tune v"):
            with closing(sqlite3.connect("mlflow.db")) as database:
                database.execute("drop table metrics")
        return super().task(label, *rest)


def test_a_tracker_that_breaks_in_the_middle_costs_no_result(tiny_study: dict, place: Path):
    listener = Breaking()
    outcome = pipeline.run({**tiny_study, "report_to": ["mlflow", "tensorboard"]}, place / "run", listener=listener)
    assert outcome.failures == ()
    assert set(byrote.load(place / "run").tables.trials.state) == {"done"}
    (line,) = outcome.not_logged
    steps, results = 6 * 5, [sum("byrote/" in name for name in run) for run in tensorboard(place).values()]
    assert line.startswith(f"mlflow failed, and {steps + sum(results):,} figures were not logged to it: ")
    assert "\n" not in line
    assert len([said for said in listener.said if "mlflow" in said]) == 1


def test_an_audit_is_tracked_too(tiny_study: dict, tiny_folder: Path, place: Path):
    pipeline.run({**tiny_study, "grid": {"matrices": [["q"]]}}, place / "trained")
    (adapter,) = (place / "trained").glob("trials/*/adapter")
    corpus = {name: tiny_study["corpus"][name] for name in ("members", "nonmembers", "calibration")}
    folder = Path(tiny_study["corpus"]["path"])
    audited = byrote.audit(
        adapter=adapter,
        base=tiny_folder,
        **{name: folder / file for name, file in corpus.items()},
        out=place / "run",
        max_auc=0.9,
        settings={"report_to": ["tensorboard"], "model.precision": "fp32", "corpus.id": "id"},
    )
    (figures,) = tensorboard(place).values()
    row = audited.tables.membership.query("stratum == 'records' and attack == 'ratio'").iloc[0]
    assert list(figures["byrote/auc_ratio"].values()) == [pytest.approx(row.auc)]
    assert "byrote/verdict_max_auc" in figures
    assert not [name for name in figures if name.startswith("train/")]


def test_a_tracker_that_is_missing_or_not_reached_is_one_line_before_anything_starts(
    tiny_study: dict, place: Path, monkeypatch: pytest.MonkeyPatch
):
    (place / "wandb").mkdir()  # what W&B leaves behind is not taken for its package
    code = "import sys\nsys.path[:] = ['', *[p for p in sys.path if 'packages' not in p]]\n"
    code += "from importlib.util import find_spec\nprint(find_spec('wandb').origin)"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=place)
    assert said.stdout.strip() == "None"
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(StudyError, match=r"^report_to names mlflow, which is not installed: pip install 'byrote\["):
        check_installed(["mlflow"])
    monkeypatch.undo()
    for name in ("WANDB_MODE", "WANDB_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "nonsense://nowhere")
    with pytest.raises(StudyError, match=r"^report_to: mlflow cannot be used: \S.*; put that right, or take it out"):
        pipeline.run({**tiny_study, "report_to": ["mlflow"]}, place / "run")
    assert not (place / "run").exists()


def test_wandb_without_a_login_is_one_line(place: Path):
    environment = {**os.environ, "WANDB_MODE": "online", "HOME": str(place), "NETRC": str(place / "netrc")}
    environment["PYTHONPATH"] = str(Path(byrote.__file__).parents[1])
    code = "from pathlib import Path; from byrote.trackers import connect; connect('wandb', 'tiny', Path('.'))"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environment)
    assert "StudyError: report_to: wandb cannot be used" in ended.stderr
    assert connect("wandb", "tiny", place)  # offline, it needs none
