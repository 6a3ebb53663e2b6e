"""Workers beside each other, wherever they are: each takes a task when it is free, and says what it does.

A backend starts them: processes of this machine (byrote.running.local), actors of a Ray cluster
(byrote.running.ray_cluster). Both run the same stages (byrote.running.stages), and both are held to one policy: a task
whose worker was lost is given to another, TRIES times in all; an error of the study is not tried again.
"""

import threading
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from typing import Any, Protocol

from byrote.errors import ByroteError, CorpusError, ModelError, StageError, StoreError, StudyError
from byrote.listener import Listener

TRIES = 3
"""How many workers may be lost at one task."""

_ERRORS: dict[str, type[ByroteError]] = {
    kind.__name__: kind for kind in (StudyError, CorpusError, ModelError, StoreError, StageError)
}


class LostWorkerError(Exception):
    """A worker is lost. retry: whether another may do better, which it may not where an error ended it."""

    def __init__(self, why: str, retry: bool) -> None:
        super().__init__(why)
        self.retry = retry


class TaskWorker(Protocol):
    """A worker, which does one task at a time."""

    def events(self, task: str) -> Iterator[Sequence[Any]]:
        """Have it do a task: what it says meanwhile, up to ("done",). LostWorkerError where it is lost."""
        ...

    def kill(self) -> None:
        """End it now, from whatever thread; `events` then ends with LostWorkerError."""

    def close(self) -> None:
        """There are no tasks for it any more, or it is lost; returns when it has ended, or never can be reached."""


class Backend(Protocol):
    """What starts workers."""

    def start(self, wanted: Callable[[], bool]) -> TaskWorker | None:
        """A worker, when there is room for one; None where none is `wanted` any more by then."""
        ...


def stopped_by(kind: str, message: str) -> ByroteError:
    """The error with which a worker says that nothing can go on."""
    return _ERRORS.get(kind, StageError)(message)


def run_tasks(
    tasks: Sequence[str],
    backend: Backend,
    workers: int,
    listener: Listener,
    on_lost: Callable[[str, str], None],
) -> None:
    """Have `workers` workers do the tasks, in order, each when it is free; returns when all are done.

    on_lost: told the task and the reason where it is given up, since workers were lost at it; the other tasks go on.
    Raises the ByroteError with which a worker says that nothing can go on.
    """
    hub = _Hub(tasks, backend, listener, on_lost)
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
        self, tasks: Sequence[str], backend: Backend, listener: Listener, on_lost: Callable[[str, str], None]
    ) -> None:
        self.waiting, self.backend = deque(tasks), backend
        self.listener, self.on_lost = listener, on_lost
        self.broken: list[Exception] = []
        self._lost_at: Counter[str] = Counter()
        self._pool = _Pool()

    def serve(self, ended: threading.Event) -> None:
        """Start a worker and feed it until no task is left; another where it is lost. Sets `ended` when all is over."""
        try:
            while self._wanted():
                worker = self.backend.start(self._wanted)
                if worker:
                    self._feed(worker)
        except Exception as error:  # noqa: BLE001 (the thread ends; run_tasks raises it)
            self.broken.append(error)
            self.stop()
        finally:
            ended.set()

    def stop(self) -> None:
        """End all workers; none is started after it, and the tasks that they were at are not lost but interrupted."""
        self._pool.stop()

    def _wanted(self) -> bool:
        return bool(self.waiting) and not self._pool.stopped

    def _feed(self, worker: TaskWorker) -> None:
        self._pool.add(worker)
        try:
            while (task := self._next()) is not None:
                try:
                    self._do(worker, task)
                except LostWorkerError as lost:
                    if not self._pool.stopped:
                        self._lost(task, lost)
                    return
        finally:
            self._pool.discard(worker)
            worker.close()

    def _next(self) -> str | None:
        try:
            return None if self._pool.stopped else self.waiting.popleft()
        except IndexError:
            return None

    def _lost(self, task: str, lost: LostWorkerError) -> None:
        self._lost_at[task] += 1
        if lost.retry and self._lost_at[task] < TRIES:
            self.listener.say(f"{lost}; its task is given to another worker (try {self._lost_at[task] + 1} of {TRIES})")
            self.waiting.appendleft(task)
        else:
            self.on_lost(task, str(lost))

    def _do(self, worker: TaskWorker, task: str) -> None:
        """One task to its end."""
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
                    raise stopped_by(event[1], event[2])
                elif kind == "crash":
                    raise LostWorkerError(event[1], retry=False)


class _Pool:
    """The workers that are alive."""

    def __init__(self) -> None:
        self.stopped = False
        self._alive: set[TaskWorker] = set()
        self._lock = threading.Lock()

    def add(self, worker: TaskWorker) -> None:
        """Count a worker among them, or end it where all are to end."""
        with self._lock:
            self._alive.add(worker)
            if self.stopped:
                worker.kill()

    def discard(self, worker: TaskWorker) -> None:
        """Count a worker among them no more."""
        with self._lock:
            self._alive.discard(worker)

    def stop(self) -> None:
        """End them all, and those that are added later."""
        with self._lock:
            self.stopped = True
            for worker in self._alive:
                worker.kill()
