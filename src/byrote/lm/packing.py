"""Records of unlike lengths in one row without padding: every layer but attention works on real tokens alone.

Axes: N tokens of all records in a row, B records, T places of the longest, H heads, G heads that share a key and value
head, D width of a head.
"""

import math
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from typing import Any

import torch
from torch import nn
from transformers import AttentionInterface

from byrote.lm.forward import head_logits, logits_alone
from byrote.lm.library import attention_replaced, packs

_NAME = "byrote_packed"


@dataclass(frozen=True, eq=False)
class Pack:
    """Token ids (1, N) of records one after the other, their positions (1, N), where each token stands among B × T
    padded places (N,), which token fills each padded place (B·T,), and B."""

    token_ids: torch.Tensor
    positions: torch.Tensor
    place: torch.Tensor
    token: torch.Tensor
    records: int


def pack(sequences: Sequence[Sequence[int]], device: torch.device) -> Pack:
    """Records, none of them empty, as one row."""
    lengths = torch.tensor([len(s) for s in sequences])
    starts = lengths.cumsum(0) - lengths
    longest = int(lengths.max())
    token_ids = torch.tensor(list(chain.from_iterable(sequences)))
    owner = torch.repeat_interleave(torch.arange(len(sequences)), lengths)
    positions = torch.arange(len(token_ids)) - starts[owner]
    # a padded place repeats its record's last token, which no earlier token attends to
    filled = torch.minimum(torch.arange(longest)[None], lengths[:, None] - 1) + starts[:, None]
    parts = (token_ids[None], positions[None], owner * longest + positions, filled.flatten())
    ids, at, place, token = (part.to(device) for part in parts)
    return Pack(ids, at, place, token, len(sequences))


def repeated(packed: Pack, times: int) -> Pack:
    """The same records several times over, one copy after the other."""
    if times == 1:
        return packed
    tokens, places = packed.token_ids.shape[1], len(packed.token)
    copy = torch.arange(times, device=packed.place.device)[:, None]
    return Pack(
        packed.token_ids.repeat(1, times),
        packed.positions.repeat(1, times),
        (packed.place + copy * places).flatten(),
        (packed.token + copy * tokens).flatten(),
        packed.records * times,
    )


class _Current(threading.local):
    """The pack that this thread is running; attention in the layers below has no other way to hear of it."""

    pack: Pack | None = None


_current = _Current()


@contextmanager
def packing(model: Any) -> Iterator[None]:
    """Inside, the model's attention keeps records of a pack apart; as before after it."""
    try:
        with attention_replaced(model, _NAME):
            yield
    finally:
        _current.pack = None


def packed_hidden(model: Any, packed: Pack) -> torch.Tensor:
    """Hidden states (N, width) before the output layer, gradients kept; only inside `packing`.

    A backward pass that computes layers again must come before the next pack is run.
    """
    _current.pack = packed
    out = model.get_decoder()(input_ids=packed.token_ids, position_ids=packed.positions, use_cache=False)
    return out.last_hidden_state[0]


def record_logits(model: Any, sequences: Sequence[Sequence[int]], device: torch.device) -> torch.Tensor:
    """Logits (N, V) of records, none of them empty, one after the other; only inside `packing`.

    Run together in one pack, or each alone where the model does not pack.
    """
    if packs(model):
        return head_logits(model, packed_hidden(model, pack(sequences, device)))
    return torch.cat([logits_alone(model, ids, device) for ids in sequences])


def _attention(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,  # noqa: ARG001 (causality within a record is all there is)
    scaling: float | None = None,
    dropout: float = 0.0,
    softcap: float | None = None,
    sliding_window: int | None = None,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """Causal attention within each record; query (1, H, N, D), key and value (1, H/G, N, D) → (1, N, H, D).

    Softmax in fp32, as the libraries' plain attention; on a GPU torch's fused attention, unless scores are capped or
    windowed.
    """
    packed = _current.pack
    if packed is None:
        raise RuntimeError("packed attention was run without a pack")
    padded = [
        x[0].transpose(0, 1).index_select(0, packed.token.to(x.device)).unflatten(0, (packed.records, -1))
        for x in (query, key, value)
    ]
    q_BHTD, k_BHTD, v_BHTD = (x.transpose(1, 2) for x in padded)
    scale = scaling if scaling is not None else 1 / math.sqrt(query.shape[-1])
    places = q_BHTD.shape[2]
    windowed = sliding_window is not None and places > sliding_window
    rate = dropout if module.training else 0.0
    if query.is_cuda and not softcap and not windowed:
        out_BHTD = nn.functional.scaled_dot_product_attention(
            q_BHTD, k_BHTD, v_BHTD, dropout_p=rate, is_causal=True, scale=scale, enable_gqa=True
        )
    else:
        place = torch.arange(places, device=query.device)
        distance = place[:, None] - place[None]
        hidden = (distance < 0) | (distance >= (sliding_window or places))
        out_BHTD = plain_attention(q_BHTD, k_BHTD, v_BHTD, scale, softcap, hidden, dropout=rate)
    return out_BHTD.transpose(1, 2).flatten(0, 1).index_select(0, packed.place.to(query.device))[None], None


def plain_attention(
    q_BHPD: torch.Tensor,
    k_BHTD: torch.Tensor,
    v_BHTD: torch.Tensor,
    scale: float,
    softcap: float | None,
    hidden: torch.Tensor,
    *,
    dropout: float = 0.0,
) -> torch.Tensor:
    """Attention of P tokens over T places, (B, H, P, D); heads that share a key and value head do so without copies.

    hidden: bool, broadcast to (B, H/G, G, P, T), where nothing is looked at. Softmax in fp32.
    """
    q = q_BHPD.unflatten(1, (k_BHTD.shape[1], -1)).flatten(2, 3)  # heads that share a key stand below each other
    scores = (q @ k_BHTD.transpose(2, 3) * scale).unflatten(2, (-1, q_BHPD.shape[2]))
    if softcap:
        scores = torch.tanh(scores / softcap) * softcap
    scores = scores.masked_fill(hidden, torch.finfo(scores.dtype).min)
    chances = scores.softmax(-1, dtype=torch.float32).to(q.dtype)
    chances = nn.functional.dropout(chances, dropout, dropout > 0).flatten(2, 3)
    return (chances @ v_BHTD).unflatten(2, (-1, q_BHPD.shape[2])).flatten(1, 2)


AttentionInterface.register(_NAME, _attention)
