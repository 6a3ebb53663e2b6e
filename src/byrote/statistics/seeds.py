# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false
"""A configuration measured with several seeds: what the seeds do, kept apart from what the sample of records does.

Axes: S seeds. Areas of one configuration come from the same records, so their sampling errors correlate.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.special import expit, logit
from scipy.stats import norm, t

ENOUGH = 5  # seeds; fewer say little about the spread among them
ROUNDING = 1e-10  # a standard deviation of AUCs below this is rounding, not spread


@dataclass(frozen=True)
class SeedMean:
    """Mean area over seeds with its interval; seed spread and sampling error of the mean apart (`over_seeds`)."""

    mean: float
    low: float
    high: float
    seed_sd: float
    sampling_se: float
    seeds: int


@dataclass(frozen=True)
class Claim:
    """What the seeds allow to say about configuration a against b, and why (`claim`)."""

    verdict: Literal["more", "less", "equivalent", "undecided"]
    reason: str
    difference: float
    low: float
    high: float
    seeds: int


def over_seeds(areas_S: np.ndarray, covariance_SS: np.ndarray, level: float = 0.95) -> SeedMean:
    """Mean area A of a configuration over seeds and records alike: area_s = A + seed effect + sampling error.

    covariance_SS is that of the sampling errors. s² = variance among the areas (S − 1), d and c = means on and off the
    diagonal of covariance_SS. h² = t²_{S−1}·s²/S + z²·max(c, 0): the first part holds the seeds and the sampling
    error that differs between them, the second what all seeds share. The interval is logit A ± h/(A(1 − A)) (delta
    method), taken back, so that it lies inside (0, 1). sampling_se² = mean of covariance_SS.
    seed_sd² = max(s² − (d − c), 0), for s² is expected to be the seeds' variance plus d − c. covariance_SS (S, S) comes
    from `delong.clustered` with a curve a seed; variances (S,) are taken as errors shared in full, which is wider. With
    one seed all but mean and sampling_se are NaN; so is an interval without width, such as where all areas are 1: that
    is not certainty. Raises ValueError for a NaN area or a shape that does not fit.

    >>> estimate = over_seeds(np.array([0.70, 0.72, 0.71, 0.73, 0.71]), np.full(5, 0.01**2))
    >>> round(estimate.mean, 3), round(estimate.low, 3), round(estimate.high, 3)
    (0.714, 0.689, 0.738)
    """
    areas_S, seeds = np.asarray(areas_S, dtype=float), len(areas_S)
    if missing := np.flatnonzero(np.isnan(areas_S)).tolist():
        raise ValueError(f"no AUC at seed number {missing}; leave the trial out and report it as missing")
    covariance_SS = _joint(np.asarray(covariance_SS, dtype=float), seeds)
    mean = float(areas_S.mean()) if seeds else math.nan
    sampling = math.sqrt(max(float(covariance_SS.mean()), 0.0)) if seeds else math.nan
    if seeds < 2:
        return SeedMean(mean, math.nan, math.nan, math.nan, sampling, seeds)
    shared = _shared(covariance_SS)
    among, apart = float(areas_S.var(ddof=1)), float(np.diag(covariance_SS).mean()) - shared
    low, high = _on_logit_scale(mean, half_width(among, seeds, shared, 0.5 + level / 2))
    return SeedMean(mean, low, high, math.sqrt(max(among - apart, 0.0)), sampling, seeds)


def _on_logit_scale(area: float, half: float) -> tuple[float, float]:
    """Interval of an area from its half-width on the plain scale; (NaN, NaN) without width or at 0 or 1."""
    if not half > 0 or not 0 < area < 1:
        return math.nan, math.nan
    half /= area * (1 - area)
    return float(expit(logit(area) - half)), float(expit(logit(area) + half))


def half_width(among: float, seeds: int, shared: float, sure: float) -> float:
    """Distance of a one-sided bound from a mean over seeds: √(t²_{S−1}·s²/S + z²·max(c, 0)) (`over_seeds`).

    among: s², the variance among the seeds · shared: c (`shared_variance`) · sure: the chance that the bound holds.

    >>> round(half_width(among=0.01**2, seeds=5, shared=0.0, sure=0.975), 4)
    0.0124
    """
    t_quantile, z_quantile = float(t.ppf(sure, seeds - 1)), float(norm.ppf(sure))
    return math.sqrt(t_quantile**2 * among / seeds + z_quantile**2 * max(shared, 0.0))


def shared_variance(covariance_SS: np.ndarray, seeds: int) -> float:
    """The part of a sampling covariance (S, S) that more seeds do not shrink: its mean off the diagonal; variances (S,)
    are taken as errors shared in full.

    >>> round(shared_variance(np.array([[2.0, 1.0], [1.0, 2.0]]), seeds=2), 3)
    1.0
    """
    return _shared(_joint(np.asarray(covariance_SS, dtype=float), seeds))


def family_level(level: float, claims: int) -> float:
    """Level of each of so many intervals that all hold together with `level` at least (Bonferroni).

    >>> round(family_level(0.95, claims=10), 4)
    0.995
    """
    return 1 - (1 - level) / max(claims, 1)


def claim(
    a_areas_S: Sequence[float] | np.ndarray,
    b_areas_S: Sequence[float] | np.ndarray,
    margin: float,
    covariance_SS: np.ndarray | None = None,
    level: float = 0.95,
) -> Claim:
    """May one say that configuration a leaks more than b? Paired by seed, the seed as unit, at least five of them.

    The t-interval of the paired differences, S − 1 degrees of freedom, against the margin (in AUC, fixed in the study):
    "more" wholly above +margin, "less" wholly below −margin, "equivalent" wholly inside ±margin, else "undecided".
    A verdict is about a difference that matters, so excluding 0 is not enough: with enough seeds any difference does.
    One interval serves all verdicts, so they exclude one another, and each is wrong at most (1 − level)/2 of the time.
    Without covariance_SS (S, S), the sampling covariance of the differences, the claim is about these records; with it,
    about records like these (`over_seeds`). A NaN area leaves its seed out, and the reason counts it. Raises ValueError
    of lengths that differ and of a margin below 0.

    >>> claimed = claim([0.80, 0.81, 0.79, 0.80, 0.82], [0.70, 0.70, 0.71, 0.69, 0.70], margin=0.02)
    >>> claimed.verdict, round(claimed.difference, 3)
    ('more', 0.104)
    """
    a_areas_S, b_areas_S = np.asarray(a_areas_S, dtype=float), np.asarray(b_areas_S, dtype=float)
    if a_areas_S.shape != b_areas_S.shape or margin < 0:
        raise ValueError(
            f"areas {a_areas_S.shape} and {b_areas_S.shape}, margin {margin:g}; pair areas by seed, margin at least 0"
        )
    known_S = ~np.isnan(a_areas_S - b_areas_S)
    differences = (a_areas_S - b_areas_S)[known_S]
    seeds, lost = len(differences), int((~known_S).sum())
    mean = float(differences.mean()) if seeds else math.nan
    spread = float(differences.var(ddof=1)) if seeds > 1 else math.nan
    if reason := _why_undecided(seeds, spread):
        return Claim("undecided", reason + _lost(lost), mean, math.nan, math.nan, seeds)
    shared = 0.0 if covariance_SS is None else _shared(_joint(covariance_SS, len(known_S))[np.ix_(known_S, known_S)])
    half = half_width(spread, seeds, shared, 0.5 + level / 2)
    verdict, reason = _verdict(mean - half, mean + half, margin)
    return Claim(verdict, reason + _lost(lost), mean, mean - half, mean + half, seeds)


def _verdict(low: float, high: float, margin: float) -> tuple[Literal["more", "less", "equivalent", "undecided"], str]:
    if math.isnan(low):
        return "undecided", "the sampling covariance of the differences is missing"
    where = f"the interval of the difference is {low:+.3f} to {high:+.3f}, the margin {margin:g}"
    if low > margin:
        return "more", f"{where}: wholly above it"
    if high < -margin:
        return "less", f"{where}: wholly below it"
    if -margin < low and high < margin:
        return "equivalent", f"{where}: wholly inside it"
    if low > 0 or high < 0:
        side = "more" if low > 0 else "less"
        return "undecided", f"{where}: {side}, but whether by the margin is not resolved"
    return "undecided", f"{where}: not even the sign is resolved"


def _why_undecided(seeds: int, spread: float) -> str | None:
    if seeds < ENOUGH:
        return f"{seeds} seeds have both AUCs, a claim about configurations takes at least {ENOUGH}"
    if spread <= ROUNDING**2:
        return f"the difference is the same under all {seeds} seeds: no spread to judge by"
    return None


def _lost(lost: int) -> str:
    return f" ({lost} more without an AUC)" if lost else ""


def _joint(covariance: np.ndarray, seeds: int) -> np.ndarray:
    covariance = np.asarray(covariance, dtype=float)
    if covariance.shape == (seeds,):
        return np.sqrt(np.outer(covariance, covariance))
    if covariance.shape != (seeds, seeds):
        raise ValueError(
            f"covariance of {seeds} seeds must be ({seeds}, {seeds}) or ({seeds},), got {covariance.shape}"
        )
    return covariance


def _shared(covariance_SS: np.ndarray) -> float:
    """Mean off the diagonal: the part of the sampling variance that more seeds do not shrink."""
    seeds = len(covariance_SS)
    return float(covariance_SS.sum() - np.trace(covariance_SS)) / (seeds * (seeds - 1))
