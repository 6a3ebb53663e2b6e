"""Every PEFT method against PEFT itself, on the base model that must come back."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
from transformers import AutoModelForCausalLM

from byrote import lm
from byrote.lm.library import quiet
from byrote.passes.generation import Prompt, complete, suffix_chances
from byrote.passes.scoring import score
from byrote.records import TokenScores
from byrote.study import Extraction
from fakes import EOS_ID, save_tiny_model

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
    "all-linear": (peft.LoraConfig, lambda a: {**LORA, "target_modules": "all-linear"}),
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
PLAIN = {"lora", "rslora", "all-linear", "one-layer"}
APART = {"prefix", "projected-prefix", "prompt", "p-tuning", "randlora", "fourier"}
ONLY_LLAMA = {"loha", "lokr", "oft", "boft", "olora"}  # PEFT lacks them for GPT-2's kind of layer
FEW_CHANGE = {"tokens": 0.5, "only-tokens": 0}  # scores that change where two tokens do


@pytest.fixture(scope="module", params=["llama", "gpt2"])
def base(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> lm.Base:
    folder = save_tiny_model(tmp_path_factory.mktemp("base") / request.param, request.param)
    return lm.load_base(lm.resolve_base(str(folder)), "fp32", "none", CPU)


def fresh(folder: Path) -> Any:
    with quiet():
        return AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager").eval()


def save_adapter(base: lm.Base, case: str, folder: Path) -> Path:
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


@pytest.mark.filterwarnings("ignore::UserWarning")  # PEFT's advice to those who train
@pytest.mark.parametrize("case", CASES)
def test_scores_and_completions_are_pefts_and_the_base_comes_back(
    base: lm.Base, case: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    if base.model_type != "llama" and case in ONLY_LLAMA:
        return
    files = lm.resolve_adapter(str(save_adapter(base, case, tmp_path / "adapter")))
    with quiet():
        oracle = peft.PeftModel.from_pretrained(fresh(base.files.folder), str(files.folder)).eval()
    lm.check_adapter(files, base.files)
    before, plain = weights(base), scores(base.model)
    model = lm.open_adapter(base, files)
    assert files.plain == isinstance(model, lm.Adapted) == (case in PLAIN)
    assert lm.packs(model) == (case not in APART)
    assert not any(module.training for module in model.modules())
    assert not any(parameter.requires_grad for parameter in model.parameters())
    got = scores(model)
    want = torch.cat([theirs(oracle, ids) for ids in token_ids()])
    torch.testing.assert_close(torch.from_numpy(got.logprob), want, atol=1e-4, rtol=0)
    assert (got.logprob != plain.logprob).mean() > FEW_CHANGE.get(case, 0.9)
    _compare_completions(model, oracle)
    lm.close_adapter(base, model)
    after = base.model.state_dict()
    assert list(after) == list(before)
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())
    again = scores(base.model)
    assert all((getattr(again, name) == getattr(plain, name)).all() for name in ("logprob", "top1", "mean", "std"))
    assert not base.model.training
    assert not any(parameter.requires_grad for parameter in base.model.parameters())


@torch.no_grad()
def _compare_completions(model: Any, oracle: Any) -> None:
    """Greedy completions of two prompts of unlike length, and the chance of a suffix, by PEFT's forward pass."""
    prompts = [Prompt("a", tuple(token_ids()[2]), 5, 0.3), Prompt("b", tuple(token_ids()[4]), 3, 0.3)]
    drawn = complete(model, prompts, Extraction(temperatures=(0.0,)), EOS_ID, str, 4)
    chances = suffix_chances(model, prompts, Extraction(temperatures=(1.0,), top_k=0, top_p=1.0), 64)
    for prompt, completion, chance in zip(prompts, drawn, chances, strict=True):
        ids = list(prompt.start)
        for _ in prompt.suffix:
            ids.append(int(oracle(input_ids=torch.tensor([ids])).logits[0, -1].argmax()))
            if ids[-1] == EOS_ID:
                break
        assert completion.token_ids == tuple(ids[prompt.prefix_tokens :])
        whole = theirs(oracle, list(prompt.token_ids))[prompt.prefix_tokens - 1 :]
        assert chance.log_probability == pytest.approx(float(whole.sum()), abs=1e-3)
