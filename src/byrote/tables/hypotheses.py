# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false
"""The verdict on each hypothesis that a study states. Rows of tables. Axes: S seeds."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from byrote.statistics.hypotheses import (
    Comparison,
    Judged,
    half_width,
    judge_above,
    judge_levels_off,
    judge_same,
    seeds_to_decide,
    verdicts,
)
from byrote.statistics.seeds import ENOUGH, shared_variance
from byrote.study.hypotheses import Named
from byrote.study.settings import Claims
from byrote.tables.compared import ScoredStratum, present
from byrote.tables.configurations import (
    Configuration,
    Row,
    collapsed_words,
    common_seeds,
    configuration_of,
    covariance_of_differences,
    label_of,
    together,
)


@dataclass(frozen=True, eq=False)
class _Pair:
    """Two configurations, the seeds that both have, and their comparison, or why there is none."""

    first: str
    second: str
    seeds: int
    comparison: Comparison | None
    reason: str


def hypothesis_rows(
    named: Sequence[Named],
    strata: Sequence[ScoredStratum],
    primary: str,
    claims: Claims,
    level: float,
    collapsed: Collection[str] = (),
) -> Iterator[Row]:
    """A row a hypothesis; all of them are one family (`hypotheses.verdicts`), at (1 − level)/2 each way.

    strata: the trials on the one stratum that claims are about. A hypothesis that lacks a comparison, has one with
    fewer than ENOUGH seeds or rests on a trial that collapsed is undecided, and takes part in the family all the same.
    """
    error, margin = (1 - level) / 2, claims.margin
    groups = {label_of(group[0].planned): group for group in together(strata)}
    paired = [_pairs(hypothesis, groups, hypothesis.hypothesis.attack or primary, collapsed) for hypothesis in named]
    judged = [_judged(hypothesis, pairs, margin, error) for hypothesis, pairs in zip(named, paired, strict=True)]
    decided = verdicts(judged, error)
    for hypothesis, pairs, results, (verdict, support, contradict) in zip(named, paired, judged, decided, strict=True):
        stated = hypothesis.hypothesis
        row: Row = {
            "name": stated.name,
            "says": stated.says,
            "rule": stated.rule,
            "attack": stated.attack or primary,
            "stratum": claims.stratum,
            "margin": margin,
            "verdict": verdict,
            "p_support": support,
            "p_contradict": contradict,
            "family": f"{len(named)} hypothes{'is' if len(named) == 1 else 'es'}",
            "published": stated.published or "",
        }
        yield {**row, **_weakest(pairs, results, hypothesis, margin, error / len(named))}


def _pairs(
    named: Named, groups: Mapping[str, list[ScoredStratum]], attack: str, collapsed: Collection[str]
) -> list[_Pair]:
    """Each of `of` against each of `against`; of levels_off, the last against each of the others."""
    ends = product(named.of, named.against) if named.against else ((named.of[-1], label) for label in named.of[:-1])
    sides = {
        label: configuration_of(groups[label], attack, collapsed)
        for label in (*named.of, *named.against)
        if label in groups
    }
    return [_pair(first, second, sides) for first, second in ends]


def _pair(first: str, second: str, sides: Mapping[str, Configuration]) -> _Pair:
    if missing := [label for label in (first, second) if label not in sides]:
        return _Pair(first, second, 0, None, f"no scores of {' and '.join(missing)}")
    pair = sides[first], sides[second]
    seeds = common_seeds(*pair)
    if broken := [side for side in pair if side.collapsed]:
        return _Pair(first, second, len(seeds), None, "; ".join(map(collapsed_words, broken)))
    if len(seeds) < ENOUGH:
        return _Pair(
            first, second, len(seeds), None, f"{len(seeds)} seeds have both AUCs, a hypothesis takes at least {ENOUGH}"
        )
    curves = [[side.curves[side.seeds.index(seed)] for seed in seeds] for side in pair]
    differences = np.array([a.area - b.area for a, b in zip(*curves, strict=True)])
    covariance, apart = covariance_of_differences(*curves)
    return _Pair(first, second, len(seeds), Comparison(differences, shared_variance(covariance, len(seeds))), apart)


def _judged(named: Named, pairs: Sequence[_Pair], margin: float, error: float) -> Judged:
    comparisons = [pair.comparison for pair in pairs]
    known = [comparison for comparison in comparisons if comparison is not None and comparison.among > 0]
    if len(known) < len(comparisons):
        without = next(i for i, c in enumerate(comparisons) if c is None or not c.among > 0)
        return Judged(1.0, 1.0, without)
    if named.hypothesis.rule == "levels_off":
        return judge_levels_off(known, margin, error)
    return (judge_above if named.hypothesis.rule == "above" else judge_same)(known, margin)


def _weakest(pairs: Sequence[_Pair], judged: Judged, named: Named, margin: float, error: float) -> dict[str, Any]:
    """The comparison on which the verdict rests, with its interval at the level of all hypotheses together."""
    pair, rule = pairs[judged.weakest], named.hypothesis.rule
    head: dict[str, Any] = {"label": pair.first, "against": pair.second, "seeds": pair.seeds}
    comparison = pair.comparison
    if comparison is None:
        return {**head, "reason": pair.reason}
    if not comparison.among > 0:
        return {**head, "reason": "the difference is the same under all seeds"}
    half = half_width(comparison, error)
    inside = rule == "same" or (rule == "levels_off" and judged.weakest == len(pairs) - 1)
    distance = abs(abs(comparison.mean) - margin) if inside else abs(comparison.mean - margin)
    numbers = {
        "difference": comparison.mean,
        "difference_low": comparison.mean - half,
        "difference_high": comparison.mean + half,
    }
    plateau = "" if judged.plateau is None else named.of[judged.plateau]
    more = {"seeds_to_decide": seeds_to_decide(comparison, distance, error), "levels_off_from": plateau}
    return {**head, **present(**numbers), **more, "reason": pair.reason}
