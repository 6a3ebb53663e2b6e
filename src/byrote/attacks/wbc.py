"""Window-based comparison: in how many windows the tuned model does better than the base model."""

import numpy as np

from byrote.attacks._evidence import Evidence
from byrote.ragged import owners, sum_by_record, where_known

# The list of the released configuration. Rounding the paper's formula, 2·20^(k/9) for k = 0 … 9, would give
# 5, 8, 11, 15, 21, 29 for 6, 9, 13, 18, 25, 32.
WIDTHS = (2, 3, 4, 6, 9, 13, 18, 25, 32, 40)


def wbc(evidence: Evidence) -> np.ndarray:
    """Mean over window widths of the share of windows with Σ loss base > Σ loss tuned (arXiv 2601.02751), (N,).

    Windows of WIDTHS tokens at every place of a record; equal sums are no win. Higher = member. A record of T tokens
    uses the widths of at most T; one of fewer than two tokens has no window and is missing.
    """
    change, lengths = evidence.change, evidence.tuned.lengths
    shares, fitting = _shares(change, lengths)
    share = np.divide(shares, fitting, out=np.full(len(lengths), np.nan), where=fitting > 0)
    return where_known(share, change, lengths)


def wbc_released(evidence: Evidence) -> np.ndarray:
    """The same as the released code has it, (N,): a window wider than the record is cut to the record's length.

    So each width above T adds the whole record once more, as one window, and a record of one token has ten of them.
    A record without scored tokens is missing.
    """
    change, lengths = evidence.change, evidence.tuned.lengths
    shares, fitting = _shares(change, lengths)
    with np.errstate(invalid="ignore"):
        whole = sum_by_record(change, lengths) > 0
    share = (shares + (len(WIDTHS) - fitting) * whole) / len(WIDTHS)
    return where_known(np.where(lengths > 0, share, np.nan), change, lengths)


def _shares(change: np.ndarray, lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of each record: the sum, over the widths that fit, of the share of windows won; and how many widths fit."""
    owner, left = owners(lengths), np.repeat(np.cumsum(lengths), lengths) - np.arange(len(change))
    shares, fitting, sums = np.zeros(len(lengths)), np.zeros(len(lengths)), change
    for width in range(2, min(WIDTHS[-1], max(lengths, default=0)) + 1):
        # Summed token by token: a running total over all records would let their rounding into each other's windows.
        with np.errstate(invalid="ignore"):
            sums = sums[:-1] + change[width - 1 :]
        if width in WIDTHS:
            inside = left[: len(sums)] >= width
            wins = np.bincount(owner[: len(sums)], (sums > 0) & inside, len(lengths))
            shares += wins / np.maximum(lengths - width + 1, 1)
            fitting += lengths >= width
    return shares, fitting
