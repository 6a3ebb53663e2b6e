"""Axes: B records, T places, S selected places, V vocabulary."""

import pytest
import torch
from peft import LoraConfig, get_peft_model

from byrote.lm import MODULES, target_logits
from byrote.lm.library import quiet
from fakes import VOCABULARY, tiny_model

LENGTHS = (5, 23, 11)


def batch(padding: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Three random records, right-padded, and where their tokens have a successor."""
    generator = torch.Generator().manual_seed(5)
    token_ids_BT = torch.randint(1, VOCABULARY, (len(LENGTHS), max(LENGTHS)), generator=generator)
    place_T = torch.arange(max(LENGTHS))
    length_B1 = torch.tensor(LENGTHS)[:, None]
    return token_ids_BT.masked_fill(place_T >= length_B1, padding), place_T < length_B1 - 1


FAMILIES = [(kind, "eager") for kind in MODULES] + [(kind, "sdpa") for kind in MODULES if kind != "gemma2"]


@pytest.mark.parametrize(("model_type", "attention"), FAMILIES)
@torch.no_grad()
def test_rows_are_those_of_a_full_masked_forward_pass(model_type: str, attention: str) -> None:
    model = tiny_model(model_type)
    model.set_attn_implementation(attention)
    token_ids_BT, is_target_BT = batch()
    mask_BT = (torch.arange(max(LENGTHS)) < torch.tensor(LENGTHS)[:, None]).long()
    full_BTV = model(input_ids=token_ids_BT, attention_mask=mask_BT, use_cache=False).logits
    got_SV = target_logits(model, token_ids_BT, is_target_BT)
    assert got_SV.shape == (sum(LENGTHS) - len(LENGTHS), VOCABULARY)
    assert got_SV.std() > 0.05  # a constant would match anything
    torch.testing.assert_close(got_SV, full_BTV[is_target_BT], atol=1e-5, rtol=0)


@pytest.mark.parametrize(("model_type", "attention"), FAMILIES)
@torch.no_grad()
def test_padding_and_neighbours_do_not_change_a_record(model_type: str, attention: str) -> None:
    model = tiny_model(model_type)
    model.set_attn_implementation(attention)
    token_ids_BT, is_target_BT = batch(padding=7)
    together_SV = target_logits(model, token_ids_BT, is_target_BT)
    alone = [
        target_logits(model, ids[None, :length], chosen[None, :length])
        for ids, chosen, length in zip(token_ids_BT, is_target_BT, LENGTHS, strict=True)
    ]
    torch.testing.assert_close(together_SV, torch.cat(alone), atol=1e-5, rtol=0)


def test_the_hook_is_gone_afterwards_even_after_an_error() -> None:
    model = tiny_model()
    token_ids_BT, is_target_BT = batch()
    target_logits(model, token_ids_BT, is_target_BT)
    with pytest.raises(IndexError):
        target_logits(model, token_ids_BT, is_target_BT[:, :-1])
    assert model(input_ids=token_ids_BT).logits.shape == (*token_ids_BT.shape, VOCABULARY)


def test_no_place_selected_gives_no_rows() -> None:
    token_ids_BT, is_target_BT = batch()
    assert target_logits(tiny_model(), token_ids_BT, is_target_BT & False).shape == (0, VOCABULARY)


@pytest.mark.parametrize("model_type", ["llama", "gemma2", "gpt2"])
def test_gradients_reach_an_adapter_as_through_the_full_pass(model_type: str) -> None:
    config = LoraConfig(target_modules="all-linear", task_type="CAUSAL_LM", init_lora_weights=False)
    config.fan_in_fan_out = model_type == "gpt2"
    with quiet(), torch.random.fork_rng(devices=[]):
        adapted = get_peft_model(tiny_model(model_type), config)
    token_ids_BT, is_target_BT = batch()
    weights = [p for p in adapted.parameters() if p.requires_grad]
    ours = torch.autograd.grad(target_logits(adapted, token_ids_BT, is_target_BT).square().mean(), weights)
    full_SV = adapted(input_ids=token_ids_BT, use_cache=False).logits[is_target_BT]
    theirs = torch.autograd.grad(full_SV.square().mean(), weights)
    assert max(float(g.abs().max()) for g in ours) > 0
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-4)
