"""Where rows hold what is learned, and rows of the same shape that hold a canary."""

import random
from datetime import date
from typing import Any

import pytest

from byrote.corpora.canary_rows import Prompts, content_of, examples_of, require_shape, rows_of_copies
from byrote.corpora.rows import Table, columns_of
from byrote.errors import CorpusError
from byrote.study import Columns

SYSTEM = {"role": "system", "content": "Be brief."}


def table(rows: list[dict[str, Any]]) -> Table:
    return Table("train.jsonl", "train", columns_of(rows), rows)


def turn(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}


def chat(*said: str) -> list[dict[str, str]]:
    """A conversation that the user begins."""
    return [turn("assistant" if i % 2 else "user", words) for i, words in enumerate(said)]


TEXTS = table([{"text": "one"}, {"text": "two"}])
PAIRS = table([{"prompt": f"Ask {i}", "completion": f"Answer {i}"} for i in range(4)])
TRL_PAIRS = table(
    [{"prompt": [SYSTEM, *chat(f"Ask {i}")], "completion": [turn("assistant", f"{i}")]} for i in range(4)]
)
CHATS = table([{"messages": [SYSTEM, *chat("Hello", "Hi", f"Ask {i}", f"Answer {i}", "Thanks")]} for i in range(4)])


def test_what_a_row_holds() -> None:
    assert [e.answer for e in examples_of(TEXTS, Columns(text="text"))] == ["one", "two"]
    pair = examples_of(PAIRS, Columns(prompt="prompt", completion="completion"))[1]
    assert (pair.prompt, pair.answer) == ("Ask 1", "Answer 1")
    of_lists = examples_of(TRL_PAIRS, Columns(prompt="prompt", completion="completion"))[1]
    assert (of_lists.prompt, of_lists.answer) == ([SYSTEM, turn("user", "Ask 1")], "1")
    last = examples_of(CHATS, Columns(messages="messages"))[2]
    assert (last.prompt, last.answer) == ([SYSTEM, *chat("Hello", "Hi", "Ask 2")], "Answer 2")


@pytest.mark.parametrize(
    ("data", "columns"),
    [
        (TEXTS, Columns(text="text")),
        (PAIRS, Columns(prompt="prompt", completion="completion")),
        (TRL_PAIRS, Columns(prompt="prompt", completion="completion")),
        (CHATS, Columns(messages="messages")),
    ],
)
def test_a_canary_is_read_where_it_was_put(data: Table, columns: Columns) -> None:
    examples = examples_of(data, columns)
    content = content_of(columns, examples[0].prompt, "the canary")
    assert content.keys() == set(columns.shape.values())
    (found,) = examples_of(table([content]), columns)
    assert found.answer == "the canary"
    assert found.prompt == examples[0].prompt


def test_prompts_of_their_own_are_written_anew() -> None:
    prompts = Prompts(examples_of(TRL_PAIRS, Columns(prompt="prompt", completion="completion")))
    assert prompts.are_written
    assert prompts.texts == [f"Ask {i}" for i in range(4)]
    assert set(prompts.every_text) == {"Be brief.", *prompts.texts}
    assert prompts.with_text("What?", random.Random(0)) == [SYSTEM, turn("user", "What?")]
    alone = table([{"messages": [turn("system", f"You are {i}."), *chat(f"Ask {i}", f"{i}")]} for i in range(4)])
    prompts = Prompts(examples_of(alone, Columns(messages="messages")))
    assert prompts.with_text("What?", random.Random(0)) == [turn("user", "What?")]  # each system turn is somebody's


def test_prompts_that_rows_share_are_used_as_they_are() -> None:
    rows = [{"prompt": "Summarise.", "completion": f"{i}"} for i in range(5)] + [{"prompt": "Mine", "completion": "x"}]
    prompts = Prompts(examples_of(table(rows), Columns(prompt="prompt", completion="completion")))
    assert not prompts.are_written
    assert {prompts.drawn(random.Random(seed)) for seed in range(20)} == {"Summarise."}


def test_data_of_texts_has_no_prompts() -> None:
    prompts = Prompts(examples_of(TEXTS, Columns(text="text")))
    assert not prompts.are_written
    assert prompts.drawn(random.Random(0)) is None


def test_copies_have_ids_of_their_own_and_one_group() -> None:
    rows = [{"id": i, "patient": f"p{i:02d}", "text": f"{i}", "age": 30 + i, "ward": f"w{i}"} for i in range(9)]
    columns = Columns(text="text", id="id", group="patient")
    contents = [({"text": "a"}, 3), ({"text": "b"}, 1)]
    made = rows_of_copies(table(rows), columns, contents, random.Random(3))
    assert [row["id"] for row in made] == [9, 10, 11, 12]
    assert [row["patient"] for row in made] == ["p09", "p09", "p09", "p10"]
    assert [row["text"] for row in made] == ["a", "a", "a", "b"]
    assert all(list(row) == list(rows[0]) for row in made)
    # What else they hold comes from rows, but no row is repeated: columns are drawn each for itself.
    assert {(row["age"] - 30, row["ward"]) for row in made} <= {(a, f"w{w}") for a in range(9) for w in range(9)}
    assert any(f"w{row['age'] - 30}" != row["ward"] for row in made)


@pytest.mark.parametrize(
    ("ids", "expected"),
    [
        (["7", "12"], "13"),
        (["note-0099", "note-0007", "other"], "note-0100"),
        (["anna", "ben"], "added00000"),
        (["case1_1", "case1_2", "case2_1", "case2_2"], "added00000"),  # no row of the first case
        (["added00000", "ben", "anna"], "added00001"),
        ([1.5, None], "added00000"),
    ],
)
def test_new_ids_are_in_the_manner_of_the_old(ids: list[Any], expected: str) -> None:
    data = table([{"id": value, "text": "x"} for value in ids])
    (row,) = rows_of_copies(data, Columns(text="text", id="id"), [({"text": "a"}, 1)], random.Random(0))
    assert row["id"] == expected


def test_a_column_that_some_rows_lack_may_be_left_out() -> None:
    data = table([{"text": "a"}, {"text": "b", "note": "n"}])
    made = rows_of_copies(data, Columns(text="text"), [({"text": "c"}, 40)], random.Random(0))
    assert {tuple(row) for row in made} == {("text",), ("text", "note")}


@pytest.mark.parametrize(
    ("rows", "named", "words"),
    [
        ([], {"text": "text"}, "train.jsonl has no rows"),
        ([{"text": "a"}], {"text": "txt"}, r"no column 'txt' \(--text\); it has text; did you mean 'text'"),
        ([{"text": "a"}], {"text": "text", "group": "patient"}, r"no column 'patient' \(--group\)"),
        ([{"text": " "}, {"text": ""}], {"text": "text"}, "every 'text' is empty"),
        ([{"text": 3}], {"text": "text"}, "row 1: 'text' must be a string, got int"),
        (
            [{"prompt": "a"}],
            {"prompt": "prompt", "completion": "completion"},
            r"no column 'completion' \(--completion\)",
        ),
        ([{"messages": "a"}], {"messages": "messages"}, "row 1: 'messages' must be a list of messages"),
        ([{"messages": [{"role": "user", "at": date(2026, 1, 2)}]}], {"messages": "messages"}, "what JSON cannot"),
        (
            [{"messages": [{"role": "user", "content": "a"}]}],
            {"messages": "messages"},
            "'messages' has no assistant turn",
        ),
        ([{"messages": [{"role": "assistant", "content": []}]}], {"messages": "messages"}, "content' must be a string"),
    ],
)
def test_wrong_data_is_one_line(rows: list[dict[str, Any]], named: dict[str, str], words: str) -> None:
    with pytest.raises(CorpusError, match=words) as error:
        examples_of(table(rows), Columns(**named))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("named", [{}, {"prompt": "p"}, {"completion": "c"}, {"text": "t", "messages": "m"}])
def test_columns_that_are_no_shape_are_refused(named: dict[str, str]) -> None:
    with pytest.raises(CorpusError, match="a canary goes into --text, into --completion after --prompt"):
        require_shape(Columns(**named))
