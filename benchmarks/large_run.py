"""How long `byrote report` takes on a large run: fifteen trials of 3866 members and non-members, made-up scores.

python benchmarks/large_run.py                  # exits 1 above 30 s, or where torch was imported
python benchmarks/large_run.py --trials 100     # above 120 s, or 2 GiB
"""

import argparse
import random
import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from plan_rows import plan_row

from byrote.records import (
    Assignment,
    Completion,
    Record,
    Role,
    SuffixChance,
    TokenScores,
    chances_to_table,
    completions_to_table,
)
from byrote.render import render
from byrote.store import Run
from byrote.study import dump_study, load_study

TRIALS, PROMPTED, MEMORY = 15, 200, 2.0  # GiB
MOST = {15: 30.0, 100: 120.0}  # seconds
SPLITS = {"members": (2898, 1108), "nonmembers": (968, 359), "calibration": (961, 371)}  # PHEE's records and documents
ROLES = {"members": Role.MEMBER, "nonmembers": Role.NONMEMBER, "calibration": Role.CALIBRATION}
WORDS = [f"word{i}" for i in range(3000)]


def records() -> list[Record]:
    """Records of 6 to 30 words, in as many documents as PHEE's splits have: 2.6 records a document."""
    generator, made = random.Random(0), []
    for split, (count, documents) in SPLITS.items():
        starts, document = {0, *generator.sample(range(1, count), documents - 1)}, 0
        for i in range(count):
            document += i in starts
            text = " ".join(generator.choices(WORDS, k=generator.randint(6, 30)))
            ids = tuple(generator.choices(range(49152), k=len(text.split()) + 5))
            made.append(Record(f"{split}{i}", split, f"{split}-{document}", text, (), ids))
    return made


def scores(of: list[Record], seed: int) -> TokenScores:
    """Random token scores."""
    generator = np.random.default_rng(seed)
    offsets = np.concatenate([[0], np.cumsum([len(r.token_ids) - 1 for r in of])]).astype(np.int64)
    size = int(offsets[-1])
    logprob = -np.abs(generator.normal(0, 3, size)).astype(np.float32)
    spread = np.full(size, 2, np.float32)
    return TokenScores(tuple(r.record for r in of), offsets, logprob, generator.random(size) < 0.3, -spread, spread)


def write_run(path: Path, trials: int = TRIALS) -> Run:
    """A run folder as the pipeline leaves it, with made-up results."""
    run, made = Run(path), records()
    run.path.mkdir(parents=True)
    run.write_records(made)
    run.write_roles("r", [Assignment(r.record, ROLES[r.split], int(r.split == "members")) for r in made])
    study = load_study({"name": "large", "corpus": {"source": "phee"}})
    run.write_study(dump_study(study))
    prompted = made[:PROMPTED]
    completions = [
        Completion(
            record=r.record,
            prefix=0.5,
            temperature=t,
            sample=0,
            prefix_tokens=5,
            suffix_tokens=len(r.token_ids) - 5,
            token_ids=r.token_ids[5:],
            logprob=(-1.0,) * 3,
            text=r.text,
            suffix_text=r.text,
        )
        for r in prompted
        for t in (0.0, 0.5, 1.0)
    ]
    chances = [SuffixChance(r.record, 0.5, t, 5, len(r.token_ids) - 5, -30.0) for r in prompted for t in (0.5, 1.0)]

    def stages(name: str, seed: int) -> dict[str, str]:
        done = {"seconds": 1.0, "tokens": 1, "device": "none", "peak_memory": 1, "loss": 1.0, "steps": 1}
        with run.stage(f"{name}/scores", done) as (folder, _):
            pq.write_table(scores(made, seed).to_table(), folder / "scores.parquet")
        with run.stage(f"{name}/completions", done) as (folder, _):
            pq.write_table(completions_to_table(completions), folder / "completions.parquet")
            pq.write_table(chances_to_table(chances), folder / "suffixes.parquet")
        return {"scores": f"{name}/scores", "completions": f"{name}/completions"}

    settings = {part: getattr(study, part).model_dump(mode="json") for part in ("lora", "training", "canaries")}
    rows = [
        {**plan_row(f"t{k}", settings, seed=k), "roles": "r", "finetune": "none", **stages(f"trials/{k}", k + 1)}
        for k in range(trials)
    ]
    run.write_json("plan.json", {"base": stages("base", 0), "trials": rows, "findings": [], "nulls": []})
    return run


def main() -> int:
    """Write the run; tables, figures and page of it; say how long they took and how much memory."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=TRIALS, choices=MOST)
    trials = parser.parse_args().trials
    with tempfile.TemporaryDirectory() as folder:
        run = write_run(Path(folder) / "run", trials)
        started = time.perf_counter()
        render(run)
        seconds = time.perf_counter() - started
        tables = run.tables()
        figures = len(list((run.path / "figures").glob("*.svg")))
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    resamples = tables["membership"]["resamples"][0].as_py()
    counts = f"{tables['membership'].num_rows} AUCs ({resamples} resamples each), "
    counts += f"{tables['extraction'].num_rows} completions, {figures} figures"
    print(f"{trials} trials, {counts}: {seconds:.1f} s, {memory:.1f} GiB")
    if "torch" in sys.modules:
        print("torch was imported")
    return int(seconds > MOST[trials] or memory > MEMORY or "torch" in sys.modules)


if __name__ == "__main__":
    sys.exit(main())
