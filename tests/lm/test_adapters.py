import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from peft.tuners.tuners_utils import BaseTunerLayer
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from byrote.errors import ModelError
from byrote.lm import (
    MODULES,
    Adapted,
    Base,
    adapter_is_nonzero,
    attach,
    attach_stack,
    detach,
    load_base,
    module_names,
    open_adapter,
    resolve_adapter,
    resolve_base,
    save_adapter,
    seeded,
    trainable_parameters,
)
from byrote.lm.library import quiet
from byrote.lm.lora import LoraLinear, keep_mask
from byrote.study import Lora
from fakes import VOCABULARY, WIDTH, save_tiny_model

CPU = torch.device("cpu")
TOKENS = torch.arange(1, 41).view(2, 20) * 7 % VOCABULARY


@pytest.fixture
def base(tmp_path: Path) -> Base:
    return load(save_tiny_model(tmp_path / "tiny"))


def load(folder: Path, precision: str = "fp32") -> Base:
    return load_base(resolve_base(str(folder)), precision, "none", CPU)


@torch.no_grad()
def logits(model: Any) -> torch.Tensor:
    return model(input_ids=TOKENS).logits


def tuned(base: Base, lora: Lora) -> Adapted:
    """An adapter whose B is random, as if trained, in evaluation mode."""
    adapted = attach(base, lora, seed=3)
    randomize(adapted)
    return adapted.eval()


def randomize(adapted: Adapted, which: int = 0, seed: int = 4) -> None:
    generator = torch.Generator().manual_seed(seed)
    for _, _, b in adapted.weights_of(which):
        b.copy_(torch.randn(b.shape, generator=generator) * 0.1)


def initial(base: Base, seed: int) -> torch.Tensor:
    adapted = attach(base, Lora(matrices=("q",), rank=2), seed)
    weights = [a.clone() for _, a, _ in adapted.weights_of(0)]
    detach(base, adapted)
    return torch.cat(weights)


@pytest.mark.parametrize("model_type", MODULES)
def test_detach_gives_the_base_back_bit_for_bit(tmp_path: Path, model_type: str) -> None:
    base = load(save_tiny_model(tmp_path, model_type))
    before, weights = logits(base.model), {n: p.clone() for n, p in base.model.state_dict().items()}
    adapted = tuned(base, Lora(matrices=("all-linear",), rank=2))
    assert not torch.equal(logits(adapted), before)
    detach(base, adapted)
    assert torch.equal(logits(base.model), before)
    after = base.model.state_dict()
    assert list(after) == list(weights)
    assert all(torch.equal(after[name], value) for name, value in weights.items())
    assert not base.model.training
    assert not any(p.requires_grad for p in base.model.parameters())


@pytest.mark.parametrize("model_type", MODULES)
def test_exactly_the_modules_asked_for_are_adapted(tmp_path: Path, model_type: str) -> None:
    # 12 layers × 2 matrices: from 20 names on, PEFT replaces them by endings of its own.
    base = load(save_tiny_model(tmp_path, model_type, layers=12))
    names = module_names(base.model, base.model_type, ["o", "down"])
    adapted = attach(base, Lora(matrices=("o", "down")), seed=0)
    assert [name for name, module in adapted.inner.named_modules() if isinstance(module, LoraLinear)] == names


def test_only_the_adapter_is_trainable_and_its_size_is_known(base: Base) -> None:
    adapted = attach(base, Lora(matrices=("q", "v"), rank=3), seed=0)
    assert all(("lora_" in name) == p.requires_grad for name, p in adapted.named_parameters())
    assert trainable_parameters(adapted) == 2 * 3 * ((WIDTH + WIDTH) + (WIDTH + WIDTH // 2))
    assert adapted.training


def test_a_fresh_adapter_changes_nothing_and_is_zero(base: Base) -> None:
    before = logits(base.model)
    adapted = attach(base, Lora(), seed=0)
    assert not adapter_is_nonzero(adapted)
    assert torch.equal(logits(adapted.eval()), before)
    detach(base, adapted)
    assert adapter_is_nonzero(tuned(base, Lora()))


def test_the_adapter_is_fp32_on_a_bf16_base(tmp_path: Path) -> None:
    base = load(save_tiny_model(tmp_path), "bf16")
    adapted = attach(base, Lora(), seed=0)
    dtypes = {"lora_" in name: p.dtype for name, p in adapted.named_parameters()}
    assert dtypes == {True: torch.float32, False: torch.bfloat16}


def test_the_seed_alone_decides_the_initial_weights(base: Base) -> None:
    state = torch.get_rng_state()
    first = initial(base, 1)
    assert torch.equal(torch.get_rng_state(), state)
    torch.rand(3)
    assert torch.equal(initial(base, 1), first)
    assert not torch.equal(initial(base, 2), first)


def test_seeded_restores_the_global_generator_after_an_error() -> None:
    state = torch.get_rng_state()
    with seeded(5):
        inside = torch.rand(4)
    with seeded(5):
        assert torch.equal(torch.rand(4), inside)
    with pytest.raises(RuntimeError), seeded(5):
        torch.rand(-1)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(("scaling", "scale"), [("fixed", 16 / 4), ("proportional", 16), ("rslora", 16 / 2)])
def test_the_scale_of_the_update(base: Base, scaling: Any, scale: float) -> None:
    adapted = attach(base, Lora(rank=4, alpha=16, scaling=scaling), seed=0)
    layers = [m for m in adapted.modules() if isinstance(m, LoraLinear)]
    assert [layer.shares[0].scale for layer in layers] == [scale, scale]


def test_a_second_adapter_is_refused(base: Base) -> None:
    adapted = attach(base, Lora(), seed=0)
    with pytest.raises(ModelError, match="tiny already carries an adapter; detach it first"):
        attach(base, Lora(), seed=0)
    detach(base, adapted)
    attach(base, Lora(), seed=0)


@pytest.mark.parametrize("scaling", ["fixed", "proportional", "rslora"])
@pytest.mark.parametrize("model_type", ["llama", "gpt2", "gpt_neox"])
def test_a_saved_adapter_is_read_by_plain_peft(tmp_path: Path, model_type: str, scaling: Any) -> None:
    base = load(save_tiny_model(tmp_path / "tiny", model_type))
    adapted = tuned(base, Lora(matrices=("all-linear",), rank=2, scaling=scaling))
    save_adapter(adapted, tmp_path / "adapter", "tiny")
    with quiet():
        fresh = AutoModelForCausalLM.from_pretrained(base.files.folder, attn_implementation="eager")
        theirs = PeftModel.from_pretrained(fresh, str(tmp_path / "adapter"))
    torch.testing.assert_close(logits(adapted), logits(theirs), atol=0, rtol=0)


def test_a_saved_adapter_comes_back_for_evaluation(tmp_path: Path, base: Base) -> None:
    adapted = tuned(base, Lora(rank=2, dropout=0.5))
    want = logits(adapted)
    save_adapter(adapted, tmp_path / "adapter", "tiny")
    detach(base, adapted)
    state = torch.get_rng_state()
    loaded = open_adapter(base, resolve_adapter(str(tmp_path / "adapter")))
    assert torch.equal(logits(loaded), want)
    assert not any(module.training for module in loaded.modules())
    assert not any(p.requires_grad for p in loaded.parameters())
    assert torch.equal(torch.get_rng_state(), state)


def test_the_folder_names_no_path_and_is_the_same_each_time(tmp_path: Path, base: Base) -> None:
    adapted = tuned(base, Lora(matrices=("q", "k", "v", "o")))
    for name in ("one", "two"):
        save_adapter(adapted, tmp_path / name, "tiny")
    files = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert files == ["adapter_config.json", "adapter_model.safetensors"]
    assert all((tmp_path / "one" / f).read_bytes() == (tmp_path / "two" / f).read_bytes() for f in files)
    text = (tmp_path / "one" / "adapter_config.json").read_text()
    assert json.loads(text)["base_model_name_or_path"] == "tiny"
    assert str(tmp_path) not in text


def set_config(key: str, value: Any) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        values = json.loads((folder / "adapter_config.json").read_text())
        (folder / "adapter_config.json").write_text(json.dumps({**values, key: value}))

    return damage


def widen(folder: Path) -> None:
    weights = load_file(folder / "adapter_model.safetensors")
    key = next(key for key in weights if "lora_A" in key)
    weights[key] = torch.zeros(1, WIDTH + 1)
    save_file(weights, folder / "adapter_model.safetensors")


def lose_one(folder: Path) -> None:
    weights = load_file(folder / "adapter_model.safetensors")
    weights.popitem()
    save_file(weights, folder / "adapter_model.safetensors")


def pickle_only(folder: Path) -> None:
    (folder / "adapter_model.safetensors").rename(folder / "adapter_model.bin")


def scramble(folder: Path) -> None:
    (folder / "adapter_model.safetensors").write_bytes(b"not safetensors")


DAMAGES = {
    "pickle": (pickle_only, r"only pickled weights \(adapter_model\.bin\), which byrote never loads"),
    "scrambled": (scramble, "cannot be read"),
    "wide": (widen, f"is {WIDTH + 1} wide, not {WIDTH}"),
    "lost": (lose_one, r"is in only one of its weights and its configuration \(1 such\)"),
    "rank": (set_config("r", 5), "does not fit tiny"),
    "target": (set_config("target_modules", ["nowhere"]), "does not fit tiny"),
    "type": (set_config("peft_type", "IA3"), r"has settings that IA3 .* does not know \(bias, "),
    "loftq": (set_config("init_lora_weights", "loftq"), "convert it to plain LoRA"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_is_no_fitting_adapter_is_refused_and_leaves_the_base_alone(
    tmp_path: Path, base: Base, damage: str
) -> None:
    break_it, message = DAMAGES[damage]
    before = logits(base.model)
    adapted = tuned(base, Lora())
    save_adapter(adapted, tmp_path / "adapter", "tiny")
    detach(base, adapted)
    break_it(tmp_path / "adapter")
    with pytest.raises(ModelError, match=message):
        open_adapter(base, resolve_adapter(str(tmp_path / "adapter")))
    assert torch.equal(logits(base.model), before)
    assert not any(isinstance(module, BaseTunerLayer | LoraLinear) for module in base.model.modules())


def test_an_adapter_of_another_architecture(tmp_path: Path, base: Base) -> None:
    other = load(save_tiny_model(tmp_path / "gpt2", "gpt2"))
    save_adapter(tuned(other, Lora(matrices=("qkv",))), tmp_path / "adapter", "gpt2")
    with pytest.raises(ModelError, match=r"does not fit tiny, which has no module 'transformer\.h\.0\.attn\.c_attn'"):
        open_adapter(base, resolve_adapter(str(tmp_path / "adapter")))


def test_a_fresh_adapter_is_drawn_as_peft_draws_it(base: Base) -> None:
    """A uniform in ±1/√I, B zero."""
    adapted = attach(base, Lora(matrices=("q",), rank=64), seed=0)
    for _, a, b in adapted.weights_of(0):
        assert a.abs().max() <= WIDTH**-0.5
        assert float(a.std()) == pytest.approx(WIDTH**-0.5 / 3**0.5, rel=0.05)
        assert not b.any()


STACK = [
    Lora(matrices=("q", "v"), rank=2, dropout=0.2),
    Lora(matrices=("v",), rank=5, scaling="rslora", dropout=0.0),
    Lora(matrices=("o", "q"), rank=1, alpha=4, dropout=0.5),
]


def test_a_stack_computes_what_each_adapter_computes_alone(base: Base) -> None:
    stacked = attach_stack(base, STACK, [1, 2, 3])
    for which in range(3):
        randomize(stacked, which, seed=which)
    logits_of_stack = stacked.eval()(input_ids=TOKENS.repeat(3, 1)).logits.detach().unflatten(0, (3, -1))
    weights = [[(name, a.clone(), b.clone()) for name, a, b in stacked.weights_of(k)] for k in range(3)]
    detach(base, stacked)
    for which, lora in enumerate(STACK):
        alone = attach(base, lora, which + 1)
        assert [name for name, _, _ in alone.weights_of(0)] == [name for name, _, _ in weights[which]]
        for (_, a, _), (_, stacked_a, _) in zip(alone.weights_of(0), weights[which], strict=True):
            assert torch.equal(a, stacked_a)
        randomize(alone, seed=which)
        torch.testing.assert_close(logits_of_stack[which], logits(alone.eval()), atol=1e-5, rtol=1e-5)
        assert trainable_parameters(alone) == sum(a.numel() + b.numel() for _, a, b in weights[which])
        detach(base, alone)


def test_an_adapter_of_a_stack_is_saved_as_if_trained_alone(tmp_path: Path, base: Base) -> None:
    stacked = attach_stack(base, STACK, [1, 2, 3])
    randomize(stacked, 1)
    save_adapter(stacked, tmp_path / "stacked", "tiny", 1)
    detach(base, stacked)
    alone = attach(base, STACK[1], 2)
    randomize(alone)
    save_adapter(alone, tmp_path / "alone", "tiny")
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        assert (tmp_path / "stacked" / name).read_bytes() == (tmp_path / "alone" / name).read_bytes()


def test_dropout_drops_the_share_it_says_and_the_same_elements_for_the_same_seed() -> None:
    keep, chance = keep_mask((400, 500), 0.05, CPU, (1, 2, 3, 4))
    assert chance == pytest.approx(0.95, abs=1e-5)
    assert float(keep.float().mean()) == pytest.approx(chance, abs=4 * (0.05 * 0.95 / 200_000) ** 0.5)
    again, _ = keep_mask((400, 500), 0.05, CPU, (1, 2, 3, 4))
    assert torch.equal(keep, again)
    for other in ((0, 2, 3, 4), (1, 0, 3, 4), (1, 2, 0, 4), (1, 2, 3, 0)):
        assert not torch.equal(keep, keep_mask((400, 500), 0.05, CPU, other)[0])
    # neighbours are dropped independently: both in a share of 0.05²
    gone = ~keep
    assert float((gone[:, 1:] & gone[:, :-1]).float().mean()) == pytest.approx(0.0025, abs=5e-4)
    assert float((gone[1:] & gone[:-1]).float().mean()) == pytest.approx(0.0025, abs=5e-4)


def test_dropout_keeps_the_mean_of_the_update(base: Base) -> None:
    adapted = attach(base, Lora(matrices=("q",), rank=2, dropout=0.4), seed=0)
    randomize(adapted)
    site = next(m for m in adapted.modules() if isinstance(m, LoraLinear))
    x = torch.ones(4000, WIDTH)
    plain = site.base_layer(x)
    noisy = (site(x) - plain).mean(0).detach()
    torch.testing.assert_close(noisy, (site.eval()(x[:1]) - plain[:1]).detach()[0], rtol=0.1, atol=0.05)
