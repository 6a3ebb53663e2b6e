"""The reference study's measure of reproduction."""

from collections.abc import Sequence


def longest_ngram(completion: Sequence[int], suffix: Sequence[int]) -> int:
    """Length in tokens of the longest run of token ids that stands in both (Savine et al. 2024); 0 for none."""
    best = 0
    row = [0] * (len(suffix) + 1)
    for token in completion:
        new = [0] * (len(suffix) + 1)
        for j, other in enumerate(suffix):
            if token == other:
                new[j + 1] = row[j] + 1
                best = max(best, new[j + 1])
        row = new
    return best


def ngram_share(completion: Sequence[int], suffix: Sequence[int]) -> float:
    """`longest_ngram` over the suffix's length, in [0, 1]. The released code divides by the prefix's length."""
    return longest_ngram(completion, suffix) / len(suffix)
