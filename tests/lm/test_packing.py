"""Records in one row without padding: hidden states, logits, losses and gradients are those of each record alone."""

from typing import Any

import pytest
import torch

from byrote.lm import MODULES, head_logits, head_nll, pack, packed_hidden, packing, repeated
from byrote.lm.forward import chunks
from fakes import VOCABULARY, tiny_model

CPU = torch.device("cpu")


def records(lengths: tuple[int, ...] = (5, 23, 1, 40, 11)) -> list[list[int]]:
    generator = torch.Generator().manual_seed(5)
    return [torch.randint(1, VOCABULARY, (n,), generator=generator).tolist() for n in lengths]


def packed_logits(model: Any, ids: list[list[int]], times: int = 1) -> torch.Tensor:
    with packing(model):
        return head_logits(model, packed_hidden(model, repeated(pack(ids, CPU), times)))


@pytest.mark.parametrize("model_type", MODULES)
@torch.no_grad()
def test_logits_are_those_of_each_record_alone(model_type: str) -> None:
    model = tiny_model(model_type)
    alone = torch.cat([model(input_ids=torch.tensor([ids])).logits[0] for ids in records()])
    assert alone.std() > 0.05  # a constant would match anything
    torch.testing.assert_close(packed_logits(model, records()), alone, atol=2e-5, rtol=0)
    torch.testing.assert_close(packed_logits(model, records(), 3), alone.repeat(3, 1), atol=2e-5, rtol=0)


def test_the_models_own_attention_is_back_afterwards() -> None:
    model = tiny_model()
    before = model.config._attn_implementation
    ids = torch.tensor([records()[1]])
    with torch.no_grad():
        want = model(input_ids=ids).logits
        packed_logits(model, records())
        with pytest.raises(RuntimeError, match="without a pack"), packing(model):
            model(input_ids=ids)
        assert model.config._attn_implementation == before
        assert torch.equal(model(input_ids=ids).logits, want)


@pytest.mark.parametrize("model_type", ["llama", "gemma2", "phi"])
def test_loss_and_gradient_are_those_of_cross_entropy(model_type: str) -> None:
    """phi has a bias in its output layer, gemma2 caps the logits after it."""
    model = tiny_model(model_type)
    generator = torch.Generator().manual_seed(1)
    hidden = torch.randn(21, model.config.hidden_size, generator=generator)
    targets = torch.randint(0, VOCABULARY, (21,), generator=generator)
    weights = torch.rand(21, generator=generator)
    packed_input, plain_input = hidden.clone().requires_grad_(), hidden.clone().requires_grad_()
    nll = head_nll(model, packed_input, targets)
    (nll * weights).sum().backward()
    loss = torch.nn.functional.cross_entropy(head_logits(model, plain_input), targets, reduction="none")
    (loss * weights).sum().backward()
    torch.testing.assert_close(nll.detach(), loss.detach(), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(packed_input.grad, plain_input.grad, atol=1e-5, rtol=1e-4)


def test_a_target_that_is_all_but_impossible_has_its_loss() -> None:
    model = tiny_model()
    hidden = torch.full((1, model.config.hidden_size), 300.0)
    logits = head_logits(model, hidden)[0].detach().double()
    target = int(logits.argmin())
    want = float(logits.logsumexp(-1) - logits[target])
    assert want > 110  # its probability is 0 in fp32
    assert float(head_nll(model, hidden, torch.tensor([target])).detach()) == pytest.approx(want, rel=1e-5)


@pytest.mark.parametrize("rows", [0, 1, 8, 21])
def test_chunks_cover_all_rows_once(rows: int) -> None:
    assert [i for part in chunks(rows, CPU) for i in range(rows)[part]] == list(range(rows))
