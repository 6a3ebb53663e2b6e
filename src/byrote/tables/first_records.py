"""Whether a given subject learned its members at all, from the first records of each side."""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from byrote.ragged import mean_by_record
from byrote.records import Assignment, Role, TokenScores

FIRST = 50
"""Records of each side that are looked at."""


def learned_nothing(base: TokenScores, tuned: TokenScores, roles: Sequence[Assignment]) -> str | None:
    """A warning where the loss of the first members fell no more than that of the first non-members; None where it
    fell more, or a side has no records with a score.

    Fine-tuning lowers the loss of what it trains on. Of FIRST members and FIRST non-members, the loss under the base
    minus that under the subject is compared; each record counts as the mean over its tokens.
    """
    fell = _fall(base, tuned)
    sides: dict[Role, list[float]] = {Role.MEMBER: [], Role.NONMEMBER: []}
    for assignment in roles:
        if assignment.role in sides and assignment.record in fell and len(sides[assignment.role]) < FIRST:
            sides[assignment.role].append(fell[assignment.record])
    if not all(sides.values()):
        return None
    members, others = (float(np.mean(side)) for side in sides.values())
    figures = (
        f"against the base model the mean loss of {len(sides[Role.MEMBER])} members changed by {-members:+.3f} nats a "
        f"token and that of {len(sides[Role.NONMEMBER])} non-members by {-others:+.3f}"
    )
    if members <= 0:
        return f"{figures}: members' loss did not fall; is it the right base model, and are the records as in training?"
    if others > members + 2 * _error(sides):
        return f"{figures}: the loss of non-members fell further; are members and non-members swapped?"
    return None


def _fall(base: TokenScores, tuned: TokenScores) -> Mapping[str, float]:
    """Record → mean loss under the base minus under the subject, nats a token; records without a score are absent."""
    taken = tuned.take(base.records)
    fell = mean_by_record(taken.logprob - base.logprob, base.lengths)
    return {record: float(value) for record, value in zip(base.records, fell, strict=True) if not math.isnan(value)}


def _error(sides: Mapping[Role, list[float]]) -> float:
    """Standard error of the difference of two means; 0 where a side has one record."""
    parts = (np.var(side, ddof=1) / len(side) if len(side) > 1 else 0.0 for side in sides.values())
    return math.sqrt(float(sum(parts)))
