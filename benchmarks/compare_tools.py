"""byrote, memaudit and tre-slm on one adapter: the same model, records and canaries.

    python -m venv other/memaudit && other/memaudit/bin/pip install 'memaudit[peft]==0.2.0'
    python -m venv other/tre-slm && other/tre-slm/bin/pip install 'tre-slm[ml]==0.1.0'
    python benchmarks/compare_tools.py --others other --out runs/compared

memaudit deals canaries and their coins into 120 synthetic records; plain PEFT and transformers tune SmolLM2-135M on
them; every tool then measures that adapter in fp32 on the processor. tre-slm's own commands train the model that they
measure, so its scoring function is called on this adapter instead. Each tool runs in its own environment, on one
thread; times are of the processor and include imports.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

RECORDS, SEED, EPOCHS, RATE, BATCH = 120, 5, 4, 2e-3, 8
NO_THRESHOLDS = ("--corpus.calibration_half", "null")  # all left-out canaries are compared with, as memaudit does
ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
CONTROLS, CANARIES, COPIES = 100, 32, (1, 4, 16)


def write_rows(file: Path, rows: list[dict[str, Any]]) -> None:
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))


def rows_of(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def records(out: Path) -> None:
    """By byrote: synthetic records of three splits, and the folder of the base model."""
    from byrote.corpora.adverse_events import read
    from byrote.lm import resolve_base
    from byrote.study import AdverseEventsCorpus

    of_split: dict[str, list[dict[str, Any]]] = {}
    for r in read(AdverseEventsCorpus(source="adverse_events", size=RECORDS, seed=SEED)):
        of_split.setdefault(r.split, []).append({"id": r.record, "patient": r.group, "text": r.text})
    for split, rows in of_split.items():
        write_rows(out / f"{split}.jsonl", rows)
    (out / "base").symlink_to(resolve_base("smollm2-135m").folder)


def canaries(out: Path) -> None:
    """By memaudit: canaries, some of them put into the training records."""
    from memaudit import generate_canaries, inject
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(out / "base")
    made = generate_canaries(tokenizer, n=CANARIES, n_controls=CONTROLS, family="random", repetitions=COPIES, seed=SEED)
    texts = [{"text": row["text"]} for row in rows_of(out / "members.jsonl")]
    planted, manifest = inject(texts, made, fmt="text", seed=SEED)
    write_rows(out / "planted.jsonl", [{"text": row["text"]} for row in planted])
    (out / "memaudit.json").write_text(json.dumps(manifest))
    from memaudit.injection import canary_record
    from memaudit.types import Canary

    sides: dict[bool, list[dict[str, Any]]] = {True: [], False: []}
    for entry in manifest["canaries"]:
        sides[entry["included"]].append({"id": entry["id"], **canary_record(Canary.from_dict(entry), "text")})
    write_rows(out / "canaries_in.jsonl", sides[True])
    write_rows(out / "canaries_out.jsonl", sides[False])


def tune(out: Path) -> None:
    """On the planted records."""
    tune_with_trainer(out, [row["text"] for row in rows_of(out / "planted.jsonl")], EPOCHS, RATE)


def tune_with_trainer(out: Path, texts: list[str], epochs: int, rate: float, save_steps: int | None = None) -> None:
    """By plain PEFT and transformers, with the loss on every token; the base model lies in out/base. save_steps: steps
    between checkpoints in out/trainer; none by default."""
    import peft
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, Trainer, TrainingArguments

    torch.manual_seed(SEED)
    tokenizer = AutoTokenizer.from_pretrained(out / "base")
    model = AutoModelForCausalLM.from_pretrained(out / "base", dtype=torch.float32)
    config = peft.LoraConfig(r=8, lora_alpha=16, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM")
    examples = [tokenizer(text)["input_ids"] for text in texts]

    def collate(rows: list[dict[str, list[int]]]) -> dict[str, Any]:
        longest = max(len(row["input_ids"]) for row in rows)
        ids = torch.full((len(rows), longest), tokenizer.eos_token_id)
        labels, mask = torch.full_like(ids, -100), torch.zeros_like(ids)
        for i, row in enumerate(rows):
            own = torch.tensor(row["input_ids"])
            ids[i, : len(own)], labels[i, : len(own)], mask[i, : len(own)] = own, own, 1
        return {"input_ids": ids, "labels": labels, "attention_mask": mask}

    arguments = TrainingArguments(
        str(out / "trainer"),
        num_train_epochs=epochs,
        per_device_train_batch_size=BATCH,
        learning_rate=rate,
        report_to=[],
        save_strategy="steps" if save_steps else "no",
        save_steps=save_steps or 1,
        use_cpu=True,
        seed=SEED,
    )
    tuned = peft.get_peft_model(model, config)
    Trainer(tuned, arguments, train_dataset=[{"input_ids": e} for e in examples], data_collator=collate).train()
    tuned.save_pretrained(out / "adapter")
    tokenizer.save_pretrained(out / "adapter")


def by_byrote(out: Path, members: str, nonmembers: str, run: str, more: list[str]) -> None:
    words = ["--adapter", out / "adapter", "--base", out / "base", "--members", out / members, "--quiet", *more]
    words += ["--nonmembers", out / nonmembers, "--id", "id", "--model.precision", "fp32", "--out", out / run]
    words += ["--machine.device", "cpu", "--machine.threads", "1", "--machine.workers", "1"]
    subprocess.run([sys.executable, "-m", "byrote", "audit", *map(str, words)], check=True)


def byrote_records(out: Path) -> None:
    calibration = str(out / "calibration.jsonl")
    more = ["--group", "patient", "--calibration", calibration]
    for side in ("members", "nonmembers"):
        more += [f"--extraction.prompts.{side}", "0"]
    by_byrote(out, "members.jsonl", "nonmembers.jsonl", "records", more)


def byrote_canaries(out: Path) -> None:
    more = [*NO_THRESHOLDS, "--extraction.temperatures", "[0]"]
    by_byrote(out, "canaries_in.jsonl", "canaries_out.jsonl", "canaries", more)


def memaudit(out: Path) -> None:
    """Its own command, on its canaries and on the records."""
    from memaudit.cli import main as command

    words = ["audit", "--model", out / "adapter", "--canary-set", out / "memaudit.json", "--ref", "auto"]
    words += ["--dataset", out / "members.jsonl", "--held-out", out / "nonmembers.jsonl"]
    words += ["--real-sample", RECORDS, "--output", out / "memaudit-report.json"]
    if status := command([str(word) for word in words]):
        sys.exit(status)


def tre_slm(out: Path) -> None:
    """Its scoring of texts, its AUC and its interval, of the adapter."""
    import peft
    from tre_slm import engine

    model, tokenizer, _ = engine.load_model(str(out / "base"), "main")
    model = peft.PeftModel.from_pretrained(model, str(out / "adapter")).eval()
    found: dict[str, Any] = {}
    for kind, sides in (("records", ("members", "nonmembers")), ("canaries", ("canaries_in", "canaries_out"))):
        scored = [
            engine.score_texts(model, tokenizer, [row["text"] for row in rows_of(out / f"{side}.jsonl")], 0.2)
            for side in sides
        ]
        labels = [1] * len(scored[0]) + [0] * len(scored[1])
        for name, key, sign in (
            ("loss", "nll", -1),
            ("zlib", "zlib_ratio", -1),
            ("min_k", "min_k", 1),
            ("min_k_plus_plus", "min_k_pp", 1),
        ):
            values = [sign * row[key] for side in scored for row in side]
            _, low, high = engine.bootstrap_auc_ci(labels, values, 1000, SEED)
            found[f"{kind} {name}"] = {"auc": engine.roc_auc(labels, values), "low": low, "high": high}
    (out / "tre-slm.json").write_text(json.dumps(found))


PARTS: dict[str, tuple[str, Callable[[Path], None]]] = {  # name → whose environment, function
    "records": ("byrote", records),
    "canaries": ("memaudit", canaries),
    "tune": ("byrote", tune),
    "byrote-records": ("byrote", byrote_records),
    "byrote-canaries": ("byrote", byrote_canaries),
    "memaudit": ("memaudit", memaudit),
    "tre-slm": ("tre-slm", tre_slm),
}


OF_MEMAUDIT: dict[str, tuple[str, int]] = {  # byrote's name of an attack → memaudit's of a score, and its direction
    "loss": ("membership_loss", 1),
    "min_k": ("min_k", 1),
    "min_k_plus_plus": ("min_k_plus_plus", 1),
    "difference_mean": ("loss_diff", 1),
    "ratio": ("loss_ratio", -1),
}


def areas_of_memaudit(per_canary: list[dict[str, Any]]) -> dict[str, float]:
    """AUC of canaries put in against those left out, by byrote's name of the attack; from the scores in its report."""
    from byrote.statistics.roc import auc

    found = {}
    for name, (score, sign) in OF_MEMAUDIT.items():
        sides = [[sign * c["scores"][score] for c in per_canary if c["included"] is inside] for inside in (True, False)]
        found[name] = float(auc(*map(np.array, sides)))
    return found


def with_interval(area: float, low: float, high: float) -> str:
    return f"{area:.3f} [{low:.3f}, {high:.3f}]" if low < high else f"{area:.3f}"


def table(out: Path) -> list[str]:
    """AUCs of records and canaries by attack and tool, and what memaudit says beside them."""
    import byrote

    theirs = json.loads((out / "tre-slm.json").read_text())
    report = json.loads((out / "memaudit-report.json").read_text())
    of_canaries = areas_of_memaudit(report["per_canary"])
    lines = ["| measured on | attack | byrote | tre-slm | memaudit |", "|---|---|---|---|---|"]
    for kind in ("records", "canaries"):
        own = byrote.load(out / kind).tables.membership.set_index("attack")
        for name in ("loss", "zlib", "min_k", "min_k_plus_plus", "difference_mean", "ratio"):
            row, other = own.loc[name], theirs.get(f"{kind} {name}")
            cells = [with_interval(row["auc"], row["auc_low"], row["auc_high"])]
            cells.append(with_interval(*(other[end] for end in ("auc", "low", "high"))) if other else "–")
            cells.append(f"{of_canaries[name]:.3f}" if kind == "canaries" and name in of_canaries else "–")
            lines.append(f"| {kind} | `{name}` | {' | '.join(cells)} |")
    said = {
        name: report["membership"][name] for name in ("headline_attack", "auc", "detection_claim", "tpr_at_1pct_fpr")
    }
    said |= {"regurgitation": report["regurgitation"]["overall"], "records": report["real_records"]["set_level"]}
    return [*lines, "", f"memaudit: {json.dumps(said)}"]


def cpu_seconds() -> float:
    """Processor time of all parts so far: other work on the machine changes it less than the time on the wall."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> int:
    """Every part in its environment, then the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--others", type=Path, required=True, help="a folder with environments memaudit and tre-slm")
    parser.add_argument("--out", type=Path, required=True, help="a new folder")
    parser.add_argument("--part", choices=PARTS, help="only this one, in this environment")
    options = parser.parse_args()
    out = options.out.resolve()
    if options.part:
        PARTS[options.part][1](out)
        return 0
    pythons = {"byrote": sys.executable}
    for name in ("memaudit", "tre-slm"):
        pythons[name] = str(options.others / name / "bin" / "python")
        if not Path(pythons[name]).exists():
            parser.error(f"{pythons[name]} is missing; see the commands at the top of this file")
    out.mkdir(parents=True)
    seconds: dict[str, float] = {}
    for part, (whose, _) in PARTS.items():
        before = cpu_seconds()
        words = [pythons[whose], __file__, "--others", str(options.others), "--out", str(out), "--part", part]
        subprocess.run(words, check=True, env={**os.environ, **ONE_THREAD})
        seconds[part] = cpu_seconds() - before
    print("\n".join(table(out)))
    print("\n" + "\n".join(f"{part}: {took:.0f} s of processor time" for part, took in seconds.items()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
