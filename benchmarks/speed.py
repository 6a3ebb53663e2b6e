"""byrote against the reference pipeline and a tuned Trainer, in turn in one run: rates, ratios, MFU, peak memory.

    make bench                              # the full measurement, about 20 minutes on two cores
    python benchmarks/speed.py --short      # about 5 minutes, looser bounds

Same records, model, LoRA settings and device for all; byrote and the tuned Trainer in the format that `auto` takes
here. Rates count real tokens, no padding. MFU: 4N FLOP a trained and 2N a scored or written token, N the weights that
multiply, against the best matrix product of the same round in any format. `side by side` trains two trials in two
processes at once, each with half of the threads. The whole trial is composed of the stage rates. The reference's
generation rate is of fewer completions, written one by one. Records are PHEE's where BYROTE_PHEE names its folder, else
synthetic. Exits with 1 where a bound is not met.
"""

import argparse
import json
import os
import random
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import common
from common import SIDE
from workers import Settings, Worker

from byrote.errors import ByroteError
from byrote.large_pages import ENVIRONMENT

SOURCE = "smollm2-135m"
MODULES = {"reference": "reference", "tuned": "tuned", "byrote": "engine"}
STEP = 64  # records an optimizer step
WARM_UP = 16  # records


@dataclass(frozen=True)
class Mode:
    """How much is measured. steps, scored, prompts are of one round and contender; `share` loosens the bounds."""

    rounds: int
    steps: int
    scored: int
    prompts: int
    samples: int
    one_by_one: int
    share: float


MODES = {
    "full": Mode(rounds=3, steps=7, scored=200, prompts=10, samples=10, one_by_one=10, share=1.0),
    "short": Mode(rounds=3, steps=1, scored=64, prompts=10, samples=10, one_by_one=4, share=0.6),
}

Ids = Sequence[Sequence[int]]


def main() -> int:
    """Measure in turn, print the table, write the JSON; 1 where a bound is not met."""
    options = _options()
    mode = MODES["short" if options.short else "full"]
    corpus, token_ids = load_records(mode)
    settings, device, chosen = settings_for(options)
    header = {
        "date": datetime.now(UTC).isoformat(timespec="minutes"),
        "device": device,
        "threads": settings.threads,
        "precision": str(chosen),
        "versions": {name: version(name) for name in ("torch", "transformers", "peft")},
        "corpus": corpus,
    }
    print(f"{device}, {settings.threads} threads, {header['date']}, {corpus}")
    print(f"byrote and tuned in {chosen}")
    print(", ".join(f"{name} {number}" for name, number in header["versions"].items()), flush=True)
    started = time.monotonic()
    run = Run(settings, mode)
    try:
        run.warm_up(token_ids[:WARM_UP])
        rounds = []
        for number in range(mode.rounds):
            rounds.append(run.round(token_ids[number * mode.steps * STEP : (number + 1) * mode.steps * STEP]))
            print(f"round {number + 1} of {mode.rounds} done", flush=True)
        weights, memory = run.workers["byrote"].ask("weights"), run.memory()
    finally:
        run.close()
    minutes = (time.monotonic() - started) / 60
    print(f"{minutes:.1f} minutes in all")
    header |= {"settings": settings_record(settings, mode), "weights": weights, "memory_bytes": memory}
    header["minutes"] = round(minutes, 1)
    return report(header, rounds, run.excused, token_ids, options.out)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--short", action="store_true", help="about 5 minutes; bounds at 60%%")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    parser.add_argument("--threads", type=int, default=min(2, os.cpu_count() or 1), help="of every contender; 2")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "speed.json")
    return parser.parse_args()


def load_records(mode: Mode) -> tuple[str, list[tuple[int, ...]]]:
    """Name of the corpus, and token ids of enough members in an order of their own, other ones for every round."""
    from byrote import lm
    from byrote.corpora import load_corpus
    from byrote.study import AdverseEventsCorpus, PheeCorpus

    wanted = mode.rounds * mode.steps * STEP
    phee = bool(os.environ.get("BYROTE_PHEE"))
    corpus = PheeCorpus(source="phee") if phee else AdverseEventsCorpus(source="adverse_events", size=wanted)
    texts = [r.text for r in load_corpus(corpus).records if r.split == "members"]
    random.Random(0).shuffle(texts)
    return corpus.source, lm.load_tokenizer(lm.resolve_base(SOURCE)).encode(texts[:wanted], append_eos=False)


def settings_for(options: argparse.Namespace) -> tuple[Settings, str, Any]:
    """What the contenders are made from, the device in words, and the precision with why it was taken."""
    import torch

    from byrote import lm

    device, files = lm.pick_device(options.device), lm.resolve_base(SOURCE)
    chosen = lm.precision_of(files, "auto", device, options.threads)
    words = torch.cuda.get_device_name(device) if device.type == "cuda" else lm.processor_name()
    return Settings(SOURCE, files.folder, str(device), chosen.format, options.threads), words, chosen


def settings_record(settings: Settings, mode: Mode) -> dict[str, Any]:
    """The settings without this machine's paths."""
    return {"model": SOURCE, "precision": settings.precision, "device": settings.device, "mode": mode}


class Run:
    """The contenders in their processes; `excused` names the stages that are not judged here and why."""

    def __init__(self, settings: Settings, mode: Mode) -> None:
        self.mode, self.settings, self.excused = mode, settings, {}
        gpu = not settings.device.startswith("cpu")
        if gpu:
            self.excused["all"] = "the bounds are for a processor"
        if gpu or settings.threads < 2:
            self.excused[SIDE] = "one GPU runs one trial at a time" if gpu else "it needs two threads"
            print(f"{SIDE} is skipped: {self.excused[SIDE]}", flush=True)
        half = replace(settings, threads=settings.threads // 2)
        both = () if SIDE in self.excused else (half, half)
        starts_with = {"byrote": ENVIRONMENT}  # as its commands and workers do; Trainer's users have nothing like it
        self.workers = {name: Worker(m, settings, starts_with.get(name, {})) for name, m in MODULES.items()}
        self.side = [Worker("engine", each, ENVIRONMENT) for each in both]
        self.products = [Worker("gemm", each, ENVIRONMENT) for each in (both or (settings,))]

    def warm_up(self, token_ids: Ids) -> None:
        """A few records through every loop, untimed: libraries set themselves up at first use."""
        for worker in (*self.workers.values(), *self.side):
            worker.ask("finetune", token_ids)
            worker.ask("score", token_ids)
            worker.ask("complete", token_ids[:1], 1)

    def round(self, token_ids: Ids) -> dict[str, Any]:
        """Rates of every stage and contender, one after the other, and the best matrix products."""
        scored, prompts = token_ids[: self.mode.scored], token_ids[: self.mode.prompts]
        rates: dict[str, dict[str, float]] = {"fine-tuning": {}, "scoring": {}, "generation": {}}
        peaks = self.peaks()
        for name, worker in self.workers.items():
            rates["fine-tuning"][name] = _tokens(token_ids) / worker.ask("finetune", token_ids)
        if self.side:
            # Both have the same records, so they end together; the longer time counts.
            rates[SIDE] = {"byrote": 2 * _tokens(token_ids) / max(self.at_once(self.side, "finetune", token_ids))}
        for name, worker in self.workers.items():
            rates["scoring"][name] = _tokens(scored) / worker.ask("score", scored)
        for name, worker in self.workers.items():
            one_by_one = name == "reference"
            few, samples = (prompts[: self.mode.one_by_one], 1) if one_by_one else (prompts, self.mode.samples)
            written = samples * sum(len(ids) - len(ids) // 2 for ids in few)
            rates["generation"][name] = written / worker.ask("complete", few, samples)
        return {"rates": rates, "peaks": peaks}

    def peaks(self) -> dict[str, dict[str, float]]:
        """Precision → how → FLOP/s of the best product: one thread, all threads, two processes at once."""
        threads = self.settings.threads
        hows = {1: "1 thread"} | ({threads: f"{threads} threads"} if threads > 1 else {})
        if not self.settings.device.startswith("cpu"):
            hows = {threads: "GPU"}
        rates: dict[str, dict[str, float]] = {}
        for precision in self.products[0].ask("formats"):
            rates[precision] = {how: self.products[0].ask("peak", precision, count) for count, how in hows.items()}
            if self.side:
                rates[precision]["2 processes"] = sum(self.at_once(self.products, "peak", precision, threads // 2))
        return rates

    @staticmethod
    def at_once(workers: Sequence[Worker], name: str, *arguments: Any) -> list[float]:
        """The answers of workers that work at the same time."""
        for worker in workers:
            worker.start(name, *arguments)
        return [worker.finish() for worker in workers]

    def memory(self) -> dict[str, dict[str, int | None]]:
        """Most bytes of each contender in its process, and on the GPU."""
        return {name: {"host": w.ask("memory"), "gpu": w.ask("gpu_memory")} for name, w in self.workers.items()}

    def close(self) -> None:
        """End all processes."""
        for worker in (*self.workers.values(), *self.side, *self.products):
            worker.close()


def _tokens(token_ids: Ids) -> int:
    return sum(map(len, token_ids))


def report(
    header: dict[str, Any], rounds: list[dict[str, Any]], excused: dict[str, str], token_ids: Ids, out: Path
) -> int:
    """Print what was measured and write it to `out`; 1 where a bound is not met."""
    settings, counts = header["settings"], common.Counts()
    workload = common.workload_of(counts, token_ids)
    rates, measured = common.medians(rounds), common.figures(rounds, workload, header["weights"])
    bf16_gain = common.gain(rounds)
    verdicts = common.judge(measured, settings["mode"].share, excused, bf16_gain)
    passed = all(v.passed is not False for v in verdicts)
    print("\nreal tokens a second, medians (least–most) of the rounds:")
    print("\n".join(common.table(measured, rates)))
    print(
        f"whole trial: composed of the stage rates for {counts}, {workload.trained / 1e3:.0f} thousand tokens trained"
    )
    for precision, hows in rounds[0]["peaks"].items():
        best = (f"{how} {max(r['peaks'][precision][how] for r in rounds) / 1e9:.0f}" for how in hows)
        print(f"best matrix product in {precision}, GFLOP/s: {', '.join(best)}")
    print(f"bf16 is {bf16_gain:.2f} times as fast as fp32 on {header['device']}")
    for name, used in header["memory_bytes"].items():
        words = (f"{place} {size / 2**20:.0f} MiB" for place, size in used.items() if size is not None)
        print(f"peak memory of {name}: {', '.join(words)}")
    print("\n".join((*common.verdict_lines(verdicts), *common.aim_lines(measured))))
    record = header | {
        "workload": {"counts": counts, "tokens": workload, "composed": True},
        "rounds": rounds,
        "medians": rates,
        "figures": measured,
        "bf16_gain": bf16_gain,
        "bounds": verdicts,
        "aims": common.AIMS,
        "passed": passed,
    }
    out.write_text(json.dumps(common.as_json(record), indent=1, allow_nan=False) + "\n", encoding="utf-8")
    return 0 if passed else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except ByroteError as error:
        sys.exit(f"error: {error}")
