import sys
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from byrote.errors import ModelError
from byrote.lm import (
    Base,
    attach,
    context_length,
    detach,
    load_base,
    pick_device,
    resolve_base,
)
from byrote.lm.base import _attention
from byrote.lm.files import WEIGHTS
from byrote.study import Lora
from fakes import CONTEXT, save_tiny_model, tiny_model

CPU = torch.device("cpu")


def load(folder: Path, precision: str = "fp32", quantization: str = "none") -> Base:
    return load_base(resolve_base(str(folder)), precision, quantization, CPU)


def test_a_base_is_frozen_and_described(tmp_path: Path) -> None:
    base = load(save_tiny_model(tmp_path / "tiny"))
    assert (base.model_type, base.context, base.files.name) == ("llama", CONTEXT, "tiny")
    assert not base.model.training
    assert not any(p.requires_grad for p in base.model.parameters())
    assert context_length(base.files) == CONTEXT
    assert base.total_parameters == sum(p.numel() for p in base.model.parameters())


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_weights_are_in_the_precision_asked_for(tmp_path: Path, precision: str) -> None:
    base = load(save_tiny_model(tmp_path), precision)
    assert {p.dtype for p in base.model.parameters()} == {torch.float32 if precision == "fp32" else torch.bfloat16}


def test_attention_is_plain_on_a_processor_and_where_it_is_soft_capped() -> None:
    gpu = torch.device("cuda", 0)
    kinds = [_attention(tiny_model(kind).config, device) for kind in ("llama", "gemma2") for device in (CPU, gpu)]
    assert kinds == ["eager", "sdpa", "eager", "eager"]


def test_a_shipped_generation_configuration_has_no_say(tmp_path: Path) -> None:
    folder = save_tiny_model(tmp_path)
    (folder / "generation_config.json").write_text('{"do_sample": true, "top_p": 0.6, "temperature": 0.1}')
    settings = load(folder).model.generation_config
    assert settings is not None
    assert (bool(settings.do_sample), settings.top_p or 1.0, settings.temperature or 1.0) == (False, 1.0, 1.0)


def test_missing_weights_are_refused_not_made_up(tmp_path: Path) -> None:
    folder = save_tiny_model(tmp_path)
    weights = load_file(folder / WEIGHTS)
    weights.pop("model.layers.1.self_attn.v_proj.weight")
    save_file(weights, folder / WEIGHTS, metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"lack model\.layers\.1\.self_attn\.v_proj\.weight \(1 in all\)"):
        load(folder)


def test_damaged_weights(tmp_path: Path) -> None:
    folder = save_tiny_model(tmp_path)
    (folder / WEIGHTS).write_bytes(b"not safetensors")
    with pytest.raises(ModelError, match=f"{tmp_path.name} cannot be loaded on cpu"):
        load(folder)


def test_a_model_with_code_of_its_own_is_not_run(tmp_path: Path) -> None:
    folder = save_tiny_model(tmp_path)
    config = '{"model_type": "homemade", "auto_map": {"AutoConfig": "code.C", "AutoModelForCausalLM": "code.M"}}'
    (folder / "config.json").write_text(config)
    (folder / "code.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    with pytest.raises(ModelError, match="cannot be loaded"):
        load(folder)
    assert not (tmp_path / "ran").exists()


def test_quantized_weights_are_refused(tmp_path: Path) -> None:
    folder = save_tiny_model(tmp_path)
    text = (folder / "config.json").read_text()
    (folder / "config.json").write_text(text.replace("{", '{"quantization_config": {"quant_method": "gptq"},', 1))
    with pytest.raises(ModelError, match=r"stored quantized \(gptq\)"):
        load(folder)


@pytest.mark.parametrize(
    ("precision", "quantization", "message"), [("fp8", "none", "got 'fp8'"), ("fp32", "q4", "'q4'")]
)
def test_unknown_settings(tmp_path: Path, precision: str, quantization: str, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        load(save_tiny_model(tmp_path), precision, quantization)


class WithoutBitsandbytes(PathFinder):
    """Finds what is installed, bitsandbytes apart."""

    @classmethod
    def find_spec(cls, fullname: str, path: Any = None, target: Any = None) -> Any:
        return None if fullname == "bitsandbytes" else super().find_spec(fullname, path, target)


def test_quantization_without_bitsandbytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    finders = [WithoutBitsandbytes if finder is PathFinder else finder for finder in sys.meta_path]
    monkeypatch.setattr(sys, "meta_path", finders)
    monkeypatch.delitem(sys.modules, "bitsandbytes", raising=False)
    with pytest.raises(ModelError, match=r"'int8' needs bitsandbytes: pip install 'byrote\[quant\]'"):
        load(save_tiny_model(tmp_path), quantization="int8")


def test_nf4_is_refused_on_a_processor(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"'nf4' needs a GPU.*use int8 or none"):
        load(save_tiny_model(tmp_path), quantization="nf4")


def test_an_int8_base_trains_its_adapter_after_it_was_scored(tmp_path: Path) -> None:
    base = load(save_tiny_model(tmp_path), quantization="int8")
    token_ids_BT = torch.arange(1, 21).view(1, 20)
    with torch.no_grad():
        before_SV = base.model(input_ids=token_ids_BT).logits
    adapted = attach(base, Lora(matrices=("q", "v"), dropout=0), seed=0)
    adapted(input_ids=token_ids_BT).logits.square().mean().backward()
    gradients = [p.grad for name, p in adapted.named_parameters() if "lora_B" in name]
    assert all(gradient is not None and gradient.count_nonzero() > 0 for gradient in gradients)
    # On a processor int8 training passes leave the activations unrounded, scoring passes do not: compare the latter.
    with torch.no_grad():
        assert torch.equal(adapted.eval()(input_ids=token_ids_BT).logits, before_SV)
    detach(base, adapted)
    with torch.no_grad():
        assert torch.equal(base.model(input_ids=token_ids_BT).logits, before_SV)


def test_devices() -> None:
    assert pick_device("cpu") == CPU
    assert pick_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    for name in ("gpu", "cuda:", "cuda:x", "cpu:0", "mps", ""):
        with pytest.raises(ModelError, match="must be auto, cpu, cuda or cuda:N"):
            pick_device(name)
    with pytest.raises(ModelError, match=r"'cuda:99' is not available"):
        pick_device("cuda:99")
