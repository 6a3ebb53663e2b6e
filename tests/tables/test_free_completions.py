"""Rows about free completions: what they match, and the matches among those ranked first, against counting by hand."""

import numpy as np
import pytest

from byrote.attacks import find_attacks
from byrote.records import Assignment, FreeCompletion, Record, Role, TokenScores
from byrote.statistics.intervals import clopper_pearson
from byrote.tables.free_completions import (
    Free,
    LookedUp,
    completion_rows,
    firsts,
    look_up,
    ranked_rows,
    rate_rows,
)

ROLES = [
    Assignment("m", Role.MEMBER, 1),
    Assignment("gone", Role.OVERWRITTEN, 0),
    Assignment("c", Role.CANARY_IN, 4),
    Assignment("out", Role.CANARY_OUT, 4),
    Assignment("n", Role.NONMEMBER, 0),
    Assignment("k", Role.CALIBRATION, 0),
]
IDS = {"m": (1, 2, 3, 4), "gone": (7, 7, 7), "c": (5, 6, 7, 8), "out": (9, 9, 9), "n": (2, 3, 4, 5, 6), "k": (8, 8, 8)}
RECORDS = {name: Record(name, "members", name, f"text {name}", (), ids) for name, ids in IDS.items()}


def token_scores(*logprobs: list[float]) -> TokenScores:
    flat = np.array([x for row in logprobs for x in row], np.float32)
    offsets = np.cumsum([0, *map(len, logprobs)]).astype(np.int64)
    return TokenScores(tuple(map(str, range(len(logprobs)))), offsets, flat, flat > -1, flat, np.abs(flat))


def free(*rows: tuple[tuple[int, ...], float], base: float = -2.0) -> Free:
    """Rows of token ids and the log-probability that each token has; `base`: that under the base model."""
    completions = [FreeCompletion(n, ids, (p,) * len(ids), f"text {n}") for n, (ids, p) in enumerate(rows)]
    scores = [token_scores(*([q] * len(c.token_ids) for c, q in zip(completions, ps, strict=True)))
              for ps in ([p for _, p in rows], [base] * len(rows))]  # fmt: skip
    return Free(completions, *scores)


def test_only_what_was_trained_on_counts_as_a_match_and_only_non_members_as_its_control():
    models = {
        "base": free(((7, 7, 7), -1.0), ((9, 9, 9), -1.0)),
        "tuned": free(((0, 5, 6, 7, 0), -0.5), ((2, 3, 4, 5), -1.0), ((8, 8, 8), -3.0)),
    }
    rows = list(completion_rows(look_up(models, ROLES, RECORDS, 3)))
    assert [(r["model"], r["sample"], r["matched"], r["matched_tokens"], r["nonmember"], r["nonmember_tokens"])
            for r in rows] == [
        ("base", 0, None, None, None, None),
        ("base", 1, None, None, None, None),
        ("tuned", 0, "c", 3, None, None),
        ("tuned", 1, "m", 3, "n", 4),
        ("tuned", 2, None, None, None, None),
    ]  # fmt: skip
    assert [r["tokens"] for r in rows] == [3, 3, 5, 4, 3]
    assert rows[2]["output_perplexity"] == pytest.approx(np.exp(0.5))
    assert not any("text" in str(value) for row in rows for value in row.values())


def by_attack(
    looked_up: LookedUp, names: tuple[str, ...], is_base: bool = False, population=None
) -> dict[str, list[dict]]:
    rows = list(rate_rows(looked_up, find_attacks(names), population, 0.95, is_base))
    return {name: [r for r in rows if r["attack"] == name] for name in names}


def test_the_likeliest_completion_is_ranked_first_and_under_ratio_the_one_that_tuning_made_likelier():
    """Of twelve completions the one that matches is the likeliest, and the one that tuning moved most."""
    likely = free(*(((0,), -2.0 - n) for n in range(11)), ((1, 2, 3), -0.1), base=-4.0)
    looked_up = look_up({"tuned": likely}, ROLES, RECORDS, 3)["tuned"]
    for rows in by_attack(looked_up, ("loss", "ratio", "zlib", "min_k", "difference_mean")).values():
        assert [(r["first"], r["matches"]) for r in rows] == [(10, 1), (12, 1)]
    unlikely = free(*(((0,), -2.0 - n) for n in range(11)), ((1, 2, 3), -99.0), base=-4.0)
    looked_up = look_up({"tuned": unlikely}, ROLES, RECORDS, 3)["tuned"]
    for rows in by_attack(looked_up, ("loss", "ratio", "zlib", "min_k")).values():
        assert [(r["first"], r["matches"], r["precision"]) for r in rows] == [(10, 0, 0), (12, 1, 1 / 12)]


def test_the_base_models_own_completions_are_ranked_by_single_model_attacks_alone():
    written = free(*(((0,), -2.0 - n) for n in range(11)), ((1, 2, 3), -0.1))
    own = Free(written.completions, written.scores, written.scores)
    rows = by_attack(look_up({"base": own}, ROLES, RECORDS, 3)["base"], ("loss", "ratio"), is_base=True)
    assert [r["matches"] for r in rows["loss"]] == [1, 1]
    assert [r["first"] for r in rows["ratio"]] == [10, 12]
    assert all("matches" not in r and "cannot be ranked against the base model" in r["reason"] for r in rows["ratio"])


def test_an_attack_that_needs_calibration_records_ranks_where_there_are_some():
    looked_up = look_up({"tuned": free(((1, 2, 3), -0.1), ((0,), -9.0), base=-4.0)}, ROLES, RECORDS, 3)["tuned"]
    (missing,) = by_attack(looked_up, ("rmia",))["rmia"]
    assert missing == {"attack": "rmia", "left_out": 2, "reason": "no completion has a score under this attack"}
    (row,) = by_attack(looked_up, ("rmia",), population=(token_scores([-1.0]), token_scores([-1.0])))["rmia"]
    assert (row["first"], row["matches"], row["left_out"]) == (2, 1, 0)


# --- ranks by hand ----------------------------------------------------------------------------------------------


def rows_of(scores: list[float], trained_on: set[int], nonmembers: set[int] = frozenset()) -> list[dict]:  # type: ignore[assignment]
    flags = (np.array([i in side for i in range(len(scores))]) for side in (trained_on, nonmembers))
    return list(ranked_rows(np.array(scores, float), *flags, 0.95))


def test_matches_and_their_interval_by_hand():
    ten, every = rows_of([*range(12)], {11, 10, 0}, {5, 1})
    assert (ten["first"], ten["matches"], ten["precision"]) == (10, 2, 0.2)
    assert (ten["low"], ten["high"]) == clopper_pearson(2, 10)
    assert (ten["nonmember_matches"], ten["nonmember_precision"]) == (1, 0.1)
    assert (every["first"], every["matches"], every["nonmember_matches"]) == (12, 3, 2)
    assert (every["nonmember_low"], every["nonmember_high"]) == clopper_pearson(2, 12)
    assert (every["reason"], every["left_out"]) == ("", 0)


def test_a_tie_at_the_edge_is_a_mean_without_interval_and_one_inside_is_none():
    edge, every = rows_of([9, 8, 7, 6, 5, 4, 3, 2, 1, 0, 0, -1], {9})
    assert (edge["matches"], edge["low"], edge["high"]) == (0.5, None, None)
    assert "ties" in edge["reason"]
    assert (every["matches"], every["reason"]) == (1, "")
    inside, _ = rows_of([9, 9, 7, 6, 5, 4, 3, 2, 1, 0, -1, -2], {0})
    assert (inside["matches"], inside["reason"]) == (1, "")


def test_completions_without_a_score_are_left_out_and_counted():
    (row,) = rows_of([np.nan, 1.0, np.inf, np.nan], {0, 2})
    assert (row["first"], row["matches"], row["left_out"]) == (2, 1, 2)
    assert rows_of([np.nan], {0}) == [{"left_out": 1, "reason": "no completion has a score under this attack"}]


def test_how_many_are_looked_at():
    assert [firsts(n) for n in (0, 3, 10, 11, 100, 700)] == [
        [], [3], [10], [10, 11], [10, 50, 100], [10, 50, 100, 500, 700],
    ]  # fmt: skip
