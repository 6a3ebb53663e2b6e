"""What the tables start from: a run's records and, model by model, the score of every attack. Each is read once.

Axes: N records of the run, in the order of records.parquet · P members · Q non-members of a stratum.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from byrote.attacks import Attack, Evidence, find_attacks
from byrote.records import Assignment, Record, Role, TokenScores
from byrote.store import Run


@dataclass(frozen=True)
class Settings:
    """What the tables need of a study. A run folder older than a setting has its default."""

    attacks: dict[str, Attack]
    primary: str
    rates: tuple[float, ...]
    level: float
    resamples: int
    seed: int
    stratum: str
    margin: float
    audit: Mapping[str, Any]
    chances: tuple[float, ...]
    draws: tuple[int, ...]
    thresholds: tuple[float, ...]


_AUDIT = {"guesses": None, "delta": 1e-5, "level": 0.05, "attack": None}


def settings_of(study: Mapping[str, Any]) -> Settings:
    """The settings of a stored study (`Run.study`)."""
    membership, extraction = study["membership"], study.get("extraction") or {}
    statistics, claims = study.get("statistics") or {}, study.get("claims") or {}
    primary = membership.get("primary", "ratio")
    audit = {**_AUDIT, **(study.get("audit") or {})}
    needed = [*membership["attacks"], primary, audit["attack"] or primary]
    return Settings(
        find_attacks(list(dict.fromkeys(needed))),
        primary,
        tuple(membership["false_positive_rates"]),
        statistics.get("level", 0.95),
        statistics.get("bootstrap", 1000),
        statistics.get("seed", 0),
        claims.get("stratum", "records"),
        claims.get("margin", 0.02),
        {**audit, "attack": audit["attack"] or primary},
        tuple(extraction.get("chances", (0.5,))),
        tuple(extraction.get("draws", (1, 100, 10_000))),
        tuple(extraction.get("thresholds", (0.5, 1.0))),
    )


@dataclass(frozen=True, eq=False)
class Scored:
    """One model's numbers of every record: scores (N,) by attack, Σ log-probability (N,), scored tokens (N,)."""

    scores: dict[str, np.ndarray]
    logprob_N: np.ndarray
    tokens_N: np.ndarray

    @property
    def mean_N(self) -> np.ndarray:
        """Mean log-probability a token; NaN for a record without one."""
        return self.logprob_N / np.where(self.tokens_N > 0, self.tokens_N, np.nan)

    @property
    def perplexity_N(self) -> np.ndarray:
        """exp of the mean NLL of each record; NaN for a record without a scored token."""
        with np.errstate(over="ignore"):
            return np.exp(-self.mean_N)

    def perplexity(self, at: np.ndarray) -> float:
        """exp of the mean NLL over all tokens of these records (positions); NaN for none."""
        tokens = int(self.tokens_N[at].sum())
        return math.exp(-float(self.logprob_N[at].sum()) / tokens) if tokens else math.nan


@dataclass(frozen=True, eq=False)
class Ground:
    """What all trials of a run share. base: the base model's numbers, with the attacks that need no second model ·
    null: the null trial's, with those that do; else why there are none · blind, matched to roles, is filled once."""

    records: tuple[Record, ...]
    place: dict[str, int]
    groups: np.ndarray
    settings: Settings
    base: Scored | None
    base_tokens: TokenScores | None
    null: Scored | None
    null_missing: str
    blind: dict[str, tuple[float, str]] = field(default_factory=dict)

    @property
    def ids(self) -> tuple[str, ...]:
        """Record ids."""
        return tuple(self.place)


@dataclass(frozen=True, eq=False)
class Trial:
    """A planned trial: its row of plan.json, roles and copies of every record (N,), its numbers where it is scored."""

    row: Mapping[str, Any]
    role_N: np.ndarray
    copies_N: np.ndarray
    tuned: Scored | None

    @property
    def name(self) -> str:
        """The trial's key."""
        return self.row["trial"]

    def at(self, *roles: Role) -> np.ndarray:
        """Positions of the records of these roles."""
        return np.flatnonzero(np.isin(self.role_N, [role.value for role in roles]))


@dataclass(frozen=True, eq=False)
class Stratum:
    """Members, non-members and calibration records that are compared with each other, by position."""

    name: str
    copies: int
    members: np.ndarray
    nonmembers: np.ndarray
    calibration: np.ndarray


@dataclass(frozen=True, eq=False)
class Curve:
    """Scores without NaN of one attack on one stratum, the records they belong to, and their documents."""

    members: np.ndarray
    nonmembers: np.ndarray
    calibration: np.ndarray
    members_at: np.ndarray
    nonmembers_at: np.ndarray
    member_groups: np.ndarray
    nonmember_groups: np.ndarray
    left_out: int


def read_ground(run: Run, plan: Mapping[str, Any], settings: Settings) -> Ground:
    """Records, base model and null trial of a run."""
    records = tuple(run.records())
    ids = [r.record for r in records]
    _, groups = np.unique([r.group for r in records], return_inverse=True)
    stage = plan["base"]["scores"]
    tokens = aligned(run.scores(stage), ids) if run.has(stage) else None
    alone = {name: attack for name, attack in settings.attacks.items() if not attack.needs_base}
    alone = {**find_attacks(["loss"]), **alone}
    base = scored(tokens, tokens, records, alone, []) if tokens else None
    null, missing = _null(run, plan, settings, records, tokens)
    return Ground(records, {r: i for i, r in enumerate(ids)}, groups, settings, base, tokens, null, missing)


def _null(
    run: Run, plan: Mapping[str, Any], settings: Settings, records: Sequence[Record], base: TokenScores | None
) -> tuple[Scored | None, str]:
    """The null trial was tuned on the calibration records, so an attack that compares with these has no control."""
    planned = plan.get("null")
    if not planned:
        return None, plan.get("null_missing") or "no null trial was planned"
    if base is None or not run.has(planned["scores"]):
        return None, "the null trial has not finished"
    tokens = aligned(run.scores(planned["scores"]), base.records)
    attacks = {name: a for name, a in settings.attacks.items() if "calibration" not in a.needs}
    return scored(tokens, base, records, attacks, []), ""


def read_trial(run: Run, planned: Mapping[str, Any], ground: Ground) -> Trial:
    """A trial with every attack's scores, where it is scored."""
    assigned = {a.record: a for a in run.roles(planned["roles"])}
    roles: list[Assignment] = [assigned[record] for record in ground.place]
    role_N, copies_N = np.array([a.role.value for a in roles]), np.array([a.copies for a in roles])
    if ground.base_tokens is None or not run.has(planned["scores"]):
        return Trial(planned, role_N, copies_N, None)
    tokens = aligned(run.scores(planned["scores"]), ground.base_tokens.records)
    drawn = [a.record for a in roles if a.role is Role.CALIBRATION]
    tuned = scored(tokens, ground.base_tokens, ground.records, ground.settings.attacks, drawn)
    return Trial(planned, role_N, copies_N, tuned)


def aligned(scores: TokenScores, records: Sequence[str]) -> TokenScores:
    """The scores in the order of the run's records. KeyError names a record that has none."""
    return scores if scores.records == tuple(records) else scores.take(records)


def scored(
    tuned: TokenScores,
    base: TokenScores,
    records: Sequence[Record],
    attacks: Mapping[str, Attack],
    population: Sequence[str],
) -> Scored:
    """Every attack's scores of all records. population: the calibration records, by id."""
    pair = (tuned.take(population), base.take(population)) if population else None
    evidence = Evidence(tuned, base, tuple(r.text for r in records), pair)
    owner = np.repeat(np.arange(len(records)), tuned.lengths)
    logprob_N = np.bincount(owner, weights=tuned.logprob.astype(np.float64), minlength=len(records))
    return Scored({name: attack.score(evidence) for name, attack in attacks.items()}, logprob_N, tuned.lengths)


def strata(trial: Trial) -> Iterator[Stratum]:
    """The strata of a trial, never pooled: records, and canaries by their copies."""
    members, nonmembers, calibration = (trial.at(r) for r in (Role.MEMBER, Role.NONMEMBER, Role.CALIBRATION))
    yield Stratum("records", 1, members, nonmembers, calibration)
    planted, kept_out = trial.at(Role.CANARY_IN), trial.at(Role.CANARY_OUT)
    for copies in np.unique(trial.copies_N[np.concatenate([planted, kept_out])]).tolist():
        sides = (at[trial.copies_N[at] == copies] for at in (planted, kept_out))
        yield Stratum(f"canaries@{copies}", copies, *sides, calibration[:0])


def stratum_of(trial: Trial, name: str) -> Stratum | None:
    """The stratum of this name, None where the trial has none."""
    return next((stratum for stratum in strata(trial) if stratum.name == name), None)


def curve(score_N: np.ndarray, stratum: Stratum, groups: np.ndarray) -> Curve:
    """The scores of a stratum, records without one left out and counted (members and non-members)."""
    sides = (stratum.members, stratum.nonmembers, stratum.calibration)
    known = [at[~np.isnan(score_N[at])] for at in sides]
    lost = len(sides[0]) + len(sides[1]) - len(known[0]) - len(known[1])
    return Curve(*(score_N[at] for at in known), *known[:2], *(groups[at] for at in known[:2]), lost)
