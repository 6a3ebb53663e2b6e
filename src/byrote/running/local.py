"""Worker processes of this machine, each with its share of the cores.

They are started as `python -m byrote.running.worker`, so that a script that calls byrote needs no guard. A worker
reads one JSON line a task from its standard input and answers with JSON lines on a pipe of its own.
"""

import json
import os
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from byrote import large_pages
from byrote.running.workers import LostWorkerError


def environment(threads: int, users: Mapping[str, str]) -> dict[str, str]:
    """The variables of a worker with so many processor threads, the user's own among them."""
    return {**large_pages.ENVIRONMENT, **users, "OMP_NUM_THREADS": str(threads)}


class Processes:
    """The backend of this machine. setup: picklable, sent to each worker first · threads: processor threads a
    worker."""

    def __init__(self, setup: Any, threads: int) -> None:
        self._setup, self._threads = setup, threads

    def start(self, wanted: Callable[[], bool]) -> "Process":  # noqa: ARG002
        """A process; there is always room for one."""
        return Process(self._setup, self._threads)


class Process:
    """One worker process."""

    def __init__(self, setup: Any, threads: int) -> None:
        reading, writing = os.pipe()
        command = [sys.executable, "-m", "byrote.running.worker", str(writing)]
        variables = environment(threads, os.environ)
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, pass_fds=(writing,), env=variables)
        os.close(writing)
        self._reading = os.fdopen(reading)
        payload = pickle.dumps(setup)
        self._send(len(payload).to_bytes(8, "big") + payload)

    def events(self, task: str) -> Iterator[Sequence[Any]]:
        """What the worker says of a task, until it is done. LostWorkerError where the process ends before."""
        self._send((json.dumps(task) + "\n").encode())
        for line in self._reading:
            event = json.loads(line)
            yield event
            if event[0] == "done":
                return
        code = self._process.wait()
        killed = "; the machine may be out of memory: set machine.workers lower" if code == -9 else ""
        how = f"signal {-code}" if code < 0 else f"status {code}"
        raise LostWorkerError(f"the worker process ended with {how}{killed}", retry=code < 0)

    def kill(self) -> None:
        """End it now."""
        self._process.kill()

    def close(self) -> None:
        """Let it end, and wait for that."""
        if self._process.stdin:
            try:
                self._process.stdin.close()
            except BrokenPipeError:
                self._process.kill()
        self._process.wait()
        self._reading.close()

    def _send(self, data: bytes) -> None:
        assert self._process.stdin
        try:
            self._process.stdin.write(data)
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # it has died: `events` ends at once and says how
