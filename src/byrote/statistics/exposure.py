# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
"""Exposure: how far a canary's perplexity stands below that of references never planted (Carlini et al. 2019).

Arrays: perplexity_C (C,) of canaries and reference_perplexities_R (R,), all above 0, under one model. Exposure is
in bits, higher = more memorized. The null control is the same call on canaries that were never planted: there the rank
is uniform, so an exposure of at least k bits has a chance of about 2^−k. A canary without a perplexity (NaN) has no
exposure (NaN).
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import erfcx, log_ndtr, ndtr, owens_t
from scipy.stats import FitError, ks_1samp, skewnorm

LEAST_REFERENCES = 50  # three parameters and a tail from fewer would be a guess
STEEPEST = 10.0  # beyond this shape the fit is a half-normal with a hard edge, and a canary past the edge no evidence
LEAST_SPREAD = 1e-6  # standard deviation of log-perplexities, in nats

_DEPTH_K, _WEIGHT_K = np.polynomial.laguerre.laggauss(64)


def exposure_by_rank(perplexity_C: np.ndarray, reference_perplexities_R: np.ndarray) -> np.ndarray:
    """log₂ R' − log₂ rank, (C,), with R' = references + 1 (Carlini et al. 2019).

    rank = 1 + references whose perplexity is lower or equal: a tie counts against the canary, the cautious choice. From
    0 to log₂ R'. Infinite perplexities rank like any other. NaN without references. Raises ValueError where a reference
    has no perplexity or a perplexity is not above 0.

    >>> exposure_by_rank(np.array([5.0, 500.0]), np.arange(10.0, 1033.0)).round(2).tolist()
    [10.0, 1.06]
    """
    canaries_C, references_R = _checked(perplexity_C, reference_perplexities_R)
    if len(references_R) == 0:
        return np.full(len(canaries_C), np.nan)
    rank_C = 1 + np.searchsorted(np.sort(references_R), canaries_C, side="right")
    return np.where(np.isnan(canaries_C), np.nan, np.log2((len(references_R) + 1) / rank_C))


@dataclass(frozen=True)
class Extrapolated:
    """Exposures (C,) in bits, with the fit they rest on: log-perplexity of references ~ skew-normal.

    fit_p: Kolmogorov–Smirnov p of the references against the fit. A small one refutes the fit; a large one proves
    little, because the parameters were fitted on the same values. reason: why there is no fit (exposures and numbers
    are then NaN), else None.
    """

    exposure: np.ndarray
    fit_p: float
    shape: float
    location: float
    scale: float
    reason: str | None


def exposure_extrapolated(perplexity_C: np.ndarray, reference_perplexities_R: np.ndarray) -> Extrapolated:
    """−log₂ F(log perplexity), F a skew-normal fitted by maximum likelihood on the references' log-perplexities.

    Carlini et al. 2019. It reaches beyond log₂ R', where the rank ends; the logarithm of F is computed without F, so no
    finite perplexity has an infinite exposure. Few references make the tail too long: of canaries never planted, 7 bits
    come 1.5 times as often as 2⁻⁷ and 10 bits 2 to 3 times as often as 2⁻¹⁰ with 100 references (simulated, normal and
    Gumbel), as often as they should with 1000. All NaN, with the reason, for fewer than LEAST_REFERENCES references,
    infinite ones, hardly any spread, or a fit that fails. Raises ValueError as `exposure_by_rank` does.

    >>> references = np.exp(np.random.default_rng(0).normal(3, 0.5, 100))
    >>> fit = exposure_extrapolated(np.array([1.0, 20.0]), references)
    >>> fit.reason is None, bool(fit.exposure[0] > fit.exposure[1])
    (True, True)
    """
    canaries_C, references_R = _checked(perplexity_C, reference_perplexities_R)
    log_C, log_R = np.log(canaries_C), np.log(references_R)
    fit = _fit(log_R)
    if isinstance(fit, str):
        return Extrapolated(np.full(len(log_C), np.nan), math.nan, math.nan, math.nan, math.nan, fit)
    shape, location, scale = fit
    exposure_C = np.abs(log_skew_normal_cdf((log_C - location) / scale, shape)) / math.log(2)

    def fitted_cdf(log_X: np.ndarray) -> np.ndarray:
        return np.exp(log_skew_normal_cdf((log_X - location) / scale, shape))

    test: Any = ks_1samp(log_R, fitted_cdf)
    return Extrapolated(exposure_C, float(test.pvalue), shape, location, scale, None)


def log_skew_normal_cdf(x_C: np.ndarray, shape: float) -> np.ndarray:
    """Natural log of the standard skew-normal CDF, (C,): ∫ 2 φ(t) Φ(shape·t) dt up to x (Azzalini 1985).

    Φ(x) − 2 T(x, shape) with Owen's T where that is at least 1e-3. Below, where it cancels and later underflows,
    Gauss–Laguerre quadrature along the tail, in logs.

    >>> log_skew_normal_cdf(np.array([0.0]), shape=0.0).round(3).tolist()  # log ½: without skew it is the normal
    [-0.693]
    """
    cdf_C = ndtr(x_C) - 2 * owens_t(x_C, shape)
    deep_C = cdf_C < 1e-3
    log_C = np.log(np.where(deep_C, 1.0, np.minimum(cdf_C, 1.0)))
    with np.errstate(invalid="ignore"):
        finite_C = deep_C & np.isfinite(x_C)
    log_C[deep_C & ~finite_C] = -np.inf
    log_C[finite_C] = _log_tail(x_C[finite_C], shape)
    return log_C


def _log_tail(x_C: np.ndarray, shape: float) -> np.ndarray:
    """log F(x) left of the mode. The density is log-concave, so with its slope there as the rate, what is left under
    the integral is between 0 and 1 and smooth: log F = log f(x) − log rate + log ∫ e^−u g(u) du."""
    rate_C = -x_C + shape * math.sqrt(2 / math.pi) / erfcx(-shape * x_C / math.sqrt(2))
    depth_CK = x_C[:, None] - _DEPTH_K / rate_C[:, None]
    drop_CK = _log_density(depth_CK, shape) - _log_density(x_C, shape)[:, None] + _DEPTH_K
    return _log_density(x_C, shape) - np.log(rate_C) + np.log(np.exp(np.minimum(drop_CK, 0.0)) @ _WEIGHT_K)


def _log_density(x: np.ndarray, shape: float) -> np.ndarray:
    return 0.5 * math.log(2 / math.pi) - x**2 / 2 + log_ndtr(shape * x)


def _fit(log_R: np.ndarray) -> tuple[float, float, float] | str:
    """Shape, location and scale by maximum likelihood on standardised values, or why there are none."""
    if len(log_R) < LEAST_REFERENCES:
        return f"{len(log_R)} references; a skew-normal fit needs at least {LEAST_REFERENCES}"
    if np.isinf(log_R).any():
        return f"{int(np.isinf(log_R).sum())} references have an infinite perplexity"
    centre, spread = float(log_R.mean()), float(log_R.std())
    if spread < LEAST_SPREAD:
        return f"the references' log-perplexities hardly differ (standard deviation {spread:.1g})"
    try:
        with np.errstate(all="ignore"):
            fitted: Any = skewnorm.fit((log_R - centre) / spread)
    except FitError as error:
        return f"the skew-normal fit failed: {error}"
    shape, location, scale = map(float, fitted)
    if not (math.isfinite(shape + location + scale) and scale > 0):
        return "the skew-normal fit failed: parameters are not finite"
    if abs(shape) > STEEPEST:
        return f"the skew-normal fit ran to its edge (shape {shape:.3g}, at most {STEEPEST:g} is trusted)"
    return shape, centre + spread * location, spread * scale


def _checked(perplexity_C: np.ndarray, reference_perplexities_R: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    canaries_C = np.asarray(perplexity_C, dtype=np.float64)
    references_R = np.asarray(reference_perplexities_R, dtype=np.float64)
    missing = int(np.isnan(references_R).sum())
    if missing:
        raise ValueError(f"{missing} of {len(references_R)} references have no perplexity; leave them out, count them")
    for name, values in (("canary", canaries_C), ("reference", references_R)):
        if (values <= 0).any():
            raise ValueError(f"a {name}'s perplexity is {values.min():g}; give perplexities, not logarithms")
    return canaries_C, references_R
