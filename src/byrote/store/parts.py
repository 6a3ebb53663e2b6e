"""Folders in which stages are written, beside their places, until they are whole; each writer has one of its own."""

import secrets
import shutil
from collections.abc import Callable
from pathlib import Path

from byrote.store.draft import sync


def parts_of(place: Path) -> list[Path]:
    """The folders in which a stage is being written, or was when its writer was killed."""
    return list(place.parent.glob(f".part-{place.name}-*"))


def begin(place: Path, make: Callable[[Path], None]) -> Path:
    """A new folder for a stage, by `make`; those that a worker which was lost at it has left are removed."""
    left, part = parts_of(place), place.parent / f".part-{place.name}-{secrets.token_hex(4)}"
    make(part)
    for folder in left:
        shutil.rmtree(folder, ignore_errors=True)
    return part


def finish(part: Path, place: Path, is_done: Callable[[], bool]) -> None:
    """Put a stage into its place, synced; it is dropped where another worker, which was taken for lost, has done it."""
    for file in [path for path in part.rglob("*") if path.is_file()]:
        sync(file)
    sync(part)
    try:
        part.rename(place)
    except OSError:
        if not is_done():
            raise
        shutil.rmtree(part)
    sync(place.parent)
