"""What a page is made of: sections, their tables and figures, and how rows of a table become rows of text."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from markupsafe import Markup

from byrote.figures import Drawn
from byrote.records import PROMPTS_STRATUM, copies_in
from byrote.report.words import MISSING, count, listing, missing, plain

if TYPE_CHECKING:
    from byrote.tables import Tables

MOST_ROWS = 300  # of one table on the page; the files under tables/ hold every row


_SENTENCE = re.compile(r"(?<=[.?])\s+(?=[A-Z“‘])")


@dataclass(frozen=True)
class Grid:
    """A table to print. The `words` first and the `tail` last columns hold words; the others numbers, to the right."""

    caption: str
    headers: Sequence[str]
    rows: Sequence[Sequence[str]]
    words: int = 1
    note: str = ""
    tail: int = 0


@dataclass(frozen=True)
class Picture:
    """A figure inside the page."""

    title: str
    caption: str
    svg: Markup


@dataclass(frozen=True)
class Mark:
    """A place on a scale, in percent of its width, with the word under it."""

    place: float
    word: str


@dataclass(frozen=True)
class Scale:
    """A number with its interval and its control on a line. Places are percents of its width; ends: what it runs from
    and to, in words."""

    value: float
    low: float | None
    high: float | None
    control: float | None
    marks: Sequence[Mark]
    ends: tuple[str, str]

    @property
    def words(self) -> str:
        """For who cannot see it."""
        marks = ", ".join(mark.word for mark in self.marks)
        return f"A line from {self.ends[0]} to {self.ends[1]} with {marks} marked"


@dataclass(frozen=True)
class Card:
    """One question with its answer. answer: a word or two · number: the one that counts · sure: how sure it is · next:
    what to do now."""

    question: str
    answer: str
    number: str
    sure: str
    next: str = ""
    scale: Scale | None = None


@dataclass(frozen=True)
class Term:
    """A term with the place where the glossary explains it, and how."""

    word: str
    anchor: str
    meaning: str


@dataclass(frozen=True)
class Section:
    """A part of the page: cards, warnings and paragraphs, then tables, lists and figures; what is `folded` opens on
    demand. terms: those that it uses · glossary: those that it explains."""

    name: str
    title: str
    paragraphs: Sequence[str]
    grids: Sequence[Grid] = ()
    pictures: Sequence[Picture] = ()
    folded: Sequence[Grid] = ()
    folded_pictures: Sequence[Picture] = ()
    lists: Sequence[tuple[str, Sequence[str]]] = ()
    warnings: Sequence[str] = ()
    cards: Sequence[Card] = ()
    terms: Sequence[Term] = ()
    glossary: Sequence[Term] = ()

    @property
    def is_prose(self) -> bool:
        """Whether its paragraphs are what it is for: no table or figure follows, or it is the first screen's."""
        return bool(self.cards) or not (self.grids or self.pictures or self.folded)

    @property
    def lead(self) -> str:
        """The first sentence, the only one that stands above the tables and figures."""
        return _SENTENCE.split(self.paragraphs[0], maxsplit=1)[0] if self.paragraphs else ""

    @property
    def words(self) -> list[str]:
        """The other sentences, paragraph by paragraph."""
        rest = [paragraph[len(self.lead) :].strip() for paragraph in self.paragraphs[:1]]
        return [paragraph for paragraph in (*rest, *self.paragraphs[1:]) if paragraph]


def records_of(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows of a table as mappings."""
    return [{str(name): value for name, value in row.items()} for row in frame.to_dict("records")]


def labels_of(tables: "Tables") -> dict[Any, str]:
    """Trial → its label."""
    return dict(zip(tables.trials["trial"], tables.trials["label"], strict=True))


def joined(*paragraphs: Sequence[str]) -> list[str]:
    """Each list of sentences as one paragraph; empty ones are left out."""
    return [" ".join(sentences) for sentences in paragraphs if sentences]


def filled(*grids: Grid) -> list[Grid]:
    """The tables that have rows."""
    return [grid for grid in grids if grid.rows]


def capped(grid: Grid, table: str, most: int = MOST_ROWS) -> Grid:
    """The first rows of a long table, with a note of where the others are."""
    total = len(grid.rows)
    if total <= most:
        return grid
    cut = f"The first {plain(most)} of {plain(total)} rows; all of them are in tables/{table}.csv."
    return replace(grid, rows=grid.rows[:most], note=f"{cut} {grid.note}".strip())


def without_empty(grid: Grid, *optional: str) -> Grid:
    """The same table without those of the `optional` columns that hold only dashes."""
    gone = [
        i for i, name in enumerate(grid.headers) if name in optional and all(row[i] == MISSING for row in grid.rows)
    ]
    kept = [i for i in range(len(grid.headers)) if i not in gone]
    rows = [[row[i] for i in kept] for row in grid.rows]
    words = grid.words - sum(i < grid.words for i in gone)
    tail = grid.tail - sum(i >= len(grid.headers) - grid.tail for i in gone)
    return replace(grid, headers=[grid.headers[i] for i in kept], rows=rows, words=words, tail=tail)


def reasons_note(what: str, reasons: Mapping[str, Sequence[str]]) -> str:
    """Why numbers are missing: `No control: difference and ratio (needs a null trial).`; '' where none is missing."""
    parts = [f"{listing(list(dict.fromkeys(names)))} ({reason})" for reason, names in reasons.items()]
    return f"{what}: {'; '.join(parts)}." if parts else ""


def stratum_words(stratum: Any) -> str:
    """`records`, `prompts (masked)`, or `canaries, 8×`."""
    copies = copies_in(str(stratum))
    if str(stratum) == PROMPTS_STRATUM:
        return "prompts (masked)"
    return f"canaries, {copies}×" if copies else str(stratum)


def prefix_words(prefix: float) -> str:
    """`prefix 0.5`; `the true prompt` of a record with an answer."""
    return f"prefix {prefix:g}" if prefix else "the true prompt"


def copies_words(copies: Any) -> str:
    """`1 copy`, `8 copies`."""
    return count(int(copies), "copy", "copies")


def text_or_dash(value: Any) -> str:
    """A cell of words; a dash for a missing or an empty one."""
    return MISSING if missing(value) or not str(value) else str(value)


def pictures(drawn: Sequence[Drawn]) -> list[Picture]:
    """The figures that were drawn."""
    return [
        Picture(figure.title, figure.caption, inline_svg(figure.svg, figure.name))
        for figure in drawn
        if figure.svg is not None
    ]


# Colours of paper, ink and grid in figures.style, and what the page calls them: they follow light and dark.
_PAGE_COLOURS = {"#ffffff": "paper", "#000000": "ink", "#333333": "ink", "#555555": "soft", "#e6e6e6": "line"}


def inline_svg(path: Path, name: str) -> Markup:
    """A drawn file as an element of a page: no prolog, no metadata, ids unique by `name`, width left to the page, paper
    and ink the page's own."""
    text = path.read_text(encoding="utf-8")
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r'\bid="', f'id="{name}-', text)
    text = re.sub(r'(href="#|url\(#)', rf"\g<1>{name}-", text)
    for colour, name_of_page in _PAGE_COLOURS.items():
        text = re.sub(rf"(fill|stroke): {colour}\b", rf"\g<1>: var(--{name_of_page})", text)
    head, rest = text.split(">", 1)
    head = re.sub(r'\s(width|height)="[^"]*"', "", head)
    return Markup(f'{head} style="fill: var(--ink)" aria-hidden="true" focusable="false">{rest}')
