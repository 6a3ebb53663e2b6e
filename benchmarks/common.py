"""What is computed from measured rates: ratios, MFU, the whole trial, the verdict, and how they are printed.

Plain arithmetic; nothing here measures, and nothing imports torch.
A round is {"rates": {stage: {contender: real tokens a second}}, "peaks": {precision: {how: FLOP/s}}}.
"""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

CONTENDERS = ("reference", "tuned", "byrote")
STAGES = ("fine-tuning", "scoring", "generation")
SIDE = "side by side"
TRIAL = "whole trial"
# FLOP a real token and weight. LoRA needs no gradient of the frozen weights: two products back and forth, not three.
FLOP = {"fine-tuning": 4, SIDE: 4, "scoring": 2, "generation": 2}


@dataclass(frozen=True)
class Bound:
    """The least median of a figure that passes; `figure` is a ratio or MFU of byrote."""

    stage: str
    figure: str
    least: float


# On any processor. The vector MFU is the MFU where no matrix unit multiplies (see `figures`).
BOUNDS = (
    Bound("fine-tuning", "vector MFU byrote", 0.55),
    Bound("fine-tuning", "byrote/tuned", 1.25),
    Bound(SIDE, "vector MFU byrote", 0.58),
    Bound("scoring", "vector MFU byrote", 0.58),
    Bound("scoring", "byrote/tuned", 1.2),
    Bound("generation", "byrote/tuned", 2.4),
)
# The reference computes in fp32: how far it can be passed depends on what bf16 gains on the processor.
REFERENCE_BOUNDS = (
    Bound("fine-tuning", "byrote/reference", 4.5),
    Bound(SIDE, "byrote/reference", 5.5),
    Bound("scoring", "byrote/reference", 4.5),
    Bound("generation", "byrote/reference", 12.0),
    Bound(TRIAL, "byrote/reference", 4.5),
)
GAIN = 1.5  # times as fast as fp32 must bf16 be for them to be judged
AIMS = (Bound("fine-tuning", "vector MFU byrote", 0.70), Bound("scoring", "vector MFU byrote", 0.75))
VECTOR_GAIN = 2.0  # of bf16 over fp32 by vector instructions, which hold twice as many numbers; more is a matrix unit's


@dataclass(frozen=True)
class Workload:
    """A trial in real tokens: trained (all epochs), scored under the tuned model, written."""

    trained: float
    scored: float
    written: float

    def seconds(self, rates: Mapping[str, float]) -> float:
        """Time of the trial composed of stage rates; loading and tables are not in it."""
        return self.trained / rates["fine-tuning"] + self.scored / rates["scoring"] + self.written / rates["generation"]


@dataclass(frozen=True)
class Counts:
    """The workload in records: by default PHEE's members and non-members, and 300 prompts at three temperatures."""

    members: int = 2898
    epochs: int = 3
    scored: int = 3866
    prompts: int = 300
    temperatures: int = 3


def in_words(c: Counts) -> str:
    """The workload in a line."""
    return (
        f"{c.members} records × {c.epochs} epochs trained, {c.scored} records scored, "
        f"{c.prompts} prompts × {c.temperatures} temperatures completed"
    )


def workload_of(counts: Counts, token_ids: Sequence[Sequence[int]]) -> Workload:
    """The workload in tokens, by the mean record and mean second half of these records."""
    record = statistics.fmean(len(ids) for ids in token_ids)
    half = statistics.fmean(len(ids) - len(ids) // 2 for ids in token_ids)
    return Workload(
        counts.members * counts.epochs * record, counts.scored * record, counts.prompts * counts.temperatures * half
    )


@dataclass(frozen=True)
class Spread:
    """Median, least and most over the rounds."""

    median: float
    low: float
    high: float


def spread(values: Sequence[float]) -> Spread:
    """Median and range; NaN in one round makes all NaN."""
    if any(math.isnan(v) for v in values):
        return Spread(math.nan, math.nan, math.nan)
    return Spread(statistics.median(values), min(values), max(values))


Figures = dict[str, dict[str, Spread]]


def figures(rounds: Sequence[Mapping[str, Any]], workload: Workload, weights: int) -> Figures:
    """Stage → figure → spread over rounds, each figure taken within its round, where the rates stand close in time.

    weights: how many multiply. MFU: FLOP/s of a contender as a share of P, the best product of any format.
    "vector MFU": the same, products counted at no more than the vector units' rate V = min(P, 2 · fp32's best). A
    matrix unit (AMX) multiplies many times faster, but nothing else that a model computes can use it: of t seconds a
    token with F FLOP, t − F/P are spent outside products, and the vector MFU is (F/V) / (t − F/P + F/V). Where V = P it
    is the MFU.
    "limit byrote/reference": what that ratio would be if byrote reached P.
    """
    each = [_of_round(r["rates"], r["peaks"], workload, weights) for r in rounds]
    return {
        stage: {name: spread([e[stage][name] for e in each]) for name in values} for stage, values in each[0].items()
    }


def best_products(peaks: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """Precision → FLOP/s of the best product, whichever way and on however many threads."""
    return {precision: max(hows.values()) for precision, hows in peaks.items()}


def gain(rounds: Sequence[Mapping[str, Any]]) -> float:
    """How many times as fast as fp32 products in bf16 are; 1 where bf16 is emulated and was not measured."""
    best = [best_products(r["peaks"]) for r in rounds]
    return statistics.median(each["bf16"] / each["fp32"] if "bf16" in each else 1.0 for each in best)


def _of_round(
    rates: Mapping[str, Mapping[str, float]],
    peaks: Mapping[str, Mapping[str, float]],
    workload: Workload,
    weights: int,
) -> dict[str, dict[str, float]]:
    best = best_products(peaks)
    most, vector = max(best.values()), min(max(best.values()), VECTOR_GAIN * best["fp32"])
    figures: dict[str, dict[str, float]] = {}
    for stage, measured in rates.items():
        ours, base = measured["byrote"], rates["fine-tuning" if stage == SIDE else stage]
        flop = FLOP[stage] * weights
        figures[stage] = {f"byrote/{other}": ours / base[other] for other in CONTENDERS[:2]}
        figures[stage]["limit byrote/reference"] = most / flop / base["reference"]
        if stage == SIDE:
            figures[stage]["byrote/one process"] = ours / base["byrote"]
        for who, rate in measured.items():
            figures[stage][f"MFU {who}"] = flop * rate / most
            outside = 1 / rate - flop / most
            figures[stage][f"vector MFU {who}"] = flop / vector / (outside + flop / vector)
    seconds = {who: workload.seconds({stage: rates[stage][who] for stage in STAGES}) for who in CONTENDERS}
    at_best = workload.seconds({stage: most / FLOP[stage] / weights for stage in STAGES})
    figures[TRIAL] = {f"byrote/{other}": seconds[other] / seconds["byrote"] for other in CONTENDERS[:2]}
    figures[TRIAL] |= {f"seconds {who}": value for who, value in seconds.items()}
    figures[TRIAL]["limit byrote/reference"] = seconds["reference"] / at_best
    return figures


@dataclass(frozen=True)
class Verdict:
    """A bound and what was measured. passed: None where it is not judged, for `reason`; limit: the most possible."""

    stage: str
    figure: str
    least: float
    median: float | None
    passed: bool | None
    reason: str = ""
    limit: float | None = None


def judge(measured: Figures, share: float, excused: Mapping[str, str], bf16_gain: float) -> list[Verdict]:
    """A verdict for every bound, each times `share`. excused: stage, or "all" → why it is not judged.

    The bounds on ratios to the reference are judged where bf16 gains enough over fp32. A figure that is NaN, or absent
    without excuse, fails.
    """
    slow = "" if bf16_gain >= GAIN else f"bf16 is {bf16_gain:.2f} times as fast as fp32; judged from {GAIN:g} on"
    verdicts = []
    for bound in (*BOUNDS, *REFERENCE_BOUNDS):
        figures = measured.get(bound.stage, {})
        median, limit = (
            figures[name].median if name in figures else None for name in (bound.figure, f"limit {bound.figure}")
        )
        reason = excused.get("all") or excused.get(bound.stage) or (slow if bound in REFERENCE_BOUNDS else "")
        passed = None if reason else median is not None and median >= bound.least * share
        least = bound.least * share
        verdicts.append(Verdict(bound.stage, bound.figure, least, median, passed, reason=reason, limit=limit))
    return verdicts


def table(measured: Figures, rates: Mapping[str, Mapping[str, Spread]]) -> list[str]:
    """Lines of the printed table: real tokens a second, ratios with their range, MFU, byrote's vector MFU."""
    head = f"{'stage':<13}" + "".join(f"{who:>11}" for who in CONTENDERS)
    lines = [f"{head}{'byrote/reference':>21}{'byrote/tuned':>21}  MFU byrote, tuned, reference; vector MFU byrote"]
    for stage, figures in measured.items():
        if stage == TRIAL:
            cells = [f"{figures[f'seconds {who}'].median:.0f} s" for who in CONTENDERS]
            mfu = ""
        else:
            cells = [f"{rates[stage][who].median:.0f}" if who in rates[stage] else "-" for who in CONTENDERS]
            mfu = "  " + "  ".join(f"{figures[n].median:.2f}" for n in MFU if n in figures)
            mfu += f"; {figures['vector MFU byrote'].median:.2f}"
        ratios = "".join(f"{_with_range(figures[f'byrote/{other}']):>21}" for other in CONTENDERS[:2])
        lines.append((f"{stage:<13}" + "".join(f"{cell:>11}" for cell in cells) + ratios + mfu).rstrip())
    return lines


MFU = ("MFU byrote", "MFU tuned", "MFU reference")


def verdict_lines(verdicts: Sequence[Verdict]) -> list[str]:
    """One line a bound."""
    lines = []
    for v in verdicts:
        word = {True: "ok", False: "FAILED", None: "not judged"}[v.passed]
        median = "not measured" if v.median is None else f"{v.median:.2f}"
        limit = "" if v.limit is None else f", limit {v.limit:.1f}"
        reason = v.reason and f" ({v.reason})"
        lines.append(f"{word:<10} {v.stage}, {v.figure}: {median}, at least {v.least:.2f}{limit}{reason}")
    return lines


def aim_lines(measured: Figures) -> list[str]:
    """One line an aim; nothing fails for one."""
    lines = []
    for aim in AIMS:
        median = measured[aim.stage][aim.figure].median
        word = "reached" if median >= aim.least else "not reached"
        lines.append(f"aim        {aim.stage}, {aim.figure}: {median:.2f} of {aim.least:.2f}, {word}")
    return lines


def medians(rounds: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Spread]]:
    """Stage → contender → spread of its rates over the rounds."""
    first = rounds[0]["rates"]
    return {
        stage: {who: spread([r["rates"][stage][who] for r in rounds]) for who in measured}
        for stage, measured in first.items()
    }


def as_json(value: Any) -> Any:
    """Plain JSON values: dataclasses as objects, NaN and infinity, which JSON lacks, as null."""
    if hasattr(value, "__dataclass_fields__"):
        value = asdict(value)
    if isinstance(value, Mapping):
        return {str(key): as_json(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [as_json(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _with_range(s: Spread) -> str:
    return f"{s.median:.1f} ({s.low:.1f}–{s.high:.1f})"
