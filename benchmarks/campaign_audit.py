"""The long campaigns on audits, or a tenth of them: kills, and adapters of the real model that never saw the records.

python benchmarks/campaign_audit.py             # `make campaign-audit`, about half an hour on two cores
python benchmarks/campaign_audit.py --tenth     # in .ci/run

Kills: `kills.py`. Adapters: SmolLM2-135M tuned on sixty synthetic records and audited, by rules, as if it had been
tuned on sixty others of the same source: *exceeded* is an error, with a chance of 2.5% at most. Simulated audits, from
token scores to verdict, are those of `make validate`. Exits with 1 where anything differs or more is exceeded than by
chance.
"""

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from kills import killed
from scipy.stats import binom

import byrote
from byrote.corpora.adverse_events import read
from byrote.records import MEMBERS
from byrote.study import AdverseEventsCorpus

KILLS, ADAPTERS, RECORDS, ERROR = 60, 20, 60, 0.025
RULES = {"max_auc": 0.6, "rates": ["0.1=0.3"]}
TRAINING = {"epochs": 6, "learning_rate": 1e-3, "effective_batch": 8}
UNTOLD = {"prompts": {"members": 0, "nonmembers": 0}, "untargeted": {"completions": 0}}
Rows = list[dict[str, Any]]


def main() -> int:
    """Both campaigns; 1 where either does not hold."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tenth", action="store_true", help="a tenth of everything")
    parser.add_argument("--seed", type=int, default=20261125)
    options = parser.parse_args()
    share, started = 10 if options.tenth else 1, time.monotonic()
    differences = killed(KILLS // share, options.seed)
    verdicts = [audited_as_others(options.seed + number) for number in range(ADAPTERS // share)]
    exceeded, most = verdicts.count("exceeded"), int(binom.isf(0.05, len(verdicts), ERROR))
    told = ", ".join(f"{verdicts.count(name)} {name}" for name in ("exceeded", "undecided", "held"))
    print(f"{len(verdicts)} adapters audited on records that they never saw: {told}; at most {most} by chance")
    print(f"{time.monotonic() - started:.0f} s, seed {options.seed}")
    return int(bool(differences) or exceeded > most)


def audited_as_others(seed: int) -> str:
    """The verdict on an adapter tuned on half of the members' documents, audited with the other half as its members."""
    records = read(AdverseEventsCorpus(source="adverse_events", size=2 * RECORDS, seed=seed))
    groups = list(dict.fromkeys(record.group for record in records if record.split == MEMBERS))
    half = set(groups[: len(groups) // 2])

    def rows(split: str, tuned_on: bool = False) -> Rows:
        of_split = (r for r in records if r.split == split and (split != MEMBERS or (r.group in half) == tuned_on))
        return [{"id": r.record, "patient": r.group, "text": r.text} for r in of_split]

    with tempfile.TemporaryDirectory() as folder:
        audit = byrote.audit(
            adapter=tuned(rows(MEMBERS, tuned_on=True), rows("nonmembers"), seed, Path(folder)),
            base="smollm2-135m",
            members=rows(MEMBERS),
            nonmembers=rows("nonmembers"),
            calibration=rows("calibration"),
            out=Path(folder) / "audit",
            settings={"extraction": UNTOLD},
            id="id",
            group="patient",
            **RULES,
        )
    print(f"seed {seed}: {audit.verdict}", flush=True)
    return audit.verdict


def tuned(members: Rows, nonmembers: Rows, seed: int, folder: Path) -> Path:
    """An adapter by byrote's own training."""
    for name, rows in (("members", members), ("nonmembers", nonmembers)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    files = {"members": "members.jsonl", "nonmembers": "nonmembers.jsonl", "id": "id", "group": "patient"}
    study = {
        "model": {"source": "smollm2-135m"},
        "corpus": {"source": "files", "path": str(folder), **files},
        "lora": {"matrices": ["q", "v"], "rank": 8},
        "training": {**TRAINING, "seed": seed},
        "extraction": UNTOLD,
    }
    return next(byrote.run(study, folder / "run").path.rglob("adapter_config.json")).parent


if __name__ == "__main__":
    sys.exit(main())
