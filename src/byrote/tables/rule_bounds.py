"""Bounds of every attack that rules read, on one subject: lower bounds hold together, upper ones each by itself.

Axes: P members · Q non-members · C calibration records · B resamples of documents · K values (attacks and rules).
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from byrote.statistics.bootstrap import over_sides, weighted_areas
from byrote.statistics.delong import clustered, why_no_interval
from byrote.statistics.operating_point import FEWEST_ABOVE, weighted_tprs
from byrote.statistics.simultaneous import level_of, one_sided
from byrote.statistics.verdicts import Bounds, auc_bound, deviate_of, times
from byrote.study.rules import EQUIVALENT, MAX_AUC, MAX_TPR, Rule
from byrote.tables.compared import Compared, Scored, ScoredStratum, known_scores
from byrote.tables.membership import calibrated_point
from byrote.tables.ties import ties_at_top, ties_broken

Draws = Callable[[Sequence[np.ndarray]], np.ndarray]
"""Weights (P, B), (Q, B) and (C, B) to values (K, B)."""


@dataclass(frozen=True, eq=False)
class Together:
    """The rules on attacks for one subject and stratum, with one-sided `error` for all lower bounds together."""

    scored: ScoredStratum
    rules: Sequence[Rule]
    error: float
    resamples: int
    seed: int

    @cached_property
    def deviate(self) -> float:
        """How many standard errors below its estimate each lower bound lies, for all to hold together."""
        values = list(self._values())
        compared = self.scored.compared
        sides = [*compared.groups, *([compared.calibration_groups] if self._rates else [])]

        def statistic(weights: Sequence[np.ndarray]) -> np.ndarray:
            columns = [np.ascontiguousarray(side.T) for side in weights]
            return np.concatenate([value(columns) for value in values]).T

        drawn = over_sides(statistic, sides, self.resamples, self.seed)
        if drawn.ndim == 1:  # too few documents to draw from
            attacks = len({name for rule in self.rules for name in rule.attacks})
            drawn = np.full((1, 2 * attacks + attacks * len(self._rates)), math.nan)
        return one_sided(drawn, self.error)

    @property
    def alone(self) -> float:
        """The same for a bound by itself."""
        return deviate_of(self.error)

    def bounds(self, rule: Rule) -> list[Bounds]:
        """Bounds of each attack that a rule reads; `below` and `within` make a verdict of them."""
        scores = self.scored.scores
        if rule.setting == MAX_TPR:
            return [self._tpr(self._untied[name], rule) for name in rule.attacks]
        return [self._auc(scores[name], rule) for name in rule.attacks]

    def tied(self, rule: Rule) -> list[str]:
        """The attacks of a rule on a false-positive rate whose ties at the top are broken by chance."""
        return [name for name in rule.attacks if self._rates and self._untied[name] is not self.scored.scores[name]]

    def below_half(self, rule: Rule) -> list[str]:
        """The attacks of a rule whose AUC is below 1/2 by bounds that hold together: members look less like what was
        learned than non-members do."""
        aucs = (self._auc(self.scored.scores[name], rule) for name in rule.attacks)
        return [of.attack for of in aucs if of.high_together < 0.5]

    # --- parts ------------------------------------------------------------------------------------------------

    @cached_property
    def _untied(self) -> Mapping[str, Scored]:
        """Scores by attack; without ties where those at the top leave a rate of these rules out of reach."""
        scores, compared = self.scored.scores, self.scored.compared
        return {
            name: ties_broken(compared, scored) if any(ties_at_top(scored, rate) for rate in self._rates) else scored
            for name, scored in scores.items()
        }

    @property
    def _rates(self) -> list[float]:
        """False-positive rates that rules name; none without calibration records, where all of them are refused."""
        known = len(self.scored.compared.calibration_groups) > 0
        return [rule.rate for rule in self.rules if known and rule.rate is not None]

    def _values(self) -> Iterator[Draws]:
        """What is resampled together. AUCs both ways where a rule asks both; rates on the arcsine scale, for the spread
        of a share near 0 grows with it."""
        settings = {rule.setting for rule in self.rules}
        for name in dict.fromkeys(name for rule in self.rules for name in rule.attacks):
            scored = self.scored.scores[name]
            if settings & {MAX_AUC, EQUIVALENT}:
                signs = (1, -1) if EQUIVALENT in settings else (1,)
                area = weighted_areas(scored.members, scored.nonmembers)
                yield lambda sides, area=area, signs=signs: np.outer(signs, area(sides[0], sides[1]))
            if self._rates:
                untied = self._untied[name]
                tprs = weighted_tprs(untied.members, untied.calibration, self._rates)
                yield lambda sides, tprs=tprs: np.arcsin(np.sqrt(tprs(sides[0], sides[2])))

    def _measured(self, scored: Scored) -> tuple[float, float, int]:
        """AUC, its variance by document, and the documents of the smaller side."""
        members, nonmembers, groups = known_scores(self.scored.compared, scored)
        if not len(members) or not len(nonmembers):
            return math.nan, math.nan, 0
        areas_K, variances_KK = clustered(members[None], nonmembers[None], *groups)
        return float(areas_K[0]), float(variances_KK[0, 0]), min(len(set(side)) for side in groups)

    def _auc(self, scored: Scored, rule: Rule) -> Bounds:
        area, variance, documents = measured = self._measured(scored)
        low, high = (auc_bound(*measured, self.alone, side) for side in ("low", "high"))
        low_together, high_together = (auc_bound(*measured, self.deviate, side) for side in ("low", "high"))
        why = "" if not math.isnan(low) else why_no_interval(area, variance) or f"{documents} documents on a side"
        if rule.setting == EQUIVALENT:
            factor = _factor_within(area, (low, high), (low_together, high_together), rule.limit)
        else:
            factor = times(area, low_together if area > rule.limit else high, rule.limit, on_logit=True)
        return Bounds(
            scored.attack,
            area,
            low,
            high=high,
            low_together=low_together,
            high_together=high_together,
            missing=why,
            factor=factor,
        )

    def _tpr(self, scored: Scored, rule: Rule) -> Bounds:
        assert rule.rate is not None
        together, alone = (
            calibrated_point(self.scored.compared, scored, rule.rate, level_of(deviate))
            for deviate in (self.deviate, self.alone)
        )
        value = _number(alone.get("tpr"))
        ends = [_number(point.get(f"tpr_{end}")) for point in (alone, together) for end in ("low", "high")]
        why = alone.get("refused_because") or str(alone["tpr_interval"]).partition("none: ")[2]
        factor = times(value, ends[2] if value > rule.limit else ends[1], rule.limit)
        return Bounds(
            scored.attack,
            value,
            ends[0],
            high=ends[1],
            low_together=ends[2],
            high_together=ends[3],
            missing=why,
            factor=factor,
        )


def sample_words(compared: Compared, rule: Rule, factor: float) -> str:
    """The sample at which a rule would be decided, were the values to stay."""
    if math.isnan(factor):
        return "no sample: a value lies at the limit"
    sides = {"members": len(compared.stratum.members), "non-members": len(compared.stratum.nonmembers)}
    if rule.setting == MAX_TPR:
        sides = {"members": sides["members"], "calibration records": len(compared.calibration_groups)}
    words = " and ".join(f"{math.ceil(factor * records):,} {name}" for name, records in sides.items())
    return f"about {words} ({factor:.3g} times as many, in as many more documents), if the values stay"


def needed_words(compared: Compared, rule: Rule) -> str:
    """What would give bounds to an attack that has none."""
    if rule.rate is not None and len(compared.calibration_groups) < (needed := math.ceil(FEWEST_ABOVE / rule.rate)):
        return f"at least {needed:,} calibration records (now {len(compared.calibration_groups):,})"
    return "bounds of every attack that the rule reads, or a rule that names one attack (decide.attack)"


def _factor_within(area: float, alone: tuple[float, float], together: tuple[float, float], margin: float) -> float:
    """`times` for an interval to lie inside 0.5 ± margin, or outside it where the area does."""
    edges = 0.5 - margin, 0.5 + margin
    if abs(area - 0.5) > margin:
        side = int(area < 0.5)  # above, the lower end has to pass the upper edge
        return times(area, together[side], edges[1 - side], on_logit=True)
    factors = [times(area, end, edge, on_logit=True) for end, edge in zip(alone, edges, strict=True)]
    return math.nan if any(map(math.isnan, factors)) else max(factors)


def _number(value: Any) -> float:
    return math.nan if value is None else float(value)


def factor_of(bounds: Sequence[Bounds], rule: Rule) -> float:
    """How many times the sample would decide a rule: the least that lets an attack above the limit exceed it, else the
    most that any attack takes to lie below."""
    above = [b.factor for b in bounds if _beyond(b, rule)]
    factors: Mapping[bool, list[float]] = {True: above, False: [b.factor for b in bounds]}
    known = [f for f in factors[bool(above)] if not math.isnan(f)]
    if not known or (not above and len(known) < len(bounds)):
        return math.nan
    return min(known) if above else max(known)


def _beyond(bounds: Bounds, rule: Rule) -> bool:
    value = abs(bounds.value - 0.5) if rule.setting == EQUIVALENT else bounds.value
    return value > rule.limit
