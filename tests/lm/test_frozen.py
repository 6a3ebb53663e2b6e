"""Frozen layers compute what the libraries' layers do, with their gradients, and stay what they were."""

import copy
from typing import Any

import pytest
import torch
from torch import nn

from byrote.lm import frozen
from byrote.lm.frozen import FrozenLinear, freeze_layers
from fakes import tiny_model

TYPES = ("llama", "mistral", "qwen2", "qwen3", "gemma2", "phi", "phi3", "gpt2")


def both(model_type: str, dtype: torch.dtype) -> tuple[Any, Any]:
    plain = tiny_model(model_type).to(dtype).requires_grad_(False)
    ours = copy.deepcopy(plain)
    freeze_layers(ours)
    return plain, ours


def run(model: Any, dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits, and the gradient of their squares for the embeddings."""
    generator = torch.Generator().manual_seed(4)
    embedded = torch.randn(2, 9, 32, generator=generator).to(dtype).requires_grad_()
    logits = model(inputs_embeds=embedded, use_cache=False).logits
    return logits.detach(), torch.autograd.grad(logits.float().pow(2).sum(), embedded)[0]


@pytest.mark.parametrize("model_type", TYPES)
def test_logits_and_gradients_are_the_libraries(model_type: str) -> None:
    plain, ours = both(model_type, torch.float32)
    (expected, expected_gradient), (output, gradient) = run(plain, torch.float32), run(ours, torch.float32)
    assert expected.std() > 0.05  # a constant would match anything
    torch.testing.assert_close(output, expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(gradient, expected_gradient, rtol=1e-3, atol=1e-3 * float(expected_gradient.abs().max()))


@pytest.mark.skipif(not torch.ops.mkldnn._is_mkldnn_bf16_supported(), reason="no bf16 products on this processor")
def test_bf16_is_as_near_to_fp32_as_the_libraries_is() -> None:
    exact = run(tiny_model().requires_grad_(False), torch.float32)[1]
    plain, ours = (run(m, torch.bfloat16)[1].float() for m in both("llama", torch.bfloat16))
    assert (ours - exact).norm() < 1.2 * (plain - exact).norm() + 1e-6


def test_layers_keep_their_kind_names_and_weights() -> None:
    plain, ours = both("llama", torch.float32)
    assert sum(isinstance(m, FrozenLinear) for m in ours.modules()) == 2 * 7 + 1
    assert all(isinstance(m, nn.Linear) for m in ours.modules() if isinstance(m, FrozenLinear))
    assert [name for name, _ in ours.named_modules()] == [name for name, _ in plain.named_modules()]
    for name, weight in plain.state_dict().items():
        assert torch.equal(ours.state_dict()[name], weight)


def test_norms_that_scale_otherwise_are_left_alone() -> None:
    _, ours = both("gemma2", torch.float32)
    assert not any("forward" in vars(m) for m in ours.modules() if "RMSNorm" in type(m).__name__)
    _, ours = both("llama", torch.float32)
    assert all("forward" in vars(m) for m in ours.modules() if "RMSNorm" in type(m).__name__)


KINDS = [
    (frozen._RmsNorm, torch.float32, 5, 1e-5),
    (frozen._RmsNorm, torch.bfloat16, 5, 2e-2),
    (frozen._FusedNorm, torch.bfloat16, 16, 2e-2),
]


@pytest.mark.parametrize(("kind", "dtype", "width", "near"), KINDS)
@pytest.mark.parametrize("size", [1.0, 1e-3])  # of the second, ε is most of what is under the root
def test_the_norm_and_its_gradient_are_those_of_the_formula(
    kind: Any, dtype: torch.dtype, width: int, near: float, size: float
) -> None:
    generator = torch.Generator().manual_seed(1)
    x = (size * torch.randn(2, 3, width, generator=generator)).to(dtype).requires_grad_()
    weight, pull = torch.rand(width, generator=generator).to(dtype), torch.randn(2, 3, width, generator=generator)
    normed = frozen._normed(kind, weight, 1e-5, x)
    assert (normed.dtype, normed.shape) == (dtype, x.shape)
    for row, values in zip(x.reshape(-1, width).tolist(), normed.reshape(-1, width).tolist(), strict=True):
        root = (sum(v * v for v in row) / width + 1e-5) ** 0.5
        assert values == pytest.approx([w * v / root for w, v in zip(weight.tolist(), row, strict=True)], rel=near)
    (gradient,) = torch.autograd.grad((normed.float() * pull).sum(), x)
    exact = x.detach().double().requires_grad_()
    plain = weight.double() * exact / (exact.pow(2).mean(-1, keepdim=True) + 1e-5).sqrt()
    (expected,) = torch.autograd.grad((plain * pull).sum(), exact)
    assert gradient.dtype == dtype
    assert float((gradient - expected).norm() / expected.norm()) < near


def test_rows_are_normed_in_one_pass_where_their_length_is_a_number_of_the_format() -> None:
    assert [frozen._fits(width, torch.bfloat16) for width in (576, 1024, 4096, 768, 2048)] == [True] * 3 + [False] * 2
    assert not frozen._fits(576, torch.float32)
    for squares in (576 * 1e-5, 4096 * 1e-6, 0.3):
        columns = frozen._columns(squares, torch.bfloat16).double()
        assert float((columns**2).sum()) == pytest.approx(squares, rel=1e-4)


def test_a_model_too_large_for_copies_keeps_its_layers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frozen, "_SHARE", 0.0)
    _, ours = both("llama", torch.float32)
    assert not any(isinstance(m, FrozenLinear) for m in ours.modules())
