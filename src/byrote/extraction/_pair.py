"""What a metric compares: a completion and the true rest of its record, in token ids and as text."""

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass

from byrote.records import Span

SENSITIVE = frozenset({"drug", "effect", "subject"})
"""Kinds of spans that tell something of a patient: what was given, what it did, to whom."""


@dataclass(frozen=True)
class Pair:
    """A completion and the suffix it is measured against; the prompt is part of neither.

    completion_ids, suffix_ids: token ids · completion_text, suffix_text: the same decoded, so that either may begin
    within a word · keywords: what is sensitive in the suffix, as written there (`keywords_in`).
    """

    completion_ids: tuple[int, ...]
    suffix_ids: tuple[int, ...]
    completion_text: str
    suffix_text: str
    keywords: tuple[str, ...] = ()


def keywords_in(record_spans: Iterable[Span], suffix_text: str) -> tuple[str, ...]:
    """Texts of the sensitive spans (SENSITIVE) that stand in the suffix as whole words, in the order of the spans.

    Each once, however it is capitalised. A span that the cut between prefix and suffix goes through is left out: its
    rest is no keyword. So is a text without a word, which no completion could be asked for.
    """
    there, spans_by_phrase = phrase(suffix_text), dict[str, str]()
    for span in record_spans:
        if span.kind in SENSITIVE and words(span.text) and phrase(span.text) in there:
            spans_by_phrase.setdefault(phrase(span.text), span.text)
    return tuple(spans_by_phrase.values())


def words(text: str) -> list[str]:
    """Words of a text: runs of letters, digits and underscores, after Unicode NFC and case-folded."""
    return re.findall(r"\w+", unicodedata.normalize("NFC", text).casefold())


def phrase(text: str) -> str:
    """The words of a text between single spaces, one at each end: `phrase(a) in phrase(b)` finds whole words only."""
    return f" {' '.join(words(text))} "
