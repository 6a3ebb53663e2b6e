"""A run folder: whole stages or none, one writer, private records, no room."""

import json
import stat
import subprocess
import sys
from pathlib import Path

import pytest

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


def test_what_a_killed_run_left_is_swept_away_and_is_no_result(run: Run):
    (run.path / "trials/.part-a").mkdir(parents=True)
    (run.path / "trials/.part-a/manifest.json").write_text("{}")
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
