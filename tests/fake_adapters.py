"""Adapters of every PEFT method on the tiny models, saved by PEFT itself; and its forward pass as the oracle."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import peft
import torch
from transformers import AutoModelForCausalLM

from byrote import lm
from byrote.lm.library import quiet
from byrote.passes.scoring import score
from byrote.records import TokenScores
from fakes import save_tiny_model

CPU = torch.device("cpu")
Q_V = {"llama": ["q_proj", "v_proj"], "gpt2": ["c_attn"]}
MLP = {"llama": ["down_proj"], "gpt2": ["mlp.c_proj"]}
INPUT = {"llama": "embed_tokens", "gpt2": "wte"}
NORM = {"llama": ["input_layernorm"], "gpt2": ["ln_1"]}
LORA, ROWS = {"r": 4, "lora_alpha": 8, "lora_dropout": 0.1}, {"num_virtual_tokens": 5}

# name → kind of configuration, its settings by architecture, and the architectures that PEFT knows it for
Case = tuple[type[Any], Callable[[str], dict[str, Any]]]
CASES: dict[str, Case] = {
    "lora": (peft.LoraConfig, lambda a: {**LORA, "target_modules": Q_V[a]}),
    "rslora": (peft.LoraConfig, lambda a: {**LORA, "target_modules": Q_V[a], "use_rslora": True}),
    "dora": (peft.LoraConfig, lambda a: {**LORA, "target_modules": Q_V[a], "use_dora": True}),
    "all-linear": (peft.LoraConfig, lambda _: {**LORA, "target_modules": "all-linear"}),
    "bias-all": (peft.LoraConfig, lambda a: {**LORA, "target_modules": Q_V[a], "bias": "all"}),
    "bias-lora": (peft.LoraConfig, lambda a: {**LORA, "target_modules": Q_V[a], "bias": "lora_only"}),
    "own-bias": (peft.LoraConfig, lambda a: {**LORA, "target_modules": Q_V[a], "lora_bias": True}),
    "head": (peft.LoraConfig, lambda a: {**LORA, "target_modules": Q_V[a], "modules_to_save": ["lm_head"]}),
    "embeddings": (peft.LoraConfig, lambda a: {**LORA, "target_modules": Q_V[a], "modules_to_save": [INPUT[a]]}),
    "low-rank-embeddings": (peft.LoraConfig, lambda a: {**LORA, "target_modules": [*Q_V[a], INPUT[a]]}),
    "rank-pattern": (
        peft.LoraConfig,
        lambda a: {**LORA, "target_modules": Q_V[a], "rank_pattern": {Q_V[a][-1]: 2}, "alpha_pattern": {Q_V[a][0]: 3}},
    ),
    "one-layer": (peft.LoraConfig, lambda a: {**LORA, "target_modules": Q_V[a], "layers_to_transform": [1]}),
    "pissa": (peft.LoraConfig, lambda a: {**LORA, "target_modules": Q_V[a], "init_lora_weights": "pissa"}),
    "olora": (peft.LoraConfig, lambda a: {**LORA, "target_modules": Q_V[a], "init_lora_weights": "olora"}),
    "tokens": (peft.LoraConfig, lambda a: {**LORA, "target_modules": Q_V[a], "trainable_token_indices": [1, 40, 70]}),
    "only-tokens": (peft.TrainableTokensConfig, lambda a: {"target_modules": [INPUT[a]], "token_indices": [1, 40]}),
    "adalora": (peft.AdaLoraConfig, lambda a: {"target_modules": Q_V[a], "init_r": 4, "target_r": 2, "total_step": 9}),
    "ia3": (peft.IA3Config, lambda a: {"target_modules": [*Q_V[a], *MLP[a]], "feedforward_modules": MLP[a]}),
    "loha": (peft.LoHaConfig, lambda a: {"target_modules": Q_V[a], "r": 2}),
    "lokr": (peft.LoKrConfig, lambda a: {"target_modules": Q_V[a], "r": 2}),
    "oft": (peft.OFTConfig, lambda a: {"target_modules": Q_V[a], "oft_block_size": 8, "r": 0}),
    "boft": (peft.BOFTConfig, lambda a: {"target_modules": Q_V[a], "boft_block_size": 4}),
    "vera": (peft.VeraConfig, lambda a: {"target_modules": Q_V[a], "r": 4}),
    "norms": (peft.LNTuningConfig, lambda a: {"target_modules": NORM[a]}),
    "prefix": (peft.PrefixTuningConfig, lambda _: ROWS),
    "projected-prefix": (
        peft.PrefixTuningConfig,
        lambda _: {**ROWS, "prefix_projection": True, "encoder_hidden_size": 16},
    ),
    "prompt": (peft.PromptTuningConfig, lambda _: ROWS),
    "p-tuning": (peft.PromptEncoderConfig, lambda _: {**ROWS, "encoder_hidden_size": 16}),
    "randlora": (peft.RandLoraConfig, lambda a: {"target_modules": Q_V[a], "r": 4}),
    "fourier": (peft.FourierFTConfig, lambda a: {"target_modules": Q_V[a], "n_frequency": 20}),
}


def load_bases(folder: Path) -> dict[str, lm.Base]:
    """A tiny Llama and a tiny GPT-2."""
    files = {kind: lm.resolve_base(str(save_tiny_model(folder / kind, kind))) for kind in Q_V}
    return {kind: lm.load_base(found, "fp32", "none", CPU) for kind, found in files.items()}


def fresh(folder: Path) -> Any:
    with quiet():
        return AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager").eval()


def save_peft(base: lm.Base, case: str, folder: Path) -> Path:
    """An adapter of PEFT's own on a fresh copy of the base, every trained number moved, saved by PEFT."""
    kind, settings = CASES[case]
    config = kind(task_type="CAUSAL_LM", **settings(base.model_type))
    generator = torch.Generator().manual_seed(5)
    with lm.seeded(3):
        model: Any = peft.get_peft_model(fresh(base.files.folder), config)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.1)
    model.save_pretrained(folder, save_embedding_layers="auto" if "embeddings" in case else False)
    return folder


def adapter(base: lm.Base, folder: Path, case: str = "lora") -> lm.AdapterFiles:
    return lm.resolve_adapter(str(save_peft(base, case, folder)))


def edit(folder: Path, **values: Any) -> None:
    path = folder / "adapter_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def token_ids() -> list[list[int]]:
    generator = torch.Generator().manual_seed(1)
    return [torch.randint(1, 300, (n,), generator=generator).tolist() for n in (9, 4, 17, 2, 12)]


def scores(model: Any) -> TokenScores:
    ids = token_ids()
    return score(model, [f"r{i}" for i in range(len(ids))], ids, 24)


def weights(base: lm.Base) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in base.model.state_dict().items()}


@torch.no_grad()
def theirs(model: Any, ids: list[int]) -> torch.Tensor:
    """Log-probability of each token by PEFT's forward pass, one record by itself."""
    logp = model(input_ids=torch.tensor([ids])).logits[0, -len(ids) :].log_softmax(-1)
    return logp[:-1].gather(-1, torch.tensor(ids[1:])[:, None])[:, 0]
