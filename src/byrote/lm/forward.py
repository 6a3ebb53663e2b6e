"""From hidden states to logits where they are needed, and to the loss without keeping them.

Axes: S places whose next token is known, H hidden width, V vocabulary.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import nn

from byrote.lm.frozen import FrozenLinear
from byrote.lm.library import text_config

_CAP = "final_logit_softcapping"  # Gemma 2 and 3; the one thing that the known architectures do after the output layer


def plain_head(model: Any) -> nn.Linear | None:
    """The output layer where it is all that stands between hidden states and logits; None where logits are capped
    after it, or its weights are quantized."""
    head: Any = model.get_output_embeddings()
    config = text_config(model)
    plain = (
        type(head) in (nn.Linear, FrozenLinear) and head.weight.is_floating_point() and not getattr(config, _CAP, None)
    )
    return head if plain else None


def head_logits(model: Any, hidden_SH: torch.Tensor) -> torch.Tensor:
    """Logits (S, V) of hidden states, in the model's number format, scaled and capped as the model does it."""
    config = text_config(model)
    logits_SV = model.get_output_embeddings()(hidden_SH)
    cap = getattr(config, _CAP, None)
    return torch.tanh(logits_SV / cap) * cap if cap else logits_SV


def logits_alone(model: Any, token_ids: Sequence[int], device: torch.device) -> torch.Tensor:
    """Logits (S, V) of one sequence by the model's own forward pass: no padding, no packing, virtual tokens cut off."""
    out = model(input_ids=torch.tensor([list(token_ids)], device=device), use_cache=False)
    return out.logits[0, -len(token_ids) :]


def head_nll(model: Any, hidden_SH: torch.Tensor, targets_S: torch.Tensor) -> torch.Tensor:
    """Negative log-likelihood (S,) in fp32 of the tokens that follow, gradients for the hidden states kept.

    Where the output layer is plain, its gradient is taken chunk by chunk in the forward pass, so that no (S, V) block
    in fp32 is made or kept.
    """
    head = plain_head(model)
    if head is None:
        return nn.functional.cross_entropy(head_logits(model, hidden_SH).float(), targets_S, reduction="none")
    return _HeadNll.apply(hidden_SH, head, targets_S)  # type: ignore[return-value]


def chunks(rows: int, device: torch.device) -> Iterator[slice]:
    """Slices of rows of logits that fit the processor's second cache, or a GPU's memory without waste."""
    step = 8 if device.type == "cpu" else 4096
    for start in range(0, rows, step):
        yield slice(start, min(rows, start + step))


class _HeadNll(torch.autograd.Function):
    """NLL of softmax(hidden·Wᵀ + b) and its gradient for the hidden states: (p − 1[target])·W."""

    @staticmethod
    def forward(ctx: Any, hidden_SH: torch.Tensor, head: nn.Linear, targets_S: torch.Tensor) -> Any:
        block_SV = head.forth(hidden_SH) if isinstance(head, FrozenLinear) else head(hidden_SH)
        nll_S = torch.empty(len(hidden_SH), device=hidden_SH.device)
        for rows in chunks(len(hidden_SH), hidden_SH.device):
            part_SV, wanted_S1 = block_SV[rows], targets_S[rows, None]
            wanted_logit_S1 = part_SV.gather(-1, wanted_S1).float()
            exact_SV = part_SV.to(torch.float32, copy=True)
            top_S1 = exact_SV.amax(-1, keepdim=True)
            sum_S1 = exact_SV.sub_(top_S1).exp_().sum(-1, keepdim=True)
            nll_S[rows] = (sum_S1.log() + top_S1 - wanted_logit_S1)[:, 0]
            chance_SV = exact_SV.div_(sum_S1)
            part_SV.copy_(chance_SV.scatter_add_(-1, wanted_S1, torch.full_like(sum_S1, -1.0)))
        frozen = isinstance(head, FrozenLinear)
        ctx.save_for_backward(head.back(block_SV) if frozen else block_SV @ head.weight)
        return nll_S

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> Any:
        (gradient_SH,) = ctx.saved_tensors
        return (gradient_SH * gradients[0][:, None]).to(gradient_SH.dtype), None, None
