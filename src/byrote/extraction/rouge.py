"""Similarity in words that occur in the same order, with anything between them."""

import math

from rapidfuzz.distance import LCSseq

from byrote.extraction._pair import Pair, words


def rouge_l(pair: Pair) -> float:
    """F-measure of the longest common subsequence of words: 2·LCS / (words of completion + words of suffix), in [0, 1].

    ROUGE-L with β = 1 (Lin 2004): the harmonic mean of LCS over the completion's and LCS over the suffix's words, which
    are case-folded and without punctuation, not stemmed. 0 for an empty completion; NaN where the suffix has no word.
    """
    written, true = words(pair.completion_text), words(pair.suffix_text)
    if not true:
        return math.nan
    return 2 * LCSseq.similarity(written, true) / (len(written) + len(true))
