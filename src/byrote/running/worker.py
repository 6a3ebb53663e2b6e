"""A worker process: reads a prepared study, then one task a line, and says on a pipe what it does.

Started by byrote.running.workers as `python -m byrote.running.worker FD`.
"""

import ctypes
import json
import os
import pickle
import signal
import sys
from collections.abc import Callable, Generator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

from byrote.errors import ByroteError


class _Pipe:
    """A listener that passes on what it is told as JSON lines."""

    def __init__(self, handle: Any) -> None:
        self._handle, self._tasks = handle, 0

    def send(self, *event: Any) -> None:
        """One event."""
        self._handle.write(json.dumps(event) + "\n")
        self._handle.flush()

    def say(self, text: str) -> None:
        """One line."""
        self.send("say", text)

    def study(self, name: str, cost: float) -> AbstractContextManager[None]:  # noqa: ARG002
        """Opened by the process that started this one, not here."""
        return nullcontext()

    @contextmanager
    def task(self, label: str, total: int, unit: str, cost: float) -> Generator[Callable[[int, str], None]]:
        """A piece of work."""
        self._tasks += 1
        number = self._tasks
        self.send("open", number, label, total, unit, cost)
        try:
            yield lambda units, text: self.send("advance", number, units, text)
        finally:
            self.send("close", number)

    def step(self, trial: str, row: Mapping[str, Any]) -> None:
        """A step of a training."""
        self.send("step", trial, row)


def _die_with_parent() -> None:
    """Where the kernel can (Linux), end when the process that started this one ends: a worker without it would write
    to a run that nobody holds."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


def main() -> None:
    """Serve until standard input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent too, which ends this process
    _die_with_parent()
    with os.fdopen(int(sys.argv[1]), "w") as handle:
        pipe = _Pipe(handle)
        size = int.from_bytes(sys.stdin.buffer.read(8), "big")
        path, prepared = pickle.loads(sys.stdin.buffer.read(size))  # from the parent process alone
        from byrote.running.stages import Worker
        from byrote.store import Run

        worker = Worker(Run(path), prepared, pipe)
        for line in sys.stdin.buffer:
            try:
                worker.do(json.loads(line))
            except ByroteError as error:
                pipe.send("stop", type(error).__name__, str(error))
            pipe.send("done")


if __name__ == "__main__":
    main()
