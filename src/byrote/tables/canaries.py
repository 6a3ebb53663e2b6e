"""Rows about canaries: how exposed each is among references never planted, and the bound on epsilon from one run."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from byrote.attacks import Attack, Evidence
from byrote.planting.manifest import FAIR
from byrote.records import Assignment, Record, Role, TokenScores
from byrote.statistics.exposure import exposure_by_rank, exposure_extrapolated
from byrote.statistics.gaussian_one_run import gaussian_epsilon
from byrote.statistics.one_run import Audit, audit, guesses_of
from byrote.tables.compared import population_of, present
from byrote.tables.perplexity import perplexity_of_each


def coin_of(canaries: Mapping[str, Any]) -> float | None:
    """The chance with which each canary of a plan was planted; None where no coin planted them."""
    return {"many": canaries.get("inclusion"), "manifest": FAIR}.get(canaries.get("design", ""))


@dataclass(frozen=True)
class AuditSettings:
    """What the study fixes before the run: guesses (`one_run.guesses_of`), delta, level, attack, inclusion (the
    chance that a canary was planted).

    level: the chance that any bound of the family lies above the true epsilon · family: how many bounds a run gives
    (`bounds_of`, summed over its trials); each has level/family.
    """

    guesses: int | Literal["all"] | None
    delta: float
    level: float
    attack: str
    seed: int
    family: int = 1
    inclusion: float = FAIR

    @property
    def level_of_each(self) -> float:
        """The level of one bound, so that all hold together (Bonferroni)."""
        return self.level / self.family


def canary_rows(roles: Sequence[Assignment], tuned: TokenScores, base: TokenScores) -> Iterator[dict[str, Any]]:
    """Exposure (Carlini et al. 2019) of every canary, planted or left out, against the references' perplexities.

    The canaries that were left out are the control: their exposure is that of records never seen.
    """
    canaries = [a for a in roles if a.role in (Role.CANARY_IN, Role.CANARY_OUT)]
    if not canaries:
        return
    references = perplexity_of_each(tuned, [a.record for a in roles if a.role is Role.REFERENCE])
    by_model = [perplexity_of_each(scores, [a.record for a in canaries]) for scores in (base, tuned)]
    known = references[~np.isnan(references)]
    rank, fit = exposure_by_rank(by_model[1], known), exposure_extrapolated(by_model[1], known)
    for i, a in enumerate(canaries):
        yield {
            "record": a.record,
            "role": a.role.value,
            "copies": a.copies,
            "references": len(known),
            **present(
                perplexity_base=float(by_model[0][i]),
                perplexity_tuned=float(by_model[1][i]),
                exposure_rank=float(rank[i]),
                exposure_extrapolated=float(fit.exposure[i]),
                fit_p=float(fit.fit_p),
            ),
            "note": fit.reason or "",
        }


def bounds_of(roles: Sequence[Assignment], inclusion: float) -> int:
    """How many bounds `audit_rows` gives for a trial: one a number of copies, where a fair coin planted canaries."""
    return len(_numbers_of_copies(roles)) if inclusion == FAIR else 0


def audit_rows(
    roles: Sequence[Assignment],
    records: Mapping[str, Record],
    tuned: TokenScores,
    base: TokenScores,
    attack: Attack,
    settings: AuditSettings,
) -> Iterator[dict[str, Any]]:
    """The lower bound on epsilon for canaries of each number of copies (Steinke et al. 2023), with a null control.

    Canaries of one copy bound single records; c copies bound groups of c and are not compared with the former. All
    bounds of a run hold together at the study's level. The null control is the same audit, at the same level, of
    references that were never planted, with in and out from a coin of their own.
    """

    def scores(ids: Sequence[str]) -> np.ndarray:
        texts = tuple(records[r].text_of(answer=True) for r in ids)
        return attack.score(Evidence(tuned.take(ids), base.take(ids), texts, population_of(roles, tuned, base)))

    null = _audit_of_references(scores([a.record for a in roles if a.role is Role.REFERENCE]), settings)
    for copies in _numbers_of_copies(roles):
        canaries = [a for a in roles if a.role in (Role.CANARY_IN, Role.CANARY_OUT) and a.copies == copies]
        head = {
            "attack": settings.attack,
            "copies": copies,
            "canaries": len(canaries),
            "unit": "record" if copies == 1 else f"group of {copies}",
            "delta": settings.delta,
            "level": settings.level,
            "family": f"{settings.family} bound{'' if settings.family == 1 else 's'}",
        }
        if settings.inclusion != FAIR:
            yield {**head, "note": f"no bound: canaries.inclusion is {settings.inclusion:g}, not 0.5"}
            continue
        is_in = np.array([a.role is Role.CANARY_IN for a in canaries])
        yield {**head, **_bound(scores([a.record for a in canaries]), is_in, settings, null)}


def _audit_of_references(scores: np.ndarray, settings: AuditSettings) -> Audit | None:
    """The same audit of references, in or out by a coin that planted nothing; None where they are too few."""
    known = scores[~np.isnan(scores)]
    guesses = guesses_of(settings.guesses, len(known))
    if guesses < 2:
        return None
    coin = np.random.default_rng([settings.seed, len(known)]).random(len(known)) < 0.5
    return audit(known, coin, guesses, settings.delta, settings.level_of_each)


def _bound(scores: np.ndarray, is_in: np.ndarray, settings: AuditSettings, null: Audit | None) -> dict[str, Any]:
    known = ~np.isnan(scores)
    guesses = guesses_of(settings.guesses, int(known.sum()))
    if guesses < 2:
        return {"note": f"no bound: {int(known.sum())} canaries with a score"}
    bound = audit(scores[known], is_in[known], guesses, settings.delta, settings.level_of_each)
    null_epsilon = null.epsilon_low if null else math.nan
    gaussian = _if_gaussian(bound, settings)
    return {
        "guesses": bound.guesses,
        "right": bound.right,
        **present(epsilon_low=bound.epsilon_low, epsilon_gaussian=gaussian, largest=bound.largest),
        **present(null_epsilon=null_epsilon, null_gaussian=_if_gaussian(null, settings) if null else math.nan),
        "note": bound.note,
        "null_p_value": null.p_null if null else None,  # no column: the verdict reads it
    }


def _if_gaussian(bound: Audit, settings: AuditSettings) -> float:
    """The bound that holds if the mechanism is Gaussian; NaN for δ = 0, at which such a mechanism has no ε."""
    if settings.delta == 0:
        return math.nan
    return gaussian_epsilon(bound.canaries, bound.guesses, bound.right, settings.delta, settings.level_of_each)


def _numbers_of_copies(roles: Sequence[Assignment]) -> list[int]:
    return sorted({a.copies for a in roles if a.role in (Role.CANARY_IN, Role.CANARY_OUT)})
