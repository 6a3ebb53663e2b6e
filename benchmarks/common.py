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


# For two cores with avx512_bf16.
BOUNDS = (
    Bound("fine-tuning", "byrote/reference", 4.5),
    Bound("fine-tuning", "byrote/tuned", 1.5),
    Bound(SIDE, "byrote/reference", 5.5),
    Bound(SIDE, "MFU byrote", 0.55),
    Bound("scoring", "byrote/reference", 4.5),
    Bound("scoring", "MFU byrote", 0.58),
    Bound("generation", "byrote/reference", 12.0),
    Bound(TRIAL, "byrote/reference", 4.5),
)


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


def figures(
    rounds: Sequence[Mapping[str, Any]], workload: Workload, weights: int, precisions: Mapping[str, str]
) -> Figures:
    """Stage → figure → spread over rounds, each figure taken within its round, where the rates stand close in time.

    weights: how many multiply · precisions: contender → the precision whose best product its MFU is measured against.
    """
    each = [_of_round(r["rates"], r["peaks"], workload, weights, precisions) for r in rounds]
    return {
        stage: {name: spread([e[stage][name] for e in each]) for name in values} for stage, values in each[0].items()
    }


def _of_round(
    rates: Mapping[str, Mapping[str, float]],
    peaks: Mapping[str, Mapping[str, float]],
    workload: Workload,
    weights: int,
    precisions: Mapping[str, str],
) -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, float]] = {}
    for stage, measured in rates.items():
        ours, base = measured["byrote"], rates["fine-tuning" if stage == SIDE else stage]
        found[stage] = {f"byrote/{other}": ours / base[other] for other in CONTENDERS[:2]}
        if stage == SIDE:
            found[stage]["byrote/one process"] = ours / base["byrote"]
        for who, rate in measured.items():
            best = max(peaks[precisions[who]].values())
            found[stage][f"MFU {who}"] = FLOP[stage] * weights * rate / best
    seconds = {who: workload.seconds({stage: rates[stage][who] for stage in STAGES}) for who in CONTENDERS}
    found[TRIAL] = {f"byrote/{other}": seconds[other] / seconds["byrote"] for other in CONTENDERS[:2]}
    found[TRIAL] |= {f"seconds {who}": value for who, value in seconds.items()}
    return found


@dataclass(frozen=True)
class Verdict:
    """A bound and what was measured. passed: None where it is not judged, for `reason`."""

    stage: str
    figure: str
    least: float
    median: float | None
    passed: bool | None
    reason: str = ""


def judge(measured: Figures, share: float, excused: Mapping[str, str]) -> list[Verdict]:
    """A verdict for every bound, each times `share`. excused: stage, or "all" → why it is not judged.

    A figure that is NaN, or absent without excuse, fails.
    """
    verdicts = []
    for bound in BOUNDS:
        found = measured.get(bound.stage, {}).get(bound.figure)
        median = found.median if found else None
        reason = excused.get("all") or excused.get(bound.stage) or ""
        passed = None if reason else median is not None and median >= bound.least * share
        verdicts.append(Verdict(bound.stage, bound.figure, bound.least * share, median, passed, reason))
    return verdicts


def table(measured: Figures, rates: Mapping[str, Mapping[str, Spread]]) -> list[str]:
    """Lines of the printed table: real tokens a second, ratios with their range, MFU."""
    head = f"{'stage':<13}" + "".join(f"{who:>11}" for who in CONTENDERS)
    lines = [f"{head}{'byrote/reference':>21}{'byrote/tuned':>21}  MFU byrote, tuned, reference"]
    for stage, found in measured.items():
        if stage == TRIAL:
            cells = [f"{found[f'seconds {who}'].median:.0f} s" for who in CONTENDERS]
            mfu = ""
        else:
            cells = [f"{rates[stage][who].median:.0f}" if who in rates[stage] else "-" for who in CONTENDERS]
            mfu = "  " + "  ".join(f"{found[n].median:.2f}" for n in MFU if n in found)
        ratios = "".join(f"{_with_range(found[f'byrote/{other}']):>21}" for other in CONTENDERS[:2])
        lines.append((f"{stage:<13}" + "".join(f"{cell:>11}" for cell in cells) + ratios + mfu).rstrip())
    return lines


MFU = ("MFU byrote", "MFU tuned", "MFU reference")


def verdict_lines(verdicts: Sequence[Verdict]) -> list[str]:
    """One line a bound."""
    lines = []
    for v in verdicts:
        word = {True: "ok", False: "FAILED", None: "not judged"}[v.passed]
        got = "not measured" if v.median is None else f"{v.median:.2f}"
        lines.append(
            f"{word:<10} {v.stage}, {v.figure}: {got}, at least {v.least:.2f}" + (v.reason and f" ({v.reason})")
        )
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
