"""The stop rule of `AuditCallback`: how often a training is stopped in error, and whether a leak that grows stops it.

Rows of `validate.py`, from token scores through the functions that the callback calls at a look. What is learned, and
what fine-tuning moves by chance, adds up from look to look, so looks are alike as those of one training are.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
from validate_verdicts import ERROR, ICC, NOISE, Audited, audited, lift_of

from byrote.attacks import find_attacks
from byrote.integrations.looks import Bound, bounds_of, crossings, error_of_each
from byrote.records import Role
from byrote.tables.compared import Compared, compare_stratum, strata_of

MakeRow = Callable[..., Any]  # validate.Row: what, setting, measured, low, high
LOOKS, RATES = 5, (0.1,)
ATTACKS = find_attacks(("loss", "ratio", "difference_mean"), "attacks")  # those of AuditCallback unless told


def bounds(**limits: float) -> tuple[Bound, ...]:
    return bounds_of(limits, list(ATTACKS), RATES, calibrated=True)


def training(learned: float, generator: np.random.Generator) -> list[Compared]:
    """What each look sees. learned: how much more the members' mean log-probability has risen at the last look, in
    deviations of a record's rise; before that, in proportion to the steps."""
    audit = audited(0.0, generator)
    moved = audit.base.logprob.astype(np.float64)
    seen = []
    for _ in range(LOOKS):
        moved = moved + np.concatenate(list(_rises(audit, learned, generator)))
        scores = replace(audit.base, logprob=np.minimum(moved, -0.01).astype(np.float32))
        (stratum,) = strata_of(audit.roles)
        seen.append(compare_stratum(stratum, audit.roles, audit.records, scores, audit.base, None))
    return seen


def stops(seen: list[Compared], limits: tuple[Bound, ...], error: float) -> bool:
    return any(next(crossings(compared, ATTACKS, limits, error), None) for compared in seen)


def in_error(simulations: int, seed: int, row: MakeRow) -> Iterator[Any]:
    """Members that teach the model nothing of their own; limits at the truth: an AUC of 0.5, a TPR of 10% at 10%."""
    turns, generator = max(simulations // 5, 100), np.random.default_rng([seed, 11])
    limits = bounds(max_auc=0.5, **{"max_tpr_at_fpr_0.1": 0.1})
    spent, alone = 0, 0
    for _ in range(turns):
        seen = training(0.0, generator)
        spent += stops(seen, limits, error_of_each(ERROR, LOOKS, limits))
        alone += stops(seen, limits, ERROR)
    setting, room = f"{turns} trainings, {LOOKS} looks, limits at the truth", 3 * (ERROR * (1 - ERROR) / turns) ** 0.5
    yield row("training stopped in error", setting, spent / turns, 0.0, ERROR + room)
    yield row("(each comparison as if it were the only one)", setting, alone / turns)


def growing_leak(simulations: int, seed: int, row: MakeRow) -> Iterator[Any]:
    """Power: a leak that grows with the steps, up to an AUC of 0.75 of the mean difference at the last look."""
    turns, generator, area = max(simulations // 5, 100), np.random.default_rng([seed, 12]), 0.75
    limits = bounds(max_auc=0.6)
    error = error_of_each(ERROR, LOOKS, limits)
    found = [stops(training(lift_of(area), generator), limits, error) for _ in range(turns)]
    setting = f"{turns} trainings, {LOOKS} looks, AUC {area:g} of the mean difference at the last, limit AUC 0.6"
    yield row("training stopped", setting, np.mean(found), 0.5)


CHECKS = (in_error, growing_leak)

# --- samples ----------------------------------------------------------------------------------------------------


def _rises(audit: Audited, learned: float, generator: np.random.Generator) -> Iterator[np.ndarray]:
    """The change of every token since the look before, record after record; over all looks its spread is NOISE."""
    documents = {group: generator.normal() for group in dict.fromkeys(r.group for r in audit.records.values())}
    of_member = {a.record: a.role is Role.MEMBER for a in audit.roles}
    for name, (start, end) in zip(audit.base.records, pairwise(audit.base.offsets), strict=True):
        level = ICC**0.5 * documents[audit.records[name].group] + (1 - ICC) ** 0.5 * generator.normal()
        tokens = generator.normal(scale=0.3 / LOOKS**0.5, size=end - start)
        shared = 0.5 / LOOKS + NOISE * (level / LOOKS**0.5 + learned * of_member[name] / LOOKS)
        yield shared + tokens - tokens.mean()
