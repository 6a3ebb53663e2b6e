"""A study that is killed again and again, on both backends, ends with the tables of an undisturbed one.

python benchmarks/campaign_kills.py             # `make campaign-kills`: 200 kills, about 25 minutes on two cores
python benchmarks/campaign_kills.py --tenth     # in .ci/run

On a tiny model with random weights. SIGKILL goes to the command, to one of its workers, or to a whole node of the Ray
cluster (another joins at once), at random moments; the command is given again until its study is done. Between kills,
the files of every finished stage must stay as they are to the byte, and so must its manifest, which says when it was
made: nothing is done twice. Exits with 1 where anything differs.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from kills import KILLED, finished_files, tables_of

KILLS = 200
SLOWEST = 300.0  # seconds of one start
ENDS = (0, 1)  # done; some stage failed, as where a task was killed under three workers
CLUSTER = {"num_cpus": 1, "memory": 8 * 2**30, "object_store_memory": 80 * 2**20}  # of each of two nodes
QUICK = {"health_check_period_ms": 500, "health_check_timeout_ms": 500, "health_check_failure_threshold": 4}
Kill = Callable[[psutil.Process, random.Random], str]
"""Kills something of a running command, and says what."""


def main() -> int:
    """Half of the kills on each backend; 1 where anything differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tenth", action="store_true", help="a tenth of the kills")
    parser.add_argument("--seed", type=int, default=20261126)
    parser.add_argument("--backends", nargs="+", default=["local", "ray"], choices=["local", "ray"])
    options = parser.parse_args()
    kills, wrong, started = KILLS // (20 if options.tenth else 2), list[str](), time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        command = prepared(Path(folder))
        whole = Path(folder) / "whole"
        if (status := given(command, whole)) != 0:
            raise RuntimeError(f"the undisturbed study ended with {status}")
        seconds = time.monotonic() - started
        if "local" in options.backends:
            local = Kills(kills, seconds, random.Random(options.seed), kill_local)
            wrong += killed("local", [*command, *TWO], whole, local)
        if "ray" in options.backends:
            with cluster() as (address, kill_ray):
                by_ray = [*command, *TWO, "--backend", "ray", "--ray.address", address]
                wrong += killed("ray", by_ray, whole, Kills(kills, seconds, random.Random(options.seed), kill_ray))
    print("\n".join(wrong))
    print(f"{time.monotonic() - started:.0f} s, seed {options.seed}")
    return int(bool(wrong))


TWO = ("--machine.workers", "2", "--machine.threads", "2")


@dataclass
class Kills:
    """The kills of a backend: drawn, carried out, counted by what was killed."""

    wanted: int
    seconds: float  # of an undisturbed study
    chance: random.Random
    kill: Kill
    done: Counter[str] = field(default_factory=Counter[str])

    @property
    def left(self) -> bool:
        """Whether there are some to come."""
        return self.done.total() < self.wanted

    def pause(self) -> float | None:
        """Seconds until the next; None where there is none."""
        return self.chance.uniform(0, self.seconds) if self.left else None

    def strike(self, command: int) -> None:
        """One, at a command that runs under this process id."""
        self.done[self.kill(psutil.Process(command), self.chance)] += 1


def killed(name: str, command: Sequence[str], whole: Path, kills: Kills) -> list[str]:
    """What differs after all kills; studies are run one after the other until all are done."""
    wrong, studies, began = list[str](), 0, time.monotonic()
    undisturbed = tables_of(whole)
    while kills.left:
        out, finished = whole.parent / f"{name}{studies}", dict[str, str]()
        studies, status = studies + 1, KILLED
        while status != 0:
            status = given(command, out, kills)
            there = finished_files(out)
            wrong += [f"{out.name}: {file} changed" for file in finished if there.get(file) != finished[file]]
            finished |= there
            if status not in (*ENDS, KILLED):
                wrong.append(f"{out.name}: ended with {status}")
                break
        ended = tables_of(out)
        wrong += [f"{out.name}: table {file} differs" for file in undisturbed if ended.get(file) != undisturbed[file]]
    of_what = ", ".join(f"{count} of {what}" for what, count in sorted(kills.done.items()))
    seconds = time.monotonic() - began
    counted = f"{kills.done.total()} kills ({of_what}) in {studies} studies"
    print(f"{name}: {counted}, {seconds:.0f} s: {len(wrong)} differences", flush=True)
    return wrong


def given(command: Sequence[str], out: Path, kills: Kills | None = None) -> int:
    """The exit status of the command; −9 where it was killed itself."""
    process = subprocess.Popen(
        [*command, "--out", out.name], cwd=out.parent, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    while True:
        seconds = kills.pause() if kills else None
        try:
            return process.wait(timeout=SLOWEST if seconds is None else seconds)
        except subprocess.TimeoutExpired:
            if seconds is None or kills is None:
                process.kill()
                raise RuntimeError(f"{out.name} took longer than {SLOWEST:.0f} s") from None
            kills.strike(process.pid)


def kill_local(command: psutil.Process, chance: random.Random) -> str:
    """The command, or one of its worker processes."""
    workers = command.children()
    if workers and chance.random() < 0.65:
        return shoot("a worker", chance.choice(workers))
    return shoot("the command", command)


def shoot(what: str, *processes: psutil.Process) -> str:
    """SIGKILL; says to what."""
    for process in processes:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue  # it ended by itself in this moment
    return what


@contextmanager
def cluster() -> Generator[tuple[str, Kill]]:
    """Two nodes of one core; their address, and what kills the command, an actor or a node."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    from ray.cluster_utils import Cluster

    head = {**CLUSTER, "include_dashboard": False, "_system_config": QUICK}
    nodes = Cluster(initialize_head=True, head_node_args=head)
    nodes.add_node(**CLUSTER)

    def raylet(node: object) -> psutil.Process:
        return psutil.Process(node.all_processes["raylet"][0].process.pid)  # type: ignore[attr-defined]

    def kill(command: psutil.Process, chance: random.Random) -> str:
        others = list(nodes.worker_nodes)
        actors = [p for node in (nodes.head_node, *others) for p in raylet(node).children() if is_actor(p)]
        drawn = chance.random()
        if drawn < 0.1:
            what = shoot("a node", raylet(others[0]), *raylet(others[0]).children(recursive=True))
            nodes.remove_node(others[0])
            nodes.add_node(**CLUSTER)
            return what
        return shoot("an actor", chance.choice(actors)) if actors and drawn < 0.7 else shoot("the command", command)

    try:
        yield nodes.address, kill
    finally:
        nodes.shutdown()


def is_actor(process: psutil.Process) -> bool:
    """Whether it is an actor of byrote's."""
    try:
        return any("RayWorker" in word for word in process.cmdline())
    except psutil.NoSuchProcess:
        return False


def prepared(folder: Path) -> list[str]:
    """A tiny model, records and a study in the folder; the command that runs it, but for --out."""
    from fakes import save_tiny_corpus, save_tiny_model, tiny_study

    model = save_tiny_model(folder / "model")
    save_tiny_corpus(folder)
    study = tiny_study(model, folder)
    study["grid"] = {"matrices": [["q"], ["k"], ["v"], ["o"]], "rank": [2]}
    study["training"]["epochs"] = 20
    study["machine"] |= {"checkpoint_minutes": 0.002}
    study["statistics"] = {"bootstrap": 100}
    (folder / "study.json").write_text(json.dumps(study))
    return [sys.executable, "-m", "byrote", "run", "study.json", "--quiet"]


if __name__ == "__main__":
    sys.exit(main())
