"""Sums and means over the tokens of each record."""

import numpy as np

from byrote.records import TokenScores


def mean_by_record(values: np.ndarray, scores: TokenScores) -> np.ndarray:
    """Mean of values (S,) over each record's tokens, float64 (N,); NaN for a record without scored tokens."""
    lengths = scores.lengths
    owner = np.repeat(np.arange(len(scores)), lengths)
    sums = np.bincount(owner, weights=values.astype(np.float64), minlength=len(scores))
    return np.divide(sums, lengths, out=np.full(len(scores), np.nan), where=lengths > 0)


def same_tokens(tuned: TokenScores, base: TokenScores) -> None:
    """Raises ValueError where two sets of scores are not of the same records in the same order."""
    if tuned.records != base.records or not np.array_equal(tuned.offsets, base.offsets):
        raise ValueError("base and tuned scores are of different records; join them by record id first")
