"""Metrics on completions against naive twins."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from byrote.extraction import METRICS

ids = st.lists(st.integers(0, 3), max_size=9)
suffixes = st.lists(st.integers(0, 3), min_size=1, max_size=9)


def runs(tokens: list[int]) -> set[tuple[int, ...]]:
    return {tuple(tokens[i:j]) for i in range(len(tokens)) for j in range(i + 1, len(tokens) + 1)}


@given(ids, suffixes)
def test_the_longest_ngram_is_the_longest_common_run(completion: list[int], suffix: list[int]):
    longest = max(map(len, runs(completion) & runs(suffix)), default=0)
    assert METRICS["longest_ngram"](completion, suffix) == longest
    assert METRICS["ngram_share"](completion, suffix) == pytest.approx(longest / len(suffix))


@given(suffixes)
def test_a_perfect_completion_has_share_one(suffix: list[int]):
    assert METRICS["ngram_share"](suffix, suffix) == 1
    assert METRICS["verbatim"](suffix, suffix)
    assert not METRICS["verbatim"](suffix[:-1], suffix)


def test_one_token_short_of_verbatim():
    assert METRICS["ngram_share"]([1, 2, 3], [1, 2, 3, 4]) == 0.75
    assert METRICS["longest_ngram"]([9, 1, 2, 9], [1, 2]) == 2
