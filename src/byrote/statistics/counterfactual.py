"""Memorization against a family of trials whose members are random halves of the same records.

Axes: T trials, N records. statistic_TN (T, N): one number for each record under each trial, higher for members, NaN
where a trial has none for a record (not counted on either side); is_in_TN (T, N), bool: the trial was trained on the
record. An infinite statistic is an error: it has no mean.
"""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from byrote.statistics.draws import log_one_minus

Variant = Literal["online", "offline"]
LEAST_TRIALS = 2  # a side, besides the trial that is attacked
OWN_VARIANCE_FROM = 64  # other trials from which each record has variances of its own (Carlini et al. 2022)
_NO_SPREAD = 1e-7  # of the values' size: less is rounding


def logit_scaled(logprob: np.ndarray) -> np.ndarray:
    """log(p/(1 − p)) from log p, closer to normal than p (Carlini et al. 2022). +inf at p = 1.

    >>> logit_scaled(np.log([0.5, 0.9])).round(3).tolist()
    [0.0, 2.197]
    """
    return np.asarray(logprob, dtype=np.float64) - log_one_minus(logprob)


@dataclass(frozen=True)
class Memorization:
    """mem, (N,), in the statistic's unit, with the trials on either side that had a value, (N,)."""

    mem: np.ndarray
    trials_in: np.ndarray
    trials_out: np.ndarray


def memorization(statistic_TN: np.ndarray, is_in_TN: np.ndarray) -> Memorization:
    """Counterfactual memorization: mean over the trials with the record minus the mean over those without (Zhang et al.
    2023). NaN where either side is empty; the counts tell which.

    >>> is_in = np.array([[True, False], [False, True]])  # two trials, two records
    >>> memorization(np.array([[-1.0, -3.0], [-2.0, -2.5]]), is_in).mem.tolist()
    [1.0, 0.5]
    """
    statistic_TN, in_TN, out_TN = _sides(statistic_TN, is_in_TN)
    counts = [side_TN.sum(axis=0) for side_TN in (in_TN, out_TN)]
    sums = [np.where(side_TN, statistic_TN, 0.0).sum(axis=0) for side_TN in (in_TN, out_TN)]
    means = [_divide(total_N, count_N) for total_N, count_N in zip(sums, counts, strict=True)]
    return Memorization(means[0] - means[1], counts[0], counts[1])


def lira_online(
    statistic: np.ndarray, in_mean: np.ndarray, in_sd: np.ndarray, out_mean: np.ndarray, out_sd: np.ndarray
) -> np.ndarray:
    """log N(s; in) − log N(s; out), arrays of one shape; higher = member (Carlini et al. 2022). NaN for an sd of 0.

    >>> ones = np.ones(1)
    >>> lira_online(ones, in_mean=ones, in_sd=ones, out_mean=0 * ones, out_sd=ones).tolist()
    [0.5]
    """
    return _log_normal(statistic, in_mean, in_sd) - _log_normal(statistic, out_mean, out_sd)


def lira_offline(statistic: np.ndarray, out_mean: np.ndarray, out_sd: np.ndarray) -> np.ndarray:
    """(s − mean out)/sd out; higher = member. Carlini et al. 2022 report its Φ, which orders records alike until it is
    rounded to 1. NaN where the sd is 0.

    >>> lira_offline(np.array([3.0]), out_mean=np.array([1.0]), out_sd=np.array([0.5])).tolist()
    [4.0]
    """
    return _divide(statistic - out_mean, out_sd)


@dataclass(frozen=True)
class Lira:
    """Scores, (N,) of one trial or (T, N) of all; the other trials on either side that had a value, of the same shape;
    whether variances were "own" or "pooled". A score is NaN where there are too few or they do not spread."""

    scores: np.ndarray
    trials_in: np.ndarray
    trials_out: np.ndarray
    variance: Literal["own", "pooled"]

    @property
    def missing(self) -> int:
        """How many scores are missing."""
        return int(np.isnan(self.scores).sum())


def lira(statistic_TN: np.ndarray, is_in_TN: np.ndarray, target: int, variant: Variant) -> Lira:
    """The likelihood-ratio attack on trial `target`, with every other trial for the fits; scores (N,).

    Raises ValueError as `lira_each` does, and for a target that is no trial.

    >>> random = np.random.default_rng(0)
    >>> is_in = random.random((8, 3)) < 0.5  # eight trials, three records
    >>> lira(random.normal(is_in, 0.1), is_in, target=0, variant="offline").scores.shape
    (3,)
    """
    if not 0 <= target < len(statistic_TN):
        raise ValueError(f"target must be from 0 to {len(statistic_TN) - 1}, got {target}")
    each = lira_each(statistic_TN, is_in_TN, variant)
    return Lira(each.scores[target], each.trials_in[target], each.trials_out[target], each.variance)


def lira_each(statistic_TN: np.ndarray, is_in_TN: np.ndarray, variant: Variant) -> Lira:
    """`lira` on every trial in turn, scores (T, N); whether a trial was trained on a record is not used for its score.

    Normal fits for each record to its values in and out, the attacked trial left out. Variances are unbiased. With at
    least OWN_VARIANCE_FROM other trials each record has its own; with fewer, one variance a side and trial is pooled
    within records, Σ(x − record's mean)²/Σ(n − 1). A record needs LEAST_TRIALS others a side (offline: out only).
    Raises ValueError for another variant, and for arrays as described at the top.

    >>> random = np.random.default_rng(0)
    >>> is_in = random.random((8, 3)) < 0.5  # eight trials, three records
    >>> scores = lira_each(random.normal(is_in, 0.1), is_in, "online").scores
    >>> bool((scores[is_in] > 0).all())
    True
    """
    if variant not in ("online", "offline"):
        raise ValueError(f"variant must be online or offline, got {variant!r}")
    statistic_TN, in_TN, out_TN = _sides(statistic_TN, is_in_TN)
    pooled = len(statistic_TN) - 1 < OWN_VARIANCE_FROM
    in_count_TN, in_mean_TN, in_sd_TN = _fits(statistic_TN, in_TN, pooled)
    out_count_TN, out_mean_TN, out_sd_TN = _fits(statistic_TN, out_TN, pooled)
    if variant == "online":
        scores_TN = lira_online(statistic_TN, in_mean_TN, in_sd_TN, out_mean_TN, out_sd_TN)
    else:
        scores_TN = lira_offline(statistic_TN, out_mean_TN, out_sd_TN)
    return Lira(scores_TN, in_count_TN, out_count_TN, "pooled" if pooled else "own")


def _fits(values_TN: np.ndarray, used_TN: np.ndarray, pooled: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Count, mean and sd (T, N) of each record's used values, trial t left out in row t; NaN below LEAST_TRIALS.

    From sums of values centred on their record's mean, each row less its own term, so that all rows cost one pass.
    """
    total_N = np.where(used_TN, values_TN, 0.0).sum(axis=0)
    centre_N = total_N / np.maximum(used_TN.sum(axis=0), 1)
    centred_TN = np.where(used_TN, values_TN - centre_N, 0.0)
    count_TN = used_TN.sum(axis=0) - used_TN
    sum_TN = centred_TN.sum(axis=0) - centred_TN
    square_TN = (centred_TN**2).sum(axis=0) - centred_TN**2 - sum_TN**2 / np.maximum(count_TN, 1)
    size_N = np.abs(np.where(used_TN, values_TN, 0.0)).max(axis=0, initial=0.0)
    square_TN = np.where(square_TN > count_TN * (_NO_SPREAD * size_N) ** 2, square_TN, 0.0)
    enough_TN = count_TN >= LEAST_TRIALS
    freedom_TN = np.where(enough_TN, count_TN - 1, 0)
    if pooled:
        square_TN = np.where(enough_TN, square_TN, 0.0).sum(axis=1, keepdims=True)
        freedom_TN = freedom_TN.sum(axis=1, keepdims=True)
    sd_TN = np.broadcast_to(np.sqrt(_divide(square_TN, freedom_TN)), values_TN.shape)
    mean_TN = np.where(enough_TN, centre_N + sum_TN / np.maximum(count_TN, 1), np.nan)
    return count_TN, mean_TN, np.where(enough_TN, sd_TN, np.nan)


def _log_normal(x: np.ndarray, mean: np.ndarray, sd: np.ndarray) -> np.ndarray:
    sd = np.where(sd > 0, sd, np.nan)
    return -(((x - mean) / sd) ** 2) / 2 - np.log(sd) - math.log(2 * math.pi) / 2


def _divide(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """NaN where below is not above 0."""
    return np.divide(above, below, out=np.full(np.shape(above), np.nan), where=np.asarray(below) > 0)


def _sides(statistic_TN: np.ndarray, is_in_TN: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The statistic as float64 and where it counts in and out, bool (T, N)."""
    statistic_TN, is_in_TN = np.asarray(statistic_TN, dtype=np.float64), np.asarray(is_in_TN)
    if statistic_TN.ndim != 2 or statistic_TN.shape != is_in_TN.shape or is_in_TN.dtype != np.bool_:
        raise ValueError(
            f"statistic_TN and is_in_TN must be (T, N), the latter bool; "
            f"got {statistic_TN.shape} and {is_in_TN.shape} {is_in_TN.dtype}"
        )
    infinite = int(np.isinf(statistic_TN).sum())
    if infinite:
        raise ValueError(f"{infinite} statistics are infinite and have no mean; use a mean log-probability, or NaN")
    there_TN = ~np.isnan(statistic_TN)
    return statistic_TN, is_in_TN & there_TN, ~is_in_TN & there_TN
