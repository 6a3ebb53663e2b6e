"""How long `byrote plan` takes on 100,000 records of a user's own file, and how much memory: ten trials.

The plan is an estimate, with the cut that fits into eight hours: it loads no model. Timing steps (`byrote plan` without
--no-measure) takes the memory of a training beside it, and some ten seconds of two cores.

python benchmarks/large_plan.py                 # exits 1 above 30 s, above 2 GiB, or where no cut is named
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

RECORDS, SECONDS, MEMORY = 100_000, 30.0, 2.0  # GiB
SHARES = {"train": 0.6, "test": 0.2, "dev": 0.2}
SYLLABLES = [f"{vowel}{consonant}{other}" for vowel in "aeiou" for consonant in "dlmnr" for other in "aei"]
WORDS = [
    f"{start}{middle}{end}" for start in "bdfgklmnprst" for middle in SYLLABLES for end in ("n", "rel", "sto", "v")
]


def write_records(path: Path, records: int) -> None:
    """A JSONL file of lines of 6 to 30 made-up words, common ones far more often, two or three lines a document."""
    generator = random.Random(0)
    weights = [1 / (place + 1) for place in range(len(WORDS))]
    splits = [split for split, share in SHARES.items() for _ in range(round(share * records))]
    with path.open("w") as lines:
        for number, split in enumerate(splits):
            text = " ".join(generator.choices(WORDS, weights, k=generator.randint(6, 30)))
            row = {"id": f"r{number}", "document": f"{split}-{number * 2 // 5}", "split": split, "text": text}
            lines.write(json.dumps(row) + "\n")


def write_study(path: Path, file: Path) -> None:
    """A study of that file: five placements, two seeds each."""
    corpus = {"source": "files", "file": file.name, "path": str(file.parent), "split": "split", "id": "id"}
    corpus |= {"members": "train", "nonmembers": "test", "calibration": "dev", "group": "document"}
    matrices = [["q"], ["k"], ["v"], ["o"], ["q", "k"]]
    path.write_text(json.dumps({"name": "large", "corpus": corpus, "grid": {"matrices": matrices}, "seeds": 2}))


def planned(study: Path) -> tuple[float, float, str]:
    """Seconds of a process that plans the study, its peak memory in GiB, and what it prints. Ends where it fails."""
    started = time.perf_counter()
    command = [sys.executable, "-m", "byrote.cli", "plan", str(study), "--no-measure", "--hours", "8", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        printed = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"byrote plan ended with {process.returncode}")
    return time.perf_counter() - started, usage.ru_maxrss / 2**20, printed


def main() -> int:
    """Write the file, plan, say how long it took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=RECORDS)
    records = parser.parse_args().records
    with tempfile.TemporaryDirectory() as folder:
        file, study = Path(folder) / "records.jsonl", Path(folder) / "large.yaml"
        write_records(file, records)
        write_study(study, file)
        seconds, memory, printed = planned(study)
    plan = json.loads(printed)
    print(f"{records:,} records, {len(plan['work'])} trials planned: {seconds:.1f} s, {memory:.2f} GiB")
    print(f"into 8 hours instead of {plan['seconds'] / 3600:.1f}: {plan['cut'] and plan['cut']['options']}")
    return int(seconds > SECONDS or memory > MEMORY or not plan["cut"])


if __name__ == "__main__":
    sys.exit(main())
