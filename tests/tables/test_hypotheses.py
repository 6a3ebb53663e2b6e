"""Verdicts on hypotheses from scores: which comparison they rest on, and when there is none."""

from typing import Any

import numpy as np
import pytest

from byrote.statistics.delong import clustered
from byrote.statistics.hypotheses import Comparison, half_width, p_above
from byrote.study.hypotheses import Named
from byrote.study.settings import Claims, Hypothesis
from byrote.tables.compared import ScoredStratum
from byrote.tables.hypotheses import hypothesis_rows
from fake_strata import scored_stratum

MARGIN = 0.02


def named(of: tuple[int, ...], against: tuple[int, ...] = (), **more: Any) -> Named:
    sides = [tuple({"lora.rank": rank} for rank in side) for side in (of, against)]
    stated = Hypothesis(name="it", says="It leaks more", of=sides[0], against=sides[1], **more)
    labels = [tuple(f"v · rank {rank}" for rank in side) for side in (of, against)]
    return Named(stated, labels[0], labels[1])


def rows(hypotheses: list[Named], trials: list[ScoredStratum], collapsed: tuple[str, ...] = ()) -> list[dict[str, Any]]:
    return list(hypothesis_rows(hypotheses, trials, "ratio", Claims(margin=MARGIN), 0.95, collapsed))


def five_seeds(rank: int, lift: float) -> list[ScoredStratum]:
    return [scored_stratum(rank, seed, lift) for seed in range(5)]


TRIALS = [*five_seeds(1, 0.0), *five_seeds(2, 2.0), *five_seeds(3, 3.0)]


def test_a_hypothesis_rests_on_its_smallest_difference():
    (row,) = rows([named((2, 3), (1,), published="0.6 against 0.5")], TRIALS)
    assert (row["verdict"], row["label"], row["against"]) == ("supported", "v · rank 2", "v · rank 1")
    sides = [[trial.scores["ratio"] for trial in TRIALS[first : first + 5]] for first in (5, 0)]
    areas = np.array([[np.mean(s.members[:, None] > s.nonmembers) for s in side] for side in sides])
    both = [*sides[0], *sides[1]]
    joint = clustered(
        np.array([s.members for s in both]), np.array([s.nonmembers for s in both]), *TRIALS[0].compared.groups
    )[1]
    contrast = np.concatenate([np.eye(5), -np.eye(5)], axis=1)
    covariance = contrast @ joint @ contrast.T
    shared = (covariance.sum() - np.trace(covariance)) / 20
    expected = Comparison(areas[0] - areas[1], shared)
    assert row["difference"] == pytest.approx(expected.mean)
    assert row["difference_low"] == pytest.approx(expected.mean - half_width(expected, 0.025))
    assert row["p_support"] >= p_above(expected, MARGIN) - 1e-9
    assert (row["seeds"], row["family"], row["published"], row["reason"]) == (5, "1 hypothesis", "0.6 against 0.5", "")
    assert 1 < row["seeds_to_decide"] <= 5


def test_the_other_way_round_it_is_contradicted_and_a_family_is_judged_together():
    both = rows([named((1,), (2, 3)), named((3,), (1,))], TRIALS)
    assert [row["verdict"] for row in both] == ["contradicted", "supported"]
    assert {row["family"] for row in both} == {"2 hypotheses"}
    (alone,) = rows([named((3,), (1,))], TRIALS)
    assert both[1]["difference_low"] < alone["difference_low"]


def test_an_order_that_levels_off_says_from_where():
    trials = [*TRIALS, *five_seeds(4, 3.0)]
    (row,) = rows([named((1, 2, 3, 4), rule="levels_off")], trials)
    assert row["levels_off_from"] in ("v · rank 3", "")
    assert (row["against"], row["seeds"]) == ("v · rank 3", 5)
    assert row["verdict"] in ("supported", "undecided")


@pytest.mark.parametrize(
    ("trials", "collapsed", "seeds", "reason"),
    [
        (TRIALS[:14], (), 4, "4 seeds have both AUCs, a hypothesis takes at least 5"),
        (TRIALS[:10], (), 0, "no scores of v · rank 3"),
        (TRIALS, ("t3-0",), 5, "1 trial of v · rank 3 collapsed"),
        ([], (), 0, "no scores of v · rank 3 and v · rank 1"),
    ],
)
def test_without_a_comparison_it_is_undecided_and_says_why(
    trials: list[ScoredStratum], collapsed: tuple[str, ...], seeds: int, reason: str
):
    (row,) = rows([named((3,), (1,))], trials, collapsed)
    assert (row["verdict"], row["reason"], row["p_support"]) == ("undecided", reason, 1.0)
    assert row["seeds"] == seeds
