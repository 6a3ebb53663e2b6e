"""Rows about what models wrote from an empty prompt: runs shared with records, and how many of those each attack ranks
first (Carlini et al. 2021).

Axes: N completions of one model.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from byrote.attacks import Attack, Evidence, find_attacks
from byrote.extraction.matching import Match, match, ranked_precision
from byrote.records import Assignment, FreeCompletion, Record, Role, TokenScores
from byrote.statistics.intervals import clopper_pearson
from byrote.store import Run
from byrote.study import Study
from byrote.tables.compared import Population, present
from byrote.tables.perplexity import perplexity

Row = dict[str, Any]
TRAINED_ON = (Role.MEMBER, Role.CANARY_IN)
FIRST = (10, 50, 100, 500, 1_000, 5_000)  # fixed before any result; beside them all completions that are ranked


@dataclass(frozen=True, eq=False)
class Free:
    """What one model wrote from an empty prompt, with token scores under that model and under the base model."""

    completions: Sequence[FreeCompletion]
    scores: TokenScores
    base: TokenScores


@dataclass(frozen=True, eq=False)
class LookedUp:
    """Completions with the longest run that each shares with a record trained on, and with a non-member as control;
    None where no run is long enough."""

    free: Free
    trained_on: Sequence[Match | None]
    nonmembers: Sequence[Match | None]


def untargeted_tables(
    run: Run,
    stages: Mapping[str, str | None],
    roles: Sequence[Assignment],
    records: Mapping[str, Record],
    population: Population,
    study: Study,
) -> dict[str, list[Row]]:
    """Rows of the tables `untargeted` and `untargeted_rates` of one trial, the base model's first.

    stages: where the completions of `base` and `tuned` are; no rows until both are done. population: tuned and base
    scores of the calibration records, which some attacks compare with, or None.
    """
    written = {model: read_free(run, stage) for model, stage in stages.items() if stage and run.has(stage)}
    if set(written) != {"base", "tuned"}:
        return {}
    wanted, level = study.extraction.untargeted, study.statistics.level
    attacks = find_attacks(wanted.attacks)
    models = look_up(written, roles, records, wanted.least)
    rates = (
        {"model": model, **row}
        for model, looked_up in models.items()
        for row in rate_rows(looked_up, attacks, population if model == "tuned" else None, level, model == "base")
    )
    return {"untargeted": list(completion_rows(models)), "untargeted_rates": list(rates)}


def read_free(run: Run, stage: str) -> Free:
    """The free completions of a finished stage; those of the base model are scored once, under itself."""
    scores = run.scores(stage)
    own = not (run.path / stage / "base.parquet").is_file()
    return Free(run.free_completions(stage), scores, scores if own else run.scores(stage, "base"))


def look_up(
    models: Mapping[str, Free], roles: Sequence[Assignment], records: Mapping[str, Record], least: int
) -> dict[str, LookedUp]:
    """The completions of all models, looked up among the records trained on in this trial and among its non-members.

    least: tokens that a run must have.
    """
    ids = [c.token_ids for free in models.values() for c in free.completions]
    sides = [
        match(ids, [(a.record, records[a.record].token_ids) for a in roles if a.role in side], least)
        for side in (TRAINED_ON, (Role.NONMEMBER,))
    ]
    looked, end = dict[str, LookedUp](), 0
    for model, free in models.items():
        start, end = end, end + len(free.completions)
        looked[model] = LookedUp(free, *(side[start:end] for side in sides))
    return looked


def completion_rows(models: Mapping[str, LookedUp]) -> Iterator[Row]:
    """One row a completion; what it matched is missing where it matched nothing."""
    for model, looked_up in models.items():
        completions = looked_up.free.completions
        for c, matched, nonmember in zip(completions, looked_up.trained_on, looked_up.nonmembers, strict=True):
            yield {
                **{"model": model, "sample": c.sample, "tokens": len(c.token_ids)},
                **present(output_perplexity=perplexity(c.logprob)),
                **{"matched": matched and matched.record, "matched_tokens": matched and matched.tokens},
                **{"nonmember": nonmember and nonmember.record, "nonmember_tokens": nonmember and nonmember.tokens},
            }


def rate_rows(
    looked_up: LookedUp, attacks: Mapping[str, Attack], population: Population, level: float, is_base: bool
) -> Iterator[Row]:
    """Matches among the completions that each attack ranks first, highest score first: 10, 50, … and all.

    is_base: these are the base model's own, which an attack that compares with the base model cannot rank: its rows
    are missing, and say so.
    """
    free, sides = looked_up.free, (looked_up.trained_on, looked_up.nonmembers)
    evidence = Evidence(free.scores, free.base, tuple(c.text for c in free.completions), population)
    trained_on_N, nonmember_N = (np.array([m is not None for m in side], bool) for side in sides)
    for name, attack in attacks.items():
        if is_base and attack.needs_base:
            why = "the base model's completions cannot be ranked against the base model"
            yield from ({"attack": name, "first": k, "left_out": 0, "reason": why} for k in firsts(len(evidence)))
        else:
            ranked = ranked_rows(attack.score(evidence), trained_on_N, nonmember_N, level)
            yield from ({"attack": name, **row} for row in ranked)


def ranked_rows(scores_N: np.ndarray, trained_on_N: np.ndarray, nonmember_N: np.ndarray, level: float) -> Iterator[Row]:
    """Matches among the first k of a ranking, with records trained on and with non-members, k as in `firsts`.

    scores_N: higher = ranked earlier; NaN is left out and counted · trained_on_N, nonmember_N: bool, who matched. The
    intervals (Clopper & Pearson 1934) are of the chance that a text ranked so high matches. Where the k-th and the next
    score are equal, the matches are the mean over the orders of the tied, and there is no interval.
    """
    known_N = ~np.isnan(scores_N)
    left_out = {"left_out": int((~known_N).sum())}
    if not known_N.any():
        yield {**left_out, "reason": "no completion has a score under this attack"}
        return
    falling_N = -np.sort(-scores_N[known_N])
    sides = {"": trained_on_N, "nonmember_": nonmember_N}
    precisions = {prefix: ranked_precision(scores_N[known_N], hits_N[known_N]) for prefix, hits_N in sides.items()}
    for k in firsts(len(falling_N)):
        tied = k < len(falling_N) and falling_N[k - 1] == falling_N[k]
        row: Row = {"first": k, **left_out, "reason": "ties: mean over their orders, no interval" if tied else ""}
        for prefix, precision_N in precisions.items():
            matches = round(float(precision_N[k - 1] * k), 9)
            low, high = (np.nan, np.nan) if tied else clopper_pearson(round(matches), k, level)
            row |= {f"{prefix}matches": matches, f"{prefix}precision": matches / k}
            row |= present(**{f"{prefix}low": low, f"{prefix}high": high})
        yield row


def firsts(count: int) -> list[int]:
    """How many of `count` ranked completions are looked at: 10, 50, …, and all; none of none."""
    return [k for k in FIRST if k < count] + [count] * (count > 0)
