"""Frozen layers on a processor: linear ones with their weights in oneDNN's own order too, norms in fewer passes.

A product then reads its weight as it lies, which is faster, most so in fp32 and for few rows (docs/log.md).
Axes: I and O input and output width.
"""

import math
import os
from functools import cache, partial
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
        kind = _FusedNorm if _fits(len(module.weight), module.weight.dtype) else _RmsNorm
        module.forward = partial(_normed, kind, module.weight, module.variance_epsilon)


def _multiplies(dtype: torch.dtype) -> bool:
    if not torch.backends.mkldnn.is_available():
        return False
    return dtype == torch.float32 or (dtype == torch.bfloat16 and torch.ops.mkldnn._is_mkldnn_bf16_supported())


def _ordered(weight: torch.Tensor) -> torch.Tensor:
    return torch.ops.mkldnn._reorder_linear_weight(weight.detach(), _ROWS)


def _product(x: torch.Tensor, ordered: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    return torch.ops.mkldnn._linear_pointwise(x, ordered, bias, "none", [], "")


def _normed(kind: Any, weight: torch.Tensor, epsilon: float, x: torch.Tensor) -> torch.Tensor:
    return kind.apply(x, weight, epsilon)


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


class _FusedNorm(torch.autograd.Function):
    """The same in one pass each way, in bf16 where √H is one of its numbers (`_fits`): weight normalization (Salimans &
    Kingma 2016) of every row to the length √H, with two columns more, whose squares add up to H·ε."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, weight: torch.Tensor, epsilon: float) -> torch.Tensor:
        width = x.shape[-1]
        rows = x.reshape(-1, width)
        beside = _columns(width * epsilon, x.dtype).expand(len(rows), -1)
        padded, length = torch.cat([rows, beside], 1), rows.new_full((len(rows), 1), math.sqrt(width))
        normed, norms = torch.ops.aten._weight_norm_interface(padded, length, 0)
        ctx.save_for_backward(padded, length, norms, weight)
        return (normed[:, :width] * weight).view(x.shape)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> Any:
        padded, length, norms, weight = ctx.saved_tensors
        wanted = torch.zeros_like(padded)
        torch.mul(gradients[0].reshape(-1, len(weight)), weight, out=wanted[:, : len(weight)])
        back, _ = torch.ops.aten._weight_norm_interface_backward(wanted, padded, length, norms, 0)
        return back[:, : len(weight)].reshape(gradients[0].shape), None, None


@cache
def _columns(squares: float, dtype: torch.dtype) -> torch.Tensor:
    """Two numbers (1, 2) whose squares add up to `squares`, nearer than one of few digits comes to."""
    first = torch.tensor(math.sqrt(squares), dtype=dtype)
    if float(first) ** 2 > squares:
        first = torch.nextafter(first, torch.zeros_like(first))
    rest = math.sqrt(max(squares - float(first) ** 2, 0.0))
    return torch.stack([first, torch.tensor(rest, dtype=dtype)])[None]


def _fits(width: int, dtype: torch.dtype) -> bool:
    """Whether rows are normed in one pass: in bf16, where √H is one of its numbers, so that lengths are exact. In fp32
    little would be gained, and the libraries' own bits lost."""
    return dtype == torch.bfloat16 and float(torch.tensor(math.sqrt(width), dtype=dtype)) == math.sqrt(width)
