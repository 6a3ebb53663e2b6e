"""What a study will take and what it can show, before anything is trained.

Times follow from the arithmetic (4N FLOP a trained token, 2N a scored or written one, N the weights that multiply) and
a matrix product measured now, at the shares of it that `make bench` saw; they are meant to tell minutes from days.
"""

import math
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from byrote import lm
from byrote.passes.finetune import steps_of
from byrote.records import Role
from byrote.running.layout import layout
from byrote.running.planning import Planned, Prepared
from byrote.statistics.detectable import design_effect, resolvable, smallest_auc, smallest_difference, smallest_tpr

# Shares of the matrix product's speed that the stages reach (docs/results.md, make bench).
_TRAINING, _SCORING, _WRITING = 0.6, 0.6, 0.25
# Assumed where nothing is measured yet: scores of two trials on the same records agree this much, and records of one
# document this much.
CORRELATION, ICC = 0.8, 0.3


@dataclass(frozen=True)
class Work:
    """One trial: what it trains on, and how long it will take; seconds on one worker of the layout."""

    label: str
    training_records: int
    tokens: int
    steps: int
    seconds: float


@dataclass(frozen=True)
class Power:
    """What one comparison can show at level 5% and power 80%; NaN where it can show nothing."""

    stratum: str
    members: int
    nonmembers: int
    auc: float
    auc_by_document: float
    difference: float
    tpr: tuple[tuple[float, float | str], ...]


@dataclass(frozen=True)
class Forecast:
    """`seconds` for the whole study with its workers; bytes of memory at the peak, of all workers, and of disk."""

    work: tuple[Work, ...]
    seconds: float
    workers: int
    threads: int
    memory: int
    disk: int
    power: tuple[Power, ...]


def forecast(prepared: Prepared) -> Forecast:
    """The plan of a prepared study; reads config and corpus, no weights."""
    workers, threads = layout(prepared)
    weights, speed = lm.multiplying_weights(prepared.files), _speed(prepared, threads)
    scored, free = sum(len(r.token_ids) for r in prepared.records), _free(prepared)
    written = _written(prepared, prepared.base_prompts) + free
    base = (2 * weights * ((scored + free) / _SCORING + written / _WRITING)) / speed
    nulls = {null.key: prepared.null_label(null) for null in prepared.null_trials.planned}
    work = tuple(
        _work(prepared, planned, nulls.get(planned.key, planned.trial.label), weights, speed, scored)
        for planned in prepared.trained.values()
    )
    total = base + sum(w.seconds for w in work)
    trials = len(work) + 1
    return Forecast(
        work,
        total / workers,
        workers,
        threads,
        workers * (lm.weight_bytes(prepared.files, prepared.precision) + 2 * 2**30),
        trials * (scored + 2 * free) * 13 + sum(len(r.text.encode()) * 2 for r in prepared.records) + trials * 2**20,
        tuple(_power(prepared, prepared.planned[0])),
    )


def _work(prepared: Prepared, planned: Planned, label: str, weights: int, speed: float, scored: int) -> Work:
    training = planned.trial.training
    steps = steps_of(len(planned.training_ids), training)
    in_epoch = math.ceil(len(planned.training_ids) / training.effective_batch)
    tokens = round(steps / in_epoch * sum(map(len, planned.training_ids)))
    free = _free(prepared) if planned.untargeted else 0
    flop = 4 * weights * tokens / _TRAINING + 2 * weights * (scored + 2 * free) / _SCORING
    flop += 2 * weights * (_written(prepared, planned.prompts) + free) / _WRITING
    return Work(label, len(planned.training_ids), tokens, steps, flop / speed)


def _written(prepared: Prepared, prompts: Sequence[object]) -> int:
    extraction = prepared.study.extraction
    times = sum(extraction.samples if t > 0 else 1 for t in extraction.temperatures)
    return times * sum(len(p.suffix) for p in prompts)  # type: ignore[attr-defined]


def _free(prepared: Prepared) -> int:
    """The most tokens that one model writes from an empty prompt."""
    wanted = prepared.study.extraction.untargeted
    return wanted.completions * wanted.tokens if prepared.base_untargeted else 0


def _speed(prepared: Prepared, threads: int) -> float:
    """FLOP/s of one worker's matrix products, the best of three."""
    dtype, device = lm.DTYPES[prepared.precision], prepared.device
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    a, b = torch.ones(512, 1536, dtype=dtype, device=device), torch.ones(1536, 1536, dtype=dtype, device=device)
    best = math.inf
    for _ in range(4):
        started = time.perf_counter()
        for _ in range(10):
            torch.mm(a, b)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        best = min(best, time.perf_counter() - started)
    torch.set_num_threads(before)
    return 10 * 2 * 512 * 1536 * 1536 / best


def _power(prepared: Prepared, planned: Planned) -> list[Power]:
    groups = {r.record: r.group for r in prepared.records}
    sides: dict[str, tuple[list[str], list[str]]] = {"records": ([], [])}
    for a in planned.roles:
        if a.role in (Role.MEMBER, Role.NONMEMBER):
            sides["records"][a.role is Role.NONMEMBER].append(a.record)
        elif a.role in (Role.CANARY_IN, Role.CANARY_OUT):
            side = sides.setdefault(f"canaries@{a.copies}", ([], []))
            side[a.role is Role.CANARY_OUT].append(a.record)
    rates = prepared.study.membership.false_positive_rates
    by_copies = sorted(sides.items(), key=lambda side: int(side[0].partition("@")[2] or 0))
    return [_power_of(name, *ids, groups, rates) for name, ids in by_copies]


def _power_of(
    name: str, members: list[str], nonmembers: list[str], groups: dict[str, str], rates: Sequence[float]
) -> Power:
    p, q = len(members), len(nonmembers)
    sizes = Counter(groups[r] for r in (*members, *nonmembers)).values()
    design = design_effect(sum(m * m for m in sizes) / max(1, sum(sizes)), ICC) if sizes else 1.0
    tpr = tuple((rate, resolvable(q, rate) or smallest_tpr(p, rate)) for rate in rates)
    both = p > 0 and q > 0
    return Power(
        name,
        p,
        q,
        smallest_auc(p, q) if both else math.nan,
        smallest_auc(p, q, design=design) if both else math.nan,
        smallest_difference(0.7, p, q, CORRELATION, design=design) if both else math.nan,
        tpr,
    )
