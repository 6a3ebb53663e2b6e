"""Sequences into batches of like length."""

import math
from collections.abc import Sequence


def by_length(lengths: Sequence[int], most_tokens: int, side_by_side: int = 1) -> list[list[int]]:
    """Positions of the sequences in batches of like length and size, longest first, at most `most_tokens` tokens each.

    A sequence longer than `most_tokens` is a batch of its own. Every position stands in exactly one batch. Where
    `side_by_side` batches are run at once, their number is about a multiple of it.
    """
    total = sum(lengths)
    rounds = max(1, math.ceil(total / most_tokens / side_by_side))
    enough = total / (rounds * side_by_side)
    batches: list[list[int]] = []
    tokens = math.inf
    for i in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        if tokens >= enough or tokens + lengths[i] > most_tokens:
            batches.append([])
            tokens = 0
        batches[-1].append(i)
        tokens += lengths[i]
    return batches
