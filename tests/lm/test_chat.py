"""Token ids and answer masks of records: against TRL's own labels, and by hand."""

from itertools import pairwise
from typing import Any

import pytest

from byrote.corpora.chat import read_row
from byrote.errors import CorpusError, ModelError
from byrote.lm import Tokenizer, token_runs, tokenise
from byrote.records import Record
from byrote.study import Columns
from fakes import CHAT_TEMPLATE, EOS, EOS_ID, tiny_tokenizer, unmarked

SYSTEM = {"role": "system", "content": "Be brief."}
ASKED, SAID = {"role": "user", "content": "Which drug?"}, {"role": "assistant", "content": "A rash on the arms."}
MORE, LAST = {"role": "user", "content": "And then?"}, {"role": "assistant", "content": "It settled."}
TALK = [SYSTEM, ASKED, SAID, MORE, LAST]
CALL = {"role": "assistant", "content": "", "tool_calls": [{"function": {"name": "dose"}}]}
TOOL = {"role": "tool", "content": "200 mg"}
# The last user turn is rendered as such only where it is last: a prefix is no prefix.
FICKLE = "{% for m in messages %}{{ '!' if loop.last }}{{ m['content'] }}{% endfor %}"


def tokenizer_of(template: str | None = CHAT_TEMPLATE) -> Tokenizer:
    inner = tiny_tokenizer()
    inner.chat_template = template
    return Tokenizer(inner, "content")


def record_of(row: dict[str, Any], columns: Columns) -> Record:
    text, turns, spans = read_row(row, columns, "row 1")
    return Record("r", "members", "g", text, spans, turns=turns)


def masked(
    row: dict[str, Any], loss_on: Any = "assistant", template: str | None = CHAT_TEMPLATE, eos: bool | None = None
) -> Record:
    names = {name: name for name in ("messages", "prompt", "completion") if name in row}
    record = record_of(row, Columns(**names, loss_on=loss_on))
    return tokenise([record], tokenizer_of(template), loss_on, eos).records[0]


def answers(record: Record, template: str | None = CHAT_TEMPLATE) -> list[str]:
    return ["".join(pieces) for inside, pieces in token_runs(record, tokenizer_of(template)) if inside]


def test_the_loss_is_where_the_study_says():
    assert answers(masked({"messages": TALK})) == [f"A rash on the arms.{EOS}", f"It settled.{EOS}"]
    assert answers(masked({"messages": TALK}, "completion")) == [f"It settled.{EOS}\n"]
    assert masked({"messages": TALK}, "all").answer_mask == ()
    assert masked({"messages": TALK}, "all").token_ids == masked({"messages": TALK}).token_ids


@pytest.mark.parametrize("turns", [TALK, [ASKED, SAID], [ASKED, CALL, TOOL, LAST], [*TALK, ASKED]])
def test_without_markers_answers_are_differences_of_renderings(turns: list[dict[str, Any]]):
    """Each turn rendered and tokenised by hand, one after the other."""
    plain = unmarked(CHAT_TEMPLATE)
    record, inner = masked({"messages": turns}, template=plain), tokenizer_of(plain)
    ids, mask = [], []
    for turn in turns:
        head, calls = f"<{turn['role'][0]}>", "".join(c["function"]["name"] for c in turn.get("tool_calls", ()))
        end = EOS if turn["role"] == "assistant" else ""
        parts = inner.encode([head, f"{turn['content']}{calls}{end}\n"], append_eos=False)
        ids += [*parts[0], *parts[1]]
        mask += [False] * len(parts[0]) + [turn["role"] == "assistant"] * len(parts[1])
    assert record.token_ids == tuple(ids)
    assert record.answer_mask == tuple(mask)


def test_markers_and_differences_agree_but_for_what_follows_the_end():
    marked = answers(masked({"messages": TALK}))
    assert answers(masked({"messages": TALK}, template=unmarked(CHAT_TEMPLATE))) == [f"{a}\n" for a in marked]


def test_a_turn_of_weight_0_is_no_answer():
    turns = [ASKED, {**SAID, "weight": 0}, MORE, LAST]
    assert answers(masked({"messages": turns})) == [f"It settled.{EOS}\n"]


def test_assistant_within_a_completion_leaves_the_prompts_answers_alone():
    row = {"prompt": TALK[:4], "completion": [LAST]}
    for template in (CHAT_TEMPLATE, unmarked(CHAT_TEMPLATE)):
        assert [a.strip() for a in answers(masked(row, "assistant", template))] == [f"It settled.{EOS}"]


def test_tools_reach_the_template():
    row = {"messages": [ASKED, SAID], "tools": [{"name": "dose"}]}
    record = masked(row)
    assert tokenizer_of().decode(record.token_ids).endswith("#1")


def test_strings_end_with_end_of_text_unless_told():
    row = {"prompt": "Which drug? ", "completion": "A rash."}
    assert answers(masked(row, "completion")) == [f"A rash.{EOS}"]
    assert answers(masked(row, "completion", eos=False)) == ["A rash."]
    assert masked(row, "all").answer_mask == ()
    assert masked({**row, "completion": f"A rash.{EOS}"}, "completion").token_ids.count(EOS_ID) == 1


def test_a_prompt_that_merges_into_its_answer_is_told():
    """Tokens of the record lie across the edge of its prompt, so the answer starts with the first of them."""
    record = record_of(
        {"prompt": "The pat", "completion": "ient slept."}, Columns(prompt="prompt", completion="completion")
    )
    done = tokenise([record], tokenizer_of(), "completion", None)
    assert done.merged == ("r",)
    mask = done.records[0].answer_mask
    assert sum(a != b for a, b in pairwise(mask)) == 1
    assert answers(done.records[0]) == [f"atient slept.{EOS}"]


def test_plain_records_are_tokenised_as_before():
    records = [Record("a", "members", "g", "The rash returned."), Record("b", "members", "g", "No.")]
    for eos in (None, True):
        done = tokenise(records, tokenizer_of(), "all", eos).records
        assert [r.token_ids for r in done] == tokenizer_of().encode([r.text for r in records], bool(eos))
        assert {r.answer_mask for r in done} == {()}


@pytest.mark.parametrize(
    ("row", "loss_on", "template", "eos", "words"),
    [
        ({"messages": TALK}, "assistant", None, None, ["no chat template", "corpus.prompt"]),
        ({"messages": TALK}, "assistant", FICKLE, None, ["message 3", "generation", "corpus.loss_on"]),
        ({"messages": TALK}, "assistant", CHAT_TEMPLATE, True, ["corpus.append_eos is true", "null"]),
        ({"messages": TALK}, "assistant", "{{ raise_exception('no system role') }}", None, ["no system role", "r:"]),
        ({"messages": TALK}, "assistant", "x{% generation %}{% endgeneration %}", None, ["marks no token"]),
    ],
)
def test_a_template_that_does_not_fit_is_one_line(
    row: dict[str, Any], loss_on: str, template: str | None, eos: bool | None, words: list[str]
):
    with pytest.raises((CorpusError, ModelError)) as error:
        masked(row, loss_on, template, eos)
    assert "\n" not in str(error.value)
    for word in words:
        assert word in str(error.value)


ROWS = {
    "messages": {"messages": TALK},
    "tool": {"messages": [ASKED, CALL, TOOL, LAST]},
    "pair of messages": {"prompt": TALK[:4], "completion": [LAST]},
    "completion of turns": {"prompt": [ASKED], "completion": [CALL, TOOL, LAST]},
    "strings": {"prompt": "Which drug?", "completion": " A rash on the arms."},
    "strings that merge": {"prompt": "The pat", "completion": "ient slept."},
}


@pytest.mark.slow
@pytest.mark.parametrize(("name", "loss_on"), [
    ("messages", "assistant"), ("messages", "all"), ("tool", "assistant"),
    ("pair of messages", "completion"), ("pair of messages", "assistant"), ("pair of messages", "all"),
    ("completion of turns", "completion"), ("completion of turns", "assistant"),
    ("strings", "completion"), ("strings", "all"), ("strings that merge", "completion"),
])  # fmt: skip
@pytest.mark.filterwarnings("ignore")
def test_ids_and_mask_are_the_labels_of_trl(name: str, loss_on: str, tmp_path):
    """TRL's SFTTrainer prepares and collates the same row; its labels are −100 where the mask is False."""
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    from fakes import tiny_model

    row = ROWS[name]
    inner = tiny_tokenizer()
    inner.chat_template, inner.pad_token = CHAT_TEMPLATE, EOS
    config = SFTConfig(
        output_dir=str(tmp_path),
        assistant_only_loss=loss_on == "assistant",
        completion_only_loss=None if loss_on != "all" else False,
        report_to="none",
        use_cpu=True,
        bf16=False,
        per_device_train_batch_size=1,
        max_length=None,
    )
    trainer = SFTTrainer(tiny_model(), args=config, train_dataset=Dataset.from_list([row]), processing_class=inner)
    batch = trainer.data_collator([trainer.train_dataset[0]])
    record = masked(row, loss_on)
    mask = record.answer_mask or (True,) * len(record.token_ids)
    assert batch["input_ids"][0].tolist() == list(record.token_ids)
    labels = [token if inside else -100 for token, inside in zip(record.token_ids, mask, strict=True)]
    assert batch["labels"][0].tolist() == labels
