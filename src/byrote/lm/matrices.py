"""Matrices (q k v o gate up down) of each architecture, as the names of its modules."""

from collections.abc import Sequence

from torch import nn

from byrote.errors import ModelError

_LLAMA = {
    "q": "self_attn.q_proj",
    "k": "self_attn.k_proj",
    "v": "self_attn.v_proj",
    "o": "self_attn.o_proj",
    "gate": "mlp.gate_proj",
    "up": "mlp.up_proj",
    "down": "mlp.down_proj",
}

# model_type of config.json → matrix → end of the module's name in each layer.
MODULES: dict[str, dict[str, str]] = {
    "llama": _LLAMA,
    "mistral": _LLAMA,
    "qwen2": _LLAMA,
    "qwen3": _LLAMA,
    "gemma": _LLAMA,
    "gemma2": _LLAMA,
    "gemma3_text": _LLAMA,
    "phi": {
        "q": "self_attn.q_proj",
        "k": "self_attn.k_proj",
        "v": "self_attn.v_proj",
        "o": "self_attn.dense",
        "up": "mlp.fc1",
        "down": "mlp.fc2",
    },
    "phi3": {
        "qkv": "self_attn.qkv_proj",
        "o": "self_attn.o_proj",
        "gate_up": "mlp.gate_up_proj",
        "down": "mlp.down_proj",
    },
    "opt": {
        "q": "self_attn.q_proj",
        "k": "self_attn.k_proj",
        "v": "self_attn.v_proj",
        "o": "self_attn.out_proj",
        "up": "fc1",
        "down": "fc2",
    },
    "gpt_neox": {
        "qkv": "attention.query_key_value",
        "o": "attention.dense",
        "up": "mlp.dense_h_to_4h",
        "down": "mlp.dense_4h_to_h",
    },
    "gpt2": {"qkv": "attn.c_attn", "o": "attn.c_proj", "up": "mlp.c_fc", "down": "mlp.c_proj"},
}

FUSED = {"qkv": ("q", "k", "v"), "gate_up": ("gate", "up")}


def module_names(model: nn.Module, model_type: str, matrices: Sequence[str]) -> list[str]:
    """Full names of the modules that hold these matrices, in the model's order, each once.

    `all-linear` is every matrix of the architecture; `qkv` and `gate_up` are the fused module where there is one,
    else its parts together. Raises ModelError for an architecture that is not in MODULES, a matrix it lacks, and
    a part of a fused module asked for alone.
    """
    table = MODULES.get(model_type)
    if table is None:
        raise ModelError(f"no matrices are known for model type {model_type!r}; known: {', '.join(MODULES)}")
    wanted = {letter: table[letter] for matrix in matrices for letter in _letters(matrix, model_type, table)}
    names_of = {letter: _ending_with(model, suffix) for letter, suffix in wanted.items()}
    for letter, names in names_of.items():
        if not names:
            raise ModelError(f"this {model_type} model has no module {table[letter]!r} for matrix {letter!r}")
    chosen = {name for names in names_of.values() for name in names}
    return [name for name, _ in model.named_modules() if name in chosen]


def _letters(matrix: str, model_type: str, table: dict[str, str]) -> list[str]:
    """The keys of the architecture's table that a matrix of a study stands for."""
    if matrix == "all-linear":
        return list(table)
    if matrix in table:
        return [matrix]
    if matrix in FUSED and all(part in table for part in FUSED[matrix]):
        return list(FUSED[matrix])
    for fused, parts in FUSED.items():
        if matrix in parts and fused in table:
            raise ModelError(
                f"matrix {matrix!r} cannot be adapted alone: {model_type} fuses {_listed(parts)} in "
                f"{table[fused].rpartition('.')[2]!r}; use {fused!r}"
            )
    raise ModelError(f"{model_type} has no matrix {matrix!r}; it has {', '.join(table)}")


def _ending_with(model: nn.Module, suffix: str) -> list[str]:
    return [name for name, _ in model.named_modules() if name.endswith(f".{suffix}")]


def _listed(parts: Sequence[str]) -> str:
    return f"{', '.join(parts[:-1])} and {parts[-1]}"
