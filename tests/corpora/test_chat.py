"""Rows of prompt and completion, and of messages: what becomes of them, and what is refused."""

import json
from pathlib import Path
from typing import Any

import pytest

from byrote.corpora import content_of, load_corpus
from byrote.corpora.chat import read_row
from byrote.errors import ByroteError, CorpusError
from byrote.records import ANSWER_SPAN, Record
from byrote.study import Columns, load_study

MESSAGES = Columns(messages="messages", loss_on="assistant")
PAIR = Columns(prompt="prompt", completion="completion", loss_on="completion")
SYSTEM = {"role": "system", "content": "Be brief."}
ASKED, SAID = {"role": "user", "content": "Which drug?"}, {"role": "assistant", "content": "Ibuprofen."}
CALL = {"type": "function", "function": {"name": "dose", "arguments": '{"drug": "ibuprofen"}'}}


def read(row: dict[str, Any], columns: Columns = MESSAGES) -> tuple[str, dict[str, Any], list[str]]:
    text, turns, spans = read_row(row, columns, "data.jsonl, row 1")
    assert all(span.kind == ANSWER_SPAN and text.startswith(span.text, span.start) for span in spans)
    return text, json.loads(turns), [span.text for span in spans]


def test_messages_become_text_turns_and_answers():
    turns = [SYSTEM, ASKED, SAID, {"role": "user", "content": "How much?"}, {"role": "assistant", "content": "200 mg."}]
    text, said, answers = read({"messages": turns})
    assert text == (
        "system: Be brief.\n\nuser: Which drug?\n\nassistant: Ibuprofen.\n\nuser: How much?\n\nassistant: 200 mg."
    )
    assert said == {"messages": turns}
    assert answers == ["Ibuprofen.", "200 mg."]
    assert read({"messages": turns}, Columns(messages="messages", loss_on="completion"))[2] == ["200 mg."]
    assert read({"messages": turns}, Columns(messages="messages", loss_on="all"))[2] == []


def test_openai_has_parts_tools_weights_and_calls():
    turns = [
        {"role": "developer", "content": [{"type": "text", "text": "Be "}, {"type": "text", "text": "kind."}]},
        {**ASKED, "name": "Ann", "tool_calls": None},
        {"role": "assistant", "content": None, "tool_calls": [CALL]},
        {"role": "tool", "content": "200 mg", "tool_call_id": "1"},
        {**SAID, "weight": 0},
        ASKED,
        {**SAID, "weight": 1},
    ]
    tools = [{"type": "function", "function": {"name": "dose"}}]
    _, said, answers = read({"messages": turns, "tools": tools})
    assert said["tools"] == tools
    assert said["messages"][0] == {"role": "developer", "content": "Be kind."}
    assert said["messages"][1] == {**ASKED, "name": "Ann"}  # tables fill missing keys with nulls
    assert said["messages"][2] == {"role": "assistant", "content": "", "tool_calls": [CALL]}
    assert said["messages"][4] == {**SAID, "weight": 0}
    assert answers == [json.dumps(CALL, sort_keys=True), "Ibuprofen."]
    assert read({"messages": turns, "tools": json.dumps(tools)})[1] == said


def test_columns_of_prompt_and_completion(tmp_path: Path):
    text, said, answers = read({"prompt": "Q: which?\nA:", "completion": " this"}, PAIR)
    assert (text, answers) == ("Q: which?\nA: this", [" this"])
    assert said == {"prompt": "Q: which?\nA:", "completion": " this"}
    _, said, answers = read({"prompt": [SYSTEM, ASKED], "completion": [SAID]}, PAIR)
    assert said == {"prompt": [SYSTEM, ASKED], "completion": [SAID]}
    assert answers == ["Ibuprofen."]
    for split in ("in", "out"):
        rows = [{"q": f"{split} {i}?", "a": f"{split} answer {i}"} for i in range(3)]
        (tmp_path / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    study = {"source": "files", "path": str(tmp_path), "members": "in.jsonl", "nonmembers": "out.jsonl"}
    records = load_corpus(load_study({"corpus": {**study, "prompt": "q", "completion": "a"}}).corpus).records
    assert [records[0].text_of(answer=inside) for inside in (True, False)] == ["in answer 0", "in 0?"]


def test_a_csv_file_holds_messages_as_json():
    assert read({"messages": json.dumps([ASKED, SAID])})[1] == {"messages": [ASKED, SAID]}


def test_content_tells_turns_apart():
    plain = Record("a", "members", "g", "text")
    turned = Record("a", "members", "g", "text", turns="{}")
    assert content_of([plain]) != content_of([turned])


@pytest.mark.parametrize(
    ("row", "columns", "words"),
    [
        ({"messages": []}, MESSAGES, ["row 1", "no messages"]),
        ({"messages": "hello"}, MESSAGES, ["list of messages", "corpus.text"]),
        ({"messages": {"role": "user"}}, MESSAGES, ["list of messages", "dict"]),
        ({"messages": ["hello"]}, MESSAGES, ["message 1", "role and content", "str"]),
        ({"messages": [{**ASKED, "role": "usr"}]}, MESSAGES, ["'usr'", "did you mean 'user'"]),
        ({"messages": [{**ASKED, "role": "gpt"}]}, MESSAGES, ["'gpt'", "did you mean 'assistant'"]),
        ({"messages": [{"from": "human", "value": "hi"}]}, MESSAGES, ["ShareGPT", "rename from to role"]),
        ({"messages": [ASKED]}, MESSAGES, ["no answer", "assistant message", "corpus.loss_on to all"]),
        ({"messages": [ASKED, {**SAID, "content": " "}]}, MESSAGES, ["no answer"]),
        ({"messages": [ASKED, {**SAID, "weight": 0}]}, MESSAGES, ["no answer"]),
        ({"messages": [ASKED, {**SAID, "weight": 0.5}]}, MESSAGES, ["weight must be 0 or 1, got 0.5"]),
        ({"messages": [ASKED, {"role": "assistant"}]}, MESSAGES, ["message 2", "content must be", "NoneType"]),
        ({"messages": [{**ASKED, "content": [{"type": "image_url"}]}, SAID]}, MESSAGES, ["'image_url'", "only text"]),
        ({"messages": [{**ASKED, "content": "\ud800"}, SAID]}, MESSAGES, ["surrogate", "character 0"]),
        ({"messages": [ASKED, SAID], "tools": {"a": 1}}, MESSAGES, ["'tools' must be a list", "dict"]),
        ({"prompt": "a", "completion": [SAID]}, PAIR, ["'prompt' is a string and 'completion' is messages"]),
        ({"prompt": "a", "completion": " "}, PAIR, ["'completion' is empty"]),
        ({"prompt": "a", "completion": "\ud800"}, PAIR, ["'completion'", "surrogate"]),
        ({"prompt": [ASKED], "completion": []}, PAIR, ["'completion' holds no messages"]),
        (
            {"prompt": "a", "completion": "b"},
            Columns(prompt="prompt", completion="completion", loss_on="assistant"),
            ["corpus.loss_on is assistant", "set it to completion"],
        ),
    ],
)
def test_a_wrong_row_is_one_line(row: dict[str, Any], columns: Columns, words: list[str]):
    with pytest.raises(CorpusError) as error:
        read_row(row, columns, "data.jsonl, row 1")
    assert "\n" not in str(error.value)
    assert str(error.value).startswith("data.jsonl, row 1")
    for word in words:
        assert word in str(error.value)


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"text": "text", "messages": "messages"}, ["one kind of record", "got corpus.text, corpus.messages"]),
        ({"prompt": "prompt"}, ["one kind of record", "got corpus.prompt"]),
        ({"prompt": "p", "completion": "c", "messages": "m"}, ["one kind of record"]),
        ({"text": None}, ["got none of them"]),
        ({"loss_on": "assistant"}, ["corpus.loss_on is 'assistant'", "corpus.messages"]),
    ],
)
def test_columns_are_of_one_kind(columns: dict[str, Any], words: list[str]):
    corpus = {"source": "files", "members": "a.jsonl", "nonmembers": "b.jsonl", **columns}
    with pytest.raises(ByroteError) as error:
        load_study({"corpus": corpus})
    for word in words:
        assert word in str(error.value)


def test_a_resolved_study_reads_again():
    corpus = {"source": "files", "members": "a.jsonl", "nonmembers": "b.jsonl", "messages": "messages"}
    study = load_study({"corpus": corpus})
    assert study.corpus.loss_is_on == "assistant"
    assert load_study(study.model_dump(mode="json")) == study


def test_a_missing_column_is_named(tmp_path: Path):
    for name in ("a.jsonl", "b.jsonl"):
        (tmp_path / name).write_text(json.dumps({"mesages": [ASKED, SAID]}) + "\n")
    corpus = {"source": "files", "path": str(tmp_path), "members": "a.jsonl", "nonmembers": "b.jsonl"}
    with pytest.raises(CorpusError, match=r"no column 'messages'.*did you mean 'mesages'"):
        load_corpus(load_study({"corpus": {**corpus, "messages": "messages"}}).corpus)
