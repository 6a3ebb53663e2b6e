"""Counterfactual memorization and LiRA against loops over trials and records."""

import math
import statistics

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from byrote.statistics.counterfactual import (
    LEAST_TRIALS,
    OWN_VARIANCE_FROM,
    Variant,
    lira,
    lira_each,
    lira_offline,
    lira_online,
    logit_scaled,
    memorization,
)
from byrote.statistics.roc import auc


def family(seed: int, trials: int, records: int, effect: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Statistics of records of very different level, raised by `effect` in the trials that were trained on them."""
    generator = np.random.default_rng(seed)
    is_in = generator.random((trials, records)) < 0.5
    level = generator.normal(-3, 2, size=records)
    return level + effect * is_in + generator.normal(0, 0.5, size=(trials, records)), is_in


def lira_by_loop(values: np.ndarray, is_in: np.ndarray, target: int, variant: Variant) -> list[float]:
    others = [t for t in range(len(values)) if t != target]
    sides = [
        [
            [values[t, n] for t in others if is_in[t, n] == side and not math.isnan(values[t, n])]
            for side in (True, False)
        ]
        for n in range(values.shape[1])
    ]
    pooled = []
    for side in (0, 1):
        lists = [s[side] for s in sides if len(s[side]) >= LEAST_TRIALS]
        squares = sum((x - statistics.fmean(xs)) ** 2 for xs in lists for x in xs)
        freedom = sum(len(xs) - 1 for xs in lists)
        pooled.append(math.sqrt(squares / freedom) if freedom and squares > 1e-12 else math.nan)
    own = len(others) >= OWN_VARIANCE_FROM
    scores = []
    for n, both in enumerate(sides):
        parts = []
        for side in (0, 1):
            if len(both[side]) < LEAST_TRIALS:
                parts.append((math.nan, math.nan))
            else:
                sd = statistics.stdev(both[side]) if own else pooled[side]
                parts.append((statistics.fmean(both[side]), sd))
        (mean_in, sd_in), (mean_out, sd_out) = parts
        x = values[target, n]
        if variant == "online":
            scores.append(norm.logpdf(x, mean_in, sd_in) - norm.logpdf(x, mean_out, sd_out))
        else:
            scores.append((x - mean_out) / sd_out)
    return scores


def test_hand_worked_memorization():
    values = np.array([[1.0, 5.0, 2.0], [3.0, 6.0, math.nan], [8.0, 7.0, 4.0]])
    is_in = np.array([[True, False, True], [True, False, True], [False, False, False]])
    result = memorization(values, is_in)
    assert result.mem[0] == pytest.approx(2.0 - 8.0)
    assert math.isnan(result.mem[1])  # never in
    assert result.mem[2] == pytest.approx(2.0 - 4.0)  # the missing value is no zero
    assert result.trials_in.tolist() == [2, 0, 1]
    assert result.trials_out.tolist() == [1, 3, 1]


@given(st.integers(0, 30), st.integers(0, 12), st.integers(0, 5))
def test_memorization_is_the_loop_and_turns_with_the_coin(seed: int, trials: int, records: int):
    values, is_in = family(seed, trials, records)
    result = memorization(values, is_in)
    for n in range(records):
        inside = [values[t, n] for t in range(trials) if is_in[t, n]]
        outside = [values[t, n] for t in range(trials) if not is_in[t, n]]
        missing = not inside or not outside
        want = math.nan if missing else statistics.fmean(inside) - statistics.fmean(outside)
        assert result.mem[n] == pytest.approx(want, nan_ok=True)
    assert memorization(values, ~is_in).mem == pytest.approx(-result.mem, nan_ok=True)
    assert memorization(values[::-1] * 2 + 7, is_in[::-1]).mem == pytest.approx(2 * result.mem, nan_ok=True)


def test_memorization_finds_the_effect_and_nothing_without_one():
    assert memorization(*family(1, 60, 200, effect=1.0)).mem.mean() == pytest.approx(1.0, abs=0.05)
    assert memorization(*family(2, 60, 200, effect=0.0)).mem.mean() == pytest.approx(0.0, abs=0.05)


@pytest.mark.parametrize("variant", ["online", "offline"])
@pytest.mark.parametrize("trials", [3, 6, 20, OWN_VARIANCE_FROM, OWN_VARIANCE_FROM + 1])
def test_lira_is_the_loop(trials: int, variant: Variant):
    values, is_in = family(trials, trials, 9)
    values[1, 2] = math.nan
    is_in[:, 4] = True
    each = lira_each(values, is_in, variant)
    for target in (0, 1, trials - 1):
        want = lira_by_loop(values, is_in, target, variant)
        result = lira(values, is_in, target, variant)
        assert result.scores == pytest.approx(want, rel=1e-8, abs=1e-8, nan_ok=True)
        assert each.scores[target].tolist() == pytest.approx(want, rel=1e-8, abs=1e-8, nan_ok=True)
        assert result.missing == sum(map(math.isnan, want)) >= 1
        others = np.delete(is_in & ~np.isnan(values), target, axis=0)
        assert result.trials_in.tolist() == others.sum(axis=0).tolist()
    assert each.variance == ("own" if trials > OWN_VARIANCE_FROM else "pooled")


@pytest.mark.parametrize("trials", [12, OWN_VARIANCE_FROM + 6])
def test_the_attacked_trials_coin_has_no_say_in_its_scores(trials: int):
    values, is_in = family(3, trials, 20)
    flipped = is_in.copy()
    flipped[5] = ~flipped[5]
    for variant in ("online", "offline"):
        before, after = lira(values, is_in, 5, variant), lira(values, flipped, 5, variant)
        assert after.scores == pytest.approx(before.scores, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("variant", ["online", "offline"])
def test_scores_are_higher_for_members_and_do_not_see_the_unit(variant: Variant):
    values, is_in = family(4, 30, 100, effect=1.0)
    scores = lira_each(values, is_in, variant).scores
    raw = auc(values[is_in], values[~is_in])
    assert auc(scores[is_in], scores[~is_in]) > 0.8 > 0.7 > raw
    moved = lira_each(5 * values + np.arange(100), is_in, variant).scores
    assert moved == pytest.approx(scores, rel=1e-6, abs=1e-6)
    null, is_in = family(5, 30, 200, effect=0.0)
    scores = lira_each(null, is_in, variant).scores
    assert auc(scores[is_in], scores[~is_in]) == pytest.approx(0.5, abs=0.03)


def test_records_are_scored_apart_with_their_own_variance_and_in_any_order():
    values, is_in = family(6, OWN_VARIANCE_FROM + 5, 8)
    scores = lira_each(values, is_in, "online").scores
    alone = lira_each(values[:, 3:4], is_in[:, 3:4], "online").scores
    assert alone[:, 0] == pytest.approx(scores[:, 3])
    order = np.random.default_rng(0).permutation(len(values))
    assert lira_each(values[order], is_in[order], "online").scores == pytest.approx(scores[order])


def test_records_with_too_few_trials_or_no_spread_are_missing_and_counted():
    values, is_in = family(7, 10, 6)
    is_in[:, 0] = [True] * 9 + [False]
    values[2, 1] = math.nan
    result = lira(values, is_in, 2, "online")
    assert np.isnan(result.scores).tolist() == [True, True, False, False, False, False]
    assert (result.missing, result.trials_out[0]) == (2, 1)
    assert not np.isnan(lira(values, is_in, 2, "offline").scores[2:]).any()
    constant = np.where(is_in, 0.1, 0.3)
    assert lira_each(constant, is_in, "online").missing == constant.size
    many, is_in = family(8, OWN_VARIANCE_FROM + 1, 3)
    rounding = np.where(np.arange(len(many)) % 2 == 0, 0.3, 0.1 + 0.2)  # two floats for one number are no spread
    many[:, 1] = rounding
    assert np.isnan(lira_each(many, is_in, "online").scores).sum(axis=0).tolist() == [0, len(many), 0]


def test_hand_worked_scores():
    """Both standard deviations 1: log-ratio of N(s; 2, 1) and N(s; 0, 1) is 2s − 2."""
    s, ones = np.array([0.0, 1.0, 3.0]), np.ones(3)
    assert lira_online(s, 2 * ones, ones, 0 * ones, ones) == pytest.approx([-2.0, 0.0, 4.0])
    assert lira_offline(s, ones, 2 * ones) == pytest.approx([-0.5, 0.0, 1.0])
    assert np.isnan(lira_online(s, ones, 0 * ones, ones, ones)).all()
    assert np.isnan(lira_offline(s, ones, 0 * ones)).all()


def test_offline_orders_as_the_papers_probability():
    z = lira_offline(np.array([-1.0, 0.5, 2.0]), np.zeros(3), np.ones(3))
    assert norm.cdf(z) == pytest.approx(1 - norm.sf([-1.0, 0.5, 2.0]))


def test_logit_scaling():
    p = np.array([1e-300, 0.01, 0.5, 0.99])
    assert logit_scaled(np.log(p)) == pytest.approx(np.log(p / (1 - p)), abs=1e-12)
    assert logit_scaled(np.array([0.0, -1e-20])) == pytest.approx([math.inf, 20 * math.log(10)])


def test_bad_families_are_errors():
    values, is_in = family(9, 5, 4)
    with pytest.raises(ValueError, match="target must be from 0 to 4, got 5"):
        lira(values, is_in, 5, "online")
    with pytest.raises(ValueError, match="variant must be online or offline, got 'both'"):
        lira_each(values, is_in, "both")  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match=r"must be \(T, N\)"):
        memorization(values, is_in[:-1])
    with pytest.raises(ValueError, match="float64"):
        memorization(values, is_in.astype(float))
    values[0, 0] = math.inf
    with pytest.raises(ValueError, match="1 statistics are infinite"):
        memorization(values, is_in)
