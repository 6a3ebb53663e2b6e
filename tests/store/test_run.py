"""A run folder: whole stages or none, one writer, private records, no room."""

import json
import os
import socket
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from safetensors.numpy import save_file

from byrote.errors import StoreError
from byrote.records import MEMBERS, Record
from byrote.store import Run, no_room


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path / "run")


def write(run: Run, stage: str) -> None:
    with run.stage(stage, {"stage": "test"}) as (folder, notes):
        (folder / "data").write_text("x")
        notes["tokens"] = 3


def test_a_stage_comes_into_place_with_its_manifest(run: Run):
    write(run, "trials/a/scores/b")
    assert run.has("trials/a/scores/b")
    assert run.manifest("trials/a/scores/b")["tokens"] == 3
    assert (run.path / "trials/a/scores/b/data").read_text() == "x"
    assert not list(run.path.rglob(".part-*"))


@pytest.mark.parametrize("error", [ValueError("broken"), KeyboardInterrupt()])
def test_a_stage_that_fails_leaves_nothing(run: Run, error: BaseException):
    def half() -> None:
        with run.stage("base/a", {}) as (folder, _):
            (folder / "half").write_text("x")
            raise error

    with pytest.raises(type(error)):
        half()
    assert not run.has("base/a")
    assert not list(run.path.rglob("half"))


def test_a_stage_that_a_worker_taken_for_lost_finishes_after_all_is_no_failure(run: Run):
    lost = run.stage("base/a", {"stage": "test"})
    (folder, _) = lost.__enter__()
    (folder / "data").write_text("x")
    write(Run(run.path), "base/a")  # by the worker that was given its task
    assert not folder.exists()
    first = run.manifest("base/a")
    with run.stage("base/b", {}) as (other, _):
        (other / "data").write_text("x")
        with Run(run.path).stage("base/b", {"stage": "test"}) as (mine, _):
            mine.joinpath("data").write_text("x")
            other.mkdir()
            (other / "data").write_text("x")  # it writes on
    assert run.has("base/b")
    assert run.manifest("base/a") == first
    assert not list(run.path.rglob(".part-*"))


def test_what_a_killed_run_left_is_swept_away_and_is_no_result(run: Run):
    (run.path / "trials/.part-a-1").mkdir(parents=True)
    (run.path / "trials/.part-a-1/manifest.json").write_text("{}")
    (run.path / ".part-plan.json").write_text("{")
    assert not run.has("trials/a")
    assert run.is_being_written("trials/a")
    with run.locked():
        assert not list(run.path.rglob(".part-*"))


def test_a_second_writer_is_told_who_holds_the_run(run: Run):
    with run.locked():
        code = f"from byrote.store import Run\nwith Run({str(run.path)!r}).locked(): pass"
        second = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "StoreError: another byrote (process " in second.stderr
    with run.locked():
        pass


def test_the_lock_says_who_holds_it_and_is_free_once_its_holder_is_gone(run: Run):
    assert run.writer() is None
    with run.locked():
        assert run.writer() == f"process {os.getpid()} on {socket.gethostname()}"
        with (
            pytest.raises(StoreError, match=f"another byrote .process {os.getpid()} on .* is writing to"),
            run.locked(),
        ):
            pass
    assert run.writer() is None
    assert f"process {os.getpid()}" in (run.path / ".lock").read_text()  # it stays, and says nothing by itself


@pytest.mark.parametrize(
    ("harm", "reason"),
    [
        (lambda data: data.write_text("xy"), "data has 2 bytes where 1 were written"),
        (lambda data: data.write_text("y"), "data does not hold the bytes that were written"),
        (lambda data: data.unlink(), "data is gone"),
        (lambda data: (data.parent / "manifest.json").write_text("{"), "manifest.json cannot be read"),
        (lambda data: (data.parent / "manifest.json").unlink(), "manifest.json is gone"),
    ],
)
def test_a_damaged_stage_is_not_there_and_can_be_written_again(run: Run, harm: Any, reason: str):
    write(run, "base/a")
    assert run.damage("base/a") is None
    harm(run.path / "base/a/data")
    assert not run.has("base/a")
    assert str(run.damage("base/a")).startswith(reason)
    assert list(run.discard_damaged(["base/a", "base/never-written"])) == ["base/a"]
    write(run, "base/a")
    assert run.has("base/a")


def test_weights_are_hashed_only_where_that_is_asked_for(run: Run):
    with run.stage("trials/a", {"stage": "finetune"}) as (folder, _):
        (folder / "adapter.safetensors").write_text("x")
    (run.path / "trials/a/adapter.safetensors").write_text("y")
    assert run.damage("trials/a") is None
    assert run.damage("trials/a", weights=True) == "adapter.safetensors does not hold the bytes that were written"


@pytest.mark.parametrize("name", ["scores.parquet", "log.jsonl", "adapter/adapter_model.safetensors"])
def test_a_stage_of_a_version_without_hashes_is_damaged_where_a_file_is_gone_or_does_not_open(run: Run, name: str):
    kind = "scores" if name == "scores.parquet" else "finetune"
    files = ("scores.parquet",) if kind == "scores" else ("adapter/adapter_config.json", "log.jsonl", name)
    place = run.path / "trials/a"
    (place / "adapter").mkdir(parents=True)
    (place / "manifest.json").write_text(json.dumps({"stage": kind}))
    for file in files:
        (place / file).write_text("{}")
    if kind == "scores":
        pq.write_table(pa.table({"a": [1]}), place / name)
    else:
        save_file({"a": np.zeros(3)}, place / "adapter/adapter_model.safetensors")
    assert run.has("trials/a")
    whole = (place / name).read_bytes()
    (place / name).write_bytes(whole[:-3])
    assert run.has("trials/a") == (name == "log.jsonl")
    (place / name).unlink()
    assert run.damage("trials/a") == f"{Path(name).name} is gone"


def test_a_checkpoint_comes_back_to_the_bit_for_its_owner_alone(run: Run):
    arrays = {
        "a": np.array([[0.1, -0.0]], np.float32),
        "step": np.array(3.0, np.float32),
        "g": np.arange(9, dtype="u1"),
    }
    facts = {"loss": 0.1 + 0.2, "trials": ["a"]}
    assert run.checkpoint("trials/a") is None
    run.write_checkpoint("trials/a", {"a": np.zeros(2)}, {})
    run.write_checkpoint("trials/a", arrays, facts)
    (file,) = (run.path / "checkpoints").iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    stored, stored_facts = run.checkpoint("trials/a")  # type: ignore[misc]
    assert stored_facts == facts
    assert {name: (a.shape, a.tobytes()) for name, a in stored.items()} == {
        name: (a.shape, a.tobytes()) for name, a in arrays.items()
    }
    with run.locked():
        assert run.checkpoint("trials/a")
    whole = file.read_bytes()
    for data in (whole[:-1], whole[:-1] + bytes([whole[-1] ^ 1]), b""):
        file.write_bytes(data)
        with pytest.raises(StoreError, match=r"the checkpoint .*a\.safetensors"):
            run.checkpoint("trials/a")
    run.drop_checkpoint("trials/a")
    assert run.checkpoint("trials/a") is None


def test_planned_stages_know_plans_with_one_null_trial_and_with_several(run: Run):
    settings = {"lora": {}, "training": {}}
    row = {"trial": "a", "finetune": "trials/a", "scores": "trials/a/scores/s", "settings": settings}
    null = {"trial": "n", "finetune": "trials/n", "scores": None, "settings": settings}
    base = {"scores": "base/s", "completions": None}
    wanted = {"base/s": "base", "base/c": "base", "trials/a": "a", "trials/a/scores/s": "a", "trials/n": "n"}
    for nulls in ({"null": null}, {"nulls": [null]}, {"null": null, "nulls": [null]}):
        run.write_json("plan.json", {"base": base, "canaries": "base/c", "trials": [row], **nulls})
        assert run.planned_stages() == wanted
    run.write_json("plan.json", {"base": base, "trials": [row], "null": None})
    assert set(run.planned_stages()) == {"base/s", "trials/a", "trials/a/scores/s"}


def test_a_plan_that_kept_labels_alone_has_their_parts(run: Run):
    row = {"trial": "a", "label": "q,k · rank 2 · copies 8 · seed 13"}
    run.write_json("plan.json", {"base": {}, "trials": [row], "nulls": []})
    (read,) = run.plan()["trials"]
    assert [words for _, words in read["label_parts"]] == ["q,k", "rank 2", "copies 8", "seed 13"]
    assert read["label"] == row["label"]


def test_a_text_is_whole_or_the_last_one(run: Run):
    run.write_text("report.html", "one")
    with pytest.raises(UnicodeEncodeError):
        run.write_text("report.html", "two\ud800")
    assert [(p.name, p.read_text()) for p in run.path.iterdir()] == [("report.html", "one")]


def test_records_are_for_their_owner_alone(run: Run):
    record = Record("a", MEMBERS, "g", "text", (), (1, 2))
    run.write_records([record])
    assert stat.S_IMODE((run.path / "records.parquet").stat().st_mode) == 0o600
    assert run.records() == [record]


def test_a_failure_is_kept_until_the_stage_succeeds(run: Run):
    try:
        raise ValueError("broken")
    except ValueError as error:
        run.fail("trials/a", "a", error)
    (failure,) = run.failures()
    assert failure["error"] == "ValueError: broken"
    assert "raise ValueError" in failure["traceback"]
    write(run, "trials/a")
    assert run.failures() == []


def test_no_room_is_one_line_with_the_way_out_and_keeps_what_is_finished(tmp_path: Path):
    """A file-size limit stands in for a full disk: the system refuses the write in the same way."""
    code = f"""
import resource, signal
from byrote.store import Run
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
run = Run({str(tmp_path)!r})
with run.stage("base/small", {{}}) as (folder, _):
    (folder / "data").write_text("x")
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
try:
    with run.stage("base/large", {{}}) as (folder, _):
        (folder / "data").write_bytes(b"x" * 100_000)
except Exception as error:
    print(type(error).__name__, error, run.has("base/small"), run.has("base/large"))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith(f"StoreError no room left to write to {tmp_path}; free some space")
    assert done.stdout.strip().endswith("True False")


def test_no_room_is_seen_through_other_libraries_errors():
    assert no_room(RuntimeError("I/O error: No space left on device (os error 28)"))
    wrapped = RuntimeError("outer")
    wrapped.__cause__ = OSError(28, "No space left on device")
    assert no_room(wrapped)
    assert not no_room(ValueError("broken"))


def test_a_folder_that_is_no_run_says_how_to_make_one(tmp_path: Path):
    with pytest.raises(StoreError, match=r"is not a run folder .*byrote run STUDY --out"):
        Run.open(tmp_path)


def test_a_broken_file_is_named(run: Run):
    run.path.mkdir()
    (run.path / "plan.json").write_text("{")
    with pytest.raises(StoreError, match=r"cannot read .*plan\.json"):
        Run.open(run.path).plan()
    (run.path / "records.parquet").write_text("no parquet")
    with pytest.raises(StoreError, match=r"records\.parquet"):
        run.records()


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(StoreError, match=r"cannot write to .*file/run"), Run(tmp_path / "file/run").locked():
        pass


def test_manifests_hold_json_only(run: Run):
    with pytest.raises(ValueError, match="Out of range"), run.stage("base/a", {"seconds": float("nan")}):
        pass
    assert json.dumps(run.failures()) == "[]"
