"""Claims about configurations, the seed as unit, and what the samples of the trials can show. Rows of tables.

A configuration is a trial's settings without its seeds. Axes: S seeds · K trials.
"""

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from byrote.statistics.delong import clustered, delong
from byrote.statistics.detectable import resolvable, smallest_auc, smallest_difference, smallest_tpr
from byrote.statistics.roc import auc
from byrote.statistics.seeds import ENOUGH, claim, family_level, over_seeds
from byrote.study.grid import configuration_key, label_without_seed
from byrote.tables.compared import Seen

ALIKE = 0.9  # curves that share this much of either side are taken as measured on the same records
Row = dict[str, Any]


@dataclass(frozen=True, eq=False)
class Curve:
    """Scores of one attack without NaN, with the id and document of each record: members (P,), non-members (Q,)."""

    members: np.ndarray
    nonmembers: np.ndarray
    ids: tuple[np.ndarray, np.ndarray]
    groups: tuple[np.ndarray, np.ndarray]

    @property
    def area(self) -> float:
        """The AUC; NaN where a side is empty."""
        return auc(self.members, self.nonmembers)


def curve_of(seen: Seen, attack: str) -> Curve:
    """The scores of an attack on a stratum; records without one are left out."""
    one, stratum = seen.found[attack], seen.this.stratum
    ids, groups = (
        tuple(np.array(values, dtype=str)[known] for values, known in zip(sides, one.known, strict=True))
        for sides in ((stratum.members, stratum.nonmembers), seen.this.groups)
    )
    return Curve(one.members[one.known[0]], one.nonmembers[one.known[1]], (ids[0], ids[1]), (groups[0], groups[1]))


def settings_key(planned: Mapping[str, Any]) -> str:
    """What makes two trials one configuration: all settings but the seeds of training and of canaries."""
    return configuration_key(planned["settings"])


def label_of(planned: Mapping[str, Any]) -> str:
    """A trial's label without its seeds."""
    return label_without_seed(planned["label"])


def together(seen: Sequence[Seen]) -> list[list[Seen]]:
    """Trials of one configuration together, in the order of the plan."""
    groups: dict[str, list[Seen]] = {}
    for one in seen:
        groups.setdefault(settings_key(one.planned), []).append(one)
    return list(groups.values())


@dataclass(frozen=True, eq=False)
class _Configuration:
    label: str
    planned: Mapping[str, Any]
    seeds: tuple[tuple[Any, Any], ...]
    curves: tuple[Curve, ...]
    lost: int
    collapsed: int = 0

    @property
    def head(self) -> Row:
        return {"matrices": self.planned["matrices"], "rank": self.planned["rank"], "label": self.label}


def configuration_rows(
    seen: Sequence[Seen], attack: str, margin: float, level: float, collapsed: Collection[str] = ()
) -> Iterator[Row]:
    """One row a configuration, its mean area over seeds, then one a pair of them, the claim about their difference.

    seen: the trials on the one stratum that claims are about. A pair's difference is `label` less `against`. Claims
    are a family: all pairs with enough seeds, whose intervals hold together at `level`; so do the verdicts, which are
    read from these intervals. collapsed: trials, by key, that fine-tuning left worse than the base model on every
    record: no claim rests on them.
    """
    found = [_configuration(group, attack, collapsed) for group in together(seen)]
    for one in found:
        yield {**one.head, "against": "", **_mean(one, level)}
    pairs = [(one, other, _common_seeds(one, other)) for one, other in combinations(found, 2)]
    judged = sum(len(common) >= ENOUGH for *_, common in pairs)
    for one, other, common in pairs:
        verdict = _withheld(_claim(one, other, common, margin, family_level(level, judged)), one, other)
        family = {"family": f"{judged} claim{'' if judged == 1 else 's'}"} if len(common) >= ENOUGH else {}
        yield {**one.head, "against": other.label, **verdict, **family}


def _configuration(group: Sequence[Seen], attack: str, collapsed: Collection[str]) -> _Configuration:
    seeds, curves = [], []
    for seen in group:
        one, settings = curve_of(seen, attack), seen.planned["settings"]
        if not math.isnan(one.area):
            curves.append(one)
            seeds.append((settings["training"].get("seed"), (settings.get("canaries") or {}).get("seed")))
    first, broken = group[0].planned, sum(seen.trial in collapsed for seen in group)
    return _Configuration(label_of(first), first, tuple(seeds), tuple(curves), len(group) - len(curves), broken)


def _withheld(row: Row, one: _Configuration, other: _Configuration) -> Row:
    """A claim, undecided where a trial of either configuration collapsed: the difference is that of a broken model."""
    broken = [_collapsed(side) for side in (one, other) if side.collapsed]
    return {**row, "verdict": "undecided", "reason": "; ".join([*broken, row["reason"]])} if broken else row


def _collapsed(one: _Configuration) -> str:
    trials = "the trial" if one.collapsed == 1 and len(one.curves) + one.lost == 1 else f"{one.collapsed} trials"
    return f"{trials} of {one.label} collapsed"


def _mean(one: _Configuration, level: float) -> Row:
    lost = _joined(f"{one.lost} trials have no AUC" if one.lost else "", _collapsed(one) if one.collapsed else "")
    if not one.curves:
        return {"seeds": 0, "reason": lost}
    covariance, apart = covariance_of(one.curves)
    found = over_seeds(_areas(one.curves), covariance, level)
    why = ""
    if math.isnan(found.low):
        why = "one seed shows no spread" if found.seeds == 1 else "no interval: the seeds or the records have no spread"
    numbers = {name: getattr(found, name) for name in ("seeds", "mean", "low", "high", "seed_sd", "sampling_se")}
    return {**_missing(numbers), "reason": _joined(why, apart, lost)}


def _common_seeds(one: _Configuration, other: _Configuration) -> list[tuple[Any, Any]]:
    return [seed for seed in one.seeds if seed in other.seeds]


def _claim(
    one: _Configuration, other: _Configuration, common: Sequence[tuple[Any, Any]], margin: float, level: float
) -> Row:
    a, b = ([side.curves[side.seeds.index(seed)] for seed in common] for side in (one, other))
    covariance_SS, apart = _of_differences(a, b) if common else (None, "")
    found = claim(_areas(a), _areas(b), margin, covariance_SS, level)
    numbers = {"difference": found.difference, "difference_low": found.low, "difference_high": found.high}
    reason = _joined(found.reason, apart)
    return {**_missing(numbers), "seeds": found.seeds, "verdict": found.verdict, "reason": reason}


def _of_differences(a: Sequence[Curve], b: Sequence[Curve]) -> tuple[np.ndarray, str]:
    """Sampling covariance (S, S) of the areas of a less those of b, or variances (S,) with a word of why."""
    joint, apart = covariance_of([*a, *b])
    seeds = len(a)
    if joint.ndim == 1:
        return joint[:seeds] + joint[seeds:], apart
    cross = joint[:seeds, seeds:]
    return joint[:seeds, :seeds] + joint[seeds:, seeds:] - cross - cross.T, apart


def covariance_of(curves: Sequence[Curve]) -> tuple[np.ndarray, str]:
    """Sampling covariance (K, K) of areas on the same records, or their variances (K,) with a word of why.

    Canaries planted by seed leave curves that share most records, or few: where all share at least ALIKE of either
    side, the covariance is that on the shared ones; else only each curve's own variance is known.
    """
    shared = [_common([one.ids[side] for one in curves]) for side in (0, 1)]
    if not all(len(shared[side]) >= ALIKE * len(one.ids[side]) for one in curves for side in (0, 1)):
        each = [clustered(c.members[None], c.nonmembers[None], *c.groups)[1][0, 0] for c in curves]
        return np.array(each), "seeds share few records, so sampling errors are taken as shared in full"
    at = [[_places(one.ids[side], shared[side]) for one in curves] for side in (0, 1)]
    members_KP = np.stack([one.members[places] for one, places in zip(curves, at[0], strict=True)])
    nonmembers_KQ = np.stack([one.nonmembers[places] for one, places in zip(curves, at[1], strict=True)])
    groups = [curves[0].groups[side][at[side][0]] for side in (0, 1)]
    return clustered(members_KP, nonmembers_KQ, *groups)[1], ""


def _common(ids: Sequence[np.ndarray]) -> np.ndarray:
    shared = ids[0]
    for other in ids[1:]:
        shared = shared if np.array_equal(shared, other) else np.intersect1d(shared, other)
    return shared


def _places(ids: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Where each wanted id is."""
    if np.array_equal(ids, wanted):
        return np.arange(len(ids))
    order = np.argsort(ids)
    return order[np.searchsorted(ids, wanted, sorter=order)]


def _areas(curves: Sequence[Curve]) -> np.ndarray:
    return np.array([one.area for one in curves])


# --- what the samples can show ----------------------------------------------------------------------------------


def detectable_rows(seen: Sequence[Seen], attack: str, rates: Sequence[float]) -> Iterator[Row]:
    """What each trial's sample of one stratum shows at level 5% and power 80%: a row a trial and false-positive rate.

    The factor of documents is measured: the attack's variance by documents over that of independent records, at least
    1. The correlation of two areas is the mean one with the other trials on the same records.
    """
    curves = [curve_of(one, attack) for one in seen]
    correlations = _correlations(curves)
    for one, curve, correlation in zip(seen, curves, correlations, strict=True):
        p, q = len(curve.members), len(curve.nonmembers)
        shown, reason = _shown(curve, correlation) if p and q else ({}, "a side is empty")
        for rate in rates:
            refused = resolvable(q, rate) or ""
            tpr = math.nan if refused else smallest_tpr(p, rate)
            why = refused or (f"{p} members cannot show a rate above {rate:g}" if math.isnan(tpr) else "")
            head = {"trial": one.trial, "stratum": one.this.stratum.name, "n_members": p, "n_nonmembers": q}
            numbers = _missing({**shown, "smallest_tpr": tpr})
            yield {**head, **numbers, "target_fpr": rate, "reason": _joined(reason, why)}


def _shown(curve: Curve, correlation: float) -> tuple[Row, str]:
    p, q = len(curve.members), len(curve.nonmembers)
    found: Row = {"smallest_auc": smallest_auc(p, q)}
    pair = curve.members[None], curve.nonmembers[None]
    independent, by_document = float(delong(*pair)[1][0, 0]), float(clustered(*pair, *curve.groups)[1][0, 0])
    if not (independent > 0 and by_document > 0):
        return found, "the factor of documents needs a variance: a side has one document, or no score differs"
    design = max(1.0, by_document / independent)
    found["smallest_auc_clustered"] = smallest_auc(p, q, design=design)
    if math.isnan(correlation):
        return found, "no other trial on the same records to compare with"
    if curve.area < 1:
        found["smallest_difference"] = smallest_difference(curve.area, p, q, min(correlation, 0.999), design=design)
    return found, ""


def _correlations(curves: Sequence[Curve]) -> list[float]:
    """Mean correlation of each curve's area with the others', NaN where they are not on the same records."""
    unknown = [math.nan] * len(curves)
    if len(curves) < 2 or any(math.isnan(one.area) for one in curves):
        return unknown
    covariance, apart = covariance_of(curves)
    if apart or not (np.diag(covariance) > 0).all():
        return unknown
    sd = np.sqrt(np.diag(covariance))
    return (((covariance / np.outer(sd, sd)).sum(axis=1) - 1) / (len(curves) - 1)).tolist()


def _missing(numbers: Mapping[str, Any]) -> Row:
    """NaN is missing in a table."""
    return {name: None if isinstance(x, float) and math.isnan(x) else x for name, x in numbers.items()}


def _joined(*reasons: str) -> str:
    return "; ".join(filter(None, reasons))
