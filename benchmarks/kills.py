"""A killed audit loses nothing: SIGKILL at random moments, the same command again, the tables of an undisturbed run.

python benchmarks/kills.py --kills 30 --seed 1

On a tiny model with random weights. Between kills, the files of every finished stage must stay as they are to the byte.
Exits with 1 where anything differs.
"""

import argparse
import hashlib
import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

ENDS, KILLED = (0, 1, 3), -9  # a verdict; SIGKILL
SLOWEST = 300.0  # seconds of one start


def main() -> int:
    """Kill as often as asked, print what differs; 1 where anything does."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    return int(bool(killed(options.kills, options.seed)))


def killed(kills: int, seed: int) -> list[str]:
    """What differs after so many kills; audits are started until all are done."""
    chance, wrong, done, starts = random.Random(seed), list[str](), 0, 0
    with tempfile.TemporaryDirectory() as folder:
        command, place = prepared(Path(folder)), Path(folder)
        began = time.monotonic()
        status = run(command, place / "whole")
        if status not in ENDS:
            raise RuntimeError(f"the undisturbed audit ended with {status}")
        whole, seconds = tables_of(place / "whole"), time.monotonic() - began
        while done < kills:
            out, finished = place / f"run{starts}", dict[str, str]()
            starts += 1
            while True:
                moment = chance.uniform(0.0, 1.0) * seconds if done < kills else None
                status, there = run(command, out, moment), finished_files(out)
                wrong += [f"{out.name}: {name} changed" for name in finished if there.get(name) != finished[name]]
                finished |= there
                if status != KILLED:
                    wrong += [] if status in ENDS else [f"{out.name}: ended with {status}"]
                    break
                done += 1
            wrong += [f"{out.name}: table {name} differs" for name in whole if tables_of(out).get(name) != whole[name]]
    print(f"{done} kills of {starts} audits of {seconds:.0f} s, seed {seed}: {len(wrong)} differences")
    print("\n".join(wrong), flush=True)
    return wrong


def prepared(folder: Path) -> list[str]:
    """A tiny model, an adapter and records in the folder; the command that audits it, but for --out."""
    import peft
    import torch
    from transformers import AutoModelForCausalLM

    from fakes import TEXTS, save_tiny_model

    base = save_tiny_model(folder / "base")
    torch.manual_seed(0)
    config = peft.LoraConfig(r=2, target_modules=["q_proj"], task_type="CAUSAL_LM", init_lora_weights=False)
    peft.get_peft_model(AutoModelForCausalLM.from_pretrained(base), config).save_pretrained(folder / "adapter")
    for side in ("members", "nonmembers", "calibration"):
        rows = [{"who": f"{side}{i // 2}", "text": f"{TEXTS[i % 10][:-1]}, {side} {i}."} for i in range(40)]
        (folder / f"{side}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    words = ["audit", "--adapter", "adapter", "--base", "base", "--group", "who", "--max-auc", "0.7", "--quiet"]
    words += [f"--{side}={side}.jsonl" for side in ("members", "nonmembers", "calibration")]
    words += ["--machine.device", "cpu", "--machine.workers", "1", "--machine.threads", "1"]
    words += ["--model.precision", "fp32", "--statistics.bootstrap", "100"]
    words += ["--extraction.prompts.members", "10", "--extraction.temperatures", "[0, 1]"]
    return [sys.executable, "-m", "byrote", *words]


def run(command: list[str], out: Path, kill_after: float | None = None) -> int:
    """The exit status of the audit; −9 where it was killed after so many seconds."""
    process = subprocess.Popen(
        [*command, "--out", out.name], cwd=out.parent, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        return process.wait(timeout=SLOWEST if kill_after is None else kill_after)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()


def finished_files(run: Path) -> dict[str, str]:
    """sha256 of the files of stages that have a manifest, by their names in the run."""
    folders = {manifest.parent for manifest in run.glob("*/**/manifest.json") if not _half(manifest)}
    files = (path for folder in folders for path in _files(folder))
    return {str(path.relative_to(run)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in folder.iterdir() if path.is_file())


def _half(path: Path) -> bool:
    """Whether a path lies in a folder that is being written."""
    return any(part.startswith(".") for part in path.parts)


def tables_of(run: Path) -> dict[str, bytes]:
    """The tables of a run as written; timings apart, which differ from run to run."""
    return {path.name: path.read_bytes() for path in sorted(run.glob("tables/*.csv")) if path.name != "timings.csv"}


if __name__ == "__main__":
    sys.exit(main())
