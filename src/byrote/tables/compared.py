"""What is compared: the strata of a trial as attacks see them, and what the attacks say of them.

Axes: N records of one side, K attacks.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from byrote.attacks import Attack, Evidence
from byrote.ragged import mean_by_record
from byrote.records import (
    PROMPTS_STRATUM,
    RECORDS_STRATUM,
    Assignment,
    Record,
    Role,
    TokenScores,
    canary_stratum,
    scored_tokens,
)
from byrote.statistics.auditor import cross_fitted, why_not

AUDITOR = "auditor"
Population = tuple[TokenScores, TokenScores] | None


@dataclass(frozen=True)
class Stratum:
    """Members, non-members and calibration records that are compared with each other, by id."""

    name: str
    copies: int
    members: tuple[str, ...]
    nonmembers: tuple[str, ...]
    calibration: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Parts:
    """The token scores of answers and of prompts, taken out of those of whole records. Records of plain text, and those
    that the loss was on in full, are all answer."""

    records: Mapping[str, Record]

    @cached_property
    def masked(self) -> bool:
        """Whether any record has a prompt that the loss was not on."""
        return any(r.answer_mask for r in self.records.values())

    def answers(self, scores: TokenScores | None) -> TokenScores | None:
        """Scores of the answers' tokens; all of them where no prompt was masked."""
        return self._part(scores, answer=True) if scores is not None and self.masked else scores

    def prompts(self, scores: TokenScores) -> TokenScores:
        """Scores of the tokens that the loss was not on; none of a record that is all answer."""
        return self._part(scores, answer=False)

    def _part(self, scores: TokenScores, *, answer: bool) -> TokenScores:
        kept = [inside for r in scores.records for inside in scored_tokens(self.records[r], answer=answer)]
        return scores.keep(np.array(kept, dtype=bool))


def strata_of(roles: Sequence[Assignment], *, prompts: bool = False) -> Iterator[Stratum]:
    """`records`, with `prompts` the same records by their prompts, then the canaries of each number of copies."""

    def ids(role: Role, copies: int | None = None) -> tuple[str, ...]:
        return tuple(a.record for a in roles if a.role is role and copies in (None, a.copies))

    for name in (RECORDS_STRATUM, *([PROMPTS_STRATUM] if prompts else [])):
        yield Stratum(name, 1, ids(Role.MEMBER), ids(Role.NONMEMBER), ids(Role.CALIBRATION))
    for copies in sorted({a.copies for a in roles if a.role in (Role.CANARY_IN, Role.CANARY_OUT)}):
        planted, kept_out = ids(Role.CANARY_IN, copies), ids(Role.CANARY_OUT, copies)
        yield Stratum(canary_stratum(copies), copies, planted, kept_out, ())


@dataclass(frozen=True, eq=False)
class Compared:
    """A stratum of one trial as attacks see it: evidence of members, non-members and calibration records.

    null: the same members and non-members under the null trial, or the shadow; None where there is none. second: under
    the second shadow, with the first as reference; None where there is none.
    calibration_groups: the document of each calibration record.
    """

    stratum: Stratum
    sides: tuple[Evidence, Evidence, Evidence]
    groups: tuple[tuple[str, ...], tuple[str, ...]]
    null: tuple[Evidence, Evidence] | None
    calibration_groups: tuple[str, ...] = ()
    second: tuple[Evidence, Evidence] | None = None

    @property
    def has_base(self) -> bool:
        """Whether there is a base model to compare with (`unknown_like`)."""
        return not bool(np.isnan(self.sides[0].base.logprob).all())

    @property
    def has_shadow(self) -> bool:
        """Whether the null trial is a shadow: it learned none of the calibration records, and is a reference too."""
        return self.sides[0].shadow is not None

    @cached_property
    def lengths(self) -> tuple[np.ndarray, np.ndarray]:
        """Scored tokens of members and non-members."""
        members, nonmembers, _ = self.sides
        return members.tuned.lengths.astype(float), nonmembers.tuned.lengths.astype(float)

    @cached_property
    def base_nll(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean NLL of members and non-members under the base model; NaN without scored tokens."""
        members, nonmembers, _ = self.sides
        return _nll(members.base), _nll(nonmembers.base)


def unknown_like(scores: TokenScores) -> TokenScores:
    """Scores of the same tokens under a base model that there is not: NaN, so that nothing computed from them looks
    like a number."""
    unknown = np.full(len(scores.logprob), np.nan, np.float32)
    return replace(scores, logprob=unknown, top1=np.zeros(len(unknown), bool), mean=unknown, std=unknown)


def population_of(roles: Sequence[Assignment], tuned: TokenScores | None, base: TokenScores | None) -> Population:
    """Tuned and base scores of the calibration records; None where there are none, or no scores."""
    drawn = [a.record for a in roles if a.role is Role.CALIBRATION]
    return None if not drawn or tuned is None or base is None else (tuned.take(drawn), base.take(drawn))


def compare_stratum(
    stratum: Stratum,
    roles: Sequence[Assignment],
    records: Mapping[str, Record],
    tuned: TokenScores,
    base: TokenScores,
    null: TokenScores | None,
    *,
    second: TokenScores | None = None,
) -> Compared:
    """What attacks see of a stratum; the population of RMIA is the trial's calibration records in every stratum.

    tuned, base, null: scores of the part of the records that the stratum compares (`Parts`). Where a shadow learned
    some of the records (Role.SHADOW), `null` is the shadow's, and a reference for attacks on the tuned model too;
    `second` then has the scores of a second shadow, which takes the tuned model's place as the control of these.
    """
    is_answer = stratum.name != PROMPTS_STRATUM
    shadow = null if any(a.role is Role.SHADOW for a in roles) else None

    def evidence(model: TokenScores, ids: Sequence[str]) -> Evidence:
        texts = tuple(records[r].text_of(answer=is_answer) for r in ids)
        plain = Evidence(model.take(ids), base.take(ids), texts, population_of(roles, model, base))
        if shadow is None or model is shadow:
            return plain
        others = population_of(roles, model, shadow)
        return replace(plain, shadow=shadow.take(ids), shadow_population=others and others[1])

    members, nonmembers, calibration = stratum.members, stratum.nonmembers, stratum.calibration
    return Compared(
        stratum,
        (evidence(tuned, members), evidence(tuned, nonmembers), evidence(tuned, calibration)),
        (tuple(records[r].group for r in members), tuple(records[r].group for r in nonmembers)),
        None if null is None else (evidence(null, members), evidence(null, nonmembers)),
        tuple(records[r].group for r in calibration),
        None if second is None else (evidence(second, members), evidence(second, nonmembers)),
    )


@dataclass(frozen=True, eq=False)
class Scored:
    """Scores of one attack, higher = member, NaN where it has none: members, non-members, calibration."""

    attack: str
    members: np.ndarray
    nonmembers: np.ndarray
    calibration: np.ndarray

    @property
    def known(self) -> tuple[np.ndarray, np.ndarray]:
        """Which members and non-members have a score."""
        return ~np.isnan(self.members), ~np.isnan(self.nonmembers)


def score_with(compared: Compared, attacks: Mapping[str, Attack]) -> dict[str, Scored]:
    """Scores of all attacks on a stratum."""
    return {name: Scored(name, *(attack.score(side) for side in compared.sides)) for name, attack in attacks.items()}


def auditor_scores(compared: Compared, scores: Mapping[str, Scored], seed: int) -> tuple[Scored | None, str]:
    """The auditor's attack: a cross-fitted combination of all signals, folds by document; or why there is none."""
    members, nonmembers = (
        np.stack([getattr(scored, side) for scored in scores.values()], 1) for side in ("members", "nonmembers")
    )
    is_member = np.array([True] * len(members) + [False] * len(nonmembers))
    groups = [*compared.groups[0], *compared.groups[1]]
    reason = why_not(is_member, groups)
    if reason:
        return None, reason
    combined = cross_fitted(np.concatenate([members, nonmembers]), is_member, groups, seed=seed)
    return Scored(AUDITOR, combined[: len(members)], combined[len(members) :], np.empty(0)), ""


@dataclass(frozen=True, eq=False)
class ScoredStratum:
    """One stratum of one scored trial: the trial's row of plan.json, what attacks are shown, their scores by name."""

    planned: Mapping[str, Any]
    compared: Compared
    scores: Mapping[str, Scored]

    @property
    def trial(self) -> str:
        """The trial's key."""
        return self.planned["trial"]


def known_scores(compared: Compared, scored: Scored) -> tuple[np.ndarray, np.ndarray, list[list[str]]]:
    """Scores of the members and non-members that have one, and their documents."""
    groups = [
        [group for group, known in zip(groups, known_of_side, strict=True) if known]
        for groups, known_of_side in zip(compared.groups, scored.known, strict=True)
    ]
    return scored.members[scored.known[0]], scored.nonmembers[scored.known[1]], groups


def strongest(areas: Mapping[str, float]) -> str:
    """The name of the highest number, the first where several are; NaN is left out. ValueError where all are NaN."""
    known = {name: area for name, area in areas.items() if not math.isnan(area)}
    return max(known, key=lambda name: known[name])


def present(**numbers: float) -> dict[str, float | None]:
    """Numbers for a table: NaN is missing."""
    return {name: None if math.isnan(number) else number for name, number in numbers.items()}


def _nll(scores: TokenScores) -> np.ndarray:
    return -mean_by_record(scores.logprob, scores.lengths)
