"""Controls: does the interval of a control hold its AUC, and how often is a trial told from a control that is its like?

Through the code that makes the table `membership`, from token scores: documents of one to four records, the log-
probabilities of a record's tokens normal around the record's own level, part of which its document shares. A trial and
its null trial that learned nothing of the records move every record alike, each with noise of its own. Registered in
validate.py.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from scipy.stats import norm

from byrote.attacks import ATTACKS
from byrote.records import Assignment, Record, Role, TokenScores
from byrote.tables.compared import Compared, compare_stratum, score_with, strata_of
from byrote.tables.membership import Settings, membership_row
from byrote.tables.resampled import Resampled

TOKENS, ICC, NOISE = 8, 0.5, 0.6
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


def null_controls(simulations: int, seed: int) -> Iterator[Any]:
    """Members' levels are higher under every model, as where sides differ as texts: controls far from 0.5."""
    from validate import at_most, covering  # it imports this module

    lifts, attacks = (0.7, 1.0, 1.0), ("difference_mean", "loss")
    no_draws = Resampled(attacks, np.full((1, len(attacks)), np.nan), SETTINGS.level, 0)  # not looked at here
    rows: dict[str, list[dict[str, Any]]] = {name: [] for name in attacks}
    for turn in range(simulations):
        compared = stratum_of(120, 80, lifts, [seed, turn])
        for name, scored in score_with(compared, {name: ATTACKS[name] for name in attacks}).items():
            rows[name].append(membership_row(compared, scored, ATTACKS[name], SETTINGS, no_draws))
    called = sum(row["above_control_p"] < 0.05 for row in rows["difference_mean"]) / simulations
    setting = "trial and null trial alike, 120 and 80 documents, 1–4 records each"
    yield at_most("trial told from its null trial", setting, called, 0.05, (0.05 * 0.95 / simulations) ** 0.5)
    spread = 2**0.5
    for name, truth in (
        ("difference_mean", norm.cdf((lifts[2] - lifts[0]) / (NOISE * spread))),
        ("loss", norm.cdf(lifts[0] / spread)),
    ):
        coverage = sum(row["auc_control_low"] <= truth <= row["auc_control_high"] for row in rows[name]) / simulations
        kind = rows[name][0]["control"]
        yield covering(f"interval of the control's AUC, {kind}", f"{name}, AUC {truth:.2f}", coverage, simulations)
