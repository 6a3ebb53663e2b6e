"""The working copy of a run at a URL: a folder of this machine that knows which version of each file it has, and which
it has left there."""

import json
import os
import stat
from collections.abc import Iterable, Mapping
from contextlib import suppress
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from byrote.store.draft import ADAPTER
from byrote.store.integrity import MANIFEST
from byrote.store.plans import STAGES

RECORD = ".remote.json"


class Known(NamedTuple):
    """A file of the remote folder that the copy knows: its size, its version there, and the time of change of the file
    in the copy that is the same; None where it has been left there."""

    size: int
    version: str
    here: int | None


def url_of(folder: Path) -> str | None:
    """The URL that a folder is the working copy of; None where it is none."""
    return record_of(folder).url


def awaited(folder: Path, stage: str) -> dict[str, int]:
    """Files of a stage that are not in the working copy `folder` and have been left in the remote folder: their paths
    in the stage, and their sizes there."""
    left = record_of(folder).left.get(stage, {})
    return {name: size for name, size in left.items() if not (folder / stage / name).exists()}


def bytes_left(folder: Path, name: str) -> int:
    """Bytes of a file or folder of the run that have been left in the remote folder."""
    left = {
        f"{stage}/{path}": size for stage in record_of(folder).left for path, size in awaited(folder, stage).items()
    }
    return sum(size for path, size in left.items() if f"{path}/".startswith(f"{name}/"))


def time_of(path: Path) -> int:
    """When a file changed last, in nanoseconds."""
    return path.stat().st_mtime_ns


class Record(NamedTuple):
    """What `.remote.json` holds. known: by path in the run · left: stage → paths in it, and sizes, of files left in the
    remote folder."""

    url: str | None
    known: Mapping[str, Known]
    left: Mapping[str, Mapping[str, int]]


def record_of(folder: Path) -> Record:
    """The record of a folder; an empty one where it is no working copy."""
    try:
        stamp = (folder / RECORD).stat()
    except (FileNotFoundError, NotADirectoryError):
        return Record(None, {}, {})
    return _read(folder / RECORD, stamp.st_size, stamp.st_mtime_ns)


@lru_cache(maxsize=8)
def _read(path: Path, size: int, changed: int) -> Record:  # noqa: ARG001 (they are the key)
    record = json.loads(path.read_text())
    known = {name: Known(*file) for name, file in record["files"].items()}
    left = dict[str, dict[str, int]]()
    for name, file in known.items():
        stage = stage_of(name)
        if stage and file.here is None:
            left.setdefault(stage, {})[name.removeprefix(f"{stage}/")] = file.size
    return Record(record["url"], known, left)


def stage_of(name: str) -> str | None:
    """The stage that a file of the run is of; None where it is of none."""
    parts = name.split("/")
    if parts[0] not in ("base", "trials") or len(parts) < 3:
        return None
    inside = parts[0] == "trials" and parts[2] in STAGES and len(parts) > 4
    return "/".join(parts[: 4 if inside else 2])


def finished(listed: Mapping[str, tuple[int, str]]) -> dict[str, tuple[int, str]]:
    """The files but those of stages without a manifest."""
    stages = {name: stage_of(name) for name in listed}
    return {name: listed[name] for name, stage in stages.items() if not stage or f"{stage}/{MANIFEST}" in listed}


def manifests_last(names: Iterable[str]) -> list[list[str]]:
    """In three: files, manifests of stages, and plan.json, which holds hashes of other files."""
    parts: tuple[list[str], list[str], list[str]] = [], [], []
    for name in names:
        parts[2 if name == "plan.json" else 1 if name.endswith(f"/{MANIFEST}") else 0].append(name)
    return [part for part in parts if part]


def is_weights(name: str) -> bool:
    """Whether a file holds an adapter's weights."""
    return PurePosixPath(name).parent.name == ADAPTER and name.endswith(".safetensors")


def is_hidden(name: str) -> bool:
    """Whether a file is no part of the run: a lock, a record, something half-written."""
    return any(part.startswith(".") for part in name.split("/"))


def files(folder: Path) -> dict[str, tuple[int, int]]:
    """Path in the run → size and time of change of every file of the copy but hidden ones and links."""
    stamps = dict[str, tuple[int, int]]()
    for inside, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not is_hidden(name)]
        for name in names:
            path = Path(inside, name)
            with suppress(FileNotFoundError):  # a worker has moved it since
                status = path.lstat()
                if stat.S_ISREG(status.st_mode) and not is_hidden(name):
                    stamps[path.relative_to(folder).as_posix()] = status.st_size, status.st_mtime_ns
    return stamps
