"""Exact reproduction."""

from byrote.extraction._pair import Pair


def verbatim(pair: Pair) -> bool:
    """Whether the completion is the suffix, token by token (Carlini et al. 2023). False where either is empty."""
    return bool(pair.suffix_ids) and pair.completion_ids == pair.suffix_ids
