"""What lies in a run folder that its study does not plan any more."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from byrote.errors import StoreError
from byrote.store import STAGES, Run, checkpoints, planned_rows
from byrote.store.working_copy import bytes_left
from byrote.study.labels import label_of_parts, label_parts

_WORDS = {"base": "base model", "roles": "roles", "checkpoints": "checkpoint", "failures": "failure"}


@dataclass(frozen=True)
class Leftover:
    """Something that is not planned: its path in the run, what it is, its size in bytes."""

    path: str
    label: str
    size: int


def leftovers(run: Run) -> list[Leftover]:
    """Trials, stages, roles, checkpoints and failures in the folder that plan.json does not name."""
    paths = (*_stages(run), *_roles(run), *_checkpoints(run), *_failures(run))
    return [Leftover(path.relative_to(run.path).as_posix(), _label(run, path), _size(run, path)) for path in paths]


def clean(run: Run) -> list[Leftover]:
    """Remove the leftovers of a run that the caller holds; returns what they were."""
    removed = leftovers(run)
    for leftover in removed:
        run.remove(leftover.path)
    return removed


def _stages(run: Run) -> Iterator[Path]:
    """A trial's folder where the trial is not planned, else those of its stages that are not; then the base model's."""
    planned, plan = run.planned_stages(), run.plan()
    for trial in _visible(run.path / "trials"):
        inside = [path for name in STAGES for path in _visible(trial / name)]
        stages = inside if f"trials/{trial.name}" in planned else [trial]
        yield from (path for path in stages if path.relative_to(run.path).as_posix() not in planned)
    for path in _visible(run.path / "base"):
        unknown = "canaries" not in plan and (path / "canaries.parquet").is_file()  # of a plan that did not name them
        if f"base/{path.name}" not in planned and not unknown:
            yield path


def _roles(run: Run) -> Iterator[Path]:
    planned = {f"{row['roles']}.parquet" for row in planned_rows(run.plan())}
    return (path for path in _visible(run.path / "roles") if path.name not in planned)


def _checkpoints(run: Run) -> Iterator[Path]:
    awaited = {checkpoints.place(run.path, stage) for stage in run.planned_stages() if not run.has(stage)}
    return (path for path in _visible(run.path / "checkpoints") if path not in awaited)


def _failures(run: Run) -> Iterator[Path]:
    planned = {run.failure_file(stage) for stage in run.planned_stages()}
    return (path for path in _visible(run.path / "failures") if path not in planned)


def _label(run: Run, path: Path) -> str:
    """What a reader calls a leftover: a trial by how it was trained."""
    room, key = path.relative_to(run.path).parts[:2]
    if room != "trials":
        return _WORDS[room]
    try:
        notes = run.manifest(f"trials/{key}")
        lora, seed = notes["lora"], notes["training"]["seed"]
    except (StoreError, KeyError):  # damaged, or of another version: the key is all that is known
        return f"trial {key}"
    return notes.get("label") or label_of_parts(label_parts(",".join(lora["matrices"]), lora["rank"], seed, ()))


def _visible(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*") if not path.name.startswith("."))


def _size(run: Run, path: Path) -> int:
    here = sum(file.stat().st_size for file in (path.rglob("*") if path.is_dir() else (path,)) if file.is_file())
    return here + bytes_left(run.path, path.relative_to(run.path).as_posix())
