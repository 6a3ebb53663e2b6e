"""A base model as it was: put back to the bit after a library has changed it, and the proof that it is so."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any

import torch
from torch import nn

from byrote.lm.frozen import FrozenLinear

_CONTAINERS = (dict, set, list)
_INTEGERS = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
_PROBE_TOKENS = 16


class Snapshot:
    """Modules, hooks, settings and the tensors themselves of a model, without a copy of any weight.

    A library that writes into a tensor in place must be given a copy first: `lend`.
    """

    def __init__(self, model: Any) -> None:
        self._modules = [(m, type(m), _shallow(m.__dict__)) for m in model.modules()]
        self._tensors = [(t, t.data, t.requires_grad) for t in chain(model.parameters(), model.buffers())]
        held = (model.config, model.config.get_text_config(), model.generation_config)
        self._settings = [(c, _shallow(c.__dict__)) for c in {id(c): c for c in held if c is not None}.values()]
        for module in model.modules():  # a weight in oneDNN's order would outlive the weight that it was made of
            if isinstance(module, FrozenLinear):
                module._forth = module._back = None

    def restore(self) -> None:
        """The model as it was; once."""
        for module, kind, state in self._modules:
            module.__class__ = kind
            module.__dict__.clear()
            module.__dict__.update(state)
        for tensor, data, trained in self._tensors:
            tensor.data = data
            tensor.requires_grad_(trained)
        for settings, state in self._settings:
            settings.__dict__.clear()
            settings.__dict__.update(state)


def lend(tensor: torch.Tensor) -> None:
    """Have a tensor hold a copy of its numbers, so that what is written into it spares the original."""
    tensor.data = tensor.data.clone()


@dataclass(frozen=True, eq=False)
class Trace:
    """What a model is known by: the sum of each tensor's bits, and logits (T, V) of a few tokens."""

    sums: dict[str, tuple[str, tuple[int, ...], int]]
    logits: torch.Tensor

    def differs(self, other: "Trace") -> str | None:
        """What differs, in words; None where nothing does."""
        names = [name for name in {**self.sums, **other.sums} if self.sums.get(name) != other.sums.get(name)]
        if names:
            return f"{names[0]} differs ({len(names)} such)"
        return None if torch.equal(self.logits, other.logits) else "its scores differ"


@torch.inference_mode()
def trace(model: Any, device: torch.device) -> Trace:
    """The trace of a plain model in evaluation mode. Every weight is read once."""
    sums = {name: (str(t.dtype), tuple(t.shape), _bits(t)) for name, t in _named_tensors(model)}
    vocabulary = model.get_input_embeddings().weight.shape[0]
    tokens_1T = torch.arange(1, 1 + _PROBE_TOKENS, device=device)[None] * 7919 % vocabulary
    return Trace(sums, model(input_ids=tokens_1T, use_cache=False).logits[0])


def _named_tensors(model: nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    return chain(model.named_parameters(), model.named_buffers())


def _bits(tensor: torch.Tensor) -> int:
    flat = tensor.detach().contiguous().flatten()
    return int(flat.view(_INTEGERS[flat.element_size()]).sum(dtype=torch.int64)) if flat.numel() else 0


def _shallow(state: dict[str, Any]) -> dict[str, Any]:
    return {key: value.copy() if isinstance(value, _CONTAINERS) else value for key, value in state.items()}
