"""The backend of Ray against a cluster that is none: what it asks for, and what becomes of actors that are lost."""

import os
import pickle
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from byrote import lm
from byrote.errors import StoreError, StudyError
from byrote.large_pages import ENVIRONMENT
from byrote.running import ray_cluster
from byrote.running.checks import check_study
from byrote.running.planning import Prepared, prepare
from byrote.running.ray_actor import RayWorker
from byrote.running.ray_cluster import Actors, RayCluster, connect, need_of, variables
from byrote.running.telling import Telling
from byrote.running.workers import TRIES, run_tasks
from byrote.study import load_study
from byrote.study.load import parse_overrides
from fake_listener import Recorder
from fake_workers import Error, FakeRay
from fakes import tiny_study as tiny_study_of

GIB = 2.0**30


@pytest.fixture(scope="module")
def prepared(tiny_folder: Path, corpus_folder: Path) -> Prepared:
    return prepare(load_study(tiny_study_of(tiny_folder, corpus_folder)))


def with_machine(prepared: Prepared, **changes: Any) -> Prepared:
    """The study with other settings of machine; those of machine.ray by `ray_…`."""
    machine = prepared.study.machine
    of_ray = {name.removeprefix("ray_"): value for name, value in changes.items() if name.startswith("ray_")}
    plain = {name: value for name, value in changes.items() if not name.startswith("ray_")}
    machine = machine.model_copy(update={**plain, "ray": machine.ray.model_copy(update=of_ray)})
    return replace(prepared, study=prepared.study.model_copy(update={"machine": machine}))


def done_by(ray: FakeRay, prepared: Prepared, tasks: list[str], listener: Recorder) -> list[tuple[str, str]]:
    """Have two actors do the tasks; those that are given up, and why."""
    lost: list[tuple[str, str]] = []
    run_tasks(tasks, Actors(ray, (Path("run"), prepared), listener), 2, listener, lambda *task: lost.append(task))
    assert all(actor.killed for actor in ray.actors)
    return lost


def tells(task: str, telling: Telling) -> None:
    with telling.task(f"task {task}", 1, "steps", 1.0) as advance:
        advance(1, "")


def fails_once(at: str, how: Callable[[], object]) -> Callable[[str, Telling], None]:
    """The first actor at this task comes to grief."""
    left = [how]

    def do(task: str, telling: Telling) -> None:
        if task == at and left:
            left.pop()()
        tells(task, telling)

    return do


def test_short_names_of_options():
    assert parse_overrides(["--backend", "ray", "--ray.address", "head:6379"]) == {
        "machine.backend": "ray",
        "machine.ray.address": "head:6379",
    }


def test_without_the_package_the_backend_is_refused(tiny_study: dict, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(StudyError, match=r"machine.backend is ray, .* pip install 'byrote\[ray\]'"):
        check_study(load_study(tiny_study, {"machine.backend": "ray"}))


def test_a_cluster_that_cannot_be_reached_is_one_line(prepared: Prepared, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "ray", FakeRay(tells))
    machine = with_machine(prepared, ray_address="head:6379").study.machine
    with pytest.raises(
        StudyError, match=r"machine.ray.address 'head:6379': nothing at head:6379; .*`ray start"
    ) as told:
        connect(machine)
    assert "\n" not in str(told.value)


def test_a_process_has_one_cluster(prepared: Prepared, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "ray", FakeRay(tells, joined=True))
    connect(with_machine(prepared, ray_address="any:6379").study.machine)  # this process joined it by itself
    monkeypatch.setattr(ray_cluster, "_JOINED", ["head:6379"])
    connect(with_machine(prepared, ray_address="head:6379").study.machine)
    with pytest.raises(
        StudyError, match=r"'other:6379', but this process is connected to a Ray cluster by .*'head:6379'"
    ):
        connect(with_machine(prepared, ray_address="other:6379").study.machine)


def test_what_an_actor_needs_is_set_or_counted(prepared: Prepared):
    counted = need_of(prepared)
    weights = lm.weight_bytes(prepared.files, prepared.precision)
    assert (counted.cores, counted.gpus, counted.memory) == (1, 0, weights + lm.WORKING)
    of_gpu = replace(with_machine(prepared, ray_cores=4, ray_memory_gib=2.5), device=torch.device("cuda"))
    assert str(need_of(of_gpu)) == "4 cores, 1 GPU and 2.5 GiB of memory"


@pytest.mark.parametrize(
    ("changes", "tasks", "workers"),
    [
        ({}, 99, 5),
        ({}, 2, 2),
        ({"workers": 3}, 99, 3),
        ({"workers": 9}, 99, 9),
        ({"workers": 9, "threads": 6}, 99, 6),
        ({"threads": 4, "ray_cores": 2}, 99, 2),
        ({"ray_cores": 4}, 99, 2),
    ],
)
def test_a_cluster_has_as_many_workers_as_its_nodes_hold(prepared: Prepared, changes: dict, tasks: int, workers: int):
    nodes = [{"CPU": 8.0, "memory": 32 * GIB}, {"CPU": 1.0, "memory": 99 * GIB}, {"memory": 99 * GIB}]
    asked = with_machine(prepared, **{"threads": None, "workers": None, "ray_memory_gib": 8, **changes})
    assert RayCluster(FakeRay(tells, nodes)).workers(asked, tasks) == workers


def test_a_cluster_without_room_says_what_it_has(prepared: Prepared):
    asked = with_machine(prepared, workers=None)
    with pytest.raises(StudyError, match=r"needs 1 core and 5.0 GiB of memory; the largest has 8 cores and 2.0 GiB"):
        RayCluster(FakeRay(tells, [{"CPU": 8.0, "memory": 2 * GIB}])).workers(asked, 9)


def test_actors_do_the_tasks_with_what_they_asked_for(prepared: Prepared):
    ray, listener = FakeRay(tells), Recorder()
    assert done_by(ray, prepared, ["a", "b", "c"], listener) == []
    assert listener.done == {"task a": 1, "task b": 1, "task c": 1}
    (asked,) = ray.asked
    assert (asked["num_cpus"], asked["num_gpus"], asked["memory"]) == (1, 0, need_of(prepared).memory)
    assert {**ENVIRONMENT, "OMP_NUM_THREADS": "1"}.items() <= asked["runtime_env"]["env_vars"].items()


def test_an_actor_that_dies_is_followed_by_another(prepared: Prepared):
    def die() -> None:
        raise Error

    ray, listener = FakeRay(fails_once("b", die)), Recorder()
    assert done_by(ray, prepared, ["a", "b", "c"], listener) == []
    assert listener.done == {"task a": 1, "task b": 1, "task c": 1}
    (line,) = listener.said
    assert "was lost: Error: its node has died. And more; its task is given to another worker" in line


def test_an_actor_that_tells_of_no_progress_is_lost(prepared: Prepared):
    released = threading.Event()
    ray, listener = FakeRay(fails_once("b", lambda: released.wait(10))), Recorder()
    quick = with_machine(prepared, ray_silent_minutes=0.1 / 60)
    assert done_by(ray, quick, ["a", "b"], listener) == []
    released.set()
    assert any("told of no progress" in line or "does not answer" in line for line in listener.said)


def test_an_actor_that_answers_nothing_is_given_up(prepared: Prepared):
    ray, listener = FakeRay(tells), Recorder()
    ray.silent = set(range(99))
    ((task, why),) = done_by(ray, prepared, ["a"], listener)
    assert task == "a"
    assert why.endswith("does not answer any more")
    assert len(ray.actors) == TRIES


def test_an_actor_that_was_cut_off_is_given_up_when_it_can_be_reached_again(prepared: Prepared):
    ray, listener = FakeRay(tells), Recorder()
    ray.cut_off = {0}
    assert done_by(ray, prepared, ["a"], listener) == []
    assert "was cut off: CutOffError: for now; its task is given to another worker" in listener.said[0]


def test_a_crash_is_not_tried_again(prepared: Prepared):
    def divide(task: str, telling: Telling) -> None:  # noqa: ARG001
        raise ZeroDivisionError("by nought")

    ray = FakeRay(divide)
    ((_, why),) = done_by(ray, prepared, ["a"], Recorder())
    assert "failed: ZeroDivisionError: by nought" in why
    assert len(ray.actors) == 1


def test_a_node_that_does_not_see_the_run_ends_it(prepared: Prepared):
    with pytest.raises(StoreError, match="not seen"):
        done_by(FakeRay(tells, refuses="not seen"), prepared, ["a"], Recorder())


def test_an_actor_says_what_its_node_does_not_see(prepared: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    payload = pickle.dumps((Path("run"), prepared))
    for folder, why in ((tmp_path / "none", "No such file"), (tmp_path, "no plan.json there")):
        kind, name, message = RayWorker().ready(str(folder), payload)
        assert (kind, name) == ("stop", "StoreError")
        assert why in message
        assert "must lie on a file system that all nodes share" in message


def test_a_worker_that_nobody_asks_ends_itself():
    ended, release = threading.Event(), threading.Event()
    worker = RayWorker(end=lambda _: ended.set(), unheard=0.05)
    worker._worker = type("Busy", (), {"do": lambda *_: release.wait(5)})()  # type: ignore[assignment]
    threading.Thread(target=worker._watch, daemon=True).start()
    assert not ended.wait(0.1)  # idle
    threading.Thread(target=worker.do, args=("a",), daemon=True).start()
    assert ended.wait(2)
    release.set()


def test_actors_get_the_variables_of_computing_and_no_secret():
    users = {"HF_TOKEN": "secret", "BYROTE_CACHE": "/cache", "PYTHONPATH": "src", "OMP_NUM_THREADS": "9"}
    passed = variables(2, {**users, "GLIBC_TUNABLES": "glibc.malloc.hugetlb=0"})
    assert passed == {
        "BYROTE_CACHE": "/cache",
        "PYTHONPATH": "src",
        **ENVIRONMENT,
        "GLIBC_TUNABLES": "glibc.malloc.hugetlb=0",
        "OMP_NUM_THREADS": "2",
    }
    assert "HF_TOKEN" not in variables(1, os.environ)
