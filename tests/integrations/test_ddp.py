"""A training by two processes of torch's gloo: the first measures, both stop."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).with_name("ddp_script.py")


def trained(folder: Path, *words: str) -> list[dict[str, Any]]:
    """What each process says at the end of the training."""
    folder.mkdir()
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2", str(SCRIPT)]
    done = subprocess.run(
        [*command, str(folder), *words], env=environment, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return [json.loads((folder / f"{rank}.json").read_text()) for rank in range(2)]


@pytest.mark.slow
def test_two_processes_go_on_to_the_same_bits_and_stop_together(tmp_path: Path) -> None:
    plain = trained(tmp_path / "plain", "plain", "go-on")
    audited = trained(tmp_path / "audited", "audited", "go-on")
    stopped = trained(tmp_path / "stopped", "audited", "stop")
    assert plain[0]["processes"] == 2
    assert audited[0]["losses"] == plain[0]["losses"] != []
    assert (audited[0]["looks"], audited[1]["looks"]) == ([3, 6, 8], [])
    assert [rank["steps"] for rank in audited] == [8, 8]
    assert [rank["steps"] for rank in stopped] == [3, 3]
    assert stopped[0]["losses"] == plain[0]["losses"][:3]
