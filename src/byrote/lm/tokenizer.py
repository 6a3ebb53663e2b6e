"""A thin tokenizer: texts to token ids and back, nothing added or cut beyond what the tokenizer does by itself."""

from collections.abc import Sequence
from functools import cached_property
from typing import Any

from transformers import AutoTokenizer

from byrote.errors import ModelError
from byrote.lm.library import first_line, quiet
from byrote.lm.sources import BaseFiles


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
        ids = self._inner(list(texts), truncation=False, return_attention_mask=False, verbose=False)["input_ids"]
        return [tuple(row) if eos_id is None else _ended(row, eos_id) for row in ids]

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
