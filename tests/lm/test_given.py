"""Every PEFT method, and whole models, against PEFT and transformers themselves; the base model must come back."""

from pathlib import Path
from typing import Any

import peft
import pytest
import torch
from accelerate import dispatch_model

from byrote import lm
from byrote.errors import ModelError
from byrote.lm.base import _spreads, held_bytes
from byrote.lm.library import quiet
from byrote.passes.generation import Prompt, complete, suffix_chances
from byrote.study import Extraction, Lora
from fake_adapters import CASES, CPU, adapter, fresh, scores, theirs, token_ids, weights
from fakes import EOS_ID, tiny_tokenizer

PLAIN = {"lora", "rslora", "all-linear", "one-layer"}
APART = {"prefix", "projected-prefix", "prompt", "p-tuning", "randlora", "fourier"}
ONLY_LLAMA = {"loha", "lokr", "oft", "boft", "olora"}  # PEFT lacks them for GPT-2's kind of layer
SOON = ("lora", "dora", "bias-all", "head", "pissa", "tokens", "ia3", "norms", "prefix", "prompt")
PAIRS = [
    *(("llama", case) for case in CASES),
    *(pytest.param("gpt2", c, marks=[] if c in SOON else pytest.mark.slow) for c in CASES if c not in ONLY_LLAMA),
]
FEW_CHANGE = {"tokens": 0.5, "only-tokens": 0}  # scores that change where two tokens do


@pytest.mark.filterwarnings("ignore::UserWarning")  # PEFT's advice to those who train
@pytest.mark.parametrize(("architecture", "case"), PAIRS)
def test_scores_and_completions_are_pefts_and_the_base_comes_back(
    bases: dict[str, lm.Base], architecture: str, case: str, tmp_path: Path
) -> None:
    base = bases[architecture]
    files = adapter(base, tmp_path / "adapter", case)
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


def test_an_adapter_of_byrote_itself_runs_by_its_own_layers(base: lm.Base, tmp_path: Path) -> None:
    trained = lm.attach(base, Lora(matrices=("q", "v"), rank=3, alpha=2.5, scaling="proportional"), seed=1)
    for _, _, b_OR in trained.weights_of(0):
        b_OR.fill_(0.03)
    want = scores(trained.eval())
    lm.save_adapter(trained, tmp_path / "own", base.files.name)
    lm.close_adapter(base, trained)
    files = lm.resolve_adapter(str(tmp_path / "own"))
    lm.check_adapter(files, base.files)
    model = lm.open_adapter(base, files)
    assert isinstance(model, lm.Adapted)
    assert (scores(model).logprob == want.logprob).all()
    lm.close_adapter(base, model)


def test_a_base_that_does_not_come_back_is_noticed(base: lm.Base, tmp_path: Path) -> None:
    model = lm.open_adapter(base, adapter(base, tmp_path / "dora", "dora"))
    weight = base.model.get_parameter("lm_head.weight")
    with torch.no_grad():
        weight[3, 4] += 1
    with pytest.raises(ModelError, match=r"does not give llama back: lm_head\.weight differs \(1 such\)"):
        lm.close_adapter(base, model)
    with torch.no_grad():
        weight[3, 4] -= 1
    base.trace = None


def test_a_second_adapter_is_refused(base: lm.Base, tmp_path: Path) -> None:
    files = adapter(base, tmp_path / "dora", "dora")
    model = lm.open_adapter(base, files)
    with pytest.raises(ModelError, match="llama already carries an adapter"):
        lm.open_adapter(base, files)
    lm.close_adapter(base, model)


# --- whole models ---


@pytest.mark.parametrize("architecture", ["llama", "gpt2"])  # GPT-2 ties its embeddings to its output layer
def test_a_full_fine_tune_is_scored_as_transformers_does(
    bases: dict[str, lm.Base], architecture: str, tmp_path: Path
) -> None:
    base = bases[architecture]
    tuned = fresh(base.files.folder)
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in tuned.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.02)
    for name, size in (("whole", "1GB"), ("sharded", "20KB")):
        with quiet():
            tuned.save_pretrained(tmp_path / name, max_shard_size=size)
        tiny_tokenizer().save_pretrained(tmp_path / name)
        files = lm.resolve_base(str(tmp_path / name))
        subject = lm.open_model(files, base, "fp32", "none", CPU)
        want = torch.cat([theirs(tuned, ids) for ids in token_ids()])
        torch.testing.assert_close(torch.from_numpy(scores(subject.model).logprob), want, atol=1e-4, rtol=0)
    assert len(list((tmp_path / "sharded").glob("*.safetensors"))) > 1


def test_a_merged_adapter_is_the_adapter(base: lm.Base, tmp_path: Path) -> None:
    files = adapter(base, tmp_path / "given")
    merged = peft.PeftModel.from_pretrained(fresh(base.files.folder), str(files.folder)).merge_and_unload()
    with quiet():
        merged.save_pretrained(tmp_path / "merged")
    tiny_tokenizer().save_pretrained(tmp_path / "merged")
    subject = lm.open_model(lm.resolve_base(str(tmp_path / "merged")), base, "fp32", "none", CPU)
    model = lm.open_adapter(base, files)
    assert abs(scores(subject.model).logprob - scores(model).logprob).max() < 1e-4
    lm.close_adapter(base, model)


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("case", ["lora", "ia3", "head", "prefix"])
def test_an_adapter_on_an_int8_base(bases: dict[str, lm.Base], case: str, tmp_path: Path) -> None:
    base = lm.load_base(bases["llama"].files, "fp32", "int8", CPU)
    other = lm.load_base(bases["llama"].files, "fp32", "int8", CPU)
    before, files = scores(base.model), adapter(bases["llama"], tmp_path / "given", case)
    oracle = peft.PeftModel.from_pretrained(other.model, str(files.folder)).eval()
    model = lm.open_adapter(base, files)
    want = torch.cat([theirs(oracle, ids) for ids in token_ids()])
    torch.testing.assert_close(torch.from_numpy(scores(model).logprob), want, atol=0.06, rtol=0)  # roundings flip
    lm.close_adapter(base, model)
    assert (scores(base.model).logprob == before.logprob).all()


def test_dora_on_int8_is_refused_on_a_processor(bases: dict[str, lm.Base], tmp_path: Path) -> None:
    base = lm.load_base(bases["llama"].files, "fp32", "int8", CPU)
    with pytest.raises(ModelError, match="'given' is DoRA, which does not run on int8 on a processor; use none"):
        lm.open_adapter(base, adapter(bases["llama"], tmp_path / "given", "dora"))


# --- several devices, as far as one processor can show ---


@pytest.mark.parametrize("case", ["lora", "dora"])
def test_a_model_that_accelerate_has_dispatched_is_scored_and_given_back(
    bases: dict[str, lm.Base], case: str, tmp_path: Path
) -> None:
    files = lm.resolve_base(str(bases["llama"].files.folder))
    base = lm.load_base(files, "fp32", "none", CPU)
    want, given = scores(base.model), adapter(base, tmp_path / "given", case)
    plain = lm.open_adapter(base, given)
    tuned = scores(plain)
    lm.close_adapter(base, plain)
    parts = ("model.embed_tokens", "model.layers.0", "model.layers.1", "model.norm", "model.rotary_emb", "lm_head")
    dispatched: Any = dispatch_model(base.model, dict.fromkeys(parts, "cpu"), force_hooks=True)
    base.model = dispatched
    model = lm.open_adapter(base, given)
    assert (scores(model).logprob == tuned.logprob).all()
    lm.close_adapter(base, model)
    assert (scores(base.model).logprob == want.logprob).all()


def test_a_model_is_spread_where_it_exceeds_its_gpu_and_there_are_others(
    base: lm.Base, monkeypatch: pytest.MonkeyPatch
) -> None:
    gpu, size = torch.device("cuda", 0), held_bytes(base.total_parameters, "fp32", "none")
    for gpus, free, spread in ((1, size - 1, False), (2, size - 1, True), (2, size, False)):
        monkeypatch.setattr(torch.cuda, "device_count", lambda gpus=gpus: gpus)
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _, free=free: (free, 2 * free))
        assert _spreads(base.files, "fp32", "none", gpu) == spread
        assert not _spreads(base.files, "fp32", "none", CPU)


def test_bytes_that_weights_take() -> None:
    sizes = [held_bytes(10, p, q) for p, q in (("fp32", "none"), ("bf16", "none"), ("bf16", "int8"), ("bf16", "nf4"))]
    assert sizes == [40, 20, 10, 5]
