# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownParameterType=false, reportUnknownLambdaType=false
"""The one writer and reader of a run folder.

A stage is a folder written beside its place (`.part-…`), synced, and renamed: whole or not there. Its manifest.json
says what made it. Everything else in the run (tables, figures, report) can be computed again from the stages.
"""

import json
import shutil
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from byrote.errors import StoreError, StudyError
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
from byrote.store import checkpoints, links, locks, remote
from byrote.store.draft import ADAPTER, Draft, full, no_room, sync
from byrote.store.failures import failure_row
from byrote.store.file_systems import is_url
from byrote.store.formulas import without_formulas
from byrote.store.integrity import MANIFEST, changed, damage_of, fingerprint, fingerprints, unreadable
from byrote.store.parts import begin, finish, parts_of
from byrote.store.plans import STAGES, of_today, planned_rows
from byrote.store.working_copy import awaited, url_of
from byrote.study import Study, load_study
from byrote.study.yaml12 import parse_yaml


class Run:
    """A folder of results of one study. Paths of stages are relative to it."""

    def __init__(self, path: Path | str) -> None:
        self._mirror = remote.Mirror(str(path)) if is_url(path) else None
        self.path = self._mirror.folder if self._mirror else Path(path)

    @classmethod
    def open(cls, path: Path | str) -> "Run":
        """A run that exists, in a folder or at a URL. StoreError where there is none."""
        run = cls(path)
        run.fetch()
        if not (run.path / "plan.json").is_file():
            raise StoreError(f"{path} is not a run folder (no plan.json); `byrote run STUDY --out {path}` makes one")
        return run

    @property
    def place(self) -> str:
        """What the user calls the run: its folder, or the URL that `path` is the working copy of."""
        return (self._mirror and self._mirror.url) or url_of(self.path) or str(self.path)

    def fetch(self) -> None:
        """Bring the working copy in step with the run's URL, unless a process of this machine is writing to it."""
        if self._mirror and locks.holder(self._lock) is None:
            self._mirror.fetch()

    def check_held(self) -> None:
        """StoreError where a run at a URL was held, and has been taken over from elsewhere."""
        if self._mirror:
            self._mirror.check()

    @contextmanager
    def locked(self, say: Callable[[str], None] = lambda _text: None) -> Generator[None]:
        """Hold the run for writing and sweep away what a killed run left half-written. A run at a URL is held there
        too, and what is written is sent; `say` is told of waits and of what cannot be sent for now. StoreError where
        another process holds it."""
        with self._writing():
            self._private(self.path)
            self._lock.touch()
        with locks.hold(self._lock, self.place):
            for left in self.path.rglob(".part-*"):
                links.remove(left)
            with self._mirror.held(say) if self._mirror else nullcontext():
                yield

    @property
    def _lock(self) -> Path:
        return self.path / ".lock"

    def writer(self) -> str | None:
        """The process that is writing to the run now; None where there is none, however the last one ended."""
        here = locks.holder(self._lock)
        return self._mirror.writer() if self._mirror and here is None else here

    # --- stages -------------------------------------------------------------------------------------------------

    def has(self, stage: str) -> bool:
        """Whether a stage is finished and its files are those that were written."""
        return (self.path / stage / MANIFEST).is_file() and self.damage(stage) is None

    def damage(self, stage: str, weights: bool = False) -> str | None:
        """Why the files of a stage are not those that were written; None where they are, or there is no such stage.

        `weights`: read adapter weights too, which may be large; without it their size alone is compared.
        """
        folder = self.path / stage
        if not folder.is_dir() or not any(folder.iterdir()):
            return None
        try:
            manifest = json.loads((folder / MANIFEST).read_text())
        except FileNotFoundError:
            return f"{MANIFEST} is gone"
        except (OSError, ValueError) as error:
            return f"{MANIFEST} cannot be read: {error}"
        return damage_of(folder, manifest, weights, awaited(self.path, stage))

    def damages(self) -> list[dict[str, Any]]:
        """Planned stages that are damaged, and roles and records that are, as rows of `failures`."""
        judged = [(stage, trial, self.damage(stage)) for stage, trial in self.planned_stages().items()]
        judged += [("records", "base", self._file_damage("records.parquet"))]
        rows = planned_rows(self.plan())
        judged += [(f"roles/{row['roles']}", row["trial"], self.roles_damage(row["roles"])) for row in rows]
        return [
            {"stage": stage, "trial": trial, "error": f"damaged: {reason}; `byrote run` does it again"}
            for stage, trial, reason in judged
            if reason
        ]

    def roles_damage(self, key: str) -> str | None:
        """Why the roles under a key are not those that were written; None where they are."""
        return self._file_damage(f"roles/{key}.parquet")

    def _file_damage(self, name: str) -> str | None:
        was = self.plan().get("files", {}).get(name)
        return changed(self.path / name, was) if was else unreadable(self.path / name)

    def discard_damaged(self, stages: Iterable[str]) -> dict[str, str]:
        """Remove those of the stages that are damaged, so that they are done again; returns the reasons. With a trained
        adapter go the stages that were measured on it."""
        reasons = {stage: reason for stage in stages if (reason := self.damage(stage, weights=True))}
        for stage in reasons:
            self.remove(stage)
        return reasons

    def is_being_written(self, stage: str) -> bool:
        """Whether a stage has been begun and not finished, by this moment's writer or by one that was killed."""
        return bool(parts_of(self.path / stage)) or checkpoints.place(self.path, stage).is_file()

    @contextmanager
    def stage(self, stage: str, manifest: Mapping[str, Any]) -> Generator[Draft]:
        """A stage to write into; its files and its manifest come into place together at the end."""
        place = self.path / stage
        notes: dict[str, Any] = {**manifest, "created": datetime.now(UTC).isoformat(timespec="seconds")}
        with self._writing():
            part = begin(place, self._private)
        try:
            yield Draft(part, notes)
            notes["finished"] = datetime.now(UTC).isoformat(timespec="milliseconds")
            with self._writing():
                notes["files"] = fingerprints(part)
                (part / MANIFEST).write_text(json.dumps(notes, indent=1, allow_nan=False) + "\n")
                finish(part, place, lambda: self.has(stage))
        except BaseException as error:
            shutil.rmtree(part, ignore_errors=True)
            if no_room(error) and not isinstance(error, StoreError):
                raise full(self.place) from error
            raise
        self.forget_failure(stage)

    def manifest(self, stage: str) -> dict[str, Any]:
        """What made a finished stage."""
        return self._json(f"{stage}/{MANIFEST}")

    def fail(self, stage: str, trial: str, error: BaseException) -> None:
        """Keep a stage's error and traceback until it succeeds."""
        name = self.failure_file(stage).relative_to(self.path).as_posix()
        self.write_json(name, failure_row(stage, trial, error))

    def failure_file(self, stage: str) -> Path:
        """Where a stage's error is kept."""
        return self.path / "failures" / f"{stage.replace('/', '-')}.json"

    def failures(self) -> list[dict[str, Any]]:
        """Errors of the stages that failed and have not succeeded since, and damage; where there is a plan, those of
        the planned ones alone."""
        kept = [self._json(f"failures/{p.name}") for p in sorted((self.path / "failures").glob("*.json"))]
        if not (self.path / "plan.json").is_file():
            return kept
        planned, damages = self.planned_stages(), self.damages()
        damaged = {row["stage"] for row in damages}
        return [row for row in kept if row["stage"] in planned and row["stage"] not in damaged] + damages

    def forget_failure(self, stage: str) -> None:
        """Drop the error of a stage that has succeeded."""
        self.failure_file(stage).unlink(missing_ok=True)

    # --- a training that goes on ---------------------------------------------------------------------------------

    def write_checkpoint(self, stage: str, arrays: Mapping[str, np.ndarray], facts: Mapping[str, Any]) -> None:
        """Where the training of a stage stands, in place of the last such: whole or the last one, for its owner
        alone."""
        name = checkpoints.place(self.path, stage).relative_to(self.path).as_posix()
        self._write(name, lambda part: part.write_bytes(checkpoints.pack(arrays, facts)), mode=0o600)

    def checkpoint(self, stage: str) -> tuple[dict[str, np.ndarray], dict[str, Any]] | None:
        """Where the training of a stage stood; None where nothing was kept. StoreError where it is damaged."""
        return checkpoints.read(checkpoints.place(self.path, stage))

    def drop_checkpoint(self, stage: str) -> None:
        """Remove what was kept of a stage's training."""
        checkpoints.place(self.path, stage).unlink(missing_ok=True)

    # --- the plan ---------------------------------------------------------------------------------------------------

    def planned_stages(self) -> dict[str, str]:
        """Every stage that plan.json names → its trial, or `base`."""
        plan = self.plan()
        rows = [("base", stage) for stage in (*plan["base"].values(), plan.get("canaries"))]
        rows += [(row["trial"], row.get(name)) for row in planned_rows(plan) for name in STAGES]
        return {stage: trial for trial, stage in rows if stage}

    def remove(self, name: str) -> None:
        """Remove a file or a folder of the run."""
        place = self.path / name
        if self._mirror:
            self._mirror.remove(name)
        with self._writing():
            links.check_inside(self.path, place.parent)
            links.remove(place)

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
        return self.read_json(f"blind/{key}.json")

    def write_blind(self, key: str, result: Mapping[str, Any]) -> None:
        """Keep it, so that making the tables again does not take its time again."""
        self.write_json(f"blind/{key}.json", result)

    def adapter(self, stage: str) -> Path:
        """The folder of a finished training's adapter, fetched where it was left at the run's URL."""
        remote.fetch_adapter(self.path, stage)
        return self.path / stage / ADAPTER

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

    def study(self) -> Study:
        """The resolved study, with its provenance. Settings that an older run does not hold have their defaults."""
        place = self.path / "study.yaml"
        try:
            raw = parse_yaml(place.read_text(), "study.yaml")
            return load_study(raw if isinstance(raw, dict) else {})
        except OSError as error:
            raise StoreError(f"cannot read {place}: {error.strerror}") from None
        except (StudyError, UnicodeDecodeError) as error:
            raise StoreError(f"cannot read {place}: {error}; run the study again") from None

    def write_study(self, study: Mapping[str, Any]) -> None:
        """The resolved study with versions and hashes; `byrote run` reads it again."""
        text = yaml.safe_dump(dict(study), sort_keys=False, allow_unicode=True, width=110)
        self._write("study.yaml", lambda part: part.write_text(text))

    def plan(self) -> dict[str, Any]:
        """The trials of the study and where their stages are: `base`, `trials`, `nulls` (the null trials)."""
        return of_today(self._json("plan.json"))

    def write_plan(self, plan: Mapping[str, Any]) -> None:
        """plan.json, with the fingerprints of records and roles, which are written before it."""
        names = ("records.parquet", *dict.fromkeys(f"roles/{row['roles']}.parquet" for row in planned_rows(plan)))
        self.write_json("plan.json", {**plan, "files": {name: fingerprint(self.path / name) for name in names}})

    def read_json(self, name: str) -> Any | None:
        """A small JSON file of the run; None where there is none. StoreError where it is broken."""
        return self._json(name) if (self.path / name).is_file() else None

    def write_json(self, name: str, value: Any, private: bool = False) -> None:
        """A JSON file of the run, whole or not there; a private one is readable by its owner alone."""
        self.write_text(name, json.dumps(value, indent=1, allow_nan=False) + "\n", private)

    def write_text(self, name: str, text: str, private: bool = False) -> None:
        """A text file of the run, whole or not there; a private one is readable by its owner alone."""
        self._write(name, lambda part: part.write_text(text, encoding="utf-8"), mode=0o600 if private else None)

    def write_bytes(self, path: Path, data: bytes) -> None:
        """A file at a path in the run, whole or not there."""
        self._write(path.relative_to(self.path).as_posix(), lambda part: part.write_bytes(data))

    def write_parquet(self, name: str, table: pa.Table) -> None:
        """A Parquet file at a path in the run, whole or not there, readable by its owner alone."""
        self._write(name, lambda part: pq.write_table(table, part), mode=0o600)

    def tables(self) -> dict[str, pa.Table]:
        """The result tables as they were written, by name."""
        return {path.stem: self._parquet(f"tables/{path.name}") for path in (self.path / "tables").glob("*.parquet")}

    def write_table(self, name: str, table: pa.Table) -> None:
        """A result table as tables/NAME.csv and tables/NAME.parquet."""
        from pyarrow import csv

        self._write(f"tables/{name}.parquet", lambda part: pq.write_table(table, part))
        self._write(f"tables/{name}.csv", lambda part: csv.write_csv(without_formulas(table), part))

    # --- bytes --------------------------------------------------------------------------------------------------

    def _write(self, name: str, write: Any, mode: int | None = None) -> None:
        place = self.path / name
        part = place.parent / f".part-{place.name}"
        with self._writing():
            self._private(place.parent)
            try:
                part.unlink(missing_ok=True)
                if mode is not None:
                    part.touch(mode=mode)
                write(part)
                sync(part)
                part.replace(place)
            finally:
                part.unlink(missing_ok=True)

    def _private(self, folder: Path) -> None:
        """Make a folder of the run; its owner alone may enter it. StoreError where it lies outside the run."""
        links.make_private(self.path, folder)

    @contextmanager
    def _writing(self) -> Generator[None]:
        self.check_held()
        try:
            yield
        except StoreError:
            raise
        except OSError as error:
            if no_room(error):
                raise full(self.place) from error
            raise StoreError(f"cannot write to {self.place}: {error.strerror or error}; name another --out") from error

    def _parquet(self, name: str) -> pa.Table:
        try:
            return pq.read_table(self.path / name)
        except (OSError, pa.ArrowInvalid) as error:
            raise StoreError(f"cannot read {self.path / name}: {error}; `byrote run` writes it again") from None

    def _json(self, name: str) -> Any:
        try:
            return json.loads((self.path / name).read_text())
        except (OSError, json.JSONDecodeError) as error:
            raise StoreError(f"cannot read {self.path / name}: {error}; run the study again") from None
