"""Frozen layers on a processor: linear ones with their weights in oneDNN's own order too, norms in fewer passes.

A product then reads its weight as it lies, which is faster, most so in fp32 and for few rows (docs/log.md).
Axes: I and O input and output width.
"""

import os
from functools import partial
from typing import Any

import torch
from torch import nn

_SHARE = 0.25  # of this machine's memory, for weights and their two copies
_ROWS = 512  # of the products that the order is best for; any number can be multiplied
# Root mean square norms that scale by their weight as it is (Gemma's scale by 1 + weight).
_NORMS = ("LlamaRMSNorm", "MistralRMSNorm", "Qwen2RMSNorm", "Qwen3RMSNorm", "Phi3RMSNorm")


class FrozenLinear(nn.Linear):
    """A linear layer whose weight never changes: x (…, I) → x·Wᵀ + b (…, O), gradients for x alone."""

    # made when first used; of two threads that make one, either's may stay
    _forth: torch.Tensor | None = None
    _back: torch.Tensor | None = None

    def forward(self, x: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
        """The product."""
        return _Product.apply(x, self)  # type: ignore[return-value]

    def forth(self, x: torch.Tensor) -> torch.Tensor:
        """x·Wᵀ + b, no gradient kept."""
        if self._forth is None:
            self._forth = _ordered(self.weight)
        return _product(x, self._forth, self.bias)

    def back(self, gradient: torch.Tensor) -> torch.Tensor:
        """gradient·W, from (…, O) to (…, I)."""
        if self._back is None:
            self._back = _ordered(self.weight.t().contiguous())
        return _product(gradient, self._back, None)


def freeze_layers(model: nn.Module) -> None:
    """Have a frozen model on a processor compute so, in place; modules keep their kind, names and weights.

    Linear layers only where oneDNN multiplies their format here and memory holds the copies.
    """
    layers = [m for m in model.modules() if type(m) is nn.Linear and _multiplies(m.weight.dtype)]
    held = sum(m.weight.numel() * m.weight.element_size() for m in layers)
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    for layer in layers if 3 * held <= _SHARE * memory else ():
        layer.__class__ = FrozenLinear
    norms: list[Any] = [m for m in model.modules() if type(m).__name__ in _NORMS]
    for module in norms:
        module.forward = partial(_normed, module.weight, module.variance_epsilon)


def _multiplies(dtype: torch.dtype) -> bool:
    if not torch.backends.mkldnn.is_available():
        return False
    return dtype == torch.float32 or (dtype == torch.bfloat16 and torch.ops.mkldnn._is_mkldnn_bf16_supported())


def _ordered(weight: torch.Tensor) -> torch.Tensor:
    return torch.ops.mkldnn._reorder_linear_weight(weight.detach(), _ROWS)


def _product(x: torch.Tensor, ordered: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    return torch.ops.mkldnn._linear_pointwise(x, ordered, bias, "none", [], "")


def _normed(weight: torch.Tensor, epsilon: float, x: torch.Tensor) -> torch.Tensor:
    return _RmsNorm.apply(x, weight, epsilon)  # type: ignore[return-value]


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, layer: FrozenLinear) -> torch.Tensor:
        ctx.layer = layer
        return layer.forth(x)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> Any:
        return ctx.layer.back(gradients[0]), None


class _RmsNorm(torch.autograd.Function):
    """weight · x / √(mean x² + ε) (Zhang & Sennrich 2019), the quotient in fp32, gradients for x alone."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, weight: torch.Tensor, epsilon: float) -> torch.Tensor:
        exact = x.float()
        scale = (torch.linalg.vecdot(exact, exact) / x.shape[-1] + epsilon).rsqrt()[..., None]
        ctx.save_for_backward(x, scale, weight)
        return weight * (exact * scale).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> Any:
        x, scale, weight = ctx.saved_tensors
        normed, wanted = x.float() * scale, gradients[0].float() * weight
        along = torch.linalg.vecdot(normed, wanted)[..., None] / x.shape[-1]
        return wanted.addcmul_(normed, along, value=-1).mul_(scale).to(x.dtype), None, None
