"""One forward pass that computes output logits only where they are needed.

Axes: B records side by side, T token places, H hidden width, S selected places, V vocabulary.
"""

from typing import Any

import torch
from torch import nn


def target_logits(model: nn.Module, token_ids_BT: torch.Tensor, is_target_BT: torch.Tensor) -> torch.Tensor:
    """Logits of a causal model at the selected places, in row-major order of `is_target_BT`.

    token_ids_BT: int64 (B, T), shorter records padded on the right with any valid id · is_target_BT: bool (B, T), on
    the model's device · returns (S, V) in the model's number format, gradients kept. The logits at place t predict the
    token at t + 1.

    No attention mask is passed: under causal attention a record never sees the padding that stands to its right, and
    learned or rotary positions count from 0 either way. The rows are selected before the output layer, so
    that whatever a model does after it (scaling, soft-capping) still applies, and the (B, T, V) block is never made.
    """
    head = model.get_output_embeddings()  # type: ignore[operator]

    def select(_: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
        hidden_BTH = args[0]
        return (hidden_BTH[is_target_BT], *args[1:])

    handle = head.register_forward_pre_hook(select)
    try:
        return model(input_ids=token_ids_BT, use_cache=False).logits
    finally:
        handle.remove()
