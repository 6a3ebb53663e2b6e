"""Rows with named columns → records: the part that files, PHEE and the hub share."""

import difflib
import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from byrote.corpora import chat
from byrote.errors import CorpusError
from byrote.records import CALIBRATION, MEMBERS, NONMEMBERS, Record, Span
from byrote.study import Columns, CorpusPart

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Table:
    """One split as it was read. `where` names it in errors, `stem` in default ids; rows count from 1 in both."""

    where: str
    stem: str
    columns: tuple[str, ...]
    rows: Sequence[Row]
    numbers: Sequence[int] | None = None  # of the rows, where the table holds some of a file's rows alone


@dataclass(frozen=True)
class _Draft:
    record: str
    group: str | None
    text: str
    turns: str
    spans: tuple[Span, ...]


def no_spans(row: Row) -> tuple[Span, ...]:  # noqa: ARG001
    """The spans of a row without annotations."""
    return ()


def split_names(corpus: CorpusPart) -> dict[str, str]:
    """Split → the name the study gives it, without a calibration split where it is null.

    Raises CorpusError where two splits have one name: the same records would stand on both sides.
    """
    named = {MEMBERS: corpus.members, NONMEMBERS: corpus.nonmembers}
    if corpus.calibration is not None:
        named[CALIBRATION] = corpus.calibration
    for name, count in Counter(named.values()).items():
        if count > 1:
            keys = " and ".join(f"corpus.{split}" for split, other in named.items() if other == name)
            raise CorpusError(f"{keys} are both {name!r}; a record cannot be in two splits: name different ones")
    return named


def columns_of(rows: Iterable[Row]) -> tuple[str, ...]:
    """Every column that any row has, in order of first appearance."""
    return tuple(dict.fromkeys(name for row in rows for name in row))


def build(
    tables: Mapping[str, Table],
    columns: Columns,
    limit: int | None,
    spans: Callable[[Row], tuple[Span, ...]] = no_spans,
) -> list[Record]:
    """Records of every split, in the order of the tables and of their rows, the first `limit` rows of each.

    Without a column of ids an id is `<stem>:<row>`, without one of groups a record is its own group.
    Ids that two splits share (each file counting from 0, say) become `<split>:<id>` in the whole corpus.
    spans: of a row of plain text.
    Raises CorpusError for a missing column, a value that is not a string (ids and groups may be whole numbers), an id
    that one split has twice, and what `chat.read_row` refuses.
    """
    drafts = {split: _drafts(table, columns, limit, spans) for split, table in tables.items()}
    seen = Counter(draft.record for rows in drafts.values() for draft in rows)
    clash = len(seen) < seen.total()
    return [_record(split, draft, clash) for split, rows in drafts.items() for draft in rows]


def _record(split: str, draft: _Draft, clash: bool) -> Record:
    name = f"{split}:{draft.record}" if clash else draft.record
    return Record(name, split, name if draft.group is None else draft.group, draft.text, draft.spans, turns=draft.turns)


def _drafts(
    table: Table,
    columns: Columns,
    limit: int | None,
    spans: Callable[[Row], tuple[Span, ...]],
) -> list[_Draft]:
    if table.rows:
        require_columns(table.where, table.columns, columns.named)
    drafts: list[_Draft] = []
    for number, row in zip(table.numbers or itertools.count(1), table.rows[:limit], strict=False):
        where = f"{table.where}, row {number}"
        name = f"{table.stem}:{number}" if columns.id is None else name_in(row, columns.id, where)
        document = None if columns.group is None else name_in(row, columns.group, where)
        if columns.text is None:
            for column in columns.shape.values():
                _value(row, column, where)
            text, turns, marked = chat.read_row(row, columns, where)
        else:
            text, turns, marked = _text(row, columns.text, where), "", spans(row)
        drafts.append(_Draft(name, document, text, turns, marked))
    _refuse_repeated_ids(drafts, table.where)
    return drafts


def require_columns(where: str, columns: Sequence[str], wanted: Mapping[str, str | None]) -> None:
    """Raises CorpusError for a wanted column that is not there; lists those that are. wanted: corpus key → column."""
    for key, column in wanted.items():
        if column is not None and column not in columns:
            there = ", ".join(columns) or "none"
            raise CorpusError(
                f"{where}: no column {column!r} (corpus.{key}); it has {there}{did_you_mean(column, columns)}"
            )


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """`; did you mean 'x'?`, or nothing where no known name is near."""
    close = difflib.get_close_matches(name, list(known), 1, 0.6)
    return f"; did you mean {close[0]!r}?" if close else ""


def first_few(names: Sequence[str], shown: int = 3) -> str:
    """The first names and how many more there are, for a message."""
    more = len(names) - shown
    return ", ".join(names[:shown]) + (f" and {more} more" if more > 0 else "")


def _value(row: Row, column: str, where: str) -> Any:
    if column not in row:
        raise CorpusError(f"{where}: no {column!r} in this row, although other rows have it; add it or remove the row")
    return row[column]


def _text(row: Row, column: str, where: str) -> str:
    value = _value(row, column, where)
    if not isinstance(value, str):
        raise CorpusError(f"{where}: {column!r} must be a string, got {type(value).__name__}; choose a text column")
    return _unicode(value, column, where)


def name_in(row: Row, column: str, where: str) -> str:
    """A row's value in a column of names: a string, or a whole number as one. CorpusError for others."""
    value = _value(row, column, where)
    if isinstance(value, bool) or not isinstance(value, str | int) or value == "":
        kind = "an empty string" if value == "" else type(value).__name__
        raise CorpusError(f"{where}: {column!r} must be a string or a whole number, got {kind}; correct the row")
    return _unicode(str(value), column, where)


def _unicode(value: str, column: str, where: str) -> str:
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise CorpusError(
            f"{where}: {column!r} holds half a surrogate pair at character {error.start}, which no UTF-8 file can; "
            "correct the row"
        ) from None
    return value


def _refuse_repeated_ids(drafts: Sequence[_Draft], where: str) -> None:
    counts = Counter(draft.record for draft in drafts)
    twice = [name for name, count in counts.items() if count > 1]
    if twice:
        raise CorpusError(
            f"{where}: {len(twice)} ids are on several rows: {first_few(twice)}; "
            "set corpus.id to a column without repeats, or to null to number the rows"
        )
