"""Metrics on completions: token ids of a completion and of the record's true suffix → one number.

To add one: a file with a function of this signature, and a line in METRICS. Ids are compared, never re-tokenised text,
and the prompt is never part of what is compared.
"""

from collections.abc import Callable, Sequence

from byrote.extraction.ngram import longest_ngram, ngram_share
from byrote.extraction.verbatim import verbatim

METRICS: dict[str, Callable[[Sequence[int], Sequence[int]], float | int | bool]] = {
    "longest_ngram": longest_ngram,
    "ngram_share": ngram_share,
    "verbatim": verbatim,
}
