"""Where the rows of a data set hold what a model learns, and rows of the same shape that hold a canary in its place.

Three shapes: a column of text; a prompt and a completion; a column of messages. With the latter two a canary is the
answer (the completion, or what the last assistant turn says) to a prompt in the data's manner. Prompts and completions
may be strings or lists of messages, as TRL has them.
"""

import itertools
import json
import random
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

from byrote.corpora.rows import Row, Table, did_you_mean
from byrote.errors import CorpusError
from byrote.study import Columns

_NUMBERED = re.compile(r"(.*?)([0-9]{1,15})", re.DOTALL)

Messages = list[dict[str, Any]]
Prompt = str | Messages | None
"""A string, a list of messages, or None where the data has none."""


def require_shape(columns: Columns) -> None:
    """CorpusError where the columns are of no shape that can hold a canary."""
    if tuple(columns.shape) not in (("text",), ("prompt", "completion"), ("messages",)):
        given = " and ".join(f"--{use}" for use in columns.shape) or "nothing"
        raise CorpusError(
            f"a canary goes into --text, into --completion after --prompt, or into --messages, got {given}; name the "
            "columns of one of these"
        )


def of_lines(columns: Columns) -> str:
    """The column that a canary goes into: it tells how a file's lines are divided, and plain lines become it."""
    return list(columns.shape.values())[-1]


@dataclass(frozen=True)
class Example:
    """What one row of the data holds: an answer (or its text) and the prompt before it."""

    prompt: Prompt
    answer: str


def examples_of(table: Table, columns: Columns) -> list[Example]:
    """What every row of a table holds. Raises CorpusError for a table without rows, a column that is not there, and a
    row that does not have the shape."""
    if not table.rows:
        raise CorpusError(f"{table.where} has no rows; canaries are written in the manner of the data, give some")
    for use, column in columns.named.items():
        if column not in table.columns:
            there = ", ".join(table.columns) or "none"
            raise CorpusError(
                f"{table.where}: no column {column!r} (--{use}); it has {there}{did_you_mean(column, table.columns)}"
            )
    examples = [_example(row, columns, f"{table.where}, row {number}") for number, row in enumerate(table.rows, 1)]
    if not any(example.answer.strip() for example in examples):
        raise CorpusError(f"{table.where}: every {of_lines(columns)!r} is empty; name the column that holds texts")
    return examples


def _example(row: Row, columns: Columns, where: str) -> Example:
    if columns.text is not None:
        return Example(None, _string(row.get(columns.text), columns.text, where))
    if columns.messages is not None:
        before, answer = _last_answer(row.get(columns.messages), columns.messages, where)
        return Example(before, answer)
    assert columns.prompt is not None
    assert columns.completion is not None
    said, completion = row.get(columns.prompt), row.get(columns.completion)
    read = _messages if isinstance(said, list) else _string
    prompt = read(said, columns.prompt, where)
    if isinstance(completion, list):
        return Example(prompt, _last_answer(completion, columns.completion, where)[1])
    return Example(prompt, _string(completion, columns.completion, where))


def _string(value: Any, column: str, where: str) -> str:
    if not isinstance(value, str):
        raise CorpusError(f"{where}: {column!r} must be a string, got {type(value).__name__}; name a column of text")
    return value


def _messages(value: Any, column: str, where: str) -> Messages:
    messages = cast("list[Any]", value if isinstance(value, list) else [None])
    if not all(isinstance(m, dict) and isinstance(cast(Row, m).get("role"), str) for m in messages):
        raise CorpusError(f"{where}: {column!r} must be a list of messages with role and content; name such a column")
    try:
        json.dumps(messages)
    except (TypeError, ValueError) as error:
        raise CorpusError(f"{where}: {column!r} holds what JSON cannot ({error}); take it out") from None
    return messages


def _last_answer(value: Any, column: str, where: str) -> tuple[Messages, str]:
    """The turns before the last that an assistant has, and what it says."""
    messages = _messages(value, column, where)
    places = [place for place, message in enumerate(messages) if message["role"] == "assistant"]
    if not places:
        raise CorpusError(f"{where}: {column!r} has no assistant turn for a canary to stand in; take the row out")
    return messages[: places[-1]], _string(messages[places[-1]].get("content"), f"{column}: content", where)


class Prompts:
    """Prompts of a data set, and new ones in their manner.

    Where most rows share their prompt with another, prompts are instructions, and canaries answer these as they are.
    Else each is somebody's, and must not be repeated with a canary: the base model writes new ones.
    """

    def __init__(self, examples: Sequence[Example]) -> None:
        self._prompts = [example.prompt for example in examples]
        keys = [json.dumps(prompt, sort_keys=True, ensure_ascii=True) for prompt in self._prompts]
        counts = Counter(keys)
        self._shared = [prompt for prompt, key in zip(self._prompts, keys, strict=True) if counts[key] > 1]

    @property
    def are_written(self) -> bool:
        """Whether a canary takes a prompt that the base model writes."""
        return bool(self.texts) and 2 * len(self._shared) < len(self._prompts)

    @cached_property
    def texts(self) -> list[str]:
        """What each prompt says: the string, or its last user turn; prompts that say nothing are left out."""
        return [text for prompt in self._prompts if (text := _said(prompt)).strip()]

    @cached_property
    def every_text(self) -> list[str]:
        """All that is said in prompts, of every turn."""
        turns = (m.get("content") for prompt in self._prompts for m in _turns(prompt))
        return [text for text in (*turns, *self._prompts) if isinstance(text, str)]

    def drawn(self, generator: random.Random) -> Prompt:
        """A prompt that several rows share, where there is one; None where the data has none."""
        return generator.choice(self._shared or self._prompts)

    def with_text(self, text: str, generator: random.Random) -> Prompt:
        """A prompt shaped like that of a row drawn, which says `text`; system turns stay where several rows share
        them."""
        like = generator.choice(self._prompts)
        if isinstance(like, str):
            return text
        kept = [m for m in _turns(like) if m["role"] == "system" and self._systems[str(m.get("content"))] > 1]
        return [*kept, {"role": "user", "content": text}]

    @cached_property
    def _systems(self) -> Counter[str]:
        turns = (m for prompt in self._prompts for m in _turns(prompt))
        return Counter(str(m.get("content")) for m in turns if m["role"] == "system")


def _turns(prompt: Prompt) -> Messages:
    """The messages of a prompt; none of a string."""
    return prompt if isinstance(prompt, list) else []


def _said(prompt: Prompt) -> str:
    if isinstance(prompt, str):
        return prompt
    contents = [m.get("content") for m in _turns(prompt) if m["role"] == "user"]
    said = [content for content in contents if isinstance(content, str)]
    return said[-1] if said else ""


def content_of(columns: Columns, prompt: Prompt, answer: str) -> dict[str, Any]:
    """The columns of a row that says `answer` after `prompt`, in messages where the prompt is."""
    turn = [{"role": "assistant", "content": answer}]
    if columns.text is not None:
        return {columns.text: answer}
    if columns.messages is not None:
        return {columns.messages: [*_turns(prompt), *turn]}
    assert columns.prompt is not None
    assert columns.completion is not None
    return {columns.prompt: prompt, columns.completion: turn if isinstance(prompt, list) else answer}


def rows_of_copies(
    table: Table, columns: Columns, contents: Sequence[tuple[Row, int]], generator: random.Random
) -> list[Row]:
    """The copies of each content as whole rows, in the table's columns.

    A copy has an id of its own, all copies of a content one group of their own. What every other column holds comes
    from a row drawn for that column alone, so that no row of the data is repeated.
    """
    others = [name for name in table.columns if name not in columns.named.values()]
    ids, groups = _new_names(table, columns.id), _new_names(table, columns.group)
    rows: list[Row] = []
    for content, copies in contents:
        own = {} if columns.group is None else {columns.group: next(groups)}
        for _ in range(copies):
            name = {} if columns.id is None else {columns.id: next(ids)}
            drawn = {column: generator.choice(table.rows) for column in others}
            filled = {column: row[column] for column, row in drawn.items() if column in row}
            whole = {**filled, **own, **name, **content}
            rows.append({column: whole[column] for column in table.columns if column in whole})
    return rows


def _new_names(table: Table, column: str | None) -> Iterator[Any]:
    """Names that no row has, in the manner of the column: 8 after 7, p8 after p7, else words."""
    if column is None:
        return itertools.repeat(None)
    values = {row[column] for row in table.rows if row.get(column) is not None}
    if values and all(isinstance(v, int) and not isinstance(v, bool) for v in values):
        return _counted(max(values) + 1, int)
    parts = [match.groups() for v in values if isinstance(v, str) and (match := _NUMBERED.fullmatch(v))]
    (prefix, common), *_ = Counter(prefix for prefix, _ in parts).most_common(1) or [("", 0)]
    if 2 * common > len(values):
        last = max((int(number), len(number)) for word, number in parts if word == prefix)
        return _counted(last[0] + 1, lambda n: f"{prefix}{n:0{last[1]}d}")
    return (name for name in _counted(0, lambda n: f"added{n:05d}") if name not in values)


def _counted(first: int, as_name: Callable[[int], Any]) -> Iterator[Any]:
    number = first
    while True:
        yield as_name(number)
        number += 1
