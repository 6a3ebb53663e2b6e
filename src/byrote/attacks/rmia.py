"""RMIA without shadow models: a record's likelihood ratio against those of a population."""

import math

import numpy as np

from byrote.attacks._evidence import Evidence
from byrote.ragged import mean_by_record
from byrote.records import TokenScores

TIE = 1e-9  # log-ratios nearer than this are equal: means of the same float32 values differ by their rounding, 1e-15


def rmia(evidence: Evidence) -> np.ndarray:
    """Offline RMIA with a = 1 (Zarifzadeh et al. 2024): a share of the population, 0 to 1, (N,). See `_shares`.

    a = 1 makes p(x) the base model's likelihood, so the ratio orders records as `difference_mean` does, in steps of
    one population record: records between the same two share a score, and all above the whole population share 1.
    """
    return _shares(evidence, a=1.0)


def rmia_a03(evidence: Evidence) -> np.ndarray:
    """Offline RMIA with the a = 0.3 of Zarifzadeh et al. 2024 on images, (N,). See `_shares`.

    Likelihoods of texts are so far below the constant (1 − a)/2 that this comes close to `loss`, in steps.
    """
    return _shares(evidence, a=0.3)


def _shares(evidence: Evidence, a: float) -> np.ndarray:
    """Share of population records z with ratio(x) / ratio(z) > 1, float64 (N,). Higher = member.

    ratio(x) = p_θ(x) / p(x), p(x) ≈ ((1 + a)·p_out(x) + (1 − a))/2, p_out the base model's, signal exp(mean ℓ). A tie
    (within TIE) is not counted, so a record of the population does not count itself, and a threshold set on the
    population's own scores is the one set on its ratios. Missing for a record without scored tokens, and for all
    without a population.
    """
    if evidence.population is None:
        return np.full(len(evidence), np.nan)
    own = _log_ratio(evidence.tuned, evidence.base, a)
    others = _log_ratio(*evidence.population, a)
    others = np.sort(others[~np.isnan(others)])
    if len(others) == 0:
        return np.full(len(evidence), np.nan)
    below = np.searchsorted(others, own - TIE, side="left")
    return np.where(np.isnan(own), np.nan, below / len(others))


def _log_ratio(tuned: TokenScores, base: TokenScores, a: float) -> np.ndarray:
    """log [p_θ(x) / p(x)], (N,), in logs because exp(mean ℓ) may underflow."""
    log_tuned, log_out = (mean_by_record(s.logprob, s.lengths) for s in (tuned, base))
    factor, constant = math.log((1 + a) / 2), math.log((1 - a) / 2) if a < 1 else -math.inf
    with np.errstate(invalid="ignore"):
        return log_tuned - np.logaddexp(factor + log_out, constant)
