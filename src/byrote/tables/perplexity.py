"""Perplexity: exp of the mean negative log-probability, in nats, of tokens. NaN where there is no token."""

import math
from collections.abc import Sequence

import numpy as np

from byrote.records import TokenScores


def perplexity(logprob_S: Sequence[float] | np.ndarray) -> float:
    """Perplexity of tokens from their natural log-probabilities (S,), all tokens alike."""
    values_S = np.asarray(logprob_S)
    with np.errstate(over="ignore"):  # beyond every float: infinite
        return float(np.exp(-values_S.mean(dtype=np.float64))) if len(values_S) else math.nan


def perplexity_over(scores: TokenScores | None, records: Sequence[str]) -> float:
    """Perplexity of all tokens of these records together; NaN without scores."""
    return math.nan if scores is None else perplexity(scores.take(records).logprob)


def perplexity_of_each(scores: TokenScores, records: Sequence[str]) -> np.ndarray:
    """Perplexity of each record, float64 (N,)."""
    taken = scores.take(records)
    return np.array([perplexity(taken.logprob[span]) for span in taken.spans()], dtype=float)
