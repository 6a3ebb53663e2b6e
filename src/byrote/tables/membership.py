"""Membership rows of one trial: every attack on every stratum, with intervals, controls, thresholds and paired tests.

Axes: N records of one side, K attacks.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from byrote.attacks import Attack, Evidence
from byrote.statistics.delong import clustered, delong, interval, why_no_interval
from byrote.statistics.detectable import smallest_auc
from byrote.statistics.intervals import hanley_mcneil
from byrote.statistics.matched import matched_auc
from byrote.statistics.operating_point import published_point, share_interval, tpr_interval, why_no_tpr_interval
from byrote.statistics.roc import auc, threshold_at_most
from byrote.tables.compared import AUDITOR, Compared, Scored, known_scores, present
from byrote.tables.comparisons import paired
from byrote.tables.resampled import Resampled

NO_BASE_MODEL = "none: there is no base model"  # values of the column `control`
NULL_TRIAL, SECOND_SHADOW = "null trial", "second shadow"
NO_SECOND_SHADOW = "none: needs a second shadow in the subject's place (controls.second_shadow)"
AUDITORS_CONTROL = "none: the auditor's folds are its control"
NO_INTERVAL = {
    "interval": "none: its folds are refitted on each sample, and intervals for a fixed score are too narrow"
}


@dataclass(frozen=True)
class Settings:
    """What the study says: level of intervals, resamples of documents, seed, false-positive rates, primary attack."""

    level: float
    resamples: int
    seed: int
    rates: tuple[float, ...]
    primary: str


@dataclass(frozen=True, eq=False)
class Control:
    """Scores of an attack where nothing was learned, None where there is no control; `kind` says which, or why none."""

    scored: Scored | None
    kind: str


def membership_row(
    compared: Compared,
    scored: Scored,
    attack: Attack | None,
    settings: Settings,
    resampled: Resampled,
    *,
    control: Control | None = None,
) -> dict[str, Any]:
    """AUC of one attack, intervals and controls. attack: None for the auditor's · resampled: all attacks together ·
    control: what `control_of` says, asked for where it is not given."""
    members, nonmembers, _ = known_scores(compared, scored)
    area = auc(members, nonmembers)
    return {
        "stratum": compared.stratum.name,
        "copies": compared.stratum.copies,
        "attack": scored.attack,
        "knowledge": "auditor" if attack is None else "outsider",
        "attacker": AUDITOR if attack is None else attack.attacker,
        "n_members": len(members),
        "n_nonmembers": len(nonmembers),
        "left_out": int(np.isnan(scored.members).sum() + np.isnan(scored.nonmembers).sum()),
        **present(auc=area),
        **_control(compared, scored, control or control_of(compared, scored.attack, attack), settings.level),
        **(NO_INTERVAL if attack is None else _intervals(compared, scored, area, settings, resampled)),
        **_matched(compared, scored),
    }


def operating_rows(compared: Compared, scored: Scored, settings: Settings) -> Iterator[dict[str, Any]]:
    """TPR and realised FPR at each target rate: threshold from calibration, and the convention of published figures."""
    head = {"stratum": compared.stratum.name, "attack": scored.attack}
    for rate in settings.rates:
        calibrated, published = (
            calibrated_point(compared, scored, rate, settings.level),
            _published(compared, scored, rate),
        )
        yield {**head, "target_fpr": rate, "threshold_source": "calibration", **calibrated}
        yield {**head, "target_fpr": rate, "threshold_source": "published", **published}


# --- parts ------------------------------------------------------------------------------------------------------


def control_of(compared: Compared, name: str, attack: Attack | None) -> Control:
    """Scores of the same attack where nothing was learned. attack: None for the auditor's, which has no control."""
    sides, what = _control_sides(compared, attack)
    if attack is None or sides is None:
        return Control(None, what)
    members, nonmembers = (attack.score(side) for side in sides)
    return Control(Scored(name, members, nonmembers, np.empty(0)), what)


def _control(compared: Compared, scored: Scored, of: Control, level: float) -> dict[str, Any]:
    """The control's AUC with its interval by document, and how far above it the attack is: a paired test on the records
    that both score."""
    control = of.scored
    if control is None:
        return {"control": of.kind, "control_note": "", "auc_control": None}
    members, nonmembers, groups = known_scores(compared, control)
    area, variance = (float(part.ravel()[0]) for part in clustered(members[None], nonmembers[None], *groups))
    low, high = interval(area, variance, level)
    test = paired(compared, scored, control, level)
    names = {"difference": "above_control", "low": "above_control_low", "high": "above_control_high"}
    notes = {"no interval": why_no_interval(area, variance), "no test": test["reason"]}
    return {
        "control": of.kind,
        **present(
            auc_control=area, auc_control_low=low, auc_control_high=high, auc_control_se=math.sqrt(max(variance, 0))
        ),
        **{column: test[name] for name, column in {**names, "p_value": "above_control_p"}.items()},
        "control_note": "; ".join(f"{head}: {reason}" for head, reason in notes.items() if reason),
    }


def _control_sides(compared: Compared, attack: Attack | None) -> tuple[Sequence[Evidence] | None, str]:
    """Members and non-members under the base model, the null trial or the second shadow; or why there is no control."""
    if attack is None:
        return None, AUDITORS_CONTROL
    if not compared.has_base:
        return None, NO_BASE_MODEL
    if attack.needs_shadow:
        return (compared.second, SECOND_SHADOW) if compared.second else (None, NO_SECOND_SHADOW)
    if not attack.needs_base:
        return [side.control() for side in compared.sides[:2]], "base model"
    if "calibration" in attack.needs and not compared.has_shadow:
        return None, "none: a null trial is tuned on the very population this attack measures against"
    if compared.null is None:
        return None, "none: needs a null trial (controls.null_trial)"
    return compared.null, NULL_TRIAL


def _intervals(
    compared: Compared, scored: Scored, area: float, settings: Settings, resampled: Resampled
) -> dict[str, Any]:
    """By document (Obuchowski 1997) as the row's own interval; beside it the others."""
    members, nonmembers, groups = known_scores(compared, scored)
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
        "simultaneous": interval(area, variance, resampled.simultaneous_level),
        "hanley": hanley,
        "delong": interval(area, plain, settings.level),
        "bootstrap": resampled.percentiles(scored.attack),
    }
    ends = {
        f"{name}_{end}": float(x) for name, pair in pairs.items() for end, x in zip(("low", "high"), pair, strict=True)
    }
    drawn = None if math.isnan(pairs["bootstrap"][0]) else len(resampled.areas)
    kind = f"none: {reason}" if reason else "by document (Obuchowski)"
    smallest = smallest_auc(len(members), len(nonmembers))
    return {"interval": kind, **present(**ends, smallest_auc=smallest), "resamples": drawn}


def _matched(compared: Compared, scored: Scored) -> dict[str, float | None]:
    """AUC among records of like length, and among records of like perplexity under the base model."""
    areas: dict[str, float] = {}
    for name, covariate in (("length", compared.lengths), ("perplexity", compared.base_nll)):
        member_covariate, nonmember_covariate = (c[k] for c, k in zip(covariate, scored.known, strict=True))
        members, nonmembers, _ = known_scores(compared, scored)
        areas[f"auc_{name}_matched"] = matched_auc(members, nonmembers, member_covariate, nonmember_covariate).auc
    return present(**areas)


def calibrated_point(compared: Compared, scored: Scored, rate: float, level: float) -> dict[str, Any]:
    """The point whose threshold calibration records set, with its intervals by document: columns of operating_points.
    Without a point they are `refused_because` alone."""
    members, nonmembers, groups = known_scores(compared, scored)
    known = ~np.isnan(scored.calibration)
    calibration = scored.calibration[known]
    if refused := _unresolved(len(calibration), "calibration records", rate):
        return {"refused_because": refused}
    try:
        threshold = threshold_at_most(calibration, rate)
    except ValueError as error:
        return {"refused_because": str(error)}
    calibration_groups = [g for g, k in zip(compared.calibration_groups, known, strict=True) if k]
    called, wrong = members >= threshold, nonmembers >= threshold
    low, high = tpr_interval(members, calibration, groups[0], calibration_groups, rate, level)
    wrong_low, wrong_high = share_interval(wrong, groups[1], level)
    why = why_no_tpr_interval(groups[0], calibration_groups, rate)
    return {
        "threshold": threshold,
        **present(tpr=_share(called), tpr_low=low, tpr_high=high),
        "tpr_interval": f"none: {why}" if why else "by document (threshold and members)",
        **present(realised_fpr=_share(wrong), realised_fpr_low=wrong_low, realised_fpr_high=wrong_high),
    }


def _published(compared: Compared, scored: Scored, rate: float) -> dict[str, Any]:
    """The point that papers print, for comparison with them alone: no interval belongs to it."""
    members, nonmembers, _ = known_scores(compared, scored)
    if refused := _unresolved(len(nonmembers), "non-members", rate):
        return {"refused_because": refused}
    try:
        threshold, tpr, fpr = published_point(members, nonmembers, rate)
    except ValueError as error:
        return {"refused_because": str(error)}
    why = "none: the threshold is chosen on the evaluated records"
    return {"threshold": threshold, **present(tpr=tpr, realised_fpr=fpr), "tpr_interval": why}


def _unresolved(records: int, what: str, rate: float) -> str | None:
    if records * rate >= 1:
        return None
    needed = f"; needs {math.ceil(1 / rate)}" if records else ""
    return f"{records} {what} cannot resolve a false-positive rate of {rate:g}{needed}"


def _share(called: np.ndarray) -> float:
    return float(called.mean()) if len(called) else math.nan
