"""A study on a Ray cluster of three nodes, of which one dies, while an actor is shot and another hangs."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from byrote.large_pages import ENVIRONMENT
from byrote.running import pipeline
from byrote.study import load_study
from fake_listener import Recorder, tables

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]  # Ray's own warnings

CORES, MEMORY = 1, 8 * 2**30  # of each node, as Ray is told
QUICK = {"health_check_period_ms": 500, "health_check_timeout_ms": 500, "health_check_failure_threshold": 4}


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Three nodes of one core each, on this machine; the first is the head."""
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    import ray
    from ray.cluster_utils import Cluster

    of_node = {"num_cpus": CORES, "memory": MEMORY, "object_store_memory": 80 * 2**20}
    nodes = Cluster(
        initialize_head=True, head_node_args={**of_node, "include_dashboard": False, "_system_config": QUICK}
    )
    for _ in range(2):
        nodes.add_node(**of_node)
    yield nodes
    ray.shutdown()
    nodes.shutdown()


@pytest.fixture
def four(tiny_study: dict) -> dict:
    """Four trials, which train for a while."""
    return {
        **tiny_study,
        "training": {**tiny_study["training"], "epochs": 20},
        "grid": {"matrices": [["q"], ["k"], ["v"], ["o"]], "rank": [2]},
    }


def raylet(of: Any) -> psutil.Process:
    """The process that is a node of the cluster, and whose children are its actors."""
    return psutil.Process(next(process.process.pid for process in of.all_processes["raylet"]))


def actors(of: Any) -> list[psutil.Process]:
    """The processes of byrote's actors on a node of the cluster."""
    return [p for p in raylet(of).children() if any("RayWorker" in word for word in p.cmdline())]


class Misfortunes(Recorder):
    """When an actor works on each of the nodes, kills a node and all that runs on it, shoots the actor of another and
    stops that of the third."""

    def __init__(self, cluster: Any) -> None:
        super().__init__()
        self._nodes = [*cluster.worker_nodes, cluster.head_node]
        self._all_work, self._strikes = threading.Barrier(3, self._strike, timeout=50), set[int]()
        self.environment: dict[str, str] = {}

    def task(self, label: str, total: int, *rest: Any):
        if len(self._strikes) < 3 and threading.get_ident() not in self._strikes:
            self._strikes.add(threading.get_ident())
            self._all_work.wait()
        return super().task(label, total, *rest)

    def _strike(self) -> None:
        dies, shot, hangs = self._nodes
        (actor,) = actors(hangs)
        self.environment = actor.environ()
        for process in [raylet(dies), *raylet(dies).children(recursive=True), *actors(shot)]:
            process.kill()
        actor.suspend()


def test_a_node_killed_an_actor_shot_and_one_that_hangs_change_no_table(four: dict, cluster: Any, tmp_path: Path):
    assert pipeline.run(load_study(four), tmp_path / "local").failures == ()
    by_ray = {
        "machine.backend": "ray",
        "machine.ray.address": cluster.address,
        "machine.threads": 3,
        "machine.workers": 3,
    }
    study, listener = load_study(four, {**by_ray, "machine.ray.silent_minutes": 0.2}), Misfortunes(cluster)
    assert pipeline.run(study, tmp_path / "run", listener=listener).failures == ()
    assert tables(tmp_path / "run") == tables(tmp_path / "local")
    lost = [line for line in listener.said if "given to another worker" in line]
    assert len(lost) == 3
    assert sum("no progress" in line or "does not answer" in line for line in lost) == 1
    assert "3 workers side by side, 1 thread each, by Ray" in listener.said
    assert {**ENVIRONMENT, "OMP_NUM_THREADS": "1"}.items() <= listener.environment.items()
