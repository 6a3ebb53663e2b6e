"""Untargeted completions: matching against brute force, and precision along a ranking."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from byrote.extraction.matching import Match, match, ranked_precision

ids = st.lists(st.integers(0, 2), max_size=8)
members = st.lists(ids, max_size=5).map(lambda rows: [(f"m{i}", row) for i, row in enumerate(rows)])


def brute_force(completion: list[int], records: list[tuple[str, list[int]]], least: int) -> Match | None:
    """Every run of every record at every place of the completion."""
    runs = []
    for place, (name, tokens) in enumerate(records):
        for start in range(len(tokens)):
            for end in range(start + 1, len(tokens) + 1):
                run = tokens[start:end]
                for at in range(len(completion) - len(run) + 1):
                    if completion[at : at + len(run)] == run and (len(run) >= least or run == tokens):
                        runs.append((-len(run), place, at, start, name))
    if not runs:
        return None
    length, _, at, start, name = min(runs)
    return Match(name, -length, at, start)


@given(st.lists(ids, max_size=4), members, st.integers(1, 5))
def test_matches_are_those_of_brute_force(completions: list[list[int]], records: list, least: int):
    expected = [brute_force(completion, records, least) for completion in completions]
    assert match(completions, records, least) == expected


def test_the_longest_run_wins_over_an_earlier_record():
    records = [("near", [1, 2, 3, 9, 9]), ("whole", [8, 1, 2, 3, 4]), ("again", [1, 2, 3, 4])]
    assert match([[7, 1, 2, 3, 4]], records, 3) == [Match("whole", 4, 1, 1)]
    assert match([[7, 1, 2, 3, 4]], records, 5) == [Match("again", 4, 1, 0)]


def test_too_short_a_run_is_no_match_unless_it_is_a_whole_record():
    records = [("long", [1, 2, 3, 4, 5]), ("short", [6, 7]), ("empty", [])]
    assert match([[1, 2, 3, 0], [0, 6, 7], [6, 0, 7], []], records, 4) == [None, Match("short", 2, 1, 0), None, None]


def test_nothing_to_match():
    assert match([], [("m", [1])], 1) == []
    assert match([[1]], [], 1) == [None]
    with pytest.raises(ValueError, match="least must be at least 1 token, got 0"):
        match([[1]], [("m", [1])], 0)


def test_the_same_token_over_and_over_is_no_trap():
    (longest,) = match([[5] * 400], [("m", [5] * 500), ("n", [5] * 300)], 10)
    assert longest == Match("m", 400, 0, 0)


# --- precision --------------------------------------------------------------------------------------------------


def test_precision_by_hand():
    precision = ranked_precision(np.array([0.1, 3.0, 2.0, -1.0]), np.array([False, True, False, True]))
    assert precision.tolist() == pytest.approx([1, 1 / 2, 1 / 3, 2 / 4])
    tied = ranked_precision(np.array([1.0, 1.0, 5.0]), np.array([True, False, False]))
    assert tied.tolist() == pytest.approx([0, 0.5 / 2, 1 / 3])


@given(st.lists(st.tuples(st.sampled_from([-np.inf, 0.0, 1.0, np.inf]), st.booleans()), max_size=5))
def test_ties_give_the_mean_over_their_orders(rows: list[tuple[float, bool]]):
    """Over all orders of the rows, each sorted stably: every order of the tied is as frequent."""
    curves = []
    for order in permutations(rows):
        hits = [hit for _, hit in sorted(order, key=lambda row: -row[0])]
        curves.append([sum(hits[:k]) / k for k in range(1, len(hits) + 1)])
    scores, hits = np.array([s for s, _ in rows]), np.array([h for _, h in rows])
    precision = ranked_precision(scores, hits)
    assert precision.dtype == np.float64
    assert precision == pytest.approx(np.mean(curves, axis=0))
    assert ranked_precision(scores[::-1], hits[::-1]) == pytest.approx(precision)


def test_scores_that_cannot_be_ranked_are_named():
    with pytest.raises(ValueError, match="1 of 2 ranking scores are NaN"):
        ranked_precision(np.array([np.nan, 1.0]), np.array([True, False]))
    with pytest.raises(ValueError, match=r"one score and one flag a completion, got shapes \(2,\) and \(1,\)"):
        ranked_precision(np.array([2.0, 1.0]), np.array([True]))
