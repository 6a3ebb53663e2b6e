"""Similarity in characters, as written: what remains when the tokens differ."""

import math

from rapidfuzz.distance import Levenshtein

from byrote.extraction._pair import Pair
from byrote.extraction._runs import longest_run


def common_substring(pair: Pair) -> float:
    """Length of the longest common substring over the suffix's length, both in characters (Gusfield 1997), in [0, 1].

    0 for an empty completion; NaN where the suffix's text is empty.
    """
    return longest_run(pair.completion_text, pair.suffix_text) / len(pair.suffix_text) if pair.suffix_text else math.nan


def edit_similarity(pair: Pair) -> float:
    """1 − d / max(characters of either), d the least insertions, deletions and substitutions (Levenshtein 1966).

    In [0, 1], 1 for equal texts. 0 for an empty completion; NaN where the suffix's text is empty.
    """
    if not pair.suffix_text:
        return math.nan
    return Levenshtein.normalized_similarity(pair.completion_text, pair.suffix_text)
