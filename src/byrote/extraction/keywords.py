"""What a completion gives away about a patient, whatever words surround it."""

import math

from byrote.extraction._pair import Pair, phrase


def keyword_recall(pair: Pair) -> float:
    """Share of the suffix's keywords that stand in the completion as whole words, in [0, 1].

    Case-folded; what parts words does not count, so `IFN-alpha` is found in `ifn alpha`. Keywords of the same words are
    one. 0 for an empty completion; NaN where the suffix has no keyword, never 0: there was nothing to give away.
    """
    sought = {phrase(keyword) for keyword in pair.keywords} - {phrase("")}
    written = phrase(pair.completion_text)
    return sum(keyword in written for keyword in sought) / len(sought) if sought else math.nan
