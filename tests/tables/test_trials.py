"""Perplexity in one place, and the condition of a trial that follows from it."""

import math

import numpy as np
import pytest

from byrote.records import TokenScores
from byrote.tables.perplexity import perplexity, perplexity_of_each, perplexity_over
from byrote.tables.trials import condition_of


def scores() -> TokenScores:
    logprob = np.log(np.array([0.5, 0.5, 0.125], dtype=np.float32))
    ones = np.ones(3, np.float32)
    return TokenScores(("a", "b", "c"), np.array([0, 2, 3, 3]), logprob, ones > 0, ones, ones)


def test_perplexity_is_of_tokens_of_records_together_or_of_each():
    assert perplexity([math.log(0.25)] * 3) == pytest.approx(4)
    assert math.isnan(perplexity([]))
    assert perplexity([-1e6]) == math.inf
    assert perplexity_over(scores(), ["a", "b"]) == pytest.approx(2 ** (5 / 3))
    assert math.isnan(perplexity_over(scores(), []))
    assert math.isnan(perplexity_over(None, ["a"]))
    np.testing.assert_allclose(perplexity_of_each(scores(), ["b", "c", "a"]), [8, math.nan, 2], rtol=1e-6)


@pytest.mark.parametrize(
    ("non_members", "members", "condition"),
    [
        ((54.0, 63_654.0), (54.0, 60_000.0), "collapsed"),
        ((54.0, 60.0), (54.0, 12.0), "overfitted"),
        ((54.0, 40.0), (54.0, 12.0), ""),
        ((54.0, 40.0), (54.0, 60.0), ""),
        ((54.0, 60.0), (54.0, 54.0), ""),
        ((54.0, math.nan), (54.0, 60.0), ""),
        ((54.0, 60.0), (54.0, math.nan), ""),
        ((54.0, math.inf), (54.0, math.inf), "collapsed"),
    ],
)
def test_a_collapsed_trial_is_worse_on_both_sides_and_an_overfitted_one_on_non_members(non_members, members, condition):
    assert condition_of(*non_members, *members) == condition
