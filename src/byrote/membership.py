"""Membership rows of one trial: every attack on every stratum, with intervals, controls, thresholds and paired tests.

Axes: N records of one side, K attacks.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from byrote.attacks import Attack, Evidence
from byrote.attacks._ragged import mean_by_record
from byrote.records import Assignment, Record, Role, TokenScores
from byrote.resampling import auc_intervals
from byrote.statistics.auditor import cross_fitted, why_not
from byrote.statistics.delong import clustered, delong, interval, why_no_interval
from byrote.statistics.detectable import smallest_auc
from byrote.statistics.intervals import clopper_pearson, hanley_mcneil
from byrote.statistics.matched import matched_auc
from byrote.statistics.paired import compare, holm
from byrote.statistics.roc import auc, rate_at, roc_curve, threshold_at_most

AUDITOR = "auditor"
Population = tuple[TokenScores, TokenScores] | None


@dataclass(frozen=True)
class Settings:
    """What the study says: level of intervals, resamples of documents, seed, false-positive rates, primary attack."""

    level: float
    resamples: int
    seed: int
    rates: tuple[float, ...]
    primary: str


@dataclass(frozen=True)
class Stratum:
    """Members, non-members and calibration records that are compared with each other, by id."""

    name: str
    copies: int
    members: tuple[str, ...]
    nonmembers: tuple[str, ...]
    calibration: tuple[str, ...]


def strata(roles: Sequence[Assignment]) -> Iterator[Stratum]:
    """`records`, then the canaries of each number of copies."""

    def ids(role: Role, copies: int | None = None) -> tuple[str, ...]:
        return tuple(a.record for a in roles if a.role is role and copies in (None, a.copies))

    yield Stratum("records", 1, ids(Role.MEMBER), ids(Role.NONMEMBER), ids(Role.CALIBRATION))
    for copies in sorted({a.copies for a in roles if a.role in (Role.CANARY_IN, Role.CANARY_OUT)}):
        planted, kept_out = ids(Role.CANARY_IN, copies), ids(Role.CANARY_OUT, copies)
        yield Stratum(f"canaries@{copies}", copies, planted, kept_out, ())


@dataclass(frozen=True, eq=False)
class Compared:
    """A stratum of one trial as attacks see it: evidence of members, non-members and calibration records.

    null: the same members and non-members under the null trial; None where there is none.
    """

    stratum: Stratum
    sides: tuple[Evidence, Evidence, Evidence]
    groups: tuple[tuple[str, ...], tuple[str, ...]]
    null: tuple[Evidence, Evidence] | None

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


def population(roles: Sequence[Assignment], tuned: TokenScores | None, base: TokenScores | None) -> Population:
    """Tuned and base scores of the calibration records; None where there are none, or no scores."""
    drawn = [a.record for a in roles if a.role is Role.CALIBRATION]
    return None if not drawn or tuned is None or base is None else (tuned.take(drawn), base.take(drawn))


def compared(
    stratum: Stratum,
    roles: Sequence[Assignment],
    records: Mapping[str, Record],
    tuned: TokenScores,
    base: TokenScores,
    null: TokenScores | None,
) -> Compared:
    """What attacks see of a stratum; the population of RMIA is the trial's calibration records in every stratum."""

    def evidence(model: TokenScores, ids: Sequence[str]) -> Evidence:
        texts = tuple(records[r].text for r in ids)
        return Evidence(model.take(ids), base.take(ids), texts, population(roles, model, base))

    members, nonmembers, calibration = stratum.members, stratum.nonmembers, stratum.calibration
    return Compared(
        stratum,
        (evidence(tuned, members), evidence(tuned, nonmembers), evidence(tuned, calibration)),
        (tuple(records[r].group for r in members), tuple(records[r].group for r in nonmembers)),
        None if null is None else (evidence(null, members), evidence(null, nonmembers)),
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


def scored(this: Compared, attacks: Mapping[str, Attack]) -> dict[str, Scored]:
    """Scores of all attacks on a stratum."""
    return {name: Scored(name, *(attack.score(side) for side in this.sides)) for name, attack in attacks.items()}


def auditor(this: Compared, found: Mapping[str, Scored], seed: int) -> tuple[Scored | None, str]:
    """The auditor's attack: a cross-fitted combination of all signals, folds by document; or why there is none."""
    members, nonmembers = (
        np.stack([getattr(s, side) for s in found.values()], 1) for side in ("members", "nonmembers")
    )
    is_member = np.array([True] * len(members) + [False] * len(nonmembers))
    groups = [*this.groups[0], *this.groups[1]]
    reason = why_not(is_member, groups)
    if reason:
        return None, reason
    scores = cross_fitted(np.concatenate([members, nonmembers]), is_member, groups, seed=seed)
    return Scored(AUDITOR, scores[: len(members)], scores[len(members) :], np.empty(0)), ""


# --- rows -------------------------------------------------------------------------------------------------------


def bootstraps(this: Compared, found: Mapping[str, Scored], settings: Settings) -> dict[str, tuple[float, float]]:
    """Bootstrap interval of each attack's AUC, from the same resamples of documents for all."""
    ours, theirs = ([getattr(one, side) for one in found.values()] for side in ("members", "nonmembers"))
    intervals = auc_intervals(ours, theirs, *this.groups, settings.resamples, settings.seed, settings.level)
    return dict(zip(found, intervals, strict=True))


def membership_row(
    this: Compared,
    one: Scored,
    attack: Attack | None,
    settings: Settings,
    resampled: tuple[float, float] | None = None,
) -> dict[str, Any]:
    """AUC of one attack, intervals and controls. attack: None for the auditor's · resampled: of `bootstraps`."""
    if resampled is None:
        resampled = bootstraps(this, {one.attack: one}, settings)[one.attack]
    members, nonmembers, groups = _known(this, one)
    area = auc(members, nonmembers)
    control, what = _control(this, attack)
    return {
        "stratum": this.stratum.name,
        "copies": this.stratum.copies,
        "attack": one.attack,
        "knowledge": "auditor" if attack is None else "outsider",
        "n_members": len(members),
        "n_nonmembers": len(nonmembers),
        "left_out": int(np.isnan(one.members).sum() + np.isnan(one.nonmembers).sum()),
        **present(auc=area, auc_base=control),
        "control": what,
        **_intervals(members, nonmembers, groups, area, settings, resampled),
        **_matched(this, one),
        **present(smallest_auc=smallest_auc(len(members), len(nonmembers))),
    }


def roc_rows(this: Compared, one: Scored) -> Iterator[dict[str, Any]]:
    """Points of the ROC curve."""
    members, nonmembers, _ = _known(this, one)
    for x, y in zip(*roc_curve(members, nonmembers), strict=True):
        yield {"stratum": this.stratum.name, "attack": one.attack, "fpr": float(x), "tpr": float(y)}


def operating_rows(this: Compared, one: Scored, settings: Settings) -> Iterator[dict[str, Any]]:
    """TPR and realised FPR at each target rate, thresholds from calibration and from the evaluated records."""
    members, nonmembers, _ = _known(this, one)
    calibration = one.calibration[~np.isnan(one.calibration)]
    for rate in settings.rates:
        for source, chosen in (("calibration", calibration), ("evaluation", nonmembers)):
            point = _operating_point(members, nonmembers, chosen, rate, source, settings.level)
            yield {"stratum": this.stratum.name, "attack": one.attack, **point}


def attack_comparisons(this: Compared, found: Mapping[str, Scored], level: float) -> list[dict[str, Any]]:
    """The attack of the highest AUC against each other one, on the records that both score; Holm over these."""
    areas = {name: auc(*_known(this, one)[:2]) for name, one in found.items()}
    known = {name: area for name, area in areas.items() if not math.isnan(area)}
    if len(known) < 2:
        return []
    best = max(known, key=lambda name: known[name])
    rows = [
        {"attack_a": best, "attack_b": other, **paired(this, found[best], found[other], level)}
        for other in known
        if other != best
    ]
    return [{"stratum": this.stratum.name, **row} for row in with_holm(rows)]


def paired(this: Compared, a: Scored, b: Scored, level: float) -> dict[str, Any]:
    """Paired test of two AUCs on the records that both score, clustered by document."""
    keep = [x & y for x, y in zip(a.known, b.known, strict=True)]
    ours, theirs = ([g for g, kept in zip(gs, k, strict=True) if kept] for gs, k in zip(this.groups, keep, strict=True))
    (x_in, x_out), (y_in, y_out) = ((s.members[keep[0]], s.nonmembers[keep[1]]) for s in (a, b))
    test = compare(x_in, x_out, y_in, y_out, ours, theirs, level)
    return {
        **present(difference=test.difference, low=test.low, high=test.high, p_value=test.p_value),
        "reason": test.reason or "",
    }


def with_holm(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows with `p_holm`, corrected over all of them, and the family's size in words."""
    adjusted = holm([math.nan if row["p_value"] is None else row["p_value"] for row in rows])
    family = f"{len(rows)} tests"
    return [{**row, **present(p_holm=float(p)), "family": family} for row, p in zip(rows, adjusted, strict=True)]


def present(**numbers: float) -> dict[str, float | None]:
    """Numbers for a table: NaN is missing."""
    return {name: None if math.isnan(number) else number for name, number in numbers.items()}


# --- parts ------------------------------------------------------------------------------------------------------


def _known(this: Compared, one: Scored) -> tuple[np.ndarray, np.ndarray, list[list[str]]]:
    """Scores of the members and non-members that have one, and their documents."""
    groups = [
        [g for g, k in zip(gs, known, strict=True) if k] for gs, known in zip(this.groups, one.known, strict=True)
    ]
    return one.members[one.known[0]], one.nonmembers[one.known[1]], groups


def _control(this: Compared, attack: Attack | None) -> tuple[float, str]:
    """The same attack where nothing was learned: on the base model, or under the null trial; or why there is none."""
    if attack is None:
        return math.nan, "none: the auditor's folds are its control"
    if not attack.needs_base:
        sides, what = [side.control() for side in this.sides[:2]], "base model"
    elif "calibration" in attack.needs:
        return math.nan, "none: a null trial is tuned on the very population this attack measures against"
    elif this.null is not None:
        sides, what = list(this.null), "null trial"
    else:
        return math.nan, "none: needs a null trial (controls.null_trial)"
    scores = [attack.score(side) for side in sides]
    return auc(*(s[~np.isnan(s)] for s in scores)), what


def _intervals(
    members: np.ndarray,
    nonmembers: np.ndarray,
    groups: list[list[str]],
    area: float,
    settings: Settings,
    resampled: tuple[float, float],
) -> dict[str, Any]:
    """By document (Obuchowski 1997) as the row's own interval; beside it the others."""
    if not len(members) or not len(nonmembers):
        return {"interval": "none: a side is empty"}
    documents, other_documents = groups
    variance = float(clustered(members[None], nonmembers[None], documents, other_documents)[1][0, 0])
    plain = float(delong(members[None], nonmembers[None])[1][0, 0])
    reason = why_no_interval(area, variance)
    low, high = interval(area, variance, settings.level)
    hanley = (
        (math.nan, math.nan) if area in (0, 1) else hanley_mcneil(area, len(members), len(nonmembers), settings.level)
    )
    pairs = {
        "auc": (low, high),
        "hanley": hanley,
        "delong": interval(area, plain, settings.level),
        "bootstrap": resampled,
    }
    ends = {
        f"{name}_{end}": float(x) for name, pair in pairs.items() for end, x in zip(("low", "high"), pair, strict=True)
    }
    return {"interval": f"none: {reason}" if reason else "by document (Obuchowski)", **present(**ends)}


def _matched(this: Compared, one: Scored) -> dict[str, float | None]:
    """AUC among records of like length, and among records of like perplexity under the base model."""
    found = {}
    for name, covariate in (("length", this.lengths), ("perplexity", this.base_nll)):
        ours, theirs = (c[k] for c, k in zip(covariate, one.known, strict=True))
        members, nonmembers, _ = _known(this, one)
        found[f"auc_{name}_matched"] = matched_auc(members, nonmembers, ours, theirs).auc
    return present(**found)


def _operating_point(
    members: np.ndarray, nonmembers: np.ndarray, chosen_on: np.ndarray, rate: float, source: str, level: float
) -> dict[str, Any]:
    point: dict[str, Any] = {"target_fpr": rate, "threshold_source": source}
    if len(chosen_on) * rate < 1:
        why = f"{len(chosen_on)} {source} records cannot resolve a false-positive rate of {rate:g}"
        return {**point, "refused_because": why + ("; needs " + str(math.ceil(1 / rate)) if len(chosen_on) else "")}
    try:
        threshold = threshold_at_most(chosen_on, rate)
    except ValueError as error:
        return {**point, "refused_because": str(error)}
    point["threshold"] = threshold
    for column, side in (("tpr", members), ("realised_fpr", nonmembers)):
        hits, of = rate_at(side, threshold)
        low, high = clopper_pearson(hits, of, level)
        share = hits / of if of else math.nan
        point |= present(**{column: share, f"{column}_low": low, f"{column}_high": high})
    return point


def _nll(scores: TokenScores) -> np.ndarray:
    return -mean_by_record(scores.logprob, scores.lengths)
