"""Sums and means over the tokens of each record. Ragged arrays: values (S,), record after record, and lengths (N,)."""

import numpy as np

from byrote.records import TokenScores


def owners(lengths: np.ndarray) -> np.ndarray:
    """The record (0 to N − 1) that each token belongs to, int64 (S,)."""
    return np.repeat(np.arange(len(lengths)), lengths)


def sum_by_record(values: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Sum of values (S,) over each record's tokens, float64 (N,); NaN for a record without tokens."""
    sums = np.bincount(owners(lengths), weights=values.astype(np.float64), minlength=len(lengths))
    return np.where(lengths > 0, sums, np.nan)


def mean_by_record(values: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Mean of values (S,) over each record's tokens, float64 (N,); NaN for a record without tokens."""
    return sum_by_record(values, lengths) / np.maximum(lengths, 1)


def lowest_mean_by_record(values: np.ndarray, lengths: np.ndarray, percent: int = 20) -> np.ndarray:
    """Mean of the lowest ⌊percent · T / 100⌋ values of each record's T, at least one, float64 (N,).

    NaN for a record without tokens, and for one with a NaN among its values (sorting would hide it).
    """
    owner = owners(lengths)
    ascending = values[np.lexsort((values, owner))]
    starts, counts = np.cumsum(lengths) - lengths, np.maximum(lengths * percent // 100, 1)
    low = np.arange(len(values)) - starts[owner] < counts[owner]
    lowest = mean_by_record(ascending[low], np.bincount(owner[low], minlength=len(lengths)))
    return where_known(lowest, values, lengths)


def where_known(scores: np.ndarray, values: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Scores (N,), NaN where a record's values (S,) hold a NaN, which comparing and sorting would pass over."""
    return np.where(sum_by_record(np.isnan(values), lengths) == 0, scores, np.nan)


def same_tokens(tuned: TokenScores, base: TokenScores) -> None:
    """Raises ValueError where two sets of scores are not of the same records in the same order."""
    if tuned.records != base.records or not np.array_equal(tuned.offsets, base.offsets):
        raise ValueError("base and tuned scores are of different records; join them by record id first")
