"""Attacks on a shadow's scores: naive twins, and what is missing."""

import math
from dataclasses import replace

import numpy as np
import pytest

from byrote.attacks import Evidence
from byrote.attacks.shadow import difference_shadow, ratio_shadow
from byrote.records import TokenScores

TUNED = [[-1.0, -0.25, -3.0], [-0.5], [], [0.0, 0.0]]
SHADOW = [[-2.0, -0.5, -2.75], [-0.25], [], [-1.0, -2.0]]
BASE = [[-7.0, -8.0, -9.0], [-6.0], [], [-5.0, -4.0]]


def scores(rows: list[list[float]]) -> TokenScores:
    flat = np.array([x for row in rows for x in row], dtype=np.float32)
    offsets = np.cumsum([0, *map(len, rows)]).astype(np.int64)
    ids = tuple(f"r{i}" for i in range(len(rows)))
    return TokenScores(ids, offsets, flat, flat > -1, flat - 1, np.ones_like(flat))


def evidence(base: list[list[float]] = BASE) -> Evidence:
    return Evidence(scores(TUNED), scores(base), ("a",) * len(TUNED), shadow=scores(SHADOW))


def slow_difference(tuned: list[float], shadow: list[float]) -> float:
    return sum(t - s for t, s in zip(tuned, shadow, strict=True)) if tuned else math.nan


def slow_ratio(tuned: list[float], shadow: list[float]) -> float:
    if not tuned:
        return math.nan
    return sum(shadow) / sum(tuned) if sum(tuned) else math.inf


@pytest.mark.parametrize(("attack", "slow"), [(difference_shadow, slow_difference), (ratio_shadow, slow_ratio)])
def test_it_is_the_slow_twin_whatever_the_base_model_says(attack, slow):
    expected = [slow(t, s) for t, s in zip(TUNED, SHADOW, strict=True)]
    np.testing.assert_allclose(attack(evidence()), expected, rtol=1e-6)
    np.testing.assert_array_equal(attack(evidence()), attack(evidence(base=SHADOW)))


@pytest.mark.parametrize("attack", [difference_shadow, ratio_shadow])
def test_all_are_missing_without_a_shadow(attack):
    assert np.isnan(attack(replace(evidence(), shadow=None))).tolist() == [True] * len(TUNED)


def test_a_shadow_of_other_records_is_refused():
    turned = scores(SHADOW).take(["r1", "r0", "r2", "r3"])
    with pytest.raises(ValueError, match="join them by record id"):
        replace(evidence(), shadow=turned)
