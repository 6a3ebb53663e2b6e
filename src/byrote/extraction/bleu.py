"""Similarity in runs of one to four words, as approximate memorization is measured elsewhere."""

import math
from functools import cache

from sacrebleu.metrics.bleu import BLEU

from byrote.extraction._pair import Pair


def bleu(pair: Pair) -> float:
    """Sentence BLEU of the completion against the suffix, in [0, 1] where sacrebleu prints 0 to 100.

    Geometric mean of the precisions of 1- to 4-grams, times exp(1 − r/c) where the completion (c words) is shorter than
    the suffix (r words); as written, tokenizer 13a, exponential smoothing; orders that the completion is too short for
    are left out (Papineni et al. 2002; Post 2018; Ippolito et al. 2023 call a completion above 0.75 memorized).
    0 for an empty completion; NaN where the suffix's text is blank.
    """
    if not pair.suffix_text.strip():
        return math.nan
    return min(1.0, _scorer().sentence_score(pair.completion_text, [pair.suffix_text]).score / 100)


@cache
def _scorer() -> BLEU:
    return BLEU(effective_order=True)
