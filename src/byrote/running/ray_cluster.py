# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportMissingImports=false
"""The backend of a Ray cluster: an actor for each GPU, or for each group of cores, with the base model resident.

Each actor declares its memory, so that Ray puts no more of them on a node than it holds and its memory monitor has no
cause to end one. Actors are not restarted by Ray: whoever feeds them (byrote.running.workers) starts another.
"""

import importlib
import os
import pickle
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from byrote import lm
from byrote.errors import StudyError
from byrote.listener import Listener, Silent
from byrote.running.local import environment
from byrote.running.planning import Prepared
from byrote.running.ray_actor import UNHEARD, RayWorker
from byrote.running.workers import LostWorkerError, TaskWorker, stopped_by
from byrote.study import Machine

_PAUSE = 5.0  # seconds that an actor waits for something to tell, before it says that it lives
_LIVES = UNHEARD + 15  # seconds without an answer after which an actor is lost; it has ended itself by then
_SLOW_START = 20.0  # seconds after which the wait for room is told
_PASSED_ON = ("BYROTE_", "OMP_", "KMP_", "MKL_", "ONEDNN_", "GLIBC_", "MALLOC_", "TOKENIZERS_", "HF_HOME", "HF_HUB_OFF")
_OBJECTS = 256 * 2**20  # bytes of a small Ray's object store, which holds the prepared study and little else


_JOINED: list[str | None] = []
"""The address by which this process joined a cluster; a cluster that it was in before has none."""


@dataclass(frozen=True)
class Need:
    """What one actor asks of a node; memory in bytes."""

    cores: int
    gpus: int
    memory: int

    def fits(self, resources: Mapping[str, float]) -> int:
        """How many such actors a node with these resources holds."""
        counts = [resources.get("CPU", 0) // self.cores, resources.get("memory", 0) // self.memory]
        counts += [resources.get("GPU", 0) // self.gpus] if self.gpus else []
        return int(min(counts))

    def __str__(self) -> str:
        gpu = ", 1 GPU" if self.gpus else ""
        cores = f"{self.cores} core{'s' if self.cores > 1 else ''}"
        return f"{cores}{gpu} and {self.memory / 2**30:.1f} GiB of memory"


def need_of(prepared: Prepared) -> Need:
    """What an actor of this study needs."""
    asked = prepared.study.machine.ray
    counted = lm.weight_bytes(prepared.files, prepared.precision) + lm.WORKING
    memory = counted if asked.memory_gib is None else round(asked.memory_gib * 2**30)
    return Need(asked.cores, int(prepared.device.type == "cuda"), memory)


class RayCluster:
    """A Ray cluster that this process is connected to. ray: the package, or what stands for it."""

    def __init__(self, ray: Any) -> None:
        self._ray = ray

    def nodes(self) -> list[dict[str, float]]:
        """The resources of each node that is alive."""
        return [node["Resources"] for node in self._ray.nodes() if node["Alive"]]

    def workers(self, prepared: Prepared, tasks: int) -> int:
        """How many actors do so many tasks: machine.workers, for which nodes may join later; else as the nodes hold.
        No more than machine.threads has cores for.

        StudyError where no node holds one.
        """
        need, machine, nodes = need_of(prepared), prepared.study.machine, self.nodes()
        most = min(tasks, max(1, machine.threads // need.cores) if machine.threads else tasks)
        if machine.workers:
            return min(machine.workers, most)
        room = sum(need.fits(node) for node in nodes)
        if not room:
            memory = max((node.get("memory", 0.0) for node in nodes), default=0.0) / 2**30
            cores = max((node.get("CPU", 0.0) for node in nodes), default=0.0)
            raise StudyError(
                f"no node of the Ray cluster ({len(nodes)} alive) holds a worker, which needs {need}; the largest has "
                f"{cores:.0f} cores and {memory:.1f} GiB: set machine.ray.cores or machine.ray.memory_gib lower, or "
                "add nodes"
            )
        return min(room, most)

    def backend(self, setup: tuple[Path, Prepared], listener: Listener) -> "Actors":
        """What starts actors for a run. setup: the run folder and the prepared study, sent to each actor first."""
        return Actors(self._ray, setup, listener)


def connect(machine: Machine, listener: Listener | None = None) -> RayCluster:
    """The cluster that `machine.ray` names. StudyError where no cluster answers there.

    A process stays connected to its first cluster until it ends: where it leaves one for another, Ray takes handles of
    actors of the first for those of the second, and ends them (2.60).
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is told to others unless the user wants that
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    ray = importlib.import_module("ray")
    address = machine.ray.address or os.environ.get("RAY_ADDRESS")
    if ray.is_initialized():
        if _JOINED and address not in _JOINED:
            raise StudyError(
                f"machine.ray.address is {address!r}, but this process is connected to a Ray cluster by the address "
                f"{_JOINED[0]!r}: start another process for another cluster"
            )
        return RayCluster(ray)
    (listener or Silent()).say(f"connecting to the Ray cluster {address}" if address else "starting Ray here")
    options: dict[str, Any] = {"log_to_driver": True, "logging_level": "error"}
    if not address:
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")  # as local workers count it, not what is free
        options |= {"num_cpus": machine.threads or lm.cores(), "_memory": memory, "object_store_memory": _OBJECTS}
        options["include_dashboard"] = False
    try:
        ray.init(address=address or "local", **options)
    except Exception as error:
        why = " ".join(str(error).split())
        raise StudyError(
            f"no Ray cluster can be reached at machine.ray.address {address!r}: {why[:200]}; start one there with "
            "`ray start --head`, name another, or set machine.backend to local"
        ) from error
    _JOINED.append(address)
    return RayCluster(ray)


class Actors:
    """Starts actors for a run."""

    def __init__(self, ray: Any, setup: tuple[Path, Prepared], listener: Listener) -> None:
        self._ray, self._listener, self._told = ray, listener, False
        machine = setup[1].study.machine
        self._need, self._silent = need_of(setup[1]), 60 * machine.ray.silent_minutes
        self._payload = ray.put(pickle.dumps(setup))
        self._actor = ray.remote(RayWorker).options(
            num_cpus=self._need.cores,
            num_gpus=self._need.gpus,
            memory=self._need.memory,
            max_concurrency=2,
            max_restarts=0,
            runtime_env={"env_vars": variables(self._need.cores, os.environ)},
        )

    def start(self, wanted: Callable[[], bool]) -> TaskWorker | None:
        """An actor, when a node has room for it."""
        actor = self._actor.remote(unheard=_unheard(self._silent))
        try:
            ready = actor.ready.remote(str(Path.cwd()), self._payload)
            began = time.monotonic()
            while not self._ray.wait([ready], timeout=1.0)[0]:
                if not wanted():
                    self._ray.kill(actor)
                    return None
                if not self._told and time.monotonic() - began > _SLOW_START:
                    self._told = True
                    self._listener.say(f"waiting for a node of the Ray cluster with {self._need} for another worker")
            answer = self._ray.get(ready)
        except self._ray.exceptions.RayError as error:
            if not wanted():
                return None
            return _Stillborn(f"a worker could not be started: {_in_words(error)}")
        if answer[0] == "stop":
            self._ray.kill(actor)
            raise stopped_by(*answer[1:])
        return Actor(self._ray, actor, f"the worker on {answer[1]} (process {answer[2]})", self._silent)


class _Stillborn:
    """An actor that ended before its first task, which is lost at it: so that a cluster on which none can start does
    not try for ever."""

    def __init__(self, why: str) -> None:
        self._why = why

    def events(self, task: str) -> Iterator[Sequence[Any]]:  # noqa: ARG002
        raise LostWorkerError(self._why, retry=True)

    def kill(self) -> None:
        """It has ended."""

    def close(self) -> None:
        """It has ended."""


class Actor:
    """One actor. name: it and its node in words · silent: seconds without progress after which it is lost."""

    def __init__(self, ray: Any, actor: Any, name: str, silent: float) -> None:
        self._ray, self._actor, self._name, self._silent = ray, actor, name, silent

    def events(self, task: str) -> Iterator[Sequence[Any]]:
        """What the actor says of a task. LostWorkerError where it ends, answers no more, or tells of no progress."""
        done = self._actor.do.remote(task)
        last, pause = time.monotonic(), min(_PAUSE, self._silent / 2)
        try:
            while True:
                for event in self._ray.get(self._actor.events.remote(pause), timeout=min(_LIVES, self._silent)):
                    last = time.monotonic()
                    yield event
                    if event[0] == "done":
                        return
                if time.monotonic() - last > self._silent:
                    raise LostWorkerError(f"{self._name} told of no progress for {self._silent:.0f} s", retry=True)
        except self._ray.exceptions.GetTimeoutError:
            raise LostWorkerError(f"{self._name} does not answer any more", retry=True) from None
        except self._ray.exceptions.ActorUnavailableError as error:
            self._wait_for_its_end()
            raise LostWorkerError(f"{self._name} was cut off: {_in_words(error)}", retry=True) from error
        except self._ray.exceptions.RayError as error:
            raise LostWorkerError(f"{self._name} was lost: {_in_words(error)}", retry=True) from error
        finally:
            del done

    def _wait_for_its_end(self) -> None:
        """Return when an actor that was cut off is dead, can be reached again to be killed, or has ended itself."""
        until = time.monotonic() + _unheard(self._silent)
        while time.monotonic() < until:
            try:
                self._ray.get(self._actor.events.remote(0.0), timeout=1.0)
                return
            except (self._ray.exceptions.ActorUnavailableError, self._ray.exceptions.GetTimeoutError):
                time.sleep(0.2)
            except self._ray.exceptions.RayError:
                return

    def kill(self) -> None:
        """End it now."""
        self._ray.kill(self._actor)

    def close(self) -> None:
        """End it: it has nothing to do, or is lost."""
        self._ray.kill(self._actor)


def _unheard(silent: float) -> float:
    """Seconds without a question after which an actor ends itself, before it is given up for lost."""
    return min(UNHEARD, 0.8 * silent)


def variables(threads: int, users: Mapping[str, str]) -> dict[str, str]:
    """The variables of an actor: those that a local worker has, as far as they are byrote's or tell its libraries how
    to compute, and where Python finds its packages."""
    kept = {name: value for name, value in users.items() if name.startswith(_PASSED_ON) or name == "PYTHONPATH"}
    return environment(threads, kept)


def _in_words(error: Exception) -> str:
    """Why, by an error of Ray's, in one line: what follows the actor's name and number in it."""
    text = " ".join(str(error).split())
    reason = text.partition("The actor is dead because ")[2] or text
    return f"{type(error).__name__}: {reason[:120].rstrip(' :.')}"
