"""The one writer and reader of a run folder.

A stage is a folder written beside its place (`.part-…`), synced, and renamed: whole or not there. Its manifest.json
says what made it. Everything else in the run (tables, figures, report) can be computed again from the stages.
"""

import errno
import fcntl
import json
import os
import shutil
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from byrote.errors import StoreError
from byrote.records import (
    Assignment,
    Completion,
    FreeCompletion,
    Record,
    TokenScores,
    completions_from_table,
    free_from_table,
    records_from_table,
    records_to_table,
    roles_from_table,
    roles_to_table,
)

MANIFEST = "manifest.json"
STAGES = ("finetune", "scores", "completions", "untargeted")  # of a trial; the base model has all but the first
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def no_room(error: BaseException) -> bool:
    """Whether an error, or one that it came from, says that the disk is full."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, OSError) and seen.errno in _NO_ROOM:
            return True
        if any(os.strerror(number) in str(seen) for number in _NO_ROOM):
            return True
        seen = seen.__cause__ or seen.__context__
    return False


class Run:
    """A folder of results of one study. Paths of stages are relative to it."""

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)

    @classmethod
    def open(cls, path: Path | str) -> "Run":
        """A run that exists. StoreError where the folder is not one."""
        run = cls(path)
        if not (run.path / "plan.json").is_file():
            raise StoreError(f"{path} is not a run folder (no plan.json); `byrote run STUDY --out {path}` makes one")
        return run

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the run for writing and sweep away what a killed run left half-written.

        StoreError where another process holds it.
        """
        with self._writing():
            self.path.mkdir(parents=True, exist_ok=True)
            handle = (self.path / ".lock").open("a+")
        with handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                handle.seek(0)
                holder = handle.read().strip() or "unknown"
                raise StoreError(
                    f"another byrote (process {holder}) is writing to {self.path}; wait for it, or name another --out"
                ) from None
            handle.seek(0)
            handle.truncate()
            handle.write(str(os.getpid()))
            handle.flush()
            for left in self.path.rglob(".part-*"):
                shutil.rmtree(left) if left.is_dir() else left.unlink()
            yield

    # --- stages -------------------------------------------------------------------------------------------------

    def has(self, stage: str) -> bool:
        """Whether a stage is finished."""
        return (self.path / stage / MANIFEST).is_file()

    def is_being_written(self, stage: str) -> bool:
        """Whether a stage has been begun and not finished; a killed run leaves it so until the next begins."""
        place = self.path / stage
        return (place.parent / f".part-{place.name}").is_dir()

    @contextmanager
    def stage(self, stage: str, manifest: Mapping[str, Any]) -> Iterator[tuple[Path, dict[str, Any]]]:
        """A folder to write a stage into and its manifest to add to; both come into place together at the end."""
        place = self.path / stage
        part = place.parent / f".part-{place.name}"
        notes: dict[str, Any] = {**manifest, "created": datetime.now(UTC).isoformat(timespec="seconds")}
        with self._writing():
            part.mkdir(parents=True)
        try:
            yield part, notes
            with self._writing():
                (part / MANIFEST).write_text(json.dumps(notes, indent=1, allow_nan=False) + "\n")
                for file in [p for p in part.rglob("*") if p.is_file()]:
                    _sync(file)
                _sync(part)
                part.rename(place)
                _sync(place.parent)
        except BaseException as error:
            shutil.rmtree(part, ignore_errors=True)
            if no_room(error) and not isinstance(error, StoreError):
                raise self._full() from error
            raise
        self.forget_failure(stage)

    def manifest(self, stage: str) -> dict[str, Any]:
        """What made a finished stage."""
        return self._json(f"{stage}/{MANIFEST}")

    def fail(self, stage: str, trial: str, error: BaseException) -> None:
        """Keep a stage's error and traceback until it succeeds."""
        row = {
            "stage": stage,
            "trial": trial,
            "error": f"{type(error).__name__}: {error}",
            "traceback": "".join(traceback.format_exception(error)),
            "when": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        self.write_json(f"failures/{_flat(stage)}.json", row)

    def failures(self) -> list[dict[str, Any]]:
        """Errors of the stages that failed and have not succeeded since; of the planned ones, where there is a plan."""
        kept = [self._json(f"failures/{p.name}") for p in sorted((self.path / "failures").glob("*.json"))]
        if not (self.path / "plan.json").is_file():
            return kept
        plan = self.plan()
        rows = [plan["base"], *plan["trials"], *plan["nulls"]]
        planned = {row.get(name) for row in rows for name in STAGES}
        return [failure for failure in kept if failure["stage"] in planned]

    def forget_failure(self, stage: str) -> None:
        """Drop the error of a stage that has succeeded."""
        (self.path / "failures" / f"{_flat(stage)}.json").unlink(missing_ok=True)

    # --- what stages hold ---------------------------------------------------------------------------------------

    def records(self) -> list[Record]:
        """All records of the run."""
        return records_from_table(self._parquet("records.parquet"))

    def write_records(self, records: list[Record]) -> None:
        """Records, readable by their owner alone: they may be somebody's health."""
        self._write("records.parquet", lambda part: pq.write_table(records_to_table(records), part), mode=0o600)

    def roles(self, key: str) -> list[Assignment]:
        """Roles of all records under one canary plan and seed."""
        return roles_from_table(self._parquet(f"roles/{key}.parquet"))

    def write_roles(self, key: str, assignments: list[Assignment]) -> None:
        """Roles of all records under one canary plan and seed."""
        self._write(f"roles/{key}.parquet", lambda part: pq.write_table(roles_to_table(assignments), part))

    def blind(self, key: str) -> dict[str, Any] | None:
        """What a classifier without a model made of two sides' texts; None where it was not kept."""
        return self._json(f"blind/{key}.json") if (self.path / "blind" / f"{key}.json").is_file() else None

    def write_blind(self, key: str, result: Mapping[str, Any]) -> None:
        """Keep it, so that making the tables again does not take its time again."""
        self.write_json(f"blind/{key}.json", result)

    def scores(self, stage: str, model: str = "scores") -> TokenScores:
        """Token scores of a finished stage; with `base` those of a trial's free completions under the base model."""
        return TokenScores.from_table(self._parquet(f"{stage}/{model}.parquet"))

    def completions(self, stage: str) -> list[Completion]:
        """Completions of a finished stage."""
        return completions_from_table(self._parquet(f"{stage}/completions.parquet"))

    def free_completions(self, stage: str) -> list[FreeCompletion]:
        """Completions of an empty prompt, of a finished stage."""
        return free_from_table(self._parquet(f"{stage}/completions.parquet"))

    def canary_texts(self, stage: str) -> tuple[str, ...]:
        """Texts that the base model wrote, of a finished stage."""
        return tuple(self._parquet(f"{stage}/canaries.parquet")["text"].to_pylist())

    def suffixes(self, stage: str) -> pa.Table:
        """How likely the true suffixes are drawn, of a finished stage of completions (records.CHANCES_SCHEMA)."""
        return self._parquet(f"{stage}/suffixes.parquet")

    def study(self) -> dict[str, Any]:
        """The resolved study, as plain values, with its provenance."""
        try:
            return yaml.safe_load((self.path / "study.yaml").read_text())
        except OSError as error:
            raise StoreError(f"cannot read {self.path / 'study.yaml'}: {error.strerror}") from None

    def write_study(self, study: Mapping[str, Any]) -> None:
        """The resolved study with versions and hashes; `byrote run` reads it again."""
        text = yaml.safe_dump(dict(study), sort_keys=False, allow_unicode=True, width=110)
        self._write("study.yaml", lambda part: part.write_text(text))

    def plan(self) -> dict[str, Any]:
        """The trials of the study and where their stages are: `base`, `trials`, `nulls` (the null trials)."""
        plan = self._json("plan.json")
        return plan if "nulls" in plan else _with_nulls(plan)

    def write_json(self, name: str, value: Any) -> None:
        """A small JSON file of the run, whole or not there."""
        text = json.dumps(value, indent=1, allow_nan=False) + "\n"
        self._write(name, lambda part: part.write_text(text))

    def write_table(self, name: str, table: pa.Table) -> None:
        """A result table as tables/NAME.csv and tables/NAME.parquet."""
        from pyarrow import csv

        self._write(f"tables/{name}.parquet", lambda part: pq.write_table(table, part))
        self._write(f"tables/{name}.csv", lambda part: csv.write_csv(table, part))

    # --- bytes --------------------------------------------------------------------------------------------------

    def _write(self, name: str, write: Any, mode: int | None = None) -> None:
        place = self.path / name
        part = place.parent / f".part-{place.name}"
        with self._writing():
            place.parent.mkdir(parents=True, exist_ok=True)
            try:
                if mode is not None:
                    part.touch(mode=mode)
                write(part)
                _sync(part)
                part.replace(place)
            finally:
                part.unlink(missing_ok=True)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except StoreError:
            raise
        except OSError as error:
            if no_room(error):
                raise self._full() from error
            raise StoreError(f"cannot write to {self.path}: {error.strerror or error}; name another --out") from error

    def _full(self) -> StoreError:
        return StoreError(
            f"no room left to write to {self.path}; free some space and run the same command again: "
            "finished stages are kept"
        )

    def _parquet(self, name: str) -> pa.Table:
        try:
            return pq.read_table(self.path / name)
        except (OSError, pa.ArrowInvalid) as error:
            raise StoreError(f"cannot read {self.path / name}: {error}; delete it and run the study again") from None

    def _json(self, name: str) -> Any:
        try:
            return json.loads((self.path / name).read_text())
        except (OSError, json.JSONDecodeError) as error:
            raise StoreError(f"cannot read {self.path / name}: {error}; run the study again") from None


def _flat(stage: str) -> str:
    return stage.replace("/", "-")


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _with_nulls(plan: dict[str, Any]) -> dict[str, Any]:
    """A plan of earlier versions, which had at most one null trial, with the settings of the first trial."""
    null = plan.get("null")
    if not null:
        return {**plan, "nulls": []}
    own = _like(plan["trials"][0])
    served = [
        {**row, "null": null["trial"], "null_of_another_configuration": _like(row) != own} for row in plan["trials"]
    ]
    return {**plan, "trials": served, "nulls": [{**null, "label": "null trial"}]}


def _like(row: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """What a null trial takes over from a trial: LoRA and training, without the seed."""
    lora, training = row["settings"]["lora"], row["settings"]["training"]
    return lora, {name: value for name, value in training.items() if name != "seed"}
