"""Sequences into padded batches. Right padding needs no mask under a causal model; no pad token is ever scored."""

from collections.abc import Sequence

import numpy as np


def by_length(lengths: Sequence[int], most_tokens: int) -> list[list[int]]:
    """Positions of the sequences in batches of like length, longest first, at most `most_tokens` padded tokens each.

    A sequence longer than `most_tokens` is a batch of its own. Every position stands in exactly one batch.
    """
    order = sorted(range(len(lengths)), key=lambda i: (-lengths[i], i))
    batches: list[list[int]] = []
    for i in order:
        if batches and lengths[batches[-1][0]] * (len(batches[-1]) + 1) <= most_tokens:
            batches[-1].append(i)
        else:
            batches.append([i])
    return batches


def pad_right(sequences: Sequence[Sequence[int]], fill: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Token ids int64 (B, T), filled at the right, and the lengths (B,)."""
    lengths = np.array([len(s) for s in sequences])
    tokens_BT = np.full((len(sequences), int(lengths.max(initial=0))), fill, dtype=np.int64)
    for row, sequence in zip(tokens_BT, sequences, strict=True):
        row[: len(sequence)] = sequence
    return tokens_BT, lengths
