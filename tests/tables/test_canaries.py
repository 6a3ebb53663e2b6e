"""Rows about canaries: exposure against references, the audit and its null control."""

from typing import Literal

import numpy as np
import pytest

from byrote.attacks import ATTACKS
from byrote.records import Assignment, Record, Role, TokenScores
from byrote.statistics.gaussian_one_run import gaussian_epsilon
from byrote.statistics.one_run import epsilon_lower_bound
from byrote.tables.canaries import AuditSettings, _audit_of_references, _bound, audit_rows, bounds_of, canary_rows
from byrote.tables.perplexity import perplexity_of_each

CANARIES, REFERENCES, TOKENS = 240, 120, 10


def roles() -> list[Assignment]:
    coin = np.random.default_rng(4).random(CANARIES) < 0.5
    planted = [Role.CANARY_IN if c else Role.CANARY_OUT for c in coin]
    canaries = [Assignment(f"c{i}", role, 1 if i < 200 else 8) for i, role in enumerate(planted)]
    return [*canaries, *(Assignment(f"x{i}", Role.REFERENCE, 0) for i in range(REFERENCES))]


def scores(lift: float) -> TokenScores:
    """Log-probabilities near −4; those of planted canaries are higher by `lift`."""
    everyone = roles()
    generator = np.random.default_rng(1)
    centre = -4 + generator.normal(0, 0.3, len(everyone)) + [lift * (a.role is Role.CANARY_IN) for a in everyone]
    flat = np.repeat(centre, TOKENS).astype(np.float32)
    ones = np.ones(len(flat), np.float32)
    offsets = np.arange(len(everyone) + 1) * TOKENS
    return TokenScores(tuple(a.record for a in everyone), offsets, flat, ones > 2, -4 * ones, ones)


def audits(
    lift: float, inclusion: float = 0.5, guesses: int | Literal["all"] | None = "all", family: int = 1
) -> list[dict]:
    records = {a.record: Record(a.record, "members", a.record, "a text") for a in roles()}
    settings = AuditSettings(guesses, 1e-5, 0.05, "difference", 0, family, inclusion)
    return list(audit_rows(roles(), records, scores(lift), scores(0), ATTACKS["difference"], settings))


def test_exposure_counts_the_references_that_are_likelier():
    tuned = scores(1.0)
    rows = list(canary_rows(roles(), tuned, scores(0)))
    references = perplexity_of_each(tuned, [a.record for a in roles() if a.role is Role.REFERENCE])
    assert len(rows) == CANARIES
    for row in rows:
        rank = 1 + sum(r <= row["perplexity_tuned"] for r in references)
        assert row["exposure_rank"] == pytest.approx(np.log2((REFERENCES + 1) / rank))
        assert row["references"] == REFERENCES
    planted, kept_out = (
        np.mean([r["exposure_rank"] for r in rows if r["role"] == role]) for role in ("canary_in", "canary_out")
    )
    assert planted > kept_out + 2
    assert kept_out < 2  # records never seen stand anywhere among the references


def test_a_trial_without_canaries_has_no_rows():
    assert list(canary_rows([Assignment("a", Role.MEMBER, 1)], scores(0), scores(0))) == []


def test_the_audit_bounds_each_number_of_copies_apart_and_its_null_is_low():
    single, eight = audits(3.0)
    planted = sum(a.role is Role.CANARY_IN and a.copies == 1 for a in roles())
    right = min(100, planted) + min(100, 200 - planted)  # half are guessed in, and the scores do not overlap
    assert (single["unit"], single["canaries"], single["guesses"], single["right"]) == ("record", 200, 200, right)
    assert single["epsilon_low"] == pytest.approx(epsilon_lower_bound(200, 200, right, 1e-5))
    assert 1 < single["epsilon_low"] < single["largest"]
    assert single["null_epsilon"] < 0.5
    assert (eight["unit"], eight["canaries"]) == ("group of 8", 40)
    assert "fewer than 200" in eight["note"]
    assert not single["note"]


def test_what_was_not_learned_has_no_bound_and_guesses_are_those_of_the_study():
    row, _ = audits(0.0, guesses=50)
    assert row["guesses"] == 50
    assert row["epsilon_low"] < 0.3


def test_by_default_a_quarter_is_guessed_and_the_bound_of_a_gaussian_stands_beside():
    single, eight = audits(3.0, guesses=None)
    assert (single["guesses"], single["right"], eight["guesses"]) == (50, 50, 20)
    assert single["epsilon_low"] == pytest.approx(epsilon_lower_bound(200, 50, 50, 1e-5))
    assert single["epsilon_gaussian"] == pytest.approx(gaussian_epsilon(200, 50, 50, 1e-5))
    assert single["epsilon_gaussian"] > single["epsilon_low"]
    assert single["null_gaussian"] < 0.5


def test_bounds_of_a_family_share_its_level():
    (alone, _), (row, _) = audits(3.0), audits(3.0, family=8)
    assert (alone["family"], row["family"], row["level"]) == ("1 bound", "8 bounds", 0.05)
    assert row["epsilon_low"] == pytest.approx(epsilon_lower_bound(200, 200, row["right"], 1e-5, 0.05 / 8))
    assert row["epsilon_low"] < alone["epsilon_low"]
    assert (bounds_of(roles(), 0.5), bounds_of(roles(), 0.9)) == (2, 0)


def test_other_coins_than_fair_ones_are_refused():
    assert all(row["note"] == "no bound: canaries.inclusion is 0.9, not 0.5" for row in audits(3.0, inclusion=0.9))


def test_a_reference_without_a_score_takes_no_part_in_the_null_audit():
    settings = AuditSettings(None, 1e-5, 0.05, "ratio", 0)
    scores, is_in = np.linspace(2, 1, 40), np.arange(40) < 20
    twins = np.random.default_rng(1).random(30)
    with_gaps = np.insert(twins, [0, 10, 30], np.nan)
    nulls = (_audit_of_references(some, settings) for some in (twins, with_gaps))
    whole, gaps = (_bound(scores, is_in, settings, null) for null in nulls)
    assert whole == gaps
    assert whole["epsilon_low"] > 0
