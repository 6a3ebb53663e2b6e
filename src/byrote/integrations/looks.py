"""Looks at a model in training: when they are, what they measure, and which bounds they cross.

Numbers come from the attacks and statistics of an audit; nothing here knows torch.
"""

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy.stats import norm

from byrote.attacks import Attack
from byrote.corpora.rows import did_you_mean
from byrote.errors import StudyError
from byrote.records import TokenScores
from byrote.statistics.delong import clustered, interval, why_no_interval
from byrote.statistics.verdicts import auc_bound
from byrote.tables.compared import Compared, Scored, known_scores, score_with
from byrote.tables.membership import Settings, operating_rows

AUC, TPR = "max_auc", "max_tpr_at_fpr"


def steps_to_look_at(every: int | None, at: Collection[int], last_step: int) -> tuple[int, ...]:
    """The steps after which a look is due, in order; the last is always one.

    Raises StudyError where a step of `at` is not one of the training's.
    """
    beyond = sorted(step for step in at if not 1 <= step <= last_step)
    if beyond:
        raise StudyError(f"at names step {beyond[0]}, but this training has steps 1 to {last_step}; leave it out")
    regular = range(every, last_step, every) if every else ()
    return tuple(sorted({*regular, *at, last_step}))


@dataclass(frozen=True)
class Bound:
    """A limit on an AUC, or on the true-positive rate at the false-positive rate `rate`; of the attacks named."""

    name: str
    limit: float
    attacks: tuple[str, ...]
    rate: float | None = None


def bounds_of(
    stop_when: str | Mapping[str, float] | None, attacks: Sequence[str], rates: Sequence[float], calibrated: bool
) -> tuple[Bound, ...]:
    """`max_auc` and `max_tpr_at_fpr_<rate>`, of every attack, or with `_<attack>` at the end of one.

    stop_when: names to limits, or `name=limit`, several with commas between. Raises StudyError for a name or a limit
    that is none, a rate that is not measured, and a limit on a rate without calibration records.
    """
    known: dict[str, tuple[tuple[str, ...], float | None]] = {AUC: (tuple(attacks), None)}
    known |= {f"{AUC}_{name}": ((name,), None) for name in attacks}
    for rate in rates:
        known[f"{TPR}_{rate:g}"] = (tuple(attacks), rate)
        known |= {f"{TPR}_{rate:g}_{name}": ((name,), rate) for name in attacks}
    bounds = []
    for name, limit in _limits(stop_when).items():
        if name not in known:
            general = ", ".join([AUC, *(f"{TPR}_{rate:g}" for rate in rates)])
            raise StudyError(
                f"stop_when: no bound {name!r}{did_you_mean(name, known)}; there are {general}, each also with _ and "
                f"one of the attacks ({', '.join(attacks)})"
            )
        if isinstance(limit, bool) or not isinstance(limit, int | float) or not 0 < limit < 1:
            raise StudyError(f"stop_when: {name} must be a number between 0 and 1, got {limit!r}")
        whose, rate = known[name]
        if rate is not None and not calibrated:
            raise StudyError(f"stop_when: {name} needs calibration records, which set the threshold; give calibration")
        bounds.append(Bound(name, float(limit), whose, rate))
    return tuple(bounds)


def _limits(stop_when: str | Mapping[str, float] | None) -> dict[str, object]:
    if stop_when is None:
        return {}
    if not isinstance(stop_when, str):
        return dict(stop_when)
    limits: dict[str, object] = {}
    for part in stop_when.split(","):
        name, equals, number = (piece.strip() for piece in part.partition("="))
        try:
            limits[name] = float(number)
        except ValueError:
            raise StudyError(f"stop_when: {part.strip()!r} is not written name=limit, as in {AUC}=0.7") from None
        if not equals or not name:
            raise StudyError(f"stop_when: {part.strip()!r} is not written name=limit, as in {AUC}=0.7")
    return limits


@dataclass(frozen=True)
class Look:
    """What one look saw. `number` counts from 1 to `planned` · numbers: by name · missing: why a number is not there ·
    crossed: what lies above a bound, in words."""

    number: int
    planned: int
    step: int
    numbers: Mapping[str, float]
    missing: Mapping[str, str] = field(default_factory=dict)
    crossed: tuple[str, ...] = ()


def error_of_each(error: float, looks: int, bounds: Sequence[Bound]) -> float:
    """The one-sided error of each comparison with a bound: `error` over the looks planned and the attacks that the
    bounds read (Bonferroni), so that a training whose numbers all lie below their limits is stopped with a chance of at
    most `error`, however many looks are taken of those planned."""
    return error / (looks * max(1, sum(len(bound.attacks) for bound in bounds)))


def measure(
    compared: Compared, attacks: Mapping[str, Attack], rates: Sequence[float], level: float
) -> tuple[dict[str, float], dict[str, str]]:
    """Numbers of a look by name, and why those are missing that cannot be computed.

    auc_ATTACK with _low and _high, at `level`, by document (Obuchowski 1997) · tpr_at_fpr_RATE_ATTACK with _low and
    _high, its threshold from calibration records; without those published_tpr_at_fpr_RATE_ATTACK, the convention of
    published figures, flattered by its threshold and without an interval · loss_members, loss_nonmembers and
    base_loss_members, base_loss_nonmembers: mean negative log-likelihood of a token in nats.
    """
    numbers: dict[str, float] = {}
    missing: dict[str, str] = {}
    for side, evidence in zip(("members", "nonmembers"), compared.sides, strict=False):
        numbers[f"loss_{side}"] = _loss(evidence.tuned)
        numbers[f"base_loss_{side}"] = _loss(evidence.base)
    scores = score_with(compared, attacks)
    for name, scored in scores.items():
        area, variance, _ = _area(compared, scored)
        numbers[f"auc_{name}"] = area
        numbers[f"auc_{name}_low"], numbers[f"auc_{name}_high"] = interval(area, variance, level)
        if reason := why_no_interval(area, variance):
            missing[f"auc_{name}_low"] = missing[f"auc_{name}_high"] = reason
        for row in _operating(compared, scored, rates, level):
            calibrated = row["threshold_source"] == "calibration"
            key = f"{'' if calibrated else 'published_'}tpr_at_fpr_{row['target_fpr']:g}_{name}"
            for end in ("", "_low", "_high") if calibrated else ("",):
                value = row.get(f"tpr{end}")
                numbers[f"{key}{end}"] = math.nan if value is None else float(value)
                if value is None:
                    missing[f"{key}{end}"] = row.get("refused_because") or str(row.get("tpr_interval"))
    return {name: number for name, number in numbers.items() if not math.isnan(number)}, missing


def crossings(
    compared: Compared, attacks: Mapping[str, Attack], bounds: Sequence[Bound], error: float
) -> Iterator[str]:
    """In words, each attack whose lower bound with this one-sided error lies above a limit."""
    scores = score_with(compared, attacks)
    for bound in bounds:
        for name in bound.attacks:
            low = _lower(compared, scores[name], bound.rate, error)
            if low > bound.limit:
                above = f"above {bound.name} = {bound.limit:g}"
                yield f"{name} is at least {low:.3f}, {above} (one-sided error {error:.2g})"


def _lower(compared: Compared, scored: Scored, rate: float | None, error: float) -> float:
    """NaN where there is none. An AUC of 1 has the bound of a sign test (`verdicts.auc_bound`)."""
    if rate is not None:
        (row,) = _operating(compared, scored, (rate,), 1 - 2 * error)
        low = row.get("tpr_low")
        return math.nan if low is None else float(low)
    area, variance, documents = _area(compared, scored)
    return auc_bound(area, variance, documents, float(norm.isf(error)), "low")


def _area(compared: Compared, scored: Scored) -> tuple[float, float, int]:
    """AUC, its variance by document, and the documents of the smaller side."""
    members, nonmembers, groups = known_scores(compared, scored)
    area, variance = (float(part.ravel()[0]) for part in clustered(members[None], nonmembers[None], *groups))
    return area, variance, min(len(set(side)) for side in groups)


def _operating(compared: Compared, scored: Scored, rates: Sequence[float], level: float) -> list[dict[str, Any]]:
    source = "calibration" if compared.calibration_groups else "published"
    settings = Settings(level=level, resamples=0, seed=0, rates=tuple(rates), primary=scored.attack)
    return [row for row in operating_rows(compared, scored, settings) if row["threshold_source"] == source]


def _loss(scores: TokenScores) -> float:
    return float(-np.mean(scores.logprob, dtype=np.float64)) if len(scores.logprob) else math.nan
