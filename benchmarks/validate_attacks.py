"""Error rates of what the report says of attacks and controls, from texts and token scores to printed rows.

Cells of `validate.py`: the blind alarm, the alarm of controls on a model, tests of the strongest attack against the
others, its interval, and the auditor's. Nothing is learned in any sample, so everything called a finding is an error.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd

from byrote.attacks import ATTACKS, find_attacks
from byrote.records import Assignment, Record, Role, TokenScores
from byrote.report.controls import LEVEL, all_alike, beyond_chance
from byrote.statistics.blind import blind_test
from byrote.tables.compared import Compared, Scored, auditor_scores, compare_stratum, score_with, strata_of
from byrote.tables.comparisons import attack_comparisons
from byrote.tables.membership import Settings, membership_row
from byrote.tables.resampled import resample

AtMost = Callable[[str, str, float, float, float], Any]  # of validate.py: what, setting, share, limit, its error
SETTINGS = Settings(0.95, 300, 0, (0.1,), "ratio")
SETTINGS_FEW = Settings(0.95, 1, 0, (0.1,), "ratio")  # where the resamples play no part
EQUAL = 13  # attacks alike in strength
WORDS = np.array([f"word{i}" for i in range(150)])
COMMON = 1 / np.arange(1, 151)


def blind_alarms(simulations: int, seed: int, at_most: AtMost) -> Iterator[Any]:
    """Clean corpora of 60 and 60 records, two a document, each document with a leaning of its own."""
    generator, alarms, plain = np.random.default_rng(seed), 0, 0
    for _ in range(simulations):
        texts, groups = _texts(generator, documents=60)
        blind = blind_test(texts[:60], texts[60:], groups)
        alarms += not all_alike([blind.p_value])
        plain += beyond_chance(blind.auc, (121 / (12 * 60 * 60)) ** 0.5)
    setting = "60 and 60 records in 60 documents, nothing to tell"
    yield at_most(
        "blind alarm, 499 permutations of documents", setting, alarms / simulations, LEVEL, _error(LEVEL, simulations)
    )
    yield at_most("(as it was: the width of a plain AUC)", setting, plain / simulations, 1.0, 0.0)


def control_alarms(simulations: int, seed: int, at_most: AtMost) -> Iterator[Any]:
    """A control on the base model: 100 and 100 documents of one to four records that resemble each other."""
    generator, alarms, plain, simulations = np.random.default_rng(seed), 0, 0, max(simulations // 2, 100)
    for _ in range(simulations):
        compared, _ = _sample(generator, 100, 0.5)
        scores = score_with(compared, find_attacks(["loss"]))
        row = membership_row(
            compared, scores["loss"], ATTACKS["loss"], SETTINGS_FEW, _resampled(compared, scores, SETTINGS_FEW)
        )
        members, others = row["n_members"], row["n_nonmembers"]
        alarms += beyond_chance(row["auc_control"], row["auc_control_se"])
        plain += beyond_chance(row["auc_control"], ((members + others + 1) / (12 * members * others)) ** 0.5)
    setting = "100 and 100 documents, 1–4 records each, ICC 0.5"
    yield at_most(
        "alarm of a control on a model, by document", setting, alarms / simulations, LEVEL, _error(LEVEL, simulations)
    )
    yield at_most("(as it was: records taken as independent)", setting, plain / simulations, 1.0, 0.0)


def strongest_attacks(simulations: int, seed: int, at_most: AtMost) -> Iterator[Any]:
    """13 equal attacks, each the loss of another token: which is called the strongest, and its interval."""
    generator = np.random.default_rng(seed)
    called, wrong, wrong_alone, holm, simulations = 0, 0, 0, 0, max(simulations // 2, 100)
    for _ in range(simulations):
        compared, parts = _sample(generator, 60, 0.3)
        resampled = _resampled(compared, parts, SETTINGS)
        tests = pd.DataFrame(attack_comparisons(compared, parts, resampled))
        called += bool((tests["p_max_t"] < 0.05).any())
        holm += bool((tests["p_value"].min() * (EQUAL - 1)) < 0.05)
        strongest = parts[tests["attack_a"].iloc[0]]
        row = membership_row(compared, strongest, ATTACKS["loss"], SETTINGS, resampled)
        wrong += not row["simultaneous_low"] <= 0.5 <= row["simultaneous_high"]
        wrong_alone += not row["auc_low"] <= 0.5 <= row["auc_high"]
    setting, error = f"{EQUAL} equal attacks, 60 and 60 documents", _error(0.05, simulations)
    yield at_most("any false difference of the strongest attack", setting, called / simulations, 0.05, error)
    yield at_most("(as it was: Holm over the twelve tests)", setting, holm / simulations, 1.0, 0.0)
    yield at_most("interval of the strongest attack in error", setting, wrong / simulations, 0.05, error)
    yield at_most("(as it was: its interval alone)", setting, wrong_alone / simulations, 1.0, 0.0)


def auditors(simulations: int, seed: int, at_most: AtMost) -> Iterator[Any]:
    """The auditor's AUC stands without an interval: the share of rows that print one."""
    generator, printed = np.random.default_rng(seed), 0
    for _ in range(max(simulations // 50, 5)):
        compared, parts = _sample(generator, 60, 0.3)
        combined, _ = auditor_scores(compared, parts, 0)
        assert combined
        row = membership_row(compared, combined, None, SETTINGS, _resampled(compared, parts, SETTINGS))
        printed += any(row.get(f"{kind}_low") is not None for kind in ("auc", "simultaneous", "hanley", "bootstrap"))
    yield at_most(
        "auditor's intervals printed", f"{EQUAL} equal attacks, 60 and 60 documents", float(printed), 0.0, 0.0
    )


CHECKS = (blind_alarms, control_alarms, strongest_attacks, auditors)

# --- samples ----------------------------------------------------------------------------------------------------


def _error(rate: float, simulations: int) -> float:
    return (rate * (1 - rate) / simulations) ** 0.5


def _resampled(compared: Compared, parts: dict[str, Scored], settings: Settings) -> Any:
    return resample(compared, parts, settings.resamples, settings.seed, settings.level)


def _texts(generator: np.random.Generator, documents: int) -> tuple[list[str], list[str]]:
    """Two records of twelve words a document, from a common vocabulary that each document leans in its own way."""
    texts, groups = [], []
    for document in range(documents):
        likes = COMMON * generator.gamma(0.5, size=len(WORDS))
        for words in generator.choice(WORDS, (2, 12), p=likes / likes.sum()):
            texts.append(" ".join(words))
            groups.append(f"d{document}")
    return texts, groups


def _sample(generator: np.random.Generator, documents: int, icc: float) -> tuple[Compared, dict[str, Scored]]:
    """Token scores of as many documents of members as of non-members, and 13 attacks: `loss` on token k of each."""
    sizes = generator.integers(1, 5, 2 * documents) if icc else np.ones(2 * documents, dtype=int)
    of_N = np.repeat(np.arange(2 * documents), sizes)
    effects_NK = generator.normal(scale=icc**0.5, size=(2 * documents, EQUAL))[of_N]
    tokens_NK = effects_NK + generator.normal(scale=(1 - icc) ** 0.5, size=(len(of_N), EQUAL))
    whole = _compared(of_N, of_N < documents, tokens_NK)
    return whole, {f"loss of token {k}": _of_token(whole, k) for k in range(EQUAL)}


def _of_token(compared: Compared, k: int) -> Scored:
    sides = [side.tuned.logprob.reshape(-1, EQUAL)[:, k].astype(float) for side in compared.sides[:2]]
    return Scored(f"loss of token {k}", *sides, np.empty(0))


def _compared(of_N: np.ndarray, members_N: np.ndarray, tokens_NK: np.ndarray) -> Compared:
    ids = [f"r{i}" for i in range(len(of_N))]
    splits = ["members" if member else "nonmembers" for member in members_N]
    records = {r: Record(r, split, f"d{of}", "") for r, split, of in zip(ids, splits, of_N, strict=True)}
    of_split = {"members": Role.MEMBER, "nonmembers": Role.NONMEMBER}
    roles = [Assignment(r.record, of_split[r.split], 1) for r in records.values()]
    tuned = _scores(ids, tokens_NK)
    return compare_stratum(next(strata_of(roles)), roles, records, tuned, tuned, None)


def _scores(ids: Sequence[str], tokens_NK: np.ndarray) -> TokenScores:
    flat = (tokens_NK - 9).astype(np.float32).ravel()
    offsets = np.arange(len(ids) + 1) * tokens_NK.shape[1]
    return TokenScores(tuple(ids), offsets, flat, np.zeros(len(flat), bool), flat, np.ones_like(flat))
