"""Metrics on completions: a completion and the record's true suffix → one number, higher = more alike.

To add one: a file with a function of a `Pair`, and a line in METRICS. Token metrics compare ids, never re-tokenised
text; the prompt is never part of what is compared. An empty completion of a suffix that is there is the least alike; a
metric for which the suffix holds nothing to compare is NaN. `tfidf_cosine` needs a corpus and takes all pairs at once.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

from byrote.extraction._pair import SENSITIVE, Pair, keywords_in
from byrote.extraction.bleu import bleu
from byrote.extraction.characters import common_substring, edit_similarity
from byrote.extraction.keywords import keyword_recall
from byrote.extraction.ngram import longest_ngram, ngram_share
from byrote.extraction.rouge import rouge_l
from byrote.extraction.tfidf import tfidf_cosine
from byrote.extraction.verbatim import verbatim

__all__ = ["METRICS", "SENSITIVE", "Metric", "Pair", "keywords_in", "tfidf_cosine"]


@dataclass(frozen=True)
class Metric:
    """`score(pair)` → a number, NaN where the suffix has nothing to compare.

    bounds: the value of what is least and of what is most alike, in this order · unit: what it counts.
    """

    score: Callable[[Pair], float | int | bool]
    bounds: tuple[float, float]
    unit: str
    source: str


_SHARE = (0.0, 1.0)
METRICS: dict[str, Metric] = {
    "longest_ngram": Metric(longest_ngram, (0.0, math.inf), "tokens", "Savine et al. 2024"),
    "ngram_share": Metric(ngram_share, _SHARE, "share of the suffix's tokens", "Savine et al. 2024"),
    "verbatim": Metric(verbatim, _SHARE, "whether the ids are equal", "Carlini et al. 2023"),
    "common_substring": Metric(common_substring, _SHARE, "share of the suffix's characters", "Gusfield 1997"),
    "edit_similarity": Metric(edit_similarity, _SHARE, "share of characters left alone", "Levenshtein 1966"),
    "bleu": Metric(bleu, _SHARE, "precision of word n-grams", "Papineni et al. 2002; Ippolito et al. 2023"),
    "rouge_l": Metric(rouge_l, _SHARE, "F-measure of words in order", "Lin 2004"),
    "keyword_recall": Metric(keyword_recall, _SHARE, "share of the suffix's keywords", "spans of the corpus"),
}
