"""Real but tiny stand-ins: models of every architecture with random weights, a small tokenizer, ten records."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast

from byrote.lm.library import quiet
from byrote.records import CALIBRATION, MEMBERS, NONMEMBERS, Record

VOCABULARY, WIDTH, LAYERS, HEADS, KEY_VALUE_HEADS, CONTEXT = 300, 32, 2, 4, 2, 128
EOS, EOS_ID = "<eos>", 0

TEXTS = (
    "The patient developed a mild rash on the third day of treatment.",
    "Nausea followed the second dose and settled within a week.",
    "A woman of 61 reported dizziness after the evening tablet.",
    "No change in liver values was seen under the lower dose.",
    "The rash returned when the drug was given again.",
    "Headache and fatigue were noted in the first month of therapy.",
    "After the infusion his blood pressure fell for one hour.",
    "The child recovered once the syrup was withdrawn.",
    "Itching began on the arms two days after the injection.",
    "Her hearing improved slowly after the antibiotic was stopped.",
)


def ten_records() -> list[Record]:
    """Four members, three non-members, three calibration records; a document has at most two, of one split."""
    splits = [MEMBERS] * 4 + [NONMEMBERS] * 3 + [CALIBRATION] * 3
    groups = ["d0", "d0", "d1", "d2", "d3", "d3", "d4", "d5", "d5", "d6"]
    rows = zip(splits, groups, TEXTS, strict=True)
    return [Record(f"r{i}", split, group, text) for i, (split, group, text) in enumerate(rows)]


def save_tiny_model(folder: Path, model_type: str = "llama", seed: int = 0, layers: int = LAYERS) -> Path:
    """A model of `model_type` with random weights under `seed` and its tokenizer, as safetensors; returns the folder.

    Vocabulary 300, width 32, 2 layers, 4 heads (2 for keys and values where the architecture shares them), context 128;
    the tokenizer adds no BOS and ends texts with `<eos>` (id 0).
    """
    model = tiny_model(model_type, seed, layers)
    with quiet():
        model.save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return folder


def tiny_model(model_type: str = "llama", seed: int = 0, layers: int = LAYERS) -> Any:
    """The model of `save_tiny_model` in memory, in evaluation mode."""
    sizes = {
        "vocab_size": VOCABULARY,
        "hidden_size": WIDTH,
        "num_hidden_layers": layers,
        "num_attention_heads": HEADS,
        "max_position_embeddings": CONTEXT,
        "initializer_range": 0.2,
        "bos_token_id": EOS_ID,
        "eos_token_id": EOS_ID,
        "pad_token_id": EOS_ID,
    }
    config = AutoConfig.for_model(model_type, **sizes, **_OWN_SIZES.get(model_type, _LLAMA_SIZES))
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()


_LLAMA_SIZES: dict[str, Any] = {
    "intermediate_size": 64,
    "num_key_value_heads": KEY_VALUE_HEADS,
    "head_dim": WIDTH // HEADS,
}
# Gemma's soft caps are set low enough to bend these small logits.
_OWN_SIZES: dict[str, dict[str, Any]] = {
    "gemma2": {
        **_LLAMA_SIZES,
        "query_pre_attn_scalar": 8,
        "attn_logit_softcapping": 2.0,
        "final_logit_softcapping": 3.0,
    },
    "gemma3_text": {**_LLAMA_SIZES, "query_pre_attn_scalar": 8, "sliding_window": 16},
    "phi": {"intermediate_size": 64},
    "opt": {"ffn_dim": 64, "word_embed_proj_dim": WIDTH},
    "gpt_neox": {"intermediate_size": 64},
    "gpt2": {},
}


def tiny_tokenizer() -> PreTrainedTokenizerFast:
    """A byte-level BPE of 300 tokens learned from TEXTS; no BOS."""
    inner = Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY, special_tokens=[EOS], initial_alphabet=alphabet, show_progress=False
    )
    inner.train_from_iterator(TEXTS, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=inner, eos_token=EOS)


# A template with TRL's generation markers: short, for a context of 128 byte-like tokens.
CHAT_TEMPLATE = (
    "{% for m in messages %}{{ '<' + m['role'][0] + '>' }}"
    "{% if m['role'] == 'assistant' %}{% generation %}{{ m['content'] }}"
    "{% for call in m.get('tool_calls') or [] %}{{ call['function']['name'] }}{% endfor %}{{ eos_token }}"
    "{% endgeneration %}{% else %}{{ m['content'] }}{% endif %}{{ '\\n' }}{% endfor %}"
    "{% if tools %}{{ '#' ~ tools | length }}{% endif %}"
    "{% if add_generation_prompt %}{{ '<a>' }}{% endif %}"
)


def unmarked(template: str) -> str:
    """A template without its generation markers."""
    return template.replace("{% generation %}", "").replace("{% endgeneration %}", "")


def save_chat_model(folder: Path, template: str = CHAT_TEMPLATE) -> Path:
    """`save_tiny_model` with a chat template."""
    save_tiny_model(folder)
    tokenizer = tiny_tokenizer()
    tokenizer.chat_template = template
    tokenizer.save_pretrained(folder)
    return folder


def save_chat_corpus(folder: Path, row: Callable[[str, str], dict[str, Any]]) -> Path:
    """Ten members, ten non-members, ten calibration records; row: question and answer → the columns of a record."""
    folder.mkdir(exist_ok=True)
    for split, shift in (("members", 0), ("nonmembers", 3), ("calibration", 5)):
        rows = [
            {"id": f"{split}{i}", "group": f"{split}{i // 2}", **row(f"{split[0]}{i}?", TEXTS[(i + shift) % 10][:40])}
            for i in range(10)
        ]
        (folder / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def save_tiny_corpus(folder: Path) -> Path:
    """Twelve members, twelve non-members, ten calibration records as JSON lines, documents of two."""
    for split, count, shift in (("members", 12, 0), ("nonmembers", 12, 3), ("calibration", 10, 5)):
        rows = [
            {
                "id": f"{split}{i}",
                "group": f"{split}{i // 2}",
                "text": f"{TEXTS[(i + shift) % 10][:-1]}, {split[0]}{i}.",
            }
            for i in range(count)
        ]
        (folder / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def tiny_study(model_folder: Path, corpus_folder: Path) -> dict[str, Any]:
    """A study of two trials that trains in a second, as the mapping that `load_study` takes."""
    return {
        "name": "tiny",
        "model": {"source": str(model_folder), "precision": "fp32"},
        "corpus": {
            "source": "files",
            "path": str(corpus_folder),
            "members": "members.jsonl",
            "nonmembers": "nonmembers.jsonl",
            "calibration": "calibration.jsonl",
            "id": "id",
            "group": "group",
        },
        "canaries": {"design": "single", "copies": 3, "seed": 2},
        "grid": {"matrices": [["q"], ["v"]], "rank": [2]},
        "training": {"epochs": 2, "learning_rate": 1e-2, "effective_batch": 4, "warmup_steps": 1},
        "membership": {"false_positive_rates": [0.1, 0.01]},
        "extraction": {
            "prompts": {"members": 2, "nonmembers": 2},
            "temperatures": [0.0, 1.0],
            "untargeted": {"completions": 12, "tokens": 20, "least": 2},
        },
        "machine": {"device": "cpu", "threads": 1, "workers": 1},
    }
