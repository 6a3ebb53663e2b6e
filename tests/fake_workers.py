"""Workers that do what a test says, in this process: by themselves, and as actors of a cluster that is none."""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotYet
from concurrent.futures import wait as wait_for
from types import SimpleNamespace
from typing import Any

from byrote.running.ray_actor import RayWorker
from byrote.running.telling import Telling

Script = Callable[[str, Telling], None]
"""Does a task and tells of it."""


class Workers:
    """A backend. do: task → what the worker tells; it raises LostWorkerError where the worker is lost."""

    def __init__(self, do: Callable[[str], Sequence[Sequence[Any]]]) -> None:
        self.do, self.started, self.closed = do, 0, 0

    def start(self, wanted: Callable[[], bool]) -> "Workers":  # noqa: ARG002
        self.started += 1
        return self

    def events(self, task: str) -> Iterator[Sequence[Any]]:
        yield from self.do(task)
        yield ("done",)

    def kill(self) -> None:
        pass

    def close(self) -> None:
        self.closed += 1


class Error(Exception):
    """Of the cluster."""


class LateError(Error):
    """Nothing came in time."""


class CutOffError(Error):
    """The actor cannot be reached at the moment."""


class FakeRay:
    """What byrote asks of the package ray, in threads. Actors run byrote's own RayWorker, with a script for stages."""

    exceptions = SimpleNamespace(RayError=Error, GetTimeoutError=LateError, ActorUnavailableError=CutOffError)

    def __init__(
        self, script: Script, nodes: Sequence[Mapping[str, float]] = (), refuses: str = "", joined: bool = False
    ) -> None:
        self.script, self.refuses, self.joined = script, refuses, joined
        self.of_nodes = nodes
        self.asked: list[dict[str, Any]] = []
        self.actors: list[Actor] = []
        self.silent: set[int] = set()  # numbers of actors that answer nothing
        self.cut_off: set[int] = set()  # of those that cannot be reached when they are first asked

    def nodes(self) -> list[dict[str, Any]]:
        return [{"Alive": True, "Resources": node} for node in self.of_nodes] + [
            {"Alive": False, "Resources": {"CPU": 99.0, "memory": 2.0**40}}
        ]

    def is_initialized(self) -> bool:
        return self.joined

    def init(self, address: str, **_: Any) -> None:
        raise ConnectionError(f"nothing at\n{address}")

    def put(self, value: Any) -> Any:
        return value

    def remote(self, kind: type) -> "Remote":
        assert kind is RayWorker
        return Remote(self)

    def wait(self, futures: list[Future[Any]], timeout: float) -> tuple[list[Any], list[Any]]:
        done, rest = wait_for(futures, timeout)
        return list(done), list(rest)

    def get(self, future: Future[Any], timeout: float | None = None) -> Any:
        try:
            return future.result(timeout)
        except NotYet:
            raise LateError from None

    def kill(self, actor: "Actor") -> None:
        actor.killed = True


class Remote:
    """The class of an actor."""

    def __init__(self, ray: FakeRay) -> None:
        self._ray = ray

    def options(self, **asked: Any) -> "Remote":
        self._ray.asked.append(asked)
        return self

    def remote(self, unheard: float) -> "Actor":
        assert unheard > 0
        actors = self._ray.actors
        actors.append(Actor(self._ray, len(actors)))
        return actors[-1]


class Actor:
    """A RayWorker behind `.remote`, whose stages are the script. Where the script raises the cluster's Error, it has
    died."""

    def __init__(self, ray: FakeRay, number: int) -> None:
        self._ray, self.number, self.killed = ray, number, False
        self._threads, self._died = ThreadPoolExecutor(2), threading.Event()
        self._worker = RayWorker()
        self._worker._worker = SimpleNamespace(do=self._do)  # type: ignore[assignment]

    def _do(self, task: str) -> None:
        try:
            self._ray.script(task, Telling(self._worker._tell))
        except Error:
            self._died.set()

    def __getattr__(self, name: str) -> Any:
        return SimpleNamespace(remote=lambda *words: self._threads.submit(self._call, name, *words))

    def _call(self, name: str, *words: Any) -> Any:
        if name == "ready":
            return ("stop", "StoreError", self._ray.refuses) if self._ray.refuses else ("ready", "node", self.number)
        if name == "events" and self.number in self._ray.silent:
            threading.Event().wait(0.01)
            raise LateError
        if name == "events" and self.number in self._ray.cut_off:
            self._ray.cut_off.remove(self.number)
            raise CutOffError("for now")
        answer = getattr(self._worker, name)(*words)
        if self._died.is_set():
            raise Error("a long name The actor is dead because its node has died.\nAnd more")
        return answer
