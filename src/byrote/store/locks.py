"""The lock of a run folder: one writer at a time, and who it is. The system lets go of it when the writer dies."""

import fcntl
import os
import socket
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from byrote.errors import StoreError

_TRIES, _PAUSE = 3, 0.05  # `holder` takes the lock for a moment to see whether it is free


@contextmanager
def hold(path: Path, place: str) -> Generator[None]:
    """Hold the lock file at `path`, which says by whom. place: what the user calls the run. StoreError where another
    process holds it."""
    with path.open("a+") as handle:
        for number in range(_TRIES):
            if _taken(handle.fileno(), fcntl.LOCK_EX):
                break
            if number == _TRIES - 1:
                raise StoreError(
                    f"another byrote ({_owner(path)}) is writing to {place}; wait for it, or name another --out"
                )
            time.sleep(_PAUSE)
        handle.seek(0)
        handle.truncate()
        handle.write(f"process {os.getpid()} on {socket.gethostname()}")
        handle.flush()
        yield


def holder(path: Path) -> str | None:
    """Who holds the lock file at `path`; None where nobody does."""
    try:
        with path.open() as handle:
            return None if _taken(handle.fileno(), fcntl.LOCK_SH) else _owner(path)  # closing it lets go
    except FileNotFoundError:
        return None


def _taken(handle: int, kind: int) -> bool:
    try:
        fcntl.flock(handle, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _owner(path: Path) -> str:
    return path.read_text().strip() or "unknown"
