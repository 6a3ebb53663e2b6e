"""What a study will take and what it can show, before anything is trained.

Times follow from what the stages cost (byrote.running.cost) and how fast this machine is: by steps that are timed
(byrote.running.timing), or by an estimate from two rates (byrote.lm.products), of matrix products in the model's shapes
and of passes over numbers, which is meant to tell minutes from days.
"""

import heapq
import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from byrote import lm
from byrote.listener import Listener, Silent
from byrote.passes.finetune import steps_of
from byrote.records import RECORDS_STRATUM, Role, canary_stratum, copies_in
from byrote.running.cost import (
    Cost,
    base_costs,
    costs,
    free_tokens,
    prompted_tokens,
    scored_tokens,
    trained_tokens,
    trial_costs,
)
from byrote.running.layout import layout, tasks_of
from byrote.running.planning import Planned, Prepared
from byrote.statistics.detectable import design_effect, resolvable, smallest_auc, smallest_difference, smallest_tpr

# Assumed where nothing is measured yet: scores of two trials on the same records agree this much, and records of one
# document this much.
CORRELATION, ICC = 0.8, 0.3
# Measured on SmolLM2-135M (docs/log.md): a token's passes as multiples of one over its activations; seconds until a
# worker has imported what it needs, of reading a byte of weights, of tables, figures and report for each trial, and of
# figures and report whatever they show.
_PASSES, _START, _READING, _TABLES, _REPORT = 1.9, 8.0, 3e-9, 2.0, 4.0
# Bytes on disk: of a scored token, of a written one, of a trial's manifests, roles and log, of what is rendered.
_SCORED, _WRITTEN, _TRIAL, _RENDERED = 17, 14, 64 * 2**10, 2 * 2**20


class Speed(Protocol):
    """How fast one worker is while all of them work."""

    @property
    def timed(self) -> bool:
        """Whether the study's own work was timed; else it is an estimate."""
        ...

    @property
    def products(self) -> float:
        """Seconds of the matrix products of a token that is read."""
        ...

    def seconds(self, cost: Cost, planned: Planned | None = None) -> float:
        """How long it takes for what a trial costs, or the base model."""
        ...


@dataclass(frozen=True)
class Rates:
    """Seconds a token of one worker while all of them work: for its products and for its passes (cost.Cost)."""

    products: float
    passes: float
    timed: bool = False

    def seconds(self, cost: Cost, planned: Planned | None = None) -> float:  # noqa: ARG002
        """How long one worker takes, whatever the trial adapts."""
        return cost.products * self.products + cost.passes * self.passes


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
    """`seconds` for the whole study with its workers, from the command to the report, by steps that were `timed` or
    else estimated; `tokens` that it trains on, reads (records that are scored, prompts, and texts written freely) and
    writes at most; `flops`: FLOP/s of the products of all workers together, in the format of `precision`, or where
    steps were timed those that scoring reaches; bytes of memory at the peak, of all workers, and of disk."""

    work: tuple[Work, ...]
    seconds: float
    timed: bool
    tokens: Cost
    workers: int
    threads: int
    precision: lm.Precision
    flops: float
    memory: int
    disk: int
    power: tuple[Power, ...]


def forecast(
    prepared: Prepared,
    measure: Callable[[Prepared, int], Speed] | None = None,
    listener: Listener | None = None,
) -> Forecast:
    """The plan of a prepared study; reads config and corpus, no weights unless `measure` does.

    measure: prepared study and threads of each worker → how fast one is; the rates of this machine unless given.
    """
    workers, threads = layout(prepared)
    if measure is None:
        (listener or Silent()).say(f"measuring matrix products in {prepared.precision}")
    rates = (measure or measured_rates)(prepared, threads)
    work = tuple(_work(prepared, planned, rates) for planned in prepared.all_planned.values())
    return Forecast(
        work=work,
        seconds=study_seconds(prepared, workers, rates),
        timed=rates.timed,
        tokens=sum(costs(prepared).values(), Cost()),
        workers=workers,
        threads=threads,
        precision=prepared.chosen,
        flops=workers * 2 * _weights(prepared) / rates.products,
        memory=workers * (lm.weight_bytes(prepared.files, prepared.precision) + lm.WORKING),
        disk=_disk(prepared),
        power=tuple(power_of(prepared, prepared.planned[0])),
    )


def _work(prepared: Prepared, planned: Planned, rates: Speed) -> Work:
    seconds = rates.seconds(sum(trial_costs(prepared, planned).values(), Cost()), planned)
    if planned.given:
        return Work(prepared.label_of(planned), 0, 0, 0, seconds)
    steps = steps_of(len(planned.training_ids), planned.trained.training)
    return Work(prepared.label_of(planned), len(planned.training_ids), trained_tokens(planned), steps, seconds)


def study_seconds(prepared: Prepared, workers: int, rates: Speed) -> float:
    """Start, the tasks as the workers share them, tables, figures and report."""
    trials = prepared.all_planned
    of_trial = {name: _work(prepared, planned, rates).seconds for name, planned in trials.items()}
    spent = [
        rates.seconds(sum(base_costs(prepared).values(), Cost()))
        if task == "base"
        else sum(of_trial[name] for name in task.split(","))
        for task in tasks_of(prepared)
    ]
    start = _START * (1 if workers == 1 else 2) + _READING * lm.weight_bytes(prepared.files, "fp32")
    return start + makespan(spent, workers) + _TABLES * len(trials) + _REPORT


def makespan(seconds: Sequence[float], workers: int) -> float:
    """When the last task is done, where each worker takes the next one in order when it is free."""
    free = [0.0] * max(1, workers)
    for spent in seconds:
        heapq.heapreplace(free, free[0] + spent)
    return max(free)


def _disk(prepared: Prepared) -> int:
    """Adapters, scores and completions of base model and trials, records, tables, figures and report."""
    scored, free = scored_tokens(prepared), free_tokens(prepared)
    base = _SCORED * (scored + free) + _WRITTEN * (free + prompted_tokens(prepared, prepared.base_prompts))
    trials = list(prepared.all_planned.values())
    adapted = {p.trained.lora.matrices for p in trials if not p.given}
    of_rank_1 = {matrices: lm.adapter_bytes(prepared.files, matrices, 1) for matrices in adapted}
    each = (
        (0 if p.given else of_rank_1[p.trained.lora.matrices] * p.trained.lora.rank)
        + _SCORED * (scored + (2 * free if p.stages.untargeted else 0))
        + _WRITTEN * ((free if p.stages.untargeted else 0) + prompted_tokens(prepared, p.prompts))
        + _TRIAL
        for p in trials
    )
    return base + sum(each) + 2 * sum(len(r.text.encode()) for r in prepared.records) + _RENDERED


def _weights(prepared: Prepared) -> int:
    return sum(count * width * height for (width, height), count in lm.product_shapes(prepared.files).items())


def measured_rates(prepared: Prepared, threads: int) -> Rates:
    """The rates on this machine, of the products and passes of the study's base model in the format that is used.

    On a processor each of a worker's threads computes by itself, as in training and scoring (byrote.lm.threads).
    """
    machine = prepared.files, prepared.chosen, prepared.device, prepared.threads
    passes = _PASSES * lm.pass_seconds(*machine)
    products = 2 * _weights(prepared) / lm.product_flops(*machine)  # of all threads together
    if prepared.device.type == "cpu":
        products, passes = products * prepared.threads / threads, passes / threads
    return Rates(products, passes)


def power_of(prepared: Prepared, planned: Planned) -> list[Power]:
    """What each comparison of a trial can show: of records, and of canaries of each number of copies."""
    groups = {r.record: r.group for r in prepared.scored_records}
    sides: dict[str, tuple[list[str], list[str]]] = {RECORDS_STRATUM: ([], [])}
    for a in planned.roles:
        if a.record not in groups:  # its document was not drawn
            continue
        if a.role in (Role.MEMBER, Role.NONMEMBER):
            sides[RECORDS_STRATUM][a.role is Role.NONMEMBER].append(a.record)
        elif a.role in (Role.CANARY_IN, Role.CANARY_OUT):
            side = sides.setdefault(canary_stratum(a.copies), ([], []))
            side[a.role is Role.CANARY_OUT].append(a.record)
    rates = prepared.study.membership.false_positive_rates
    by_copies = sorted(sides.items(), key=lambda side: copies_in(side[0]) or 0)
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
        stratum=name,
        members=p,
        nonmembers=q,
        auc=smallest_auc(p, q) if both else math.nan,
        auc_by_document=smallest_auc(p, q, design=design) if both else math.nan,
        difference=smallest_difference(0.7, p, q, CORRELATION, design=design) if both else math.nan,
        tpr=tpr,
    )
