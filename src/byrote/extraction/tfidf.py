# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false
"""Similarity in rare words. It needs a corpus to tell which words are rare, so it takes all pairs at once."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from byrote.extraction._pair import Pair, words


def tfidf_cosine(pairs: Sequence[Pair], corpus_texts: Sequence[str]) -> np.ndarray:
    """Cosine of the TF-IDF vectors of completion and suffix, float64 (N,) in [0, 1].

    Each word (as in ROUGE-L) counts with its frequency times idf = ln((1 + n) / (1 + df)) + 1, df the number of the n
    corpus texts that hold it (Spärck Jones 1972; Salton & Buckley 1988, smoothed); a word in none of them has the
    largest idf and is not dropped: names that only one record holds are what this is about.

    corpus_texts: the non-members' texts. The weights must not depend on what was written: the score of a completion
    would change with the others, and a model that often writes a memorized word would make that word count for less.
    0 for an empty completion; NaN where the suffix has no word. ValueError where the corpus has no word.
    """
    from sklearn.feature_extraction.text import CountVectorizer, TfidfTransformer  # slow to import

    corpus, written, true = (
        [" ".join(words(text)) for text in texts]
        for texts in (corpus_texts, (p.completion_text for p in pairs), (p.suffix_text for p in pairs))
    )
    if not any(corpus):
        raise ValueError(f"corpus_texts must hold a word, got {len(corpus)} texts; give the non-members' texts")
    if not pairs:
        return np.zeros(0)
    counts = CountVectorizer(token_pattern=r"\S+", lowercase=False).fit([*corpus, *written, *true])
    weights: Any = TfidfTransformer().fit(counts.transform(corpus))
    written_NV, true_NV = (weights.transform(counts.transform(texts)) for texts in (written, true))
    cosines_N = np.asarray(written_NV.multiply(true_NV).sum(axis=1), dtype=np.float64).ravel()
    return np.where([bool(text) for text in true], np.clip(cosines_N, 0, 1), np.nan)
