"""byrote against the reference pipeline, in turn in one run: ratios for fine-tuning, scoring and generation.

    make bench                    # about ten minutes on two cores; --rounds, --records for more

Rates count real tokens, no padding. MFU: 4N a trained and 2N a scored token, N the weights that multiply, against the
best matrix product measured in the same run. Times on a shared machine are noisy: the ratios are what counts.
"""

import argparse
import json
import statistics
import time
from pathlib import Path

import reference
import torch

from byrote import lm
from byrote.config import AdverseEventsCorpus, Extraction, Lora, Training
from byrote.corpora import load_corpus
from byrote.finetune import finetune
from byrote.generation import Prompt, complete
from byrote.scoring import score


def gemm_peak(dtype: torch.dtype) -> float:
    """Best of ten products of 512 × 1536 × 4096, in FLOP/s."""
    a, b = torch.randn(512, 1536).to(dtype), torch.randn(1536, 4096).to(dtype)
    best = 0.0
    for _ in range(10):
        started = time.perf_counter()
        for _ in range(10):
            a @ b
        best = max(best, 10 * 2 * 512 * 1536 * 4096 / (time.perf_counter() - started))
    return best


def byrote_rates(base: lm.Base, token_ids: list[tuple[int, ...]], generated: int) -> dict[str, float]:
    """Real tokens a second of byrote's loops."""
    adapted = lm.attach(base, Lora(matrices=("v",), rank=1), seed=0)
    try:
        log = finetune(adapted, token_ids, Training(epochs=1, warmup_steps=0, seed=0), 512)
        started = time.perf_counter()
        score(adapted, [str(i) for i in range(len(token_ids))], token_ids, 512)
        scoring = time.perf_counter() - started
        prompts = [Prompt(str(i), ids, len(ids) // 2) for i, ids in enumerate(token_ids[:generated])]
        started = time.perf_counter()
        complete(adapted, prompts, Extraction(temperatures=(1.0,)), None, 64)
        generation = time.perf_counter() - started
    finally:
        lm.detach(base, adapted)
    return {
        "fine-tuning": sum(s.tokens for s in log) / sum(s.seconds for s in log),
        "scoring": sum(map(len, token_ids)) / scoring,
        "generation": sum(len(p.suffix) for p in prompts) / generation,
    }


def reference_rates(files: lm.BaseFiles, token_ids: list[tuple[int, ...]], generated: int) -> dict[str, float]:
    """Real tokens a second of the reference pipeline."""
    model, tokens = reference.load(files), sum(map(len, token_ids))
    few = token_ids[:generated]
    return {
        "fine-tuning": tokens / reference.finetune(model, files, token_ids),
        "scoring": tokens / reference.score(model, token_ids),
        "generation": sum(len(ids) - len(ids) // 2 for ids in few) / reference.complete(model, few),
    }


def main() -> None:
    """Measure in turn, print the table, write benchmarks/speed.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--records", type=int, default=128)
    parser.add_argument("--generated", type=int, default=10)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "speed.json")
    options = parser.parse_args()
    files = lm.resolve_base("smollm2-135m")
    records = load_corpus(AdverseEventsCorpus(source="adverse_events", size=options.records)).records[: options.records]
    token_ids = lm.load_tokenizer(files).encode([r.text for r in records], append_eos=False)
    device = lm.pick_device("cpu")
    precision = lm.pick_precision("auto", device)
    base = lm.load_base(files, precision, "none", device)
    weights = sum(p.numel() for p in base.model.parameters())
    rounds = []
    for number in range(options.rounds):
        rounds.append(
            {
                "gemm": gemm_peak(lm.DTYPES[precision]),
                "byrote": byrote_rates(base, token_ids, options.generated),
                "reference": reference_rates(files, token_ids, options.generated),
            }
        )
        print(f"round {number + 1} of {options.rounds} done", flush=True)
    peak = statistics.median(r["gemm"] for r in rounds)
    print(f"{precision}, {torch.get_num_threads()} threads, matrix product {peak / 1e9:.0f} GFLOP/s")
    print(f"{'stage':<12} {'byrote':>10} {'reference':>10} {'ratio (min–max)':>20} {'MFU':>6}   (real tokens a second)")
    for stage, factor in (("fine-tuning", 4), ("scoring", 2), ("generation", 2)):
        ours, theirs = ([r[who][stage] for r in rounds] for who in ("byrote", "reference"))
        ratios = [a / b for a, b in zip(ours, theirs, strict=True)]
        spread = f"{statistics.median(ratios):.1f} ({min(ratios):.1f}–{max(ratios):.1f})"
        mfu = factor * weights * statistics.median(ours) / peak
        print(
            f"{stage:<12} {statistics.median(ours):>10.0f} {statistics.median(theirs):>10.0f} {spread:>20} {mfu:>6.2f}"
        )
    options.out.write_text(json.dumps({"precision": precision, "weights": weights, "rounds": rounds}, indent=1) + "\n")


if __name__ == "__main__":
    main()
