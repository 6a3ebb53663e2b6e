"""What is read of adapters and whole models before anything is loaded, and what is refused."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file
from transformers import AutoConfig, AutoModelForCausalLM

from byrote import lm
from byrote.errors import ModelError
from fake_adapters import CPU, adapter, edit, save_peft
from fakes import save_tiny_model, tiny_tokenizer

DESCRIBED: dict[str, tuple[str, str, int | None, tuple[str, ...]]] = {
    "lora": ("LORA", "q,v", 4, ()),
    "all-linear": ("LORA", "q,k,v,o,gate,up,down", 4, ()),
    "bias-all": ("LORA", "q,v", 4, ("retrains biases of the base model (bias: all)",)),
    "head": ("LORA", "q,v", 4, ("retrains lm_head whole (modules_to_save)",)),
    "pissa": ("LORA", "q,v", 4, ("takes a part of the base model's weights into its own (init_lora_weights: pissa)",)),
    "tokens": ("LORA", "q,v", 4, ("retrains the embeddings of 3 tokens (trainable_token_indices)",)),
    "low-rank-embeddings": ("LORA", "embed_tokens,q_proj,v_proj", 4, ("carries its own embed_tokens",)),
    "adalora": ("ADALORA", "q,v", 2, ()),
    "ia3": ("IA3", "q,v,down", None, ()),
    "vera": ("VERA", "q,v", 4, ()),
    "prefix": ("PREFIX_TUNING", "PREFIX_TUNING", None, ()),
}


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("case", DESCRIBED)
def test_an_adapter_is_described_from_its_files(base: lm.Base, case: str, tmp_path: Path) -> None:
    files = adapter(base, tmp_path / "checkpoint-900", case)
    kind, matrices, rank, changes = DESCRIBED[case]
    assert (files.name, files.kind, files.matrices, files.rank) == ("checkpoint-900", kind, matrices, rank)
    assert len(files.changes) == len(changes)
    assert all(said.startswith(change) for said, change in zip(files.changes, changes, strict=True))
    assert files.virtual_tokens == (5 if case == "prefix" else 0)
    tensors = load_file(files.folder / "adapter_model.safetensors")
    assert files.trainable_parameters == sum(tensor.numel() for tensor in tensors.values())
    assert not files.tokenizer


def test_content_knows_what_is_computed_not_where_or_by_which_version(base: lm.Base, tmp_path: Path) -> None:
    first = adapter(base, tmp_path / "one")
    shutil.copytree(first.folder, tmp_path / "two")
    edit(
        tmp_path / "two", base_model_name_or_path="/elsewhere", peft_version="0.1", target_modules=["v_proj", "q_proj"]
    )
    assert lm.resolve_adapter(str(tmp_path / "two")).content == first.content
    edit(tmp_path / "two", lora_alpha=9)
    assert lm.resolve_adapter(str(tmp_path / "two")).content != first.content


# --- what is refused, before anything is loaded ---


def truncate(folder: Path) -> None:
    path = folder / "adapter_model.safetensors"
    path.write_bytes(path.read_bytes()[:-40])


def pickled(folder: Path) -> None:
    (folder / "adapter_model.safetensors").rename(folder / "adapter_model.bin")


def without(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def with_config(**values: Any) -> Callable[[Path], None]:
    return lambda folder: edit(folder, **values)


def as_trainers_folder(folder: Path) -> None:
    inner = folder / "checkpoint-3"
    inner.mkdir()
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        (folder / name).rename(inner / name)


UNREADABLE: dict[str, tuple[Callable[[Path], Any], str]] = {
    "pickled": (pickled, r"'given' has only pickled weights \(adapter_model\.bin\), which byrote never loads"),
    "no weights": (without("adapter_model.safetensors"), r"there is no adapter_model\.safetensors beside"),
    "no config": (without("adapter_config.json"), r"'given' has weights but no adapter_config\.json"),
    "truncated": (truncate, "the weights of adapter 'given' cannot be read"),
    "no json": (lambda f: (f / "adapter_config.json").write_text("{"), r"adapter_config\.json of adapter .* be read"),
    "a list": (lambda f: (f / "adapter_config.json").write_text("[]"), "names no peft_type"),
    "unknown": (with_config(peft_type="SOON"), "peft_type 'SOON', which the installed peft .* does not know"),
    "mixture": (with_config(peft_type="XLORA"), "peft_type XLORA, which is a mixture"),
    "task": (with_config(task_type="SEQ_CLS"), "was trained for SEQ_CLS, not for a causal language model"),
    "code": (
        with_config(auto_mapping={"parent_library": "evil.models"}),
        r"code of its own \(auto_mapping: evil\.models\)",
    ),
    "megatron": (with_config(megatron_config={"a": 1}), "Megatron"),
    "newer": (with_config(a_new_setting=True, peft_version="9.0"), r"\(peft 9\.0\) has settings .*\(a_new_setting\)"),
    "no number": (with_config(lora_alpha=None), r"adapter_config\.json of adapter 'given' cannot be used: TypeError"),
    "corda": (with_config(init_lora_weights="corda"), "convert it to plain LoRA"),
    "folder above": (as_trainers_folder, r"has no adapter_config\.json; its folders checkpoint-3 have one"),
}


@pytest.mark.parametrize("case", UNREADABLE)
def test_what_is_no_adapter_that_can_be_read_is_named(base: lm.Base, case: str, tmp_path: Path) -> None:
    spoil, said = UNREADABLE[case]
    spoil(save_peft(base, "lora", tmp_path / "given"))
    with pytest.raises(ModelError, match=said) as raised:
        lm.resolve_adapter(str(tmp_path / "given"))
    assert "\n" not in str(raised.value)


def test_a_whole_model_is_no_adapter_and_an_adapter_no_whole_model(base: lm.Base, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"'llama' is a whole model, not an adapter .*; give it as a model"):
        lm.resolve_adapter(str(base.files.folder))
    with pytest.raises(ModelError, match="'given' is an adapter, not a base model"):
        lm.resolve_base(str(save_peft(base, "lora", tmp_path / "given")))


def test_names_that_lead_nowhere(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"no such folder: '\./nowhere' \(adapter\)"):
        lm.resolve_adapter("./nowhere")
    with pytest.raises(ModelError, match=r"no such folder: 'out/run/checkpoint-3' \(adapter\)"):
        lm.resolve_adapter("out/run/checkpoint-3")
    (tmp_path / "file").touch()
    with pytest.raises(ModelError, match="is a file; give the folder"):
        lm.resolve_adapter(str(tmp_path / "file"))
    with pytest.raises(ModelError, match="revision 'main' is for hub ids"):
        lm.resolve_adapter(str(tmp_path), "main")


def test_names_of_the_base_model(base: lm.Base, tmp_path: Path) -> None:
    folder = save_peft(base, "lora", tmp_path / "given")
    same = lm.resolve_adapter(str(folder))
    assert lm.base_source_of(same) == str(base.files.folder)
    assert lm.base_differs(base.files, same) is None
    edit(folder, base_model_name_or_path="org/other")
    other = lm.resolve_adapter(str(folder))
    assert lm.base_source_of(other) == "org/other"
    assert "names the base model 'org/other', but it is measured on 'llama'" in str(lm.base_differs(base.files, other))
    edit(folder, base_model_name_or_path="/home/them/models/llama")
    moved = lm.resolve_adapter(str(folder))
    assert lm.base_differs(base.files, moved) is None
    with pytest.raises(ModelError, match=r"names the base model '/home/them/models/llama', .* with --base"):
        lm.base_source_of(moved)
    edit(folder, base_model_name_or_path=None)
    assert lm.base_source_of(lm.resolve_adapter(str(folder))) is None


def wider(folder: Path) -> Path:
    """A tiny Llama of twice the width."""
    config = AutoConfig.for_model(
        "llama", vocab_size=300, hidden_size=64, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
        intermediate_size=64, max_position_embeddings=128,
    )  # fmt: skip
    with lm.seeded(1):
        AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return folder


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("case", ["lora", "dora", "ia3", "loha", "prefix", "prompt", "head", "vera"])
def test_a_base_of_another_size_is_refused_without_weights(base: lm.Base, case: str, tmp_path: Path) -> None:
    files = adapter(base, tmp_path / "given", case)
    other = lm.resolve_base(str(wider(tmp_path / "wider")))
    (other.folder / "model.safetensors").write_bytes(b"")  # never opened
    with pytest.raises(ModelError, match=r"does not fit wider|another vocabulary or size"):
        lm.check_adapter(files, other)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_base_of_another_architecture_is_refused(bases: dict[str, lm.Base], tmp_path: Path) -> None:
    for case in ("lora", "ia3"):
        files = adapter(bases["gpt2"], tmp_path / case, case)
        with pytest.raises(ModelError, match=r"does not fit llama, which has no module 'transformer\.h\.0\."):
            lm.check_adapter(files, bases["llama"].files)


def other_tokenizer(folder: Path) -> None:
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    vocabulary = tokenizer["model"]["vocab"]
    first, second = list(vocabulary)[5:7]
    vocabulary[first], vocabulary[second] = vocabulary[second], vocabulary[first]
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))


def more_tokens(folder: Path, tokens: list[str]) -> None:
    tokenizer = tiny_tokenizer()
    tokenizer.add_tokens(tokens)
    tokenizer.save_pretrained(folder)


def test_a_tokenizer_beside_the_adapter(base: lm.Base, tmp_path: Path) -> None:
    folder = save_peft(base, "lora", tmp_path / "given")
    tiny_tokenizer().save_pretrained(folder)
    lm.check_adapter(lm.resolve_adapter(str(folder)), base.files)
    assert lm.tokens_added(lm.resolve_adapter(str(folder)), base.files) is None
    more_tokens(folder, ["<new>"])
    files = lm.resolve_adapter(str(folder))
    lm.check_adapter(files, base.files)
    assert "'given' has 1 tokens that the one of 'llama' lacks (<new>)" in str(lm.tokens_added(files, base.files))
    tiny_tokenizer().save_pretrained(folder)
    other_tokenizer(folder)
    with pytest.raises(ModelError, match=r"tokenizer of 'given' is another .* 2 of 300 tokens have another id or none"):
        lm.check_adapter(lm.resolve_adapter(str(folder)), base.files)


def test_a_model_with_another_tokenizer_or_code_of_its_own_is_refused(base: lm.Base, tmp_path: Path) -> None:
    folder = save_tiny_model(tmp_path / "tuned", seed=3)
    lm.check_model(lm.resolve_base(str(folder)), base.files)
    other_tokenizer(folder)
    with pytest.raises(ModelError, match="the tokenizer of 'tuned' is another than that of its base model llama"):
        lm.check_model(lm.resolve_base(str(folder)), base.files)
    lm.check_model(lm.resolve_base(str(folder)), None)
    config = json.loads((folder / "config.json").read_text())
    for kind, refused in (("llama", False), ("homemade", True)):
        own = {**config, "model_type": kind, "auto_map": {"AutoModelForCausalLM": "code.M"}}
        (folder / "config.json").write_text(json.dumps(own))
        files = lm.resolve_base(str(folder))
        if refused:
            with pytest.raises(ModelError, match=r"'tuned' needs code of its own \(auto_map in config\.json\)"):
                lm.open_model(files, None, "fp32", "none", CPU)
        else:
            lm.open_model(files, None, "fp32", "none", CPU)
