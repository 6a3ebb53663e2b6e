"""One token after another for many rows at once: a key-value cache that is written in place, and attention over it.

Axes: B rows, P tokens of this pass, T places of the cache in use, H heads, G heads that share a key and value head, D
width of a head, V vocabulary.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from transformers import AttentionInterface
from transformers.cache_utils import Cache, DynamicLayer

from byrote.lm.forward import head_logits, logits_alone
from byrote.lm.library import attention_replaced, packs, text_config
from byrote.lm.packing import plain_attention

_NAME = "byrote_cached"


class _Layer(DynamicLayer):
    """Keys and values of one layer in buffers of a fixed size, so that no step copies what is there already."""

    keys: Any
    values: Any

    def __init__(self, capacity: int) -> None:
        super().__init__()
        self.capacity, self.used = capacity, 0

    def update(self, key_states: torch.Tensor, value_states: torch.Tensor, *_: Any, **__: Any) -> Any:
        """Write the new places; returns all in use (B, H/G, T, D)."""
        if not self.is_initialized:
            rows, heads, _places, width = key_states.shape
            self.lazy_initialization(key_states, value_states)
            self.keys = key_states.new_empty(rows, heads, self.capacity, width)
            self.values = value_states.new_empty(rows, heads, self.capacity, value_states.shape[-1])
        end = self.used + key_states.shape[2]
        self.keys[:, :, self.used : end] = key_states
        self.values[:, :, self.used : end] = value_states
        self.used = end
        return self.keys[:, :, :end], self.values[:, :, :end]

    def get_seq_length(self) -> int:
        """Places in use."""
        return self.used

    def pick(self, rows: torch.Tensor) -> None:
        """Keep these rows, in this order; a row may be kept several times."""
        self.keys, self.values = (x.index_select(0, rows.to(x.device)) for x in (self.keys, self.values))


class _Current:
    """Which places of the cache hold tokens (B, T); attention in the layers below has no other way to know."""

    filled: torch.Tensor | None = None


class Decoder:
    """A model that has read left-padded prompts and is fed one token a row at a time."""

    def __init__(self, model: Any, prompts: Sequence[Sequence[int]], new_tokens: int, device: torch.device) -> None:
        """Read the prompts, each once. new_tokens: the most that will be fed after them."""
        self._model = model
        width = max(len(p) for p in prompts)
        tokens_BP = torch.tensor([[0] * (width - len(p)) + list(p) for p in prompts], device=device)
        lengths_B1 = torch.tensor([[len(p)] for p in prompts], device=device)
        self._filled = torch.arange(width, device=device)[None] >= width - lengths_B1
        self._next = lengths_B1
        layers = text_config(model).num_hidden_layers
        self._layers = [_Layer(width + new_tokens) for _ in range(layers)]
        self._cache = Cache(layers=list(self._layers))
        self.logits = self._run(tokens_BP, (self._filled.cumsum(-1) - 1).clamp_min(0))

    def pick(self, rows: torch.Tensor) -> None:
        """Keep these rows, in this order; a row may be kept several times (one prompt, several completions)."""
        for layer in self._layers:
            layer.pick(rows)
        self._filled, self._next = self._filled[rows], self._next[rows]
        self.logits = self.logits[rows]

    def feed(self, tokens_B: torch.Tensor) -> None:
        """One more token a row; `logits` (B, V) are then those of the token after it."""
        self._filled = nn.functional.pad(self._filled, (0, 1), value=True)
        self.logits = self._run(tokens_B[:, None], self._next)
        self._next = self._next + 1

    def _run(self, tokens_BP: torch.Tensor, positions_BP: torch.Tensor) -> torch.Tensor:
        _Current.filled = self._filled
        out = self._model.get_decoder()(
            input_ids=tokens_BP, position_ids=positions_BP, past_key_values=self._cache, use_cache=True
        )
        # contiguous: torch multiplies a strided slice row by row, with a copy of the output matrix for each
        return head_logits(self._model, out.last_hidden_state[:, -1].contiguous()).float().to(self._filled.device)


class OneByOne:
    """The same of a model that does not pack: every row is read again for each token, alone, by the model's own forward
    pass. Slow and obviously right."""

    def __init__(self, model: Any, prompts: Sequence[Sequence[int]], device: torch.device) -> None:
        """Read the prompts."""
        self._model, self._device, self._rows = model, device, [list(p) for p in prompts]
        self.logits = self._run()

    def pick(self, rows: torch.Tensor) -> None:
        """Keep these rows, in this order; a row may be kept several times."""
        self._rows = [list(self._rows[i]) for i in rows.tolist()]
        self.logits = self.logits[rows]

    def feed(self, tokens_B: torch.Tensor) -> None:
        """One more token a row; `logits` (B, V) are then those of the token after it."""
        for row, token in zip(self._rows, tokens_B.tolist(), strict=True):
            row.append(token)
        self.logits = self._run()

    def _run(self) -> torch.Tensor:
        return torch.stack([logits_alone(self._model, row, self._device)[-1] for row in self._rows]).float()


def decoder_of(
    model: Any, prompts: Sequence[Sequence[int]], new_tokens: int, device: torch.device
) -> Decoder | OneByOne:
    """The model with these prompts read, to be fed one token a row at a time; only inside `decoding`.

    new_tokens: the most that will be fed after them.
    """
    return Decoder(model, prompts, new_tokens, device) if packs(model) else OneByOne(model, prompts, device)


@contextmanager
def decoding(model: Any) -> Iterator[None]:
    """Inside, the model's attention reads the caches of `Decoder`; as before after it."""
    try:
        with attention_replaced(model, _NAME):
            yield
    finally:
        _Current.filled = None


def _attention(
    module: nn.Module,  # noqa: ARG001
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,  # noqa: ARG001 (made here, from the places in use)
    scaling: float | None = None,
    softcap: float | None = None,
    sliding_window: int | None = None,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """Attention over the places that hold tokens, up to each token's own; query (B, H, P, D) → (B, P, H, D)."""
    filled = _Current.filled
    if filled is None:
        raise RuntimeError("cached attention was run without a decoder")
    filled = filled.to(query.device)  # a large model's layers are on several GPUs
    places, new = filled.shape[1], query.shape[2]
    distance_PT = torch.arange(places - new, places, device=query.device)[:, None] - torch.arange(
        places, device=query.device
    )
    hidden_PT = distance_PT < 0 if sliding_window is None else (distance_PT < 0) | (distance_PT >= sliding_window)
    hidden = hidden_PT[None, None, None] | ~filled[:, None, None, None]
    scale = scaling if scaling is not None else query.shape[-1] ** -0.5
    return plain_attention(query, key, value, scale, softcap, hidden).transpose(1, 2), None


AttentionInterface.register(_NAME, _attention)
