"""From the probability that a suffix is drawn once to what many draws give: (n, p)-discoverable extraction.

Hayes et al. 2024 (arXiv 2410.19482). log_p: natural log of p_z, the product of the decoding distribution's
probabilities of the suffix's tokens, teacher-forced; −inf where a token cannot be drawn; NaN where it is missing. All
functions take a number or an array, keep its shape, and stay exact where p_z itself underflows. Rounding may leave
log_p above 0 by 1e-6 at most, which counts as 0.
"""

import math

import numpy as np

_ROUNDING = 1e-6
_MOST_DRAWS = 1e300


def log_one_minus(log_p: np.ndarray | float) -> np.ndarray:
    """log(1 − p) from log p ≤ 0, exact at both ends (Mächler 2012): −inf at p = 1, −p for tiny p.

    >>> float(np.exp(log_one_minus(np.log(0.25))).round(4))
    0.75
    """
    log_p = np.asarray(log_p, dtype=np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(log_p > -math.log(2), np.log(-np.expm1(log_p)), np.log1p(-np.exp(log_p)))


def chance_of(log_p: np.ndarray | float, draws: int) -> np.ndarray:
    """1 − (1 − p)ⁿ, the chance that n draws hold the suffix at least once: −expm1(n·log1p(−p)).

    Raises ValueError for draws outside 1…1e300 or log_p above 0.

    >>> float(chance_of(np.log(0.01), draws=100).round(3))
    0.634
    """
    log_rate = _log_rate(_checked(log_p))
    with np.errstate(over="ignore"):
        return -np.expm1(-np.exp(log_rate + math.log(_checked_draws(draws))))


def draws_needed(log_p: np.ndarray | float, chance: float) -> np.ndarray:
    """The least n with 1 − (1 − p)ⁿ ≥ chance: log(1 − chance)/log(1 − p) rounded up; 1 where p ≥ chance.

    To one part in 10¹², so that a whole number is not missed by rounding. inf where p = 0, and where n is beyond a
    float. Raises ValueError for a chance outside (0, 1) or log_p above 0.

    >>> draws_needed(np.log([0.5, 0.01]), chance=0.5).tolist()
    [1.0, 69.0]
    """
    if not 0 < chance < 1:
        raise ValueError(f"chance must be between 0 and 1, got {chance}")
    log_rate = _log_rate(_checked(log_p))
    with np.errstate(over="ignore"):
        exact = np.exp(math.log(-math.log1p(-chance)) - log_rate)
    return np.maximum(np.ceil(exact * (1 - 1e-12)), 1.0)


def extraction_rate(log_p_N: np.ndarray, draws: int, chance: float) -> tuple[int, int]:
    """How many suffixes are (n, p)-extractable: n draws hold them with at least this chance, of how many.

    A suffix without a probability (NaN) is in neither number; len(log_p_N) less the second is how many are missing.

    >>> extraction_rate(np.log([0.5, 0.01, 1e-9]), draws=100, chance=0.5)
    (2, 3)
    """
    needed_N = draws_needed(np.asarray(log_p_N), chance)
    return int((needed_N <= _checked_draws(draws)).sum()), int((~np.isnan(needed_N)).sum())


def extraction_rates(
    log_p_N: np.ndarray, draws: tuple[int, ...], chances: tuple[float, ...]
) -> dict[tuple[int, float], tuple[int, int]]:
    """`extraction_rate` for each pair of draws and chance, in that order.

    >>> extraction_rates(np.log([0.5, 0.01, 1e-9]), draws=(1, 100), chances=(0.5,))
    {(1, 0.5): (1, 3), (100, 0.5): (2, 3)}
    """
    return {(n, chance): extraction_rate(log_p_N, n, chance) for n in draws for chance in chances}


def _log_rate(log_p: np.ndarray) -> np.ndarray:
    """log(−log(1 − p)): where exp(log_p) vanishes beside 1 this is log_p itself, and no underflow is met."""
    with np.errstate(divide="ignore"):
        return np.where(log_p < -50, log_p, np.log(-log_one_minus(log_p)))


def _checked(log_p: np.ndarray | float) -> np.ndarray:
    log_p = np.asarray(log_p, dtype=np.float64)
    if (log_p > _ROUNDING).any():
        raise ValueError(f"log_p must be at most 0, got {np.nanmax(log_p):g}; it is a log-probability in nats")
    return np.minimum(log_p, 0.0)


def _checked_draws(draws: int) -> float:
    if not 1 <= draws <= _MOST_DRAWS:
        raise ValueError(f"draws must be from 1 to {_MOST_DRAWS:g}, got {draws}")
    return float(draws)
