"""Controls: does the interval of a control hold its AUC, and how often is a trial told from a control that is its like?

Through the code that makes the table `membership`, from token scores: documents of one to four records, the log-
probabilities of a record's tokens normal around the record's own level, part of which its document shares. A trial and
its null trial that learned nothing of the records move every record alike, each with noise of its own. Registered in
validate.py.
"""

from collections.abc import Iterator

import numpy as np
from scipy.stats import norm

from byrote.attacks import ATTACKS
from byrote.records import Assignment, Record, Role, TokenScores
from byrote.tables.compared import Compared, compare_stratum, score_with, strata_of
from byrote.tables.membership import Settings, membership_row

TOKENS, ICC, NOISE = 8, 0.5, 0.6
MISSING = float("nan"), float("nan")
SETTINGS = Settings(0.95, 100, 0, (), "ratio")


def token_scores(ids: tuple[str, ...], levels_N: np.ndarray, generator: np.random.Generator) -> TokenScores:
    """Tokens around each record's mean log-probability, which they hit exactly."""
    noise_NT = generator.normal(scale=0.3, size=(len(ids), TOKENS))
    logprob_NT = levels_N[:, None] + noise_NT - noise_NT.mean(axis=1, keepdims=True)
    flat, ones = logprob_NT.astype(np.float32).ravel(), np.ones(logprob_NT.size, np.float32)
    return TokenScores(ids, np.arange(len(ids) + 1) * TOKENS, flat, ones < 0, -ones, ones)


def stratum_of(members: int, nonmembers: int, lifts: tuple[float, float, float], seed: list[int]) -> Compared:
    """Members and non-members of so many documents under a base model, a trial and its null trial.

    lifts: of the members' levels, in standard deviations of a record's, under base, trial and null trial.
    """
    generator = np.random.default_rng(seed)
    of_N = np.repeat(np.arange(members + nonmembers), generator.integers(1, 5, members + nonmembers))
    is_member_N, ids = of_N < members, tuple(f"r{i}" for i in range(len(of_N)))

    def levels(scale: float) -> np.ndarray:
        shared = generator.normal(scale=(ICC * scale) ** 0.5, size=members + nonmembers)[of_N]
        return shared + generator.normal(scale=((1 - ICC) * scale) ** 0.5, size=len(of_N))

    base_N = -40 + levels(1.0)
    models = [base_N, base_N + 3 + NOISE * levels(1.0), base_N + 3 + NOISE * levels(1.0)]
    base, trial, null = (
        token_scores(ids, level_N + lift * is_member_N, generator) for level_N, lift in zip(models, lifts, strict=True)
    )
    records = {name: Record(name, "", f"d{document}", name) for name, document in zip(ids, of_N, strict=True)}
    kinds = [(Role.MEMBER, 1) if member else (Role.NONMEMBER, 0) for member in is_member_N]
    roles = [Assignment(name, *kind) for name, kind in zip(ids, kinds, strict=True)]
    (stratum,) = strata_of(roles)
    return compare_stratum(stratum, roles, records, trial, base, null)


def control_rows(attack: str, lifts: tuple[float, float, float], simulations: int, seed: int) -> Iterator[dict]:
    """The row of `membership` in each simulation: 120 and 80 documents."""
    for turn in range(simulations):
        this = stratum_of(120, 80, lifts, [seed, turn])
        scored = score_with(this, {attack: ATTACKS[attack]})[attack]
        yield membership_row(this, scored, ATTACKS[attack], SETTINGS, MISSING)


def null_controls(simulations: int, seed: int) -> Iterator["object"]:
    """Rows of the table that validate.py prints."""
    from validate import at_most, covering  # it imports this module

    error, documents = (0.05 * 0.95 / simulations) ** 0.5, "120 and 80 documents, 1–4 records each"
    for attack, lifts in (("difference_mean", (0.0, 0.0, 0.0)), ("difference_mean", (0.0, 0.3, 0.3))):
        rows = list(control_rows(attack, lifts, simulations, seed))
        told = sum(row["above_control_p"] < 0.05 for row in rows) / simulations
        held = sum(row["above_control_low"] <= 0 <= row["above_control_high"] for row in rows) / simulations
        truth = float(norm.cdf(lifts[2] / (NOISE * 2**0.5)))
        inside = sum(row["auc_control_low"] <= truth <= row["auc_control_high"] for row in rows) / simulations
        setting = f"trial and null trial alike, AUC {truth:.2f}, {documents}"
        yield at_most("trial told from its null trial", setting, told, 0.05, error)
        yield covering("trial less null trial", setting, held, simulations)
        yield covering("interval of the null trial's AUC", setting, inside, simulations)
    for lift in (0.0, 1.0):
        truth, rows = float(norm.cdf(lift / 2**0.5)), control_rows("loss", (lift, lift, lift), simulations, seed)
        inside = sum(row["auc_control_low"] <= truth <= row["auc_control_high"] for row in rows) / simulations
        yield covering("interval of the base model's AUC", f"AUC {truth:.2f}, {documents}", inside, simulations)
