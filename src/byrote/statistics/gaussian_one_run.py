# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
"""The one-run bound on ε if the mechanism is Gaussian: tighter than Steinke's, and true under that alone.

The same guesses are held against the trade-off curve of a μ-GDP mechanism (Mahloujifar, Melis, Chaudhuri 2024,
"Auditing f-Differential Privacy in One Run", arXiv 2410.22235) in place of randomized response's, the worst of all.
"""

import math

from scipy.special import ndtr, ndtri

from byrote.statistics.one_run import largest_where


def falsified(canaries: int, guesses: int, right: int, mu: float, level: float) -> bool:
    """Whether so many right guesses falsify μ-Gaussian differential privacy at the level.

    r and h are what is left of the chance of at least i right guesses, of right and of wrong ones; from right − 1 down,
    h rises to Φ(Φ⁻¹(r) − μ), the least that the trade-off curve allows, and r by i/(guesses − i) of that rise. It is
    falsified where both together pass guesses/canaries (their `audit_rh_with_cap`). Raises ValueError for impossible
    counts.

    >>> falsified(canaries=240, guesses=240, right=155, mu=0.1, level=0.05)
    True
    """
    if not 0 <= right <= guesses <= canaries or guesses < 1:
        raise ValueError(f"0 ≤ right ≤ guesses ≤ canaries is not so: {right}, {guesses}, {canaries}")
    r, h = level * right / canaries, level * (guesses - right) / canaries
    for i in range(right - 1, -1, -1):
        least = float(ndtr(ndtri(r) - mu))
        if least <= h:
            break  # neither changes any more
        r, h = min(1.0, r + i / (guesses - i) * (least - h)), least
    return r + h > guesses / canaries


def mu_lower_bound(canaries: int, guesses: int, right: int, level: float = 0.05) -> float:
    """The largest μ that so many right guesses falsify, by bisection from below; 0 where there is none.

    >>> round(mu_lower_bound(canaries=240, guesses=240, right=155), 3)
    0.218
    """
    if not falsified(canaries, guesses, right, 0.0, level):
        return 0.0
    return largest_where(lambda mu: falsified(canaries, guesses, right, mu, level))


def epsilon_of(mu: float, delta: float) -> float:
    """The ε of (ε, δ) that a μ-GDP mechanism has, by bisection; 0 for μ = 0.

    δ(ε) = Φ(−ε/μ + μ/2) − e^ε·Φ(−ε/μ − μ/2) falls with ε (Dong, Roth, Su 2022, corollary 2.13). Raises ValueError of a
    μ below 0, or a δ outside (0, 1): without δ a Gaussian mechanism has no ε.

    >>> round(epsilon_of(mu=1.0, delta=1e-5), 3)
    4.377
    """
    if not mu >= 0 or not 0 < delta < 1:
        raise ValueError(f"mu must be at least 0 and delta between 0 and 1, got {mu} and {delta}")
    if mu == 0 or _delta_at(0.0, mu) <= delta:
        return 0.0
    return largest_where(lambda epsilon: _delta_at(epsilon, mu) > delta)


def _delta_at(epsilon: float, mu: float) -> float:
    tail = float(ndtr(-epsilon / mu - mu / 2))
    return float(ndtr(-epsilon / mu + mu / 2)) - (math.exp(epsilon) * tail if tail > 0 else 0.0)


def gaussian_epsilon(canaries: int, guesses: int, right: int, delta: float, level: float = 0.05) -> float:
    """The lower bound on ε at δ that holds if the mechanism is Gaussian.

    >>> round(gaussian_epsilon(canaries=240, guesses=240, right=155, delta=1e-5), 2)
    0.8
    """
    return epsilon_of(mu_lower_bound(canaries, guesses, right, level), delta)
