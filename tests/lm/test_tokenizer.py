"""The token that an empty prompt consists of."""

import pytest

from byrote.lm import Tokenizer
from fakes import EOS, EOS_ID, tiny_tokenizer


@pytest.mark.parametrize(
    ("bos", "eos", "expected"),
    [("e", EOS, "bos"), ("e", None, "bos"), (None, EOS, "eos"), (None, None, None)],
)
def test_an_empty_prompt_starts_with_bos_else_the_end_of_text_else_there_is_none(
    bos: str | None, eos: str | None, expected: str | None
):
    inner = tiny_tokenizer()
    inner.bos_token, inner.eos_token = bos, eos
    ids = {"bos": inner.convert_tokens_to_ids("e"), "eos": EOS_ID, None: None}
    assert Tokenizer(inner, "content").start_id == ids[expected]
    assert ids["bos"] != EOS_ID
