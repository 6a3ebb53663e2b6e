"""The reference study's measure of reproduction."""

import math

from byrote.extraction._pair import Pair
from byrote.extraction._runs import as_text, longest_run


def longest_ngram(pair: Pair) -> int:
    """Length in tokens of the longest run of token ids that stands in both (Savine et al. 2024).

    0 for none, and where the completion or the suffix is empty.
    """
    return longest_run(*as_text(pair.completion_ids, pair.suffix_ids))


def ngram_share(pair: Pair) -> float:
    """`longest_ngram` over the suffix's length, in [0, 1]. The released code divides by the prefix's length.

    0 for an empty completion; NaN where the suffix has no token.
    """
    return longest_ngram(pair) / len(pair.suffix_ids) if pair.suffix_ids else math.nan
