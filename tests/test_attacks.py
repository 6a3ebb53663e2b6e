"""Attacks: naive twins, and a contract that every entry of the table keeps."""

import math

import numpy as np
import pytest

from byrote.attacks import ATTACKS, find_attacks
from byrote.errors import StudyError
from byrote.records import TokenScores


def scores(logprobs: list[list[float]]) -> TokenScores:
    offsets = np.cumsum([0, *map(len, logprobs)]).astype(np.int64)
    flat = np.array([x for row in logprobs for x in row], dtype=np.float32)
    names = tuple(f"r{i}" for i in range(len(logprobs)))
    return TokenScores(names, offsets, flat, flat > -0.5, flat - 1, np.ones_like(flat))


BASE = [[-1.0, -2.0, -3.0], [-0.5], [], [-4.0, -4.0]]
TUNED = [[-0.5, -1.0, -0.25], [-0.75], [], [-1.0, -3.0]]

TWINS = {
    "loss": lambda tuned, base: sum(tuned) / len(tuned),  # noqa: ARG005
    "ratio": lambda tuned, base: (sum(base) / len(base)) / (sum(tuned) / len(tuned)),
    "difference": lambda tuned, base: sum(t - b for t, b in zip(tuned, base, strict=True)),
}


def test_every_attack_has_a_twin():
    assert set(TWINS) == set(ATTACKS)


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_equals_its_naive_twin(name: str):
    got = ATTACKS[name].score(scores(TUNED), scores(BASE))
    assert got.dtype == np.float64
    for value, tuned, base in zip(got, TUNED, BASE, strict=True):
        assert math.isnan(value) if not tuned else value == pytest.approx(TWINS[name](tuned, base), rel=1e-6)


@pytest.mark.parametrize("name", ATTACKS)
def test_learning_a_record_raises_its_score(name: str):
    better = [[x / 2 for x in row] for row in TUNED]
    worse, learned = (ATTACKS[name].score(scores(t), scores(BASE)) for t in (TUNED, better))
    known = ~np.isnan(worse)
    assert (learned[known] > worse[known]).all()


@pytest.mark.parametrize("name", ATTACKS)
def test_a_record_is_scored_by_itself(name: str):
    tuned, base = scores(TUNED), scores(BASE)
    together = ATTACKS[name].score(tuned, base)
    order = ("r3", "r1", "r0", "r2")
    shuffled = ATTACKS[name].score(tuned.take(order), base.take(order))
    np.testing.assert_array_equal(shuffled, together[[3, 1, 0, 2]])
    assert ATTACKS[name].score(tuned.take([]), base.take([])).shape == (0,)


def test_a_record_known_by_heart_is_the_strongest_member():
    assert ATTACKS["ratio"].score(scores([[0.0]]), scores([[-1.0]]))[0] == math.inf


@pytest.mark.parametrize("name", [n for n, a in ATTACKS.items() if a.needs_base])
def test_scores_of_other_records_are_refused(name: str):
    with pytest.raises(ValueError, match="join them by record id"):
        ATTACKS[name].score(scores(TUNED), scores(BASE).take(["r0", "r1", "r3", "r2"]))


def test_an_unknown_attack_lists_the_names():
    with pytest.raises(StudyError, match="no attack 'zlibb'; there are loss, ratio, difference"):
        find_attacks(["loss", "zlibb"])
