"""Records of prompt and completion, and of messages: read from a row, checked, and rendered as readable text.

The shapes are TRL's and OpenAI's: `messages` is a list of turns with `role` and `content`; `prompt` and `completion`
are strings, or lists of turns both; the row's own `tools`, where it has them, are passed to the chat template. What
became of a row is kept as canonical JSON in `Record.turns`: `{"messages": […], "tools": […]}` or
`{"prompt": …, "completion": …, "tools": […]}`, and in the turns `weight: 0` where OpenAI's format keeps the loss off.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

from byrote.errors import CorpusError
from byrote.records import ANSWER_SPAN, Span
from byrote.study import Columns
from byrote.study.mistakes import nearest

ROLES = ("system", "developer", "user", "assistant", "tool")
_OTHER_NAMES = {"human": "user", "gpt": "assistant", "bot": "assistant", "model": "assistant", "function": "tool"}
Turn = dict[str, Any]


def read_row(row: Mapping[str, Any], columns: Columns, where: str) -> tuple[str, str, tuple[Span, ...]]:
    """Text, turns and answer spans of a row of messages, or of prompt and completion; it has these columns.

    where: names the row in errors. CorpusError for an unknown role, no messages, mixed formats or a missing answer.
    """
    if columns.messages is not None:
        said: dict[str, Any] = {"messages": _turns(row[columns.messages], columns.messages, where)}
        texts = _texts(said["messages"])
    else:
        assert columns.prompt is not None
        assert columns.completion is not None
        said = _prompt_and_completion(row, columns.prompt, columns.completion, where)
        texts = _plain_texts(said)
    text, spans = _rendered(texts, _answers(said, columns.loss_on, where))
    if "messages" in said or not isinstance(said["prompt"], str):
        said |= {"tools": tools} if (tools := _tools(row, where)) else {}
    return text, json.dumps(said, sort_keys=True, ensure_ascii=False), spans


def turns_in(said: Mapping[str, Any]) -> list[Turn]:
    """All turns of a parsed record of turns, in order."""
    return said["messages"] if "messages" in said else [*said["prompt"], *said["completion"]]


def answering(said: Mapping[str, Any], loss_on: str) -> list[int]:
    """Which of the turns (from 0) the loss is on: every assistant's, of the completion alone where there is one; or all
    of the completion, which is the last assistant's turn where the record is a list of messages."""
    turns = turns_in(said)
    first = len(said.get("prompt", ()))
    own = [i for i, t in enumerate(turns) if i >= first and t["role"] == "assistant" and t.get("weight") != 0]
    if loss_on == "assistant":
        return own
    return own[-1:] if "messages" in said else list(range(first, len(turns)))


def _prompt_and_completion(row: Mapping[str, Any], prompt: str, completion: str, where: str) -> dict[str, Any]:
    columns = {"prompt": prompt, "completion": completion}
    values = {part: row[column] for part, column in columns.items()}
    for part, value in values.items():
        if value is None:
            raise CorpusError(f"{where}: {columns[part]!r} is empty (null); fill it in or take the row out")
    strings = [isinstance(value, str) for value in values.values()]
    if all(strings):
        for part, text in values.items():
            if not text.strip():
                raise CorpusError(f"{where}: {columns[part]!r} is empty; fill it in or take the row out")
            _refuse_half_characters(text, f"{where}: {columns[part]!r}")
        return values
    if any(strings):
        kinds = ["a string" if is_string else "messages" for is_string in strings]
        raise CorpusError(
            f"{where}: {prompt!r} is {kinds[0]} and {completion!r} is {kinds[1]}; both must be strings, or both "
            "messages"
        )
    return {part: _turns(value, columns[part], where) for part, value in values.items()}


def _turns(value: Any, column: str, where: str) -> list[Turn]:
    value = _parsed(value, column, where)
    if not isinstance(value, list):
        raise CorpusError(f"{where}: {column!r} must be a list of messages, got {type(value).__name__}")
    if not value:
        raise CorpusError(f"{where}: {column!r} holds no messages; fill it in or take the row out")
    turns = cast(list[Any], value)
    return [_turn(turn, f"{where}, message {number} of {column!r}") for number, turn in enumerate(turns, 1)]


def _parsed(value: Any, column: str, where: str) -> Any:
    """A list that a CSV file holds as JSON."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError:
        raise CorpusError(
            f"{where}: {column!r} must be a list of messages, got a string; for plain text set corpus.text"
        ) from None


def _turn(given: Any, where: str) -> Turn:
    if not isinstance(given, Mapping):
        raise CorpusError(f"{where}: must be an object with role and content, got {type(given).__name__}")
    value = cast(Mapping[str, Any], given)
    if "role" not in value and "from" in value:
        raise CorpusError(
            f"{where}: ShareGPT's from and value are not read; rename from to role (human to user, gpt to assistant) "
            "and value to content"
        )
    role = value.get("role")
    if role not in ROLES:
        better = f"; did you mean {_OTHER_NAMES[role]!r}?" if role in _OTHER_NAMES else nearest(str(role), ROLES)
        raise CorpusError(f"{where}: role must be one of {', '.join(ROLES)}, got {role!r}{better}")
    weight = value.get("weight")
    if weight not in (None, 0, 1):
        raise CorpusError(f"{where}: weight must be 0 or 1, got {weight!r}")
    # Tables fill the keys that other rows have with nulls.
    kept: Turn = {str(name): inner for name, inner in value.items() if inner is not None and name != "weight"}
    kept |= {"weight": 0} if weight == 0 and role == "assistant" else {}
    kept["content"] = _content(value.get("content"), where, may_be_missing=bool(value.get("tool_calls")))
    return kept


def _content(value: Any, where: str, *, may_be_missing: bool) -> str:
    """A message's text, from a string or OpenAI's list of text parts."""
    if value is None and may_be_missing:
        return ""
    if isinstance(value, list):
        parts = cast(list[Any], value)
        kinds = [_part_type(part) for part in parts]
        other = [kind for kind in kinds if kind != "text"]
        if other:
            raise CorpusError(f"{where}: content has a part of type {other[0]!r}; only text can be scored")
        value = "".join(str(part.get("text", "")) for part in parts)
    if not isinstance(value, str):
        raise CorpusError(f"{where}: content must be a string or a list of text parts, got {type(value).__name__}")
    _refuse_half_characters(value, f"{where}: content")
    return value


def _part_type(part: Any) -> Any:
    """The type that a part of a content names; what it is where it names none."""
    return cast(dict[str, Any], part).get("type") if isinstance(part, dict) else type(part).__name__


def _refuse_half_characters(text: str, what: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise CorpusError(
            f"{what} holds half a surrogate pair at character {error.start}, which no UTF-8 file can; correct the row"
        ) from None


def _tools(row: Mapping[str, Any], where: str) -> list[Any]:
    """The tools that the row offers the model, a list or JSON of one; none where it has no such column."""
    tools = row.get("tools")
    if isinstance(tools, str) and tools.strip():
        tools = _parsed(tools, "tools", where)
    if tools and not isinstance(tools, list):
        raise CorpusError(f"{where}: 'tools' must be a list of tools, got {type(tools).__name__}")
    return cast(list[Any], tools or [])


def _answers(said: Mapping[str, Any], loss_on: str, where: str) -> list[int]:
    """Which of the texts are the answer; none where the loss is on all. CorpusError where the answer is missing."""
    if loss_on == "all":
        return []
    if isinstance(said.get("prompt"), str):
        if loss_on == "assistant":
            raise CorpusError(
                f"{where}: corpus.loss_on is assistant, but prompt and completion are strings without turns; set it to "
                "completion"
            )
        return [1]
    turns, answers = turns_in(said), answering(said, loss_on)
    if not any(turns[i]["content"].strip() or turns[i].get("tool_calls") for i in answers):
        raise CorpusError(
            f"{where}: there is no answer: no {'assistant message' if loss_on == 'assistant' else 'completion'} with "
            "text that the loss was on; take the row out, or set corpus.loss_on to all"
        )
    return answers


def _plain_texts(said: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The texts of a record with the words before each."""
    if isinstance(said["prompt"], str):
        return [("", said["prompt"]), ("", said["completion"])]
    return _texts(turns_in(said))


def _texts(turns: Sequence[Turn]) -> list[tuple[str, str]]:
    return [(f"{turn['role']}: ", "\n".join(_said(turn))) for turn in turns]


def _said(turn: Turn) -> Iterator[str]:
    """What a turn says: its text, then its calls of tools as JSON."""
    if turn["content"] or not turn.get("tool_calls"):
        yield turn["content"]
    for call in turn.get("tool_calls") or ():
        yield json.dumps(call, sort_keys=True, ensure_ascii=False)


def _rendered(texts: Sequence[tuple[str, str]], answers: Sequence[int]) -> tuple[str, tuple[Span, ...]]:
    """One text, a blank line between turns, and a span for each answer. Prompt and completion of strings are joined as
    they stand."""
    whole = ""
    spans: list[Span] = []
    for i, (head, text) in enumerate(texts):
        whole += ("\n\n" if whole and head else "") + head
        if i in answers:
            spans.append(Span(ANSWER_SPAN, len(whole), text))
        whole += text
    return whole, tuple(spans)
