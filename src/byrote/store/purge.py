# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false
"""The texts of records out of a run, everywhere they lie: they are blanked or removed for good.

What stays: ids, roles, token scores, lengths, and the tables as they were computed. A purge that was interrupted is
finished by another; a run that was purged is never gone on with.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from byrote.errors import StoreError
from byrote.store.draft import ADAPTER
from byrote.store.integrity import MANIFEST, fingerprint
from byrote.store.links import links_out
from byrote.store.run import Run
from byrote.store.working_copy import awaited, bytes_left

PURGED = "purged.json"
TEXT, ADAPTERS = "text", "adapters"
_BLANKED = ("text", "suffix_text", "token_ids", "spans", "sha256")  # a digest tells whether a guessed text was there
_HOLDING = ("records.parquet", "completions.parquet", "canaries.parquet")
_REMOVED = ("checkpoints", "given")  # unfinished trainings; rows that Python handed over
_REPORTS = ("report.html", "report.md", "report.json", "report.pdf")


@dataclass(frozen=True)
class Target:
    """A file or folder of the run that a purge changes: its path in the run, its size in bytes, and whether it is
    removed, or else blanked."""

    path: str
    size: int
    removed: bool


def what_was_purged(run: Run) -> dict[str, Any] | None:
    """What was purged from a run, and when; None where nothing was."""
    return run.read_json(PURGED)


def refuse_purged(run: Run) -> None:
    """StoreError where a run was purged: what it lacks cannot be computed again."""
    note = what_was_purged(run)
    if note:
        raise StoreError(f"{run.place} was purged on {note['when'][:10]}, so it cannot go on; name another --out")


def targets(run: Run, what: frozenset[str]) -> list[Target]:
    """What a purge of `what` (TEXT, ADAPTERS) would change, in the order in which it does.

    StoreError where a link leads out of the run: what lies behind it would stay.
    """
    if leading_out := links_out(run.path):
        names = ", ".join(path.relative_to(run.path).as_posix() for path in leading_out[:3])
        raise StoreError(
            f"links lead out of {run.path}: {len(leading_out)}, such as {names}; what lies there would stay, so take "
            "them away, or put the files in their place"
        )
    blanked = list(_holding(run)) if TEXT in what else []
    removed = list(_removed(run, what))
    both = [(path, False) for path in blanked] + [(path, True) for path in removed]
    return [Target(path.relative_to(run.path).as_posix(), _size(run, path), gone) for path, gone in both]


def purge(run: Run, what: frozenset[str]) -> list[Target]:
    """Blank or remove `what` (TEXT, ADAPTERS) from a run that the caller holds; returns what was changed. The page is
    removed with the rest: `render` makes it again.

    Raises StoreError where the tables are not there, for they cannot be made afterwards.
    """
    missing = not (run.path / "tables" / "trials.parquet").is_file()
    if missing and TEXT in what:
        raise StoreError(f"{run.place} has no tables, and without texts none can be made; run `byrote report` first")
    before = what_was_purged(run)
    done = sorted(what | set(before["what"] if before else ()))
    when = datetime.now(UTC).isoformat(timespec="seconds")
    run.write_json(PURGED, {"what": done, "when": when})
    changed = targets(run, what)
    plan, study = run.plan(), yaml.safe_load((run.path / "study.yaml").read_text())
    for target in changed:
        if target.removed:
            run.remove(target.path)
        else:
            _blank(run, target.path)
    if TEXT in what:
        _forget_errors(run)
        report: dict[str, Any] = study.get("report") or {}
        run.write_study({**study, "report": {**report, "include_text": False}})
    for manifest in run.path.rglob(MANIFEST):
        name, facts = manifest.relative_to(run.path).as_posix(), json.loads(manifest.read_text())
        left = {file: manifest.parent / file for file in facts.get("files", ())}
        files = {file: fingerprint(path) for file, path in left.items() if path.is_file()}
        elsewhere = awaited(run.path, manifest.parent.relative_to(run.path).as_posix())
        files |= {file: was for file, was in facts.get("files", {}).items() if file in elsewhere}
        run.write_json(name, {**facts, "files": files})
    run.write_plan(plan)
    return changed


def _holding(run: Run) -> Iterator[Path]:
    for path in sorted(run.path.rglob("*.parquet")):
        inside = path.relative_to(run.path).parts
        if path.name in _HOLDING and inside[0] != "tables":
            yield path


def _removed(run: Run, what: frozenset[str]) -> Iterator[Path]:
    if TEXT in what:
        yield from (path for name in (*_REMOVED, *_REPORTS) if (path := run.path / name).exists())
    if ADAPTERS in what:
        yield from sorted(run.path.rglob(ADAPTER))


def _blank(run: Run, name: str) -> None:
    table = pq.read_table(run.path / name)
    for column in set(table.column_names) & set(_BLANKED):
        kind = table.schema.field(column).type
        empty: Any = "" if pa.types.is_string(kind) else []
        place = table.column_names.index(column)
        table = table.set_column(place, column, pa.array([empty] * len(table), kind))
    run.write_parquet(name, table)


def _forget_errors(run: Run) -> None:
    """Errors may quote a text: their kinds stay."""
    for path in (run.path / "failures").glob("*.json"):
        row = json.loads(path.read_text())
        kind = row["error"].partition(":")[0]
        run.write_json(path.relative_to(run.path).as_posix(), {**row, "error": kind, "traceback": ""})


def _size(run: Run, path: Path) -> int:
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    left = bytes_left(run.path, path.relative_to(run.path).as_posix())
    return left + sum(file.stat().st_size for file in files)
