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
from byrote.statistics.intervals import clopper_pearson, hanley_mcneil
from byrote.statistics.matched import matched_auc
from byrote.statistics.roc import auc, rate_at, roc_curve, threshold_at_most
from byrote.tables.compared import Compared, Scored, known_scores, present
from byrote.tables.comparisons import paired
from byrote.tables.resampled import Resampled

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


def membership_row(
    this: Compared,
    one: Scored,
    attack: Attack | None,
    settings: Settings,
    resampled: Resampled,
) -> dict[str, Any]:
    """AUC of one attack, intervals and controls. attack: None for the auditor's · resampled: all attacks together."""
    members, nonmembers, _ = known_scores(this, one)
    area = auc(members, nonmembers)
    return {
        "stratum": this.stratum.name,
        "copies": this.stratum.copies,
        "attack": one.attack,
        "knowledge": "auditor" if attack is None else "outsider",
        "n_members": len(members),
        "n_nonmembers": len(nonmembers),
        "left_out": int(np.isnan(one.members).sum() + np.isnan(one.nonmembers).sum()),
        **present(auc=area),
        **_control(this, one, attack, settings.level),
        **(NO_INTERVAL if attack is None else _intervals(one, this, area, settings, resampled)),
        **_matched(this, one),
    }


def roc_rows(this: Compared, one: Scored) -> Iterator[dict[str, Any]]:
    """Points of the ROC curve."""
    members, nonmembers, _ = known_scores(this, one)
    for x, y in zip(*roc_curve(members, nonmembers), strict=True):
        yield {"stratum": this.stratum.name, "attack": one.attack, "fpr": float(x), "tpr": float(y)}


def operating_rows(this: Compared, one: Scored, settings: Settings) -> Iterator[dict[str, Any]]:
    """TPR and realised FPR at each target rate, thresholds from calibration and from the evaluated records."""
    members, nonmembers, _ = known_scores(this, one)
    calibration = one.calibration[~np.isnan(one.calibration)]
    for rate in settings.rates:
        for source, chosen in (("calibration", calibration), ("evaluation", nonmembers)):
            point = _operating_point(members, nonmembers, chosen, rate, source, settings.level)
            yield {"stratum": this.stratum.name, "attack": one.attack, **point}


# --- parts ------------------------------------------------------------------------------------------------------


def _control(this: Compared, one: Scored, attack: Attack | None, level: float) -> dict[str, Any]:
    """The same attack where nothing was learned, with its interval by document, and how far above it the attack is:
    a paired test on the records that both score."""
    sides, what = _control_sides(this, attack)
    if attack is None or sides is None:
        return {"control": what, "control_note": "", "auc_control": None}
    ours, theirs = (attack.score(side) for side in sides)
    control = Scored(one.attack, ours, theirs, np.empty(0))
    members, nonmembers, groups = known_scores(this, control)
    area, variance = (float(part.ravel()[0]) for part in clustered(members[None], nonmembers[None], *groups))
    low, high = interval(area, variance, level)
    test = paired(this, one, control, level)
    names = {"difference": "above_control", "low": "above_control_low", "high": "above_control_high"}
    notes = {"no interval": why_no_interval(area, variance), "no test": test["reason"]}
    return {
        "control": what,
        **present(
            auc_control=area, auc_control_low=low, auc_control_high=high, auc_control_se=math.sqrt(max(variance, 0))
        ),
        **{column: test[name] for name, column in {**names, "p_value": "above_control_p"}.items()},
        "control_note": "; ".join(f"{head}: {reason}" for head, reason in notes.items() if reason),
    }


def _control_sides(this: Compared, attack: Attack | None) -> tuple[Sequence[Evidence] | None, str]:
    """Members and non-members under the base model, or under the null trial; or why there is no control."""
    if attack is None:
        return None, "none: the auditor's folds are its control"
    if not attack.needs_base:
        return [side.control() for side in this.sides[:2]], "base model"
    if "calibration" in attack.needs:
        return None, "none: a null trial is tuned on the very population this attack measures against"
    if this.null is None:
        return None, "none: needs a null trial (controls.null_trial)"
    return this.null, "null trial"


def _intervals(one: Scored, this: Compared, area: float, settings: Settings, resampled: Resampled) -> dict[str, Any]:
    """By document (Obuchowski 1997) as the row's own interval; beside it the others."""
    members, nonmembers, groups = known_scores(this, one)
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
        "bootstrap": resampled.percentiles(one.attack),
    }
    ends = {
        f"{name}_{end}": float(x) for name, pair in pairs.items() for end, x in zip(("low", "high"), pair, strict=True)
    }
    return {
        "interval": f"none: {reason}" if reason else "by document (Obuchowski)",
        "resamples": len(resampled.areas),
        **present(**ends, smallest_auc=smallest_auc(len(members), len(nonmembers))),
    }


def _matched(this: Compared, one: Scored) -> dict[str, float | None]:
    """AUC among records of like length, and among records of like perplexity under the base model."""
    found = {}
    for name, covariate in (("length", this.lengths), ("perplexity", this.base_nll)):
        ours, theirs = (c[k] for c, k in zip(covariate, one.known, strict=True))
        members, nonmembers, _ = known_scores(this, one)
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
