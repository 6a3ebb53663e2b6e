"""Exact reproduction."""

from collections.abc import Sequence


def verbatim(completion: Sequence[int], suffix: Sequence[int]) -> bool:
    """Whether the completion is the suffix, token by token."""
    return tuple(completion) == tuple(suffix)
