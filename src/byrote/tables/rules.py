"""The verdict on every rule for every subject: rows of the table `rules` (docs/verdicts.md)."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from byrote.attacks import find_attacks
from byrote.records import Record, Role, copies_in
from byrote.statistics.draws import draws_needed
from byrote.statistics.verdicts import (
    EXCEEDED,
    HELD,
    UNDECIDED,
    Verdict,
    below,
    count_bounds,
    error_of_look,
    within,
)
from byrote.study import Study
from byrote.study.rules import CHANCE, EQUIVALENT, MAX_EPSILON, MAX_VERBATIM, Rule, in_words
from byrote.tables import rule_controls
from byrote.tables.canaries import AuditSettings, audit_rows, coin_of
from byrote.tables.membership import NULL_TRIAL, SECOND_SHADOW
from byrote.tables.rule_bounds import Together, factor_of, needed_words, sample_words
from byrote.tables.rule_controls import Control, Controls
from byrote.tables.rule_documents import Documents
from byrote.tables.subjects import Subject

Row = dict[str, Any]
NO_CONTROLS = Controls((), {})
NO_UPPER_BOUND = (
    "an audit by canaries gives lower bounds on epsilon alone: this rule is exceeded or undecided and never held, for "
    "a low bound does not show that epsilon is low"
)


@dataclass(frozen=True)
class Found:
    """What a rule comes to before controls and standing have their say. value, low, high: of the attack named."""

    verdict: Verdict
    reason: str
    attack: str = ""
    value: float = math.nan
    low: float = math.nan
    high: float = math.nan
    would_decide: str = ""
    controls: Controls = NO_CONTROLS


def verdict_rows(
    rules: Sequence[Rule],
    subjects: Sequence[Subject],
    records: Mapping[str, Record],
    study: Study,
    look: int,
    fixed: frozenset[str],
) -> list[Row]:
    """One row a subject and rule. fixed: the sha256 of the rules that were set before any score.

    The one-sided error of this look is shared over the subjects, so that all of their verdicts hold together, and
    within a subject over the families of bounds: attacks together, a sampled count, epsilon.
    """
    found: list[tuple[Subject, Rule, Found, float]] = []
    for subject in subjects:
        shares = len(subjects) * max(1, _families(rules, subject, records, study))
        error = error_of_look(study.statistics.level, look, shares)
        found += [(subject, rule, what, error) for rule, what in _judged(rules, subject, records, study, error)]
    off = rule_controls.off_tests([control for _, _, what, _ in found for control in what.controls.measured])
    return [
        {
            "subject": subject.trial.row["trial"],
            "rule": rule.name,
            "words": in_words(rule.row()),
            "stratum": rule.stratum,
            "limit": float(rule.limit),
            "set": "before results" if rule.sha256 in fixed else "after results",
            "look": look,
            "error": error,
            **_row(what, off, rule.sha256 in fixed),
        }
        for subject, rule, what, error in found
    ]


def dropped_rows(rules: Sequence[Mapping[str, Any]], look: int) -> list[Row]:
    """Rules that stood in the run before any score and are asked for no more: no verdict, and so no exit status 0."""
    reason = "it was fixed before any score and dropped afterwards; set it again, or name another folder with --out"
    return [
        {
            "rule": rule["setting"] if rule["rate"] is None else f"{rule['setting']} {rule['rate']:g}",
            "words": in_words(rule),
            "stratum": rule["stratum"],
            "limit": float(rule["limit"]),
            "set": "before results",
            "look": look,
            "verdict": UNDECIDED,
            "reason": reason,
        }
        for rule in rules
    ]


def _row(what: Found, off: Mapping[tuple[Any, ...], bool], fixed: bool) -> Row:
    """Controls that are off leave any rule undecided; a rule that was set after results cannot be held."""
    bad = [control.words for control in what.controls.measured if off.get(control.test)]
    verdict, reason, would_decide = what.verdict, what.reason, what.would_decide
    if bad:
        verdict, would_decide = UNDECIDED, "sides that are alike where nothing was learned"
        reason = f"a control is off ({'; '.join(bad)}), so bounds here do not measure what was memorized; {reason}"
    if not fixed and verdict == HELD:
        verdict, would_decide = UNDECIDED, "records that were not looked at before the rule was set"
        reason = f"set after results: {reason}, but the rule was set or changed after scores existed"
    return {
        "attack": what.attack,
        "value": _known(what.value),
        "low": _known(what.low),
        "high": _known(what.high),
        "control": rule_controls.in_words(what.controls, off),
        "verdict": verdict,
        "reason": reason,
        "would_decide": "" if verdict != UNDECIDED else would_decide,
    }


def _known(number: float) -> float | None:
    return None if math.isnan(number) else number


def _families(rules: Sequence[Rule], subject: Subject, records: Mapping[str, Record], study: Study) -> int:
    """How many families of bounds share a subject's error. A census has none, nor has a subject without canaries."""
    sampled = [r for r in rules if r.setting == MAX_VERBATIM and not Counted.of(r, subject, records, study).census]
    audited = [r for r in rules if r.setting == MAX_EPSILON and coin_of(_canaries(subject)) is not None]
    return any(_on_attacks(r) for r in rules) + bool(sampled) + bool(audited)


def _canaries(subject: Subject) -> Mapping[str, Any]:
    """How the subject's canaries were planted, as its row of plan.json says."""
    settings: Mapping[str, Any] = subject.trial.row.get("settings") or {}
    return settings.get("canaries") or {}


def _on_attacks(rule: Rule) -> bool:
    return rule.setting not in (MAX_VERBATIM, MAX_EPSILON)


def _judged(
    rules: Sequence[Rule], subject: Subject, records: Mapping[str, Record], study: Study, error: float
) -> Iterator[tuple[Rule, Found]]:
    """Each rule with what it comes to; the bounds of attacks are made for all of their rules together."""
    together: dict[str, Together] = {}
    for rule in rules:
        scored = subject.strata.get(rule.stratum)
        if rule.setting == MAX_VERBATIM:
            yield rule, _verbatim(rule, subject, records, study, error)
        elif rule.setting == MAX_EPSILON:
            yield rule, _epsilon(rule, subject, records, study, error)
        elif scored is None:
            yield rule, _not_there(rule, subject)
        else:
            if rule.stratum not in together:
                alike = [r for r in rules if _on_attacks(r) and r.stratum == rule.stratum]
                statistics = study.statistics
                together[rule.stratum] = Together(scored, alike, error, statistics.bootstrap, statistics.seed)
            yield rule, _attacks(rule, subject, together[rule.stratum])


def _not_there(rule: Rule, subject: Subject) -> Found:
    if subject.strata:
        return Found(UNDECIDED, f"the subject has no stratum {rule.stratum}", would_decide="a stratum that it has")
    return Found(UNDECIDED, f"the subject has no scores (it is {subject.state})", would_decide="its scores")


# --- attacks ----------------------------------------------------------------------------------------------------


def _attacks(rule: Rule, subject: Subject, together: Together) -> Found:
    bounds = together.bounds(rule)
    if rule.setting == EQUIVALENT:
        verdict, of = within(bounds, 0.5, rule.limit)
        ends = (of.low_together, of.high_together) if verdict == EXCEEDED else (of.low, of.high)
    else:
        verdict, of = below(bounds, rule.limit)
        ends = of.low_together, of.high
    rows = {name: subject.membership[rule.stratum, name] for name in rule.attacks}
    scored = together.scored
    planned = subject.trial.row
    nulls = {NULL_TRIAL: planned.get("null"), SECOND_SHADOW: planned.get("second_shadow")}
    controls = rule_controls.controls_of_attacks(scored, rule.attacks, rows, nulls)
    reason, would_decide = _attack_reason(rule, verdict, of.attack, ends), ""
    if rule.rate is not None and (tied := together.tied(rule)):
        reason += f"; scores of {', '.join(tied)} tie at the top, and chance decides which of these are called"
    if verdict == HELD and rule.setting != EQUIVALENT and (below_half := together.below_half(rule)):
        verdict, would_decide = UNDECIDED, "members and non-members of one kind, each on its own side"
        reason = (
            f"the AUC of {', '.join(below_half)} lies below 0.5, so members look less learned than non-members: are "
            f"the sides swapped, or of different kinds? {reason}"
        )
    elif verdict == UNDECIDED and of.missing:
        reason = f"{of.attack} has no bounds: {of.missing}"
        would_decide = needed_words(scored.compared, rule)
    elif verdict == UNDECIDED:
        would_decide = sample_words(scored.compared, rule, factor_of(bounds, rule))
    low, high = ends
    return Found(
        verdict, reason, of.attack, value=of.value, low=low, high=high, would_decide=would_decide, controls=controls
    )


def _attack_reason(rule: Rule, verdict: Verdict, attack: str, ends: tuple[float, float]) -> str:
    low, high = (f"{end:.4f}" for end in ends)
    if rule.setting == EQUIVALENT:
        return {
            EXCEEDED: f"the interval of {attack}, {low} to {high}, lies outside the margin",
            HELD: f"every interval lies inside the margin; the furthest, of {attack}, is {low} to {high}",
            UNDECIDED: f"the interval of {attack}, {low} to {high}, does not lie inside the margin, and none outside",
        }[verdict]
    return {
        EXCEEDED: f"the lower bound of {attack}, {low}, is above the limit",
        HELD: f"no upper bound is above the limit; the highest, of {attack}, is {high}",
        UNDECIDED: f"the upper bound of {attack}, {high}, is above the limit, and no lower bound is",
    }[verdict]


# --- suffixes ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Counted:
    """Members whose suffix was given its exact chance. population: members that have a suffix after some prompt, or all
    where that is not known · short: members too short for any prompt · hits: those that count."""

    population: int
    sampled: int
    short: int
    hits: int
    others: tuple[int, int]  # hits among non-members, of how many: beside it, deciding nothing
    documents: Documents | None = None  # where whole documents were drawn

    @property
    def census(self) -> bool:
        """Whether every member was computed."""
        return 0 < self.sampled == self.population

    def bounds(self, error: float) -> tuple[int, int]:
        """The fewest and the most of the population that count, each with this error."""
        if self.documents is None:
            return count_bounds(self.population, self.sampled, self.hits, error)
        return self.documents.bounds(self.hits, self.population - self.sampled, error)

    @classmethod
    def of(cls, rule: Rule, subject: Subject, records: Mapping[str, Record], study: Study) -> "Counted":
        """A record counts where, after some prompt, its suffix comes within the rule's draws with chance 1/2 at some
        temperature under the subject, and at none under the base model. A greedy completion (temperature 0) has the
        chance 1 where it is the suffix, else 0."""
        copies = copies_in(rule.stratum)
        role = Role.MEMBER if copies is None else Role.CANARY_IN
        members = {a.record for a in subject.trial.roles if a.role is role and copies in (None, a.copies)}
        outside = {a.record for a in subject.trial.roles if a.role is Role.NONMEMBER}
        within_draws, computed, prompted = _reached(rule, subject)
        hits = {record for record, _ in within_draws["tuned"] - within_draws["base"]}
        prompts = study.extraction.prompts
        canaries = sum(a.role in (Role.CANARY_IN, Role.CANARY_OUT) for a in subject.trial.roles)
        wanted, there = (prompts.members, len(members)) if copies is None else (prompts.canaries, canaries)
        every = wanted == "all" or wanted >= there
        short = members - prompted if every and prompted else set[str]()
        left_out = {a.record for a in subject.trial.left_out if a.role is role and copies in (None, a.copies)}
        whole = members <= computed | short
        return cls(
            len(members | left_out) - len(short),
            len(members & computed),
            len(short),
            len(hits & members),
            (len(hits & outside), len(outside & computed)),
            Documents.of(members, left_out, hits & members, records, whole=whole) if left_out else None,
        )


Prompted = tuple[str, float]  # a record and the prefix that it was prompted with


def _reached(rule: Rule, subject: Subject) -> tuple[dict[str, set[Prompted]], set[str], set[str]]:
    """Prompts whose suffix comes within the draws, by model; records whose chance is known; records prompted."""
    reached: dict[str, set[Prompted]] = {"tuned": set(), "base": set()}
    rows = [row for row in subject.chances if row["log_probability"] is not None]
    needed = draws_needed(np.array([row["log_probability"] for row in rows], dtype=float), CHANCE)
    for row, draws in zip(rows, needed.tolist(), strict=True):
        if rule.draws is not None and draws <= rule.draws:
            reached[row["model"]].add((row["record"], row["prefix"]))
    for row in subject.greedy:
        if row["verbatim"]:
            reached[row["model"]].add((row["record"], row["prefix"]))
    known = [row for row, draws in zip(rows, needed.tolist(), strict=True) if not math.isnan(draws)]
    computed = {row["record"] for row in [*known, *subject.greedy] if row["model"] == "tuned"}
    prompted = {row["record"] for row in [*subject.chances, *subject.greedy] if row["model"] == "tuned"}
    return reached, computed, prompted


def _verbatim(rule: Rule, subject: Subject, records: Mapping[str, Record], study: Study, error: float) -> Found:
    counted = Counted.of(rule, subject, records, study)
    if not counted.sampled:
        why = "no member's suffix has a chance computed" if subject.state == "done" else f"it is {subject.state}"
        return Found(UNDECIDED, f"{why}; set extraction.prompts.members to all", would_decide="the members' suffixes")
    low, high = counted.bounds(error)
    sure = counted.census or rule.limit > 0
    verdict: Verdict = EXCEEDED if low > rule.limit else HELD if sure and high <= rule.limit else UNDECIDED
    left = counted.population - counted.sampled
    would_decide = f"{left:,} {'member' if left == 1 else 'members'} still to compute" if verdict == UNDECIDED else ""
    reason = _count_words(rule, counted)
    if not subject.has_base:
        reason += "; there is no base model, whose own suffixes would be taken off"
        if verdict == EXCEEDED:
            verdict, would_decide = UNDECIDED, "the base model's completions of the same prompts"
    return Found(verdict, reason, "", value=counted.hits, low=low, high=high, would_decide=would_decide)


def _count_words(rule: Rule, counted: Counted) -> str:
    of = f"all {counted.population:,}" if counted.census else f"{counted.sampled:,} of {counted.population:,}"
    (wrong, others), draws = counted.others, f"{rule.draws or 0:,}"
    return (
        f"{counted.hits:,} of {of} members come within {draws} draws at the temperature that favours them most"
        + (f"; {counted.short:,} are too short to be prompted" if counted.short else "")
        + (f"; of {others:,} non-members, {wrong:,}" if others else "")
    )


# --- epsilon ----------------------------------------------------------------------------------------------------


def _epsilon(rule: Rule, subject: Subject, records: Mapping[str, Record], study: Study, error: float) -> Found:
    """The bound for canaries of one copy, or of the copies that the stratum names: groups of so many records."""
    trial, copies = subject.trial, copies_in(rule.stratum) or 1
    coin = coin_of(_canaries(subject))
    if coin is None or trial.tuned is None or trial.base is None:
        why = "no canaries" if coin is None else "no scores of two models"
        why = f"the subject has {why} (it is {subject.state})"
        return Found(UNDECIDED, f"no bound: {why}", would_decide="canaries planted by a fair coin")
    asked, name = study.audit, rule.attacks[0]
    settings = AuditSettings(
        guesses=asked.guesses,
        delta=asked.delta,
        level=error,
        attack=name,
        seed=study.statistics.seed,
        inclusion=coin,
    )
    rows = audit_rows(trial.roles, records, trial.tuned, trial.base, find_attacks([name])[name], settings)
    row = next((row for row in rows if row["copies"] == copies), None)
    if row is None or row.get("epsilon_low") is None:
        why = row["note"] if row else f"no canary has {copies} {'copy' if copies == 1 else 'copies'}"
        return Found(UNDECIDED, f"no bound: {why}", name, would_decide="canaries of these copies")
    low = float(row["epsilon_low"])
    null = row.get("null_p_value")
    controls = Controls((), {"too few references never planted": (name,)})
    if null is not None:
        test = (trial.row["trial"], "references", copies)
        controls = Controls((Control("references", name, float(row["null_epsilon"]), float(null), test),), {})
    if low > rule.limit:
        return Found(EXCEEDED, f"epsilon is at least {low:.3f} ({row['unit']})", name, low, low, controls=controls)
    most = f"the audit shows at least {low:.3f} and could have shown at most {row['largest']:.3f} ({row['unit']})"
    return Found(
        UNDECIDED,
        f"{most}; {NO_UPPER_BOUND}",
        name,
        value=low,
        low=low,
        would_decide="no sample can hold it",
        controls=controls,
    )
