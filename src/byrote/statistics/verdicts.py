# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
"""From bounds to verdicts: a limit is exceeded, held, or undecided, and how large a sample would decide it.

Numbers in and out. An error is the chance that a bound lies on the wrong side of the truth, one-sided.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.special import logit
from scipy.stats import hypergeom, norm

from byrote.statistics.delong import interval

Verdict = Literal["exceeded", "held", "undecided"]
EXCEEDED, HELD, UNDECIDED = "exceeded", "held", "undecided"


@dataclass(frozen=True)
class Bounds:
    """What is known of one attack's value. low, high: each holds by itself · low_together, high_together: hold with
    those of all other attacks and rules.

    missing: why there are no bounds, which are NaN then; the value may be NaN too · factor: how many times the sample
    would decide the limit, were the value to stay (`times`); NaN where no sample would.
    """

    attack: str
    value: float
    low: float
    high: float
    low_together: float
    high_together: float
    missing: str = ""
    factor: float = math.nan


def error_of_look(level: float, look: int, shares: int = 1) -> float:
    """The one-sided error of look k: (1 − level)/2ᵏ over the number of subjects, and of families within each.

    The errors of all looks, however many, sum to at most 1 − level (spending as in Lan & DeMets 1983), so that going on
    until a verdict comes does not inflate it. Raises ValueError of a look or a number of shares below 1.

    >>> [round(error_of_look(0.95, look), 4) for look in (1, 2)]
    [0.025, 0.0125]
    """
    if look < 1 or shares < 1:
        raise ValueError(f"look and shares must be at least 1, got {look} and {shares}")
    return (1 - level) / 2**look / shares


def deviate_of(error: float) -> float:
    """How many standard errors away a bound lies that is wrong with this chance (normal).

    >>> round(deviate_of(0.025), 2)
    1.96
    """
    return float(norm.isf(error))


def below(bounds: Sequence[Bounds], limit: float) -> tuple[Verdict, Bounds]:
    """The verdict on "no attack is above the limit", and the attack that it rests on.

    Exceeded: the lower bound of any attack is above the limit, where the lower bounds of all hold together. Held: every
    attack's upper bound is at or below it; that is an intersection of claims, so each bound has the whole error (Berger
    1982). An attack without bounds leaves undecided what no other exceeds. Raises ValueError of no attacks.

    >>> bounds = Bounds("loss", value=0.55, low=0.51, high=0.59, low_together=0.50, high_together=0.60)
    >>> [below([bounds], limit)[0] for limit in (0.45, 0.55, 0.6)]
    ['exceeded', 'undecided', 'held']
    """
    known, missing = _parted(bounds)
    top = max(known, key=lambda b: b.low_together, default=None)
    if top is not None and top.low_together > limit:
        return EXCEEDED, top
    if missing:
        return UNDECIDED, missing[0]
    widest = max(known, key=lambda b: b.high)
    return (HELD if widest.high <= limit else UNDECIDED), widest


def within(bounds: Sequence[Bounds], centre: float, margin: float) -> tuple[Verdict, Bounds]:
    """The verdict on "every attack lies within `margin` of the centre", and the attack that it rests on.

    Held: every interval lies inside, both of its ends with the whole error (two one-sided tests, Schuirmann 1987).
    Exceeded: an interval lies outside, where the intervals of all hold together. Missing bounds as in `below`. Raises
    ValueError of no attacks.

    >>> bounds = Bounds("loss", value=0.51, low=0.48, high=0.54, low_together=0.47, high_together=0.55)
    >>> [within([bounds], 0.5, margin)[0] for margin in (0.03, 0.05)]
    ['undecided', 'held']
    """
    known, missing = _parted(bounds)
    furthest = max(known, key=lambda b: max(b.low_together - centre, centre - b.high_together), default=None)
    if furthest is not None and max(furthest.low_together - centre, centre - furthest.high_together) > margin:
        return EXCEEDED, furthest
    if missing:
        return UNDECIDED, missing[0]
    widest = max(known, key=lambda b: max(centre - b.low, b.high - centre))
    inside = centre - margin <= widest.low and widest.high <= centre + margin
    return (HELD if inside else UNDECIDED), widest


def _parted(bounds: Sequence[Bounds]) -> tuple[list[Bounds], list[Bounds]]:
    if not bounds:
        raise ValueError("a rule reads at least one attack, got none")
    return [b for b in bounds if not b.missing], [b for b in bounds if b.missing]


def auc_bound(area: float, variance: float, documents: int, deviate: float, side: Literal["low", "high"]) -> float:
    """A one-sided bound of an AUC, `deviate` standard errors away on the logit scale (`delong.interval`).

    Where the sides do not overlap there is no such bound, and a sign test gives one: of n disjoint pairs of a member's
    and a non-member's document, n the documents of the smaller side, all came out alike, which has the chance Aⁿ: the
    lower bound of an AUC of 1 is errorⁿ⁻¹, with ⁿ⁻¹ for 1/n (Clopper & Pearson 1934 for n of n). NaN where there is no
    bound otherwise (`delong.why_no_interval`).

    >>> round(auc_bound(0.8, 0.03**2, documents=50, deviate=1.96, side="low"), 3)
    0.735
    >>> round(auc_bound(1.0, 0.0, documents=50, deviate=1.96, side="low"), 3)
    0.929
    """
    if area in (0.0, 1.0) and documents >= 1:
        sure = float(norm.sf(deviate)) ** (1 / documents)
        return {(1.0, "low"): sure, (1.0, "high"): 1.0, (0.0, "low"): 0.0, (0.0, "high"): 1 - sure}[area, side]
    low, high = interval(area, variance, float(1 - 2 * norm.sf(deviate)))
    return low if side == "low" else high


def times(value: float, bound: float, limit: float, *, on_logit: bool = False) -> float:
    """How many times the documents would bring a bound to the limit, were the value to stay: ((value − bound)/
    (value − limit))², for a standard error falls with the root of the sample. NaN where the value is at the limit, or
    where a number is not known. on_logit: distances are taken on the logit scale, as an AUC's bounds are.

    >>> round(times(value=0.55, bound=0.65, limit=0.6), 1)
    4.0
    """
    if on_logit:
        value, bound, limit = (float(logit(x)) for x in (value, bound, limit))
    if not all(map(math.isfinite, (value, bound, limit))) or value == limit:
        return math.nan
    return ((value - bound) / (value - limit)) ** 2


def count_bounds(population: int, sampled: int, hits: int, error: float) -> tuple[int, int]:
    """Bounds of how many of a population have a property, each with this error, where `hits` of `sampled` have it.

    Drawn without replacement: the fewest K with P[X ≥ hits | K] > error and the most with P[X ≤ hits | K] > error, X
    hypergeometric. A census gives the count itself twice. Raises ValueError of impossible counts.

    >>> count_bounds(population=300, sampled=100, hits=0, error=0.025)
    (0, 8)
    """
    if not 0 <= hits <= sampled <= population:
        raise ValueError(f"0 ≤ hits ≤ sampled ≤ population is not so: {hits}, {sampled}, {population}")
    if sampled == population:
        return hits, hits
    of_K = np.arange(hits, population - sampled + hits + 1)
    likely_low = hypergeom.sf(hits - 1, population, of_K, sampled) > error
    likely_high = hypergeom.cdf(hits, population, of_K, sampled) > error
    return int(of_K[likely_low][0]), int(of_K[likely_high][-1])


def two_sided_p(area: float, error: float | None, documents: int) -> float:
    """Two-sided p of an AUC of 0.5 by its standard error by document (Obuchowski 1997); NaN without one.

    Where the sides do not overlap there is no error, and the sign test of so many disjoint pairs of documents stands
    in. Where all scores tie there is nothing to be found.

    >>> round(two_sided_p(0.6, error=0.04, documents=50), 3)
    0.012
    """
    if area in (0.0, 1.0):
        return min(1.0, 2 * 0.5**documents)
    if area == 0.5:
        return 1.0
    return float(2 * norm.sf(abs(area - 0.5) / error)) if error else math.nan
