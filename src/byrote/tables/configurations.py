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
from byrote.study.grid import configuration_key
from byrote.study.labels import label_without_seeds
from byrote.tables.compared import ScoredStratum, present

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


def curve_of(scored_stratum: ScoredStratum, attack: str) -> Curve:
    """The scores of an attack on a stratum; records without one are left out."""
    scored, stratum = scored_stratum.scores[attack], scored_stratum.compared.stratum
    ids, groups = (
        tuple(np.array(values, dtype=str)[known] for values, known in zip(sides, scored.known, strict=True))
        for sides in ((stratum.members, stratum.nonmembers), scored_stratum.compared.groups)
    )
    members, nonmembers = scored.members[scored.known[0]], scored.nonmembers[scored.known[1]]
    return Curve(members, nonmembers, (ids[0], ids[1]), (groups[0], groups[1]))


def settings_key(planned: Mapping[str, Any]) -> str:
    """What makes two trials one configuration: all settings but the seeds of training and of canaries."""
    return configuration_key(planned["settings"])


def label_of(planned: Mapping[str, Any]) -> str:
    """A trial's label without its seeds."""
    return label_without_seeds(planned["label_parts"])


def together(strata: Sequence[ScoredStratum]) -> list[list[ScoredStratum]]:
    """Trials of one configuration together, in the order of the plan."""
    groups: dict[str, list[ScoredStratum]] = {}
    for scored_stratum in strata:
        groups.setdefault(settings_key(scored_stratum.planned), []).append(scored_stratum)
    return list(groups.values())


@dataclass(frozen=True, eq=False)
class Configuration:
    """Trials that differ in seeds alone: their seeds (of training, of canaries) and curves, how many have no AUC, how
    many collapsed."""

    label: str
    planned: Mapping[str, Any]
    seeds: tuple[tuple[Any, Any], ...]
    curves: tuple[Curve, ...]
    lost: int
    collapsed: int = 0

    @property
    def head(self) -> Row:
        """The columns that name it."""
        return {"matrices": self.planned["matrices"], "rank": self.planned["rank"], "label": self.label}


def configuration_rows(
    strata: Sequence[ScoredStratum], attack: str, margin: float, level: float, collapsed: Collection[str] = ()
) -> Iterator[Row]:
    """One row a configuration, its mean area over seeds, then one a pair of them, the claim about their difference.

    strata: the trials on the one stratum that claims are about. A pair's difference is `label` minus `against`. Claims
    are a family: all pairs with enough seeds, whose intervals hold together at `level`; so do the verdicts, which are
    read from these intervals. collapsed: trials, by key, that fine-tuning left worse than the base model on every
    record: no claim rests on them.
    """
    configurations = [configuration_of(group, attack, collapsed) for group in together(strata)]
    for configuration in configurations:
        yield {**configuration.head, "against": "", **_mean(configuration, level)}
    pairs = [(*pair, common_seeds(*pair)) for pair in combinations(configurations, 2)]
    judged = sum(len(common) >= ENOUGH for *_, common in pairs)
    for configuration, other, common in pairs:
        claimed = _claim(configuration, other, common, margin, family_level(level, judged))
        verdict = _withheld(claimed, configuration, other)
        family = {"family": f"{judged} claim{'' if judged == 1 else 's'}"} if len(common) >= ENOUGH else {}
        yield {**configuration.head, "against": other.label, **verdict, **family}


def _seed_of(canaries: Mapping[str, Any] | None) -> Any:
    return canaries.get("seed") if canaries else None


def configuration_of(group: Sequence[ScoredStratum], attack: str, collapsed: Collection[str]) -> Configuration:
    """The trials of one configuration on one stratum, under one attack; `collapsed`: keys of trials that did."""
    seeds: list[tuple[Any, Any]] = []
    curves: list[Curve] = []
    for scored_stratum in group:
        curve = curve_of(scored_stratum, attack)
        settings: Mapping[str, Any] = scored_stratum.planned["settings"]
        if not math.isnan(curve.area):
            curves.append(curve)
            seeds.append((settings["training"].get("seed"), _seed_of(settings.get("canaries"))))
    first, broken = group[0].planned, sum(scored_stratum.trial in collapsed for scored_stratum in group)
    return Configuration(label_of(first), first, tuple(seeds), tuple(curves), len(group) - len(curves), broken)


def _withheld(row: Row, configuration: Configuration, other: Configuration) -> Row:
    """A claim, undecided where a trial of either configuration collapsed: the difference is that of a broken model."""
    broken = [collapsed_words(side) for side in (configuration, other) if side.collapsed]
    return {**row, "verdict": "undecided", "reason": "; ".join([*broken, row["reason"]])} if broken else row


def collapsed_words(configuration: Configuration) -> str:
    """Which trials of it collapsed, in words."""
    collapsed, planned = configuration.collapsed, len(configuration.curves) + configuration.lost
    trials = "the trial" if collapsed == planned == 1 else f"{collapsed} trial{'' if collapsed == 1 else 's'}"
    return f"{trials} of {configuration.label} collapsed"


def _mean(configuration: Configuration, level: float) -> Row:
    lost = f"{configuration.lost} trials have no AUC" if configuration.lost else ""
    lost = _joined(lost, collapsed_words(configuration) if configuration.collapsed else "")
    if not configuration.curves:
        return {"seeds": 0, "reason": lost}
    covariance, apart = covariance_of(configuration.curves)
    estimate = over_seeds(_areas(configuration.curves), covariance, level)
    why = ""
    if math.isnan(estimate.low):
        flat = "no interval: the seeds or the records have no spread"
        why = "one seed shows no spread" if estimate.seeds == 1 else flat
    numbers = {name: getattr(estimate, name) for name in ("seeds", "mean", "low", "high", "seed_sd", "sampling_se")}
    return {**present(**numbers), "reason": _joined(why, apart, lost)}


def common_seeds(configuration: Configuration, other: Configuration) -> list[tuple[Any, Any]]:
    """The seeds under which both have an AUC."""
    return [seed for seed in configuration.seeds if seed in other.seeds]


def _claim(
    configuration: Configuration, other: Configuration, common: Sequence[tuple[Any, Any]], margin: float, level: float
) -> Row:
    a, b = ([side.curves[side.seeds.index(seed)] for seed in common] for side in (configuration, other))
    covariance_SS, apart = covariance_of_differences(a, b) if common else (None, "")
    claimed = claim(_areas(a), _areas(b), margin, covariance_SS, level)
    numbers = {"difference": claimed.difference, "difference_low": claimed.low, "difference_high": claimed.high}
    reason = _joined(claimed.reason, apart)
    return {**present(**numbers), "seeds": claimed.seeds, "verdict": claimed.verdict, "reason": reason}


def covariance_of_differences(a: Sequence[Curve], b: Sequence[Curve]) -> tuple[np.ndarray, str]:
    """Sampling covariance (S, S) of the areas of a minus those of b, or variances (S,) with the reason."""
    joint, apart = covariance_of([*a, *b])
    seeds = len(a)
    if joint.ndim == 1:
        return joint[:seeds] + joint[seeds:], apart
    cross = joint[:seeds, seeds:]
    return joint[:seeds, :seeds] + joint[seeds:, seeds:] - cross - cross.T, apart


def covariance_of(curves: Sequence[Curve]) -> tuple[np.ndarray, str]:
    """Sampling covariance (K, K) of areas on the same records, or their variances (K,) with the reason.

    Canaries planted by seed leave curves that share most records, or few: where all share at least ALIKE of either
    side, the covariance is that on the shared ones; else only each curve's own variance is known.
    """
    shared = [_common([curve.ids[side] for curve in curves]) for side in (0, 1)]
    if not all(len(shared[side]) >= ALIKE * len(curve.ids[side]) for curve in curves for side in (0, 1)):
        each = [clustered(c.members[None], c.nonmembers[None], *c.groups)[1][0, 0] for c in curves]
        return np.array(each), "seeds share few records, so sampling errors are taken as shared in full"
    at = [[_places(curve.ids[side], shared[side]) for curve in curves] for side in (0, 1)]
    members_KP = np.stack([curve.members[places] for curve, places in zip(curves, at[0], strict=True)])
    nonmembers_KQ = np.stack([curve.nonmembers[places] for curve, places in zip(curves, at[1], strict=True)])
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
    return np.array([curve.area for curve in curves])


# --- what the samples can show ----------------------------------------------------------------------------------


def detectable_rows(strata: Sequence[ScoredStratum], attack: str, rates: Sequence[float]) -> Iterator[Row]:
    """What each trial's sample of one stratum shows at level 5% and power 80%: a row a trial and false-positive rate.

    The factor of documents is measured: the attack's variance by documents over that of independent records, at least
    1. The correlation of two areas is the mean one with the other trials on the same records.
    """
    curves = [curve_of(scored_stratum, attack) for scored_stratum in strata]
    correlations = _correlations(curves)
    for scored_stratum, curve, correlation in zip(strata, curves, correlations, strict=True):
        p, q = len(curve.members), len(curve.nonmembers)
        shown, reason = _shown(curve, correlation) if p and q else ({}, "a side is empty")
        for rate in rates:
            refused = resolvable(q, rate) or ""
            tpr = math.nan if refused else smallest_tpr(p, rate)
            why = refused or (f"{p} members cannot show a rate above {rate:g}" if math.isnan(tpr) else "")
            name = scored_stratum.compared.stratum.name
            head = {"trial": scored_stratum.trial, "stratum": name, "n_members": p, "n_nonmembers": q}
            numbers = present(**shown, smallest_tpr=tpr)
            yield {**head, **numbers, "target_fpr": rate, "reason": _joined(reason, why)}


def _shown(curve: Curve, correlation: float) -> tuple[Row, str]:
    p, q = len(curve.members), len(curve.nonmembers)
    shown: Row = {"smallest_auc": smallest_auc(p, q)}
    pair = curve.members[None], curve.nonmembers[None]
    independent, by_document = float(delong(*pair)[1][0, 0]), float(clustered(*pair, *curve.groups)[1][0, 0])
    if not (independent > 0 and by_document > 0):
        return shown, "the factor of documents needs a variance: a side has one document, or no score differs"
    design = max(1.0, by_document / independent)
    shown["smallest_auc_clustered"] = smallest_auc(p, q, design=design)
    if math.isnan(correlation):
        return shown, "no other trial on the same records to compare with"
    if curve.area < 1:
        shown["smallest_difference"] = smallest_difference(curve.area, p, q, min(correlation, 0.999), design=design)
    return shown, ""


def _correlations(curves: Sequence[Curve]) -> list[float]:
    """Mean correlation of each curve's area with the others', NaN where they are not on the same records."""
    unknown = [math.nan] * len(curves)
    if len(curves) < 2 or any(math.isnan(curve.area) for curve in curves):
        return unknown
    covariance, apart = covariance_of(curves)
    if apart or not (np.diag(covariance) > 0).all():
        return unknown
    sd = np.sqrt(np.diag(covariance))
    return (((covariance / np.outer(sd, sd)).sum(axis=1) - 1) / (len(curves) - 1)).tolist()


def _joined(*reasons: str) -> str:
    return "; ".join(filter(None, reasons))
