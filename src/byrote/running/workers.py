"""Worker processes of this machine, each with its share of the cores. A worker takes a task when it is free.

Workers are started as `python -m byrote.running.worker`, so that a script that calls byrote needs no guard. A worker
reads one JSON line a task from its standard input and answers with JSON lines on a pipe of its own.
"""

import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any

from byrote import large_pages
from byrote.errors import ByroteError, CorpusError, ModelError, StageError, StoreError, StudyError
from byrote.listener import Listener

_ERRORS: dict[str, type[ByroteError]] = {
    kind.__name__: kind for kind in (StudyError, CorpusError, ModelError, StoreError, StageError)
}


def run_tasks(
    tasks: Sequence[str],
    setup: Any,
    workers: int,
    threads: int,
    listener: Listener,
    on_lost: Callable[[str, str], None],
) -> None:
    """Have `workers` processes do the tasks, in order, each when it is free; returns when all are done.

    setup: picklable, sent to each worker first · threads: processor threads a worker · on_lost: told the task and the
    reason where a worker died at it; the other tasks go on with another worker. Raises the ByroteError with which a
    worker says that nothing can go on.
    """
    waiting: queue.SimpleQueue[str] = queue.SimpleQueue()
    for task in tasks:
        waiting.put(task)
    hub = _Hub(waiting, setup, threads, listener, on_lost)
    started: list[threading.Event] = []
    try:
        for _ in range(min(workers, len(tasks))):
            ended = threading.Event()
            threading.Thread(target=hub.serve, args=(ended,), daemon=True).start()
            started.append(ended)
        for ended in started:
            ended.wait()
    finally:
        hub.stop()
        for ended in started:  # not Thread.join: one that Ctrl-C interrupted takes the thread for ended (before 3.13)
            ended.wait()
    if hub.broken:
        raise hub.broken[0]


class _Hub:
    """What the threads that look after the workers share."""

    def __init__(
        self,
        waiting: queue.SimpleQueue[str],
        setup: Any,
        threads: int,
        listener: Listener,
        on_lost: Callable[[str, str], None],
    ) -> None:
        self.waiting, self.setup, self.threads = waiting, setup, threads
        self.listener, self.on_lost = listener, on_lost
        self.broken: list[Exception] = []
        self._pool = _Pool()

    def serve(self, ended: threading.Event) -> None:
        """Start a worker and feed it until no task is left; another where it dies. Sets `ended` when all is over."""
        try:
            task = self._next()
            while task is not None:
                with _Process(self.setup, self.threads, self._pool) as worker:
                    while task is not None:
                        lost = self._do(worker, task)
                        if lost:
                            self.on_lost(task, lost)
                        task = self._next()
                        if lost:
                            break
        except Exception as error:  # noqa: BLE001 (the thread ends; run_tasks raises it)
            self.broken.append(error)
            self.stop()
        finally:
            ended.set()

    def stop(self) -> None:
        """End all workers; none is started after it, and the tasks that they were at are not lost but interrupted."""
        self._pool.stop()

    def _next(self) -> str | None:
        try:
            return None if self._pool.stopped else self.waiting.get_nowait()
        except queue.Empty:
            return None

    def _do(self, worker: "_Process", task: str) -> str | None:
        """One task to its end; the reason where the worker died at it."""
        with ExitStack() as stack:
            bars: dict[int, tuple[ExitStack, Callable[[int, str], None]]] = {}
            for event in worker.events(task):
                kind = event[0]
                if kind == "say":
                    self.listener.say(event[1])
                elif kind == "step":
                    self.listener.step(event[1], event[2])
                elif kind == "open":
                    bar = stack.enter_context(ExitStack())
                    bars[event[1]] = (bar, bar.enter_context(self.listener.task(*event[2:])))
                elif kind == "advance":
                    bars[event[1]][1](event[2], event[3])
                elif kind == "close":
                    bars[event[1]][0].close()
                elif kind == "stop":
                    raise _ERRORS.get(event[1], StageError)(event[2])
                elif kind == "done":
                    return None
        return None if self._pool.stopped else worker.why()


class _Pool:
    """The worker processes that are alive."""

    def __init__(self) -> None:
        self.stopped = False
        self._alive: set[subprocess.Popen[bytes]] = set()
        self._lock = threading.Lock()

    def add(self, process: subprocess.Popen[bytes]) -> None:
        """Count a process among them, or end it where all are to end."""
        with self._lock:
            self._alive.add(process)
            if self.stopped:
                process.kill()

    def discard(self, process: subprocess.Popen[bytes]) -> None:
        """Count a process among them no more."""
        with self._lock:
            self._alive.discard(process)

    def stop(self) -> None:
        """End them all, and those that are added later."""
        with self._lock:
            self.stopped = True
            for process in self._alive:
                process.kill()


class _Process:
    """One worker process."""

    def __init__(self, setup: Any, threads: int, pool: _Pool) -> None:
        import pickle

        reading, writing = os.pipe()
        environment = {**large_pages.ENVIRONMENT, **os.environ, "OMP_NUM_THREADS": str(threads)}
        command = [sys.executable, "-m", "byrote.running.worker", str(writing)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, pass_fds=(writing,), env=environment)
        os.close(writing)
        self._reading, self._pool = os.fdopen(reading), pool
        pool.add(self._process)
        payload = pickle.dumps(setup)
        self._send(len(payload).to_bytes(8, "big") + payload)

    def __enter__(self) -> "_Process":
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.discard(self._process)
        if self._process.stdin:
            try:
                self._process.stdin.close()
            except BrokenPipeError:
                self._process.kill()
        self._process.wait()
        self._reading.close()

    def events(self, task: str) -> Any:
        """What the worker says of a task, until it is done or dies."""
        self._send((json.dumps(task) + "\n").encode())
        for line in self._reading:
            event = json.loads(line)
            yield event
            if event[0] == "done":
                return

    def why(self) -> str:
        """Why the process ended."""
        code = self._process.wait()
        killed = "; the machine may be out of memory: set machine.workers lower" if code == -9 else ""
        return f"the worker process ended with {f'signal {-code}' if code < 0 else f'status {code}'}{killed}"

    def _send(self, data: bytes) -> None:
        assert self._process.stdin
        try:
            self._process.stdin.write(data)
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # it has died: `events` ends at once, and `why` says how
