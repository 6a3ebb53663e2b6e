"""A thin tokenizer: texts to token ids and back, nothing added or cut beyond what the tokenizer does by itself."""

import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from transformers import AutoTokenizer

from byrote.errors import ModelError
from byrote.lm.library import first_line, quiet
from byrote.lm.sources import BaseFiles

_AT_ONCE = 4096  # texts that are encoded in one call, which keeps more of them than their ids until it ends


class Tokenizer:
    """Texts to token ids and back."""

    def __init__(self, inner: Any, content: str) -> None:
        self._inner = inner
        self.content = content

    @property
    def eos_id(self) -> int | None:
        """Id of the end-of-text token; None where the tokenizer names none."""
        return self._inner.eos_token_id

    @property
    def size(self) -> int:
        """How many ids there are."""
        return len(self._inner)

    @property
    def start_id(self) -> int | None:
        """Id of the token that an empty prompt consists of: the beginning-of-text token, else the end-of-text token,
        which separates documents in pretraining; None where the tokenizer names neither."""
        bos = self._inner.bos_token_id
        return self.eos_id if bos is None else bos

    def vocabulary(self) -> dict[str, int]:
        """Token → id, added tokens with them."""
        return self._inner.get_vocab()

    @cached_property
    def adds_bos(self) -> bool:
        """Whether a text's ids start with a beginning-of-text token."""
        bos = self._inner.bos_token_id
        return bos is not None and self.encode(["a"], append_eos=False)[0][:1] == (bos,)

    @property
    def eos_text(self) -> str:
        """The end-of-text token as text. ModelError where the tokenizer names none."""
        if self.eos_id is None:
            raise ModelError(
                "the tokenizer has no end-of-text token to end completions with; set corpus.append_eos to false"
            )
        return self._inner.eos_token

    @cached_property
    def marks_answers(self) -> bool:
        """Whether the chat template has generation markers, between which the answers stand."""
        return re.search(r"\{%-?\s*generation\s*-?%\}", self._template(None)) is not None

    def apply_template(
        self,
        turns: Sequence[Mapping[str, Any]],
        tools: list[Any] | None,
        *,
        starts_answer: bool = False,
        mark: bool = False,
    ) -> tuple[tuple[int, ...], tuple[bool, ...]]:
        """Token ids of messages under the chat template, and with `mark` which of them its generation markers enclose.

        starts_answer: with the template's start of an answer at the end. ModelError where there is no template; what
        the template raises is passed on.
        """
        self._template(tools)
        with quiet():
            out = self._inner.apply_chat_template(
                list(turns),
                tools=tools,
                add_generation_prompt=starts_answer,
                tokenize=True,
                return_dict=True,
                return_assistant_tokens_mask=mark,
            )
        return tuple(out["input_ids"]), tuple(map(bool, out["assistant_masks"])) if mark else ()

    def _template(self, tools: list[Any] | None) -> str:
        if not self._inner.chat_template:
            raise ModelError(
                "the tokenizer has no chat template, which records of messages need; take the instruction-tuned "
                "model's tokenizer, or give prompts and completions as strings (corpus.prompt, corpus.completion)"
            )
        return self._inner.get_chat_template(tools=tools)

    def encode(self, texts: Sequence[str], append_eos: bool) -> list[tuple[int, ...]]:
        """Token ids of each text, never truncated; with `append_eos` each ends with one end-of-text token.

        Raises ModelError where `append_eos` is asked of a tokenizer without such a token.
        """
        eos_id = self.eos_id if append_eos else None
        if append_eos and eos_id is None:
            raise ModelError("corpus.append_eos is true, but the tokenizer has no end-of-text token; set it to false")
        if not texts:
            return []
        # verbose is whether to warn of texts longer than the context.
        rows: list[tuple[int, ...]] = []
        for start in range(0, len(texts), _AT_ONCE):
            some = list(texts[start : start + _AT_ONCE])
            ids = self._inner(some, truncation=False, return_attention_mask=False, verbose=False)["input_ids"]
            rows += [tuple(row) if eos_id is None else _ended(row, eos_id) for row in ids]
        return rows

    def decode(self, ids: Sequence[int]) -> str:
        """The text of these ids, special tokens written out."""
        return self._inner.decode(list(ids), clean_up_tokenization_spaces=False)


def load_tokenizer(files: BaseFiles) -> Tokenizer:
    """The tokenizer of a base model, from its folder alone. Raises ModelError where its files cannot be read."""
    try:
        with quiet():
            inner = AutoTokenizer.from_pretrained(files.folder, local_files_only=True, trust_remote_code=False)
    except Exception as error:
        raise ModelError(f"the tokenizer of {files.name} cannot be read: {first_line(error)}") from error
    return Tokenizer(inner, files.tokenizer_content)


def _ended(row: list[int], eos_id: int) -> tuple[int, ...]:
    # Some tokenizers end every text by themselves.
    return tuple(row) if row and row[-1] == eos_id else (*row, eos_id)
