"""The Gaussian one-run bound against jax_privacy, the curve's own formula, and simulated mechanisms."""

import numpy as np
import pytest
from jax_privacy.auditing import CanaryScoreAuditor, Explicit
from scipy.integrate import quad
from scipy.stats import norm

from byrote.statistics.gaussian_one_run import epsilon_of, falsified, gaussian_epsilon, mu_lower_bound
from byrote.statistics.one_run import epsilon_lower_bound


@pytest.mark.parametrize("delta", [1e-5, 1e-3])
@pytest.mark.parametrize(("canaries", "shift", "threshold"), [(60, 2.0, 1.0), (300, 2.5, 1.5), (1000, 1.0, 1.0)])
def test_the_bound_is_that_of_jax_privacy(canaries: int, shift: float, threshold: float, delta: float):
    generator = np.random.default_rng(canaries)
    inside, outside = generator.normal(shift, 1, canaries // 2), generator.normal(0, 1, canaries // 2)
    right = int((inside >= threshold).sum())
    guesses = right + int((outside >= threshold).sum())
    want = CanaryScoreAuditor(inside, outside).epsilon_one_run_fdp(0.05, delta, threshold_strategy=Explicit(threshold))
    assert want > 0
    assert gaussian_epsilon(canaries, guesses, right, delta) == pytest.approx(want, abs=1e-5)


def test_the_golden_figure():
    """METHOD: 155 of 240 right give 0.37 by Steinke and 0.80 under a Gaussian trade-off."""
    assert epsilon_lower_bound(240, 240, 155, 1e-5) == pytest.approx(0.37, abs=0.005)
    assert gaussian_epsilon(240, 240, 155, 1e-5) == pytest.approx(0.80, abs=0.005)


@pytest.mark.parametrize("mu", [0.3, 1.0, 3.0])
def test_epsilon_is_that_of_two_normals_one_mu_apart(mu: float):
    delta = 1e-5
    epsilon = epsilon_of(mu, delta)
    start = (epsilon + mu**2 / 2) / mu  # where the density of N(μ, 1) is e^ε times that of N(0, 1)
    beyond, _ = quad(lambda x: norm.pdf(x, mu) - np.exp(epsilon) * norm.pdf(x), start, start + 30, epsabs=1e-12)
    assert beyond == pytest.approx(delta, rel=1e-4)


def test_the_bound_is_the_largest_mu_that_is_falsified():
    bound = mu_lower_bound(240, 60, 45)
    assert bound > 0
    assert all(falsified(240, 60, 45, mu, 0.05) for mu in np.linspace(0, bound, 5))
    assert not any(falsified(240, 60, 45, bound + more, 0.05) for more in (1e-6, 0.1, 1.0, 5.0))
    assert mu_lower_bound(240, 60, 30) == 0
    assert epsilon_of(0.0, 1e-5) == 0


def test_impossible_numbers_are_refused():
    for numbers in ((10, 12, 5), (10, 5, 6), (10, 0, 0)):
        with pytest.raises(ValueError, match="is not so"):
            mu_lower_bound(*numbers)
    for mu, delta in ((-1.0, 1e-5), (1.0, 0.0), (1.0, 1.0)):
        with pytest.raises(ValueError, match="mu must be at least 0 and delta"):
            epsilon_of(mu, delta)
