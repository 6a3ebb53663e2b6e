"""Which checkpoint may be released: one training by plain PEFT and Trainer, its checkpoints audited by one command.

python benchmarks/which_checkpoint.py --out runs/checkpoints

SmolLM2-135M, 60 synthetic records of members, a checkpoint at each quarter of 12 epochs; one `byrote audit` of all four
with two rules. Prints the table `checkpoints` as docs/results.md has it, and what the report says of it.
"""

import argparse
import subprocess
import sys
from pathlib import Path
from typing import Any

from compare_tools import BATCH, tune_with_trainer, write_rows

RECORDS, SEED, EPOCHS, CHECKPOINTS = 60, 7, 12, 4
RULES = ("--max-auc", "0.75", "--max-tpr-at-fpr", "0.1=0.6")


def main() -> int:
    """Records, training, audit, table; the audit's exit status unless it is a verdict."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--learning-rate", type=float, default=5e-4)
    options = parser.parse_args()
    out: Path = options.out
    out.mkdir(parents=True, exist_ok=True)
    texts = records(out)
    steps = EPOCHS * -(-len(texts) // BATCH)
    tune_with_trainer(out, texts, EPOCHS, options.learning_rate, save_steps=-(-steps // CHECKPOINTS))
    words = ["audit", "--adapter", "trainer/checkpoint-*", "--base", "base", "--members", "members.jsonl"]
    words += ["--nonmembers", "nonmembers.jsonl", "--calibration", "calibration.jsonl", "--id", "id"]
    words += ["--group", "patient", *RULES, "--out", "audit", "--quiet"]
    status = subprocess.run([sys.executable, "-m", "byrote", *words], cwd=out, check=False).returncode
    print(f"exit status {status}")
    show(out / "audit")
    return 0 if status in (0, 1, 3) else status


def records(out: Path) -> list[str]:
    """Synthetic records of three splits, as many on each side; the members' texts."""
    from byrote.corpora.adverse_events import read
    from byrote.lm import resolve_base
    from byrote.study import AdverseEventsCorpus

    of_split: dict[str, list[dict[str, Any]]] = {}
    for r in read(AdverseEventsCorpus(source="adverse_events", size=RECORDS, seed=SEED)):
        of_split.setdefault(r.split, []).append({"id": r.record, "patient": r.group, "text": r.text})
    for split, rows in of_split.items():
        write_rows(out / f"{split}.jsonl", rows)
    (out / "base").unlink(missing_ok=True)
    (out / "base").symlink_to(resolve_base("smollm2-135m").folder)
    return [row["text"] for row in of_split["members"]]


def show(run: Path) -> None:
    """The table in Markdown, and the report's sentences."""
    import byrote
    from byrote.report.checkpoints import checkpoints_grid, sentences

    tables = byrote.load(run).tables
    grid = checkpoints_grid(tables)
    for row in (grid.headers, ["---"] * len(grid.headers), *grid.rows):
        print(f"| {' | '.join(row)} |")
    print("\n".join(sentences(tables)))


if __name__ == "__main__":
    sys.exit(main())
