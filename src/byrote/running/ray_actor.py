"""What runs in an actor of a Ray cluster: a worker that does tasks on one thread and tells of them on another.

It knows nothing of Ray; byrote.running.ray_cluster makes an actor of it.
"""

import os
import pickle
import queue
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from byrote.errors import ByroteError, StoreError
from byrote.running.planning import Prepared
from byrote.running.stages import Worker
from byrote.running.telling import Telling
from byrote.store import Run

UNHEARD = 60.0
"""Seconds without a question, while it works, after which a worker ends itself: whoever started it is dead or cut off,
and may have given its task to another."""


class RayWorker:
    """A worker of a study, in an actor. Two threads call it: one `do`, the other `events`."""

    def __init__(self, end: Callable[[int], Any] = os._exit, unheard: float = UNHEARD) -> None:
        self._events: queue.SimpleQueue[tuple[Any, ...]] = queue.SimpleQueue()
        self._end, self._unheard = end, unheard
        self._asked = time.monotonic()
        self._busy = threading.Event()

    def ready(self, folder: str, payload: bytes) -> tuple[Any, ...]:
        """Take the study up; ("ready", the node, the process id), or ("stop", kind, message) where that cannot be.

        folder: the working folder of the command, which relative paths start from · payload: the run folder and the
        prepared study, pickled.
        """
        try:
            path, prepared = pickle.loads(payload)  # from the process that started this one alone
            self._worker = Worker(_shared_run(folder, path), _on_this_node(prepared), Telling(self._tell))
        except ByroteError as error:
            return ("stop", type(error).__name__, str(error))
        threading.Thread(target=self._watch, daemon=True).start()
        return ("ready", socket.gethostname(), os.getpid())

    def do(self, task: str) -> None:
        """One task to its end; what happens meanwhile is to be fetched by `events`."""
        self._asked = time.monotonic()
        self._busy.set()
        try:
            self._worker.do(task)
        except ByroteError as error:
            self._tell("stop", type(error).__name__, str(error))
        except Exception as error:  # noqa: BLE001 (told, as a process would by its status)
            self._tell("crash", f"a worker on {socket.gethostname()} failed: {type(error).__name__}: {error}")
        finally:
            self._busy.clear()
            self._tell("done")

    def events(self, seconds: float) -> list[tuple[Any, ...]]:
        """What has happened since the last call; after so many seconds nothing, which says that the worker lives."""
        self._asked = time.monotonic()
        try:
            happened = [self._events.get(timeout=seconds)]
        except queue.Empty:
            happened = list[tuple[Any, ...]]()
        while not self._events.empty():
            happened.append(self._events.get())
        self._asked = time.monotonic()
        return happened

    def _tell(self, *event: Any) -> None:
        self._events.put(event)

    def _watch(self) -> None:
        """End the process where it works and nobody asks any more."""
        while True:
            time.sleep(min(1.0, self._unheard / 4))
            if self._busy.is_set() and time.monotonic() - self._asked > self._unheard:
                self._end(1)
                return


def _shared_run(folder: str, path: Path) -> Run:
    """The run folder as this node sees it. StoreError where it does not."""
    try:
        os.chdir(folder)
    except OSError as error:
        raise _unseen(Path(folder), error.strerror or "") from None
    if not (path / "plan.json").is_file():
        raise _unseen(path.absolute(), "no plan.json there")
    return Run(path)


def _unseen(path: Path, why: str) -> StoreError:
    return StoreError(
        f"node {socket.gethostname()} of the Ray cluster does not see {path} ({why}); the folder of the command, the "
        "run folder, models and records must lie on a file system that all nodes share"
    )


def _on_this_node(prepared: Prepared) -> Prepared:
    """The study on the GPU that Ray gave this actor, which is its first; StoreError where its model is not seen."""
    if not prepared.files.folder.is_dir():
        raise _unseen(prepared.files.folder, "the base model; BYROTE_CACHE names byrote's own cache")
    return replace(prepared, device=torch.device("cuda", 0)) if prepared.device.type == "cuda" else prepared
