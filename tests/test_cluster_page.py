"""docs/cluster.md: its commands are run, and its script for SLURM against commands of SLURM that are fakes."""

import os
import re
import shlex
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from byrote.running import pipeline
from byrote.study import dump_study, load_study
from byrote.study.load import parse_overrides
from fake_listener import tables

DOCS = Path(__file__).parents[1] / "docs"
PAGE = (DOCS / "cluster.md").read_text("utf-8")
NODE = {"num_cpus": 2, "memory": 16 * 2**30, "object_store_memory": 80 * 2**20}
SOURCE = str(Path(pipeline.__file__).parents[2])
of_ray = pytest.mark.filterwarnings("ignore")  # Ray's own warnings


@pytest.fixture
def file(tiny_study: dict, tmp_path: Path) -> Path:
    """The tiny study as a file."""
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(dump_study(load_study(tiny_study))))
    return tmp_path / "study.yaml"


@pytest.fixture
def address(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A cluster of one node."""
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    from ray.cluster_utils import Cluster

    nodes = Cluster(initialize_head=True, head_node_args={**NODE, "include_dashboard": False})
    yield nodes.address
    nodes.shutdown()


@of_ray
@pytest.mark.slow
def test_the_commands_of_the_page_give_the_tables_of_a_local_run(file: Path, address: str) -> None:
    commands = re.findall(r"^    byrote (.+)$", PAGE, flags=re.MULTILINE)
    assert len(commands) == 3
    commands_here = [
        command.replace("small/rank", file.name).replace("FIRST:6379", address).replace("/shared/", "shared/")
        for command in commands
    ]
    started = [
        subprocess.Popen(
            [sys.executable, "-m", "byrote", *shlex.split(words)],
            cwd=file.parent,
            env={**os.environ, "PYTHONPATH": SOURCE},
            stdout=subprocess.PIPE,
            text=True,
        )
        for words in commands_here
    ]
    printed = [process.communicate(timeout=300)[0] for process in started]
    assert [process.returncode for process in started] == [0, 0, 0]
    assert "by Ray: each worker asks a node for 1 core and 5.0 GiB of memory" in printed[1]
    pipeline.run(load_study(file), file.parent / "local")
    expected = tables(file.parent / "local")
    assert tables(file.parent / "runs/tiny") == tables(file.parent / "shared/runs/rank") == expected


def end_the_job(address: str, port: int) -> None:
    """What SLURM does when a job's script has ended: end what it has started, here all that names its address."""
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            words = " ".join(process.cmdline())
            if process.pid != os.getpid() and (address in words or f"port={port}" in words):
                process.kill()


@of_ray
@pytest.mark.slow
def test_the_script_for_slurm_runs_a_study_on_the_nodes_of_an_allocation(file: Path, tmp_path: Path) -> None:
    fakes, here = tmp_path / "bin", socket.gethostbyname(socket.gethostname())
    fakes.mkdir()
    python = shlex.quote(sys.executable)
    for name, lines in {
        "scontrol": [f'[ "$*" = "show hostnames node[1-2]" ] && echo {here} && echo {here}'],
        "srun": ["while [[ $1 == --* ]]; do shift; done", 'exec "$@"'],
        "byrote": [f'exec {python} -m byrote "$@"'],
    }.items():
        (fakes / name).write_text("\n".join(["#!/bin/bash", *lines]) + "\n")
        (fakes / name).chmod(0o755)
    with socket.socket() as free:
        free.bind(("", 0))
        port = free.getsockname()[1]
    asked = dict(re.findall(r"^#SBATCH --([\w-]+)=(\S+)$", (DOCS / "cluster/slurm.sh").read_text(), flags=re.MULTILINE))
    allocation = {
        "SLURM_JOB_NODELIST": f"node[1-{asked['nodes']}]",
        "SLURM_JOB_NUM_NODES": asked["nodes"],
        "SLURM_CPUS_PER_TASK": asked["cpus-per-task"],
        "RAY_PORT": str(port),
    }
    path = os.pathsep.join([str(fakes), str(Path(sys.executable).parent), os.environ["PATH"]])
    command = ["bash", str(DOCS / "cluster/slurm.sh"), str(file), "--out", str(tmp_path / "run")]
    try:
        with (tmp_path / "told").open("w") as output:  # no pipe, which what is left of Ray would hold open
            done = subprocess.run(
                [*command, "--machine.threads", "4"],
                env={**os.environ, **allocation, "PATH": path, "PYTHONPATH": SOURCE},
                stdout=output,
                stderr=output,
                check=False,
                timeout=240,
            )
    finally:
        end_the_job(f"{here}:{port}", port)
    said = (tmp_path / "told").read_text()
    assert done.returncode == 0, said
    assert "3 workers side by side, 1 thread each, by Ray" in said  # there are three tasks
    pipeline.run(load_study(file), tmp_path / "local")
    assert tables(tmp_path / "run") == tables(tmp_path / "local")


def test_the_task_for_skypilot_calls_byrote_as_it_is_called() -> None:
    task: dict[str, Any] = yaml.safe_load((DOCS / "cluster/skypilot.yaml").read_text())
    assert task["num_nodes"] == 2
    assert set(task) == {"name", "num_nodes", "resources", "envs", "file_mounts", "workdir", "setup", "run"}
    (command,) = re.findall(r"byrote run (.+)$", task["run"], flags=re.MULTILINE)
    words = shlex.split(command.replace('$(basename "$STUDY")', "rank"))
    assert words[:3] == ["$STUDY", "--out", "/shared/runs/rank"]
    assert parse_overrides(words[3:]) == {"machine.backend": "ray", "machine.ray.address": "$head:6385"}
