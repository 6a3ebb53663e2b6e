"""The forecast by timed steps against what a run then takes, on SmolLM2-135M."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.real

ONE_THREAD = ["--machine.threads", "1", "--machine.workers", "1"]
FEW_TEXTS = ["--extraction.prompts.members", "5", "--extraction.prompts.nonmembers", "5"]


def byrote(*words: object) -> tuple[str, float]:
    """What a command prints, and the seconds of processor that it took, its start included."""
    command = [sys.executable, "-m", "byrote.cli", *map(str, words)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout
        printed = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, printed
    return printed, usage.ru_utime + usage.ru_stime


@pytest.mark.parametrize(
    "options",
    [
        ["--corpus.size", "40", "--grid.matrices", '[["v"]]', "--training.epochs", "4"],
        ["--corpus.size", "20", "--grid.matrices", '[["all-linear"], ["q"]]', "--training.epochs", "3"],
    ],
)
def test_the_forecast_is_within_30_percent_of_what_a_run_takes(options: list[str], tmp_path: Path):
    """One worker of one thread: its processor time is what the clock shows where the machine does nothing else."""
    free = ["--extraction.untargeted.completions", "10", "--extraction.untargeted.tokens", "32"]
    words = ["demo", *options, *FEW_TEXTS, *free, *ONE_THREAD]
    plan, _ = byrote("plan", *words, "--json")
    _, seconds = byrote("run", *words, "--out", tmp_path / "run", "--quiet")
    assert json.loads(plan)["seconds"] == pytest.approx(seconds, rel=0.3)
