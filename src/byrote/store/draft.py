# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownParameterType=false
"""A stage while it is being written, and what a full disk looks like."""

import errno
import json
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TextIO

import pyarrow as pa
import pyarrow.parquet as pq

from byrote.errors import StoreError
from byrote.records import (
    Completion,
    FreeCompletion,
    SuffixChance,
    TokenScores,
    chances_to_table,
    completions_to_table,
    free_to_table,
)
from byrote.store.integrity import MANIFEST, fingerprints

ADAPTER = "adapter"  # the folder of weights in a finished training
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def no_room(error: BaseException) -> bool:
    """Whether an error, or one that it came from, says that the disk is full."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.errno in _NO_ROOM:
            return True
        if any(os.strerror(number) in str(cause) for number in _NO_ROOM):
            return True
        cause = cause.__cause__ or cause.__context__
    return False


def full(place: str) -> StoreError:
    """What a full disk is told as. place: what the user calls the run."""
    return StoreError(
        f"no room left to write to {place}; free some space and run the same command again: finished stages are kept"
    )


def put_in_place(part: Path, place: Path, notes: dict[str, Any], is_there: Callable[[], bool]) -> None:
    """Finish a stage's folder: its manifest, with the fingerprints of its files, all of it on the disk, and its name.

    is_there: whether the stage is finished, by another worker that was taken for lost; what was written here goes then.
    """
    notes["files"] = fingerprints(part)
    (part / MANIFEST).write_text(json.dumps(notes, indent=1, allow_nan=False) + "\n")
    for file in [path for path in part.rglob("*") if path.is_file()]:
        sync(file)
    sync(part)
    try:
        part.rename(place)
    except OSError:
        if not is_there():
            raise
        shutil.rmtree(part)
    sync(place.parent)


def sync(path: Path) -> None:
    """Have the system write a file or folder to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


class Draft(NamedTuple):
    """A stage that is being written beside its place: its folder, and its manifest to add to.

    Files are readable by their owner alone: what is in them may repeat the records, which may be somebody's health.
    """

    folder: Path
    notes: dict[str, Any]

    @property
    def adapter(self) -> Path:
        """The folder that a trained adapter is saved into."""
        return self.folder / ADAPTER

    def open_log(self) -> TextIO:
        """log.jsonl, a line an optimizer step."""
        return (self.folder / "log.jsonl").open("w")

    def write_scores(self, scores: TokenScores, model: str = "scores") -> None:
        """Token scores; `model` as for `Run.scores`."""
        self._write(model, scores.to_table())

    def write_completions(self, completions: Sequence[Completion]) -> None:
        """Completions of prompts."""
        self._write("completions", completions_to_table(completions))

    def write_free_completions(self, completions: Sequence[FreeCompletion]) -> None:
        """Completions of an empty prompt."""
        self._write("completions", free_to_table(completions))

    def write_suffixes(self, chances: Sequence[SuffixChance]) -> None:
        """How likely the true suffixes are drawn."""
        self._write("suffixes", chances_to_table(chances))

    def write_canary_texts(self, texts: Sequence[str]) -> None:
        """Texts that the base model wrote."""
        self._write("canaries", pa.table({"text": pa.array(texts, pa.string())}))

    def _write(self, name: str, table: pa.Table) -> None:
        path = self.folder / f"{name}.parquet"
        path.touch(mode=0o600)
        pq.write_table(table, path)
