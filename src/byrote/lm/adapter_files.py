"""Adapters on disk, in PEFT's format: found, read and described; nothing is loaded and no code of theirs is run."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from hashlib import sha256
from pathlib import Path
from typing import Any

from peft import PeftConfig, __version__
from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING, PEFT_TYPE_TO_PREFIX_MAPPING
from peft.utils.peft_types import PeftType
from safetensors import SafetensorError, safe_open

from byrote.errors import ModelError
from byrote.lm.files import INDEX, TOKENIZER_FILES, WEIGHTS, content_of, digest
from byrote.lm.hub import ADAPTER_FILES, download
from byrote.lm.library import first_line
from byrote.lm.matrices import MODULES

ADAPTER_CONFIG, ADAPTER_WEIGHTS, ADAPTER_PICKLE = (
    "adapter_config.json",
    "adapter_model.safetensors",
    "adapter_model.bin",
)
PREFIX = "base_model.model."  # of names in the weights file, before the base model's own
# Settings that say where and when an adapter was written, not what it computes: no part of its content.
_INCIDENTAL = ("auto_mapping", "base_model_name_or_path", "inference_mode", "peft_version", "revision")
_UNREAD = {
    "XLORA": "which is a mixture of several adapters; merge it into its base model and give that",
    "POLY": "which wants a task with every record; merge it into its base model and give that",
    "MULTITASK_PROMPT_TUNING": "which wants a task with every record; no way is known to audit it",
}
# These leave the base model's weights alone; pissa and olora take a part of them into the adapter.
_PLAIN_STARTS = (True, False, "gaussian", "eva", "orthogonal")
_PLAIN_KEYS = {
    *("task_type", "peft_type", "r", "lora_alpha", "use_rslora", "lora_dropout", "fan_in_fan_out", "target_modules"),
    *("init_lora_weights", "runtime_config", "loftq_config", "megatron_core", "layers_to_transform", "layers_pattern"),
    *("exclude_modules", "eva_config", "corda_config", "lora_ga_config", "qalora_group_size", *_INCIDENTAL),
}


@dataclass(frozen=True)
class AdapterFiles:
    """An adapter on disk.

    name: what a person calls it, never a path · content: SHA-256 of what its configuration says it computes and of its
    weights, knows no path and no version · kind: PEFT's name of the method (LORA, IA3, PREFIX_TUNING …) · plain: LoRA
    that byrote's own layers run · base: the base model of its configuration · matrices: in byrote's words, joined by
    commas, else the names of the adapted modules, else the kind · rank: None where the method has none ·
    trainable_parameters: numbers in the weights file · changes: what it changes beside its update, in words ·
    virtual_tokens: how many places of the context it takes · tokenizer: whether a tokenizer lies beside it.
    """

    name: str
    folder: Path
    content: str
    kind: str
    plain: bool
    base: str | None
    matrices: str
    rank: int | None
    trainable_parameters: int
    changes: tuple[str, ...]
    virtual_tokens: int
    tokenizer: bool


def resolve_adapter(source: str, revision: str | None = None) -> AdapterFiles:
    """The adapter that `source` names: a local folder, or else a hub id, for which alone a network is asked.

    Raises ModelError where there is no such adapter, it is pickled, its files are damaged, the installed PEFT does not
    know its method, or it asks for code of its own.
    """
    path = Path(source).expanduser()
    if path.is_file():
        raise ModelError(f"adapter {source!r} is a file; give the folder that holds {ADAPTER_CONFIG}")
    if path.is_dir():
        if revision is not None:
            raise ModelError(f"revision {revision!r} is for hub ids, but adapter {source!r} is on this machine")
        return describe_adapter(path.resolve(), path.resolve().name)
    if looks_like_path(source):
        raise ModelError(f"no such folder: {source!r} (adapter)")
    return describe_adapter(download(source, revision, wanted=ADAPTER_FILES, what="adapter"), source)


def looks_like_path(source: str) -> bool:
    """Whether a name can only be a path: hub ids are written owner/name."""
    return source in (".", "..") or source.startswith(("/", "./", "../", "~")) or source.count("/") > 1


def describe_adapter(folder: Path, name: str) -> AdapterFiles:
    """The adapter in a folder. ModelError says what is wrong with it."""
    _check_folder(folder, name)
    values, shapes = read_values(folder, name), read_shapes(folder, name)
    try:
        return _described(folder, name, values, shapes)
    except (TypeError, ValueError, AttributeError) as error:
        raise ModelError(f"{ADAPTER_CONFIG} of adapter {name!r} cannot be used: {first_line(error)}") from error


def _described(folder: Path, name: str, values: dict[str, Any], shapes: Mapping[str, tuple[int, ...]]) -> AdapterFiles:
    config = config_from(values, name)
    canonical = json.dumps(_canonical(values), sort_keys=True)
    weights = digest(folder / ADAPTER_WEIGHTS)
    return AdapterFiles(
        name=name,
        folder=folder,
        content=sha256(f"{canonical}\0{weights}\n".encode()).hexdigest(),
        kind=values["peft_type"],
        plain=_is_plain(values, shapes),
        base=values.get("base_model_name_or_path") or None,
        matrices=_matrices(values["peft_type"], shapes),
        rank=_rank(config),
        trainable_parameters=sum(_product(shape) for shape in shapes.values()),
        changes=tuple(_changes(config, shapes)),
        virtual_tokens=int(getattr(config, "num_virtual_tokens", None) or 0),
        tokenizer=any((folder / file).is_file() for file in TOKENIZER_FILES if file.startswith("token")),
    )


def _check_folder(folder: Path, name: str) -> None:
    has = {path.name for path in folder.iterdir()}
    if ADAPTER_CONFIG not in has:
        if {"config.json", WEIGHTS, INDEX} & has:
            raise ModelError(f"{name!r} is a whole model, not an adapter (no {ADAPTER_CONFIG}); give it as a model")
        if ADAPTER_WEIGHTS in has:
            raise ModelError(f"adapter {name!r} has weights but no {ADAPTER_CONFIG}; save it with save_pretrained")
        inner = sorted(path.parent.name for path in folder.glob(f"*/{ADAPTER_CONFIG}"))
        hint = f"; its folders {', '.join(inner)} have one" if inner else ""
        raise ModelError(f"{name!r} is not an adapter: {folder} has no {ADAPTER_CONFIG}{hint}")
    if ADAPTER_WEIGHTS not in has:
        if ADAPTER_PICKLE in has:
            raise ModelError(
                f"adapter {name!r} has only pickled weights ({ADAPTER_PICKLE}), which byrote never loads; "
                "save it as safetensors with save_pretrained"
            )
        raise ModelError(
            f"adapter {name!r}: there is no {ADAPTER_WEIGHTS} beside {ADAPTER_CONFIG} (pickled weights are not read)"
        )


def read_values(folder: Path, name: str) -> dict[str, Any]:
    """What adapter_config.json says. ModelError where it is no JSON, or of a method that cannot be read."""
    path = folder / ADAPTER_CONFIG
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"{ADAPTER_CONFIG} of adapter {name!r} cannot be read: {first_line(error)}") from error
    if not isinstance(values, dict) or "peft_type" not in values:
        raise ModelError(f"{ADAPTER_CONFIG} of adapter {name!r} names no peft_type; it is not PEFT's format")
    _refuse_foreign_code(values, name)
    kind, task = values["peft_type"], values.get("task_type")
    if kind not in list(PEFT_TYPE_TO_CONFIG_MAPPING):
        raise ModelError(
            f"adapter {name!r} is of peft_type {kind!r}, which the installed peft {__version__} does not know; "
            "pip install -U peft"
        )
    if kind in _UNREAD:
        raise ModelError(f"adapter {name!r} is of peft_type {kind}, {_UNREAD[kind]}")
    if task not in (None, "CAUSAL_LM"):
        raise ModelError(f"adapter {name!r} was trained for {task}, not for a causal language model (CAUSAL_LM)")
    return values


def _refuse_foreign_code(values: Mapping[str, Any], name: str) -> None:
    # PEFT writes auto_mapping itself where no task was named: then it is a module of transformers.
    library = (values.get("auto_mapping") or {}).get("parent_library")
    if library is not None and str(library).partition(".")[0] != "transformers":
        raise ModelError(
            f"adapter {name!r} asks for code of its own (auto_mapping: {library}), which byrote never runs"
        )
    if values.get("megatron_config"):
        raise ModelError(f"adapter {name!r} asks for Megatron's layers (megatron_config), which byrote does not run")


def config_from(values: Mapping[str, Any], name: str) -> PeftConfig:
    """PEFT's configuration for evaluation; it names no base model, so that nothing is asked of the hub.

    Raises ModelError for values that PEFT refuses, and settings of a newer PEFT that are in use.
    """
    kind: Any = PEFT_TYPE_TO_CONFIG_MAPPING[PeftType(values["peft_type"])]
    known = {field.name for field in fields(kind)}
    unknown = sorted(key for key, value in values.items() if key not in known and key != "runtime_config" and value)
    if unknown:
        written = values.get("peft_version") or "unknown"
        raise ModelError(
            f"adapter {name!r} (peft {written}) has settings that {values['peft_type']} of the installed peft "
            f"{__version__} does not know ({', '.join(unknown)}); pip install -U peft"
        )
    used = {key: value for key, value in values.items() if key in known and key not in ("auto_mapping", "revision")}
    start = str(used.get("init_lora_weights"))
    if (
        used["peft_type"] == "LORA"
        and start not in map(str, _PLAIN_STARTS)
        and not start.startswith(("pissa", "olora"))
    ):
        raise ModelError(
            f"adapter {name!r} began from init_lora_weights {start!r}, whose changed base weights are not kept with "
            "it; convert it to plain LoRA (path_initial_model_for_weight_conversion)"
        )
    used |= {"base_model_name_or_path": None, "inference_mode": True, "task_type": "CAUSAL_LM"}
    try:
        return kind(**used)
    except (ValueError, TypeError, KeyError, ImportError) as error:
        raise ModelError(f"{ADAPTER_CONFIG} of adapter {name!r} cannot be used: {first_line(error)}") from error


def read_shapes(folder: Path, name: str) -> dict[str, tuple[int, ...]]:
    """The shape of each tensor, from the weights file's header alone. ModelError where the file is damaged."""
    try:
        with safe_open(folder / ADAPTER_WEIGHTS, framework="pt") as file:
            shapes = {key: tuple(file.get_slice(key).get_shape()) for key in file.keys()}  # noqa: SIM118 (not a dict)
    except (OSError, SafetensorError) as error:
        raise ModelError(f"the weights of adapter {name!r} cannot be read: {first_line(error)}") from error
    if not shapes:
        raise ModelError(f"{ADAPTER_WEIGHTS} of adapter {name!r} is empty; save the trained adapter again")
    return shapes


def adapted_modules(kind: str, shapes: Iterable[str]) -> list[str]:
    """Names of the base model's modules that tensors of the method belong to, in the file's order, each once."""
    mark = f".{PEFT_TYPE_TO_PREFIX_MAPPING[PeftType(kind)]}"
    own = [key.removeprefix(PREFIX) for key in shapes if key.startswith(PREFIX)]
    return list(dict.fromkeys(key.partition(mark)[0] for key in own if mark in key))


def _canonical(values: Mapping[str, Any]) -> dict[str, Any]:
    """Settings that matter; PEFT writes sets as lists in an order that varies."""
    kept = {key: value for key, value in values.items() if key not in _INCIDENTAL and value is not None}
    strings = {k: sorted(v) for k, v in kept.items() if isinstance(v, list) and all(isinstance(i, str) for i in v)}
    return {**kept, **strings}


def _is_plain(values: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]]) -> bool:
    others = [key for key, value in values.items() if key not in _PLAIN_KEYS and value not in (None, False, "none")]
    if values["peft_type"] != "LORA" or any(values[key] not in ({}, []) for key in others):
        return False
    if values.get("target_modules") in (None, "all-linear"):  # PEFT works out the modules
        return False
    if values.get("init_lora_weights", True) not in _PLAIN_STARTS or not values.get("lora_alpha", 8) > 0:
        return False
    ranks = {shape[0 if key.endswith("lora_A.weight") else -1] for key, shape in shapes.items()}
    pairs = all(k.endswith((".lora_A.weight", ".lora_B.weight")) and len(shape) == 2 for k, shape in shapes.items())
    return pairs and ranks == {values.get("r", 8)}


def _matrices(kind: str, shapes: Mapping[str, tuple[int, ...]]) -> str:
    names = adapted_modules(kind, shapes)
    for table in MODULES.values():
        letters = [letter for letter, suffix in table.items() if any(n.endswith(f".{suffix}") for n in names)]
        suffixes = tuple(f".{table[letter]}" for letter in letters)
        if letters and all(name.endswith(suffixes) for name in names):
            return ",".join(letters)
    return ",".join(sorted({name.rpartition(".")[2] for name in names})) or kind


def _rank(config: Any) -> int | None:
    if config.peft_type == PeftType.ADALORA:
        return int(config.target_r)  # what the budget leaves; init_r is where it begins
    rank = getattr(config, "r", None)
    return int(rank) if rank else None


def _changes(config: Any, shapes: Mapping[str, tuple[int, ...]]) -> Iterable[str]:
    if saved := getattr(config, "modules_to_save", None):
        yield f"retrains {', '.join(sorted(saved))} whole (modules_to_save)"
    bias = getattr(config, "bias", "none")
    if bias not in ("none", False, None):
        yield f"retrains biases of the base model (bias: {bias})"
    if (start := getattr(config, "init_lora_weights", True)) not in _PLAIN_STARTS:
        drawn = "; its random part is drawn anew at each loading" if "niter" in str(start) else ""
        yield f"takes a part of the base model's weights into its own (init_lora_weights: {start}{drawn})"
    tokens = getattr(config, "trainable_token_indices", None) or getattr(config, "token_indices", None)
    if tokens:
        lists = tokens.values() if isinstance(tokens, dict) else [tokens]
        yield f"retrains the embeddings of {sum(len(t) for t in lists)} tokens (trainable_token_indices)"
    wrapped = set(getattr(config, "modules_to_save", None) or ())
    ends = (".embed_tokens", ".lm_head", ".wte", ".embed_in", ".embed_out")
    for key in shapes:
        name = f".{key}".removesuffix(".weight").removesuffix(".base_layer")
        if name.endswith(ends) and name.rpartition(".")[2] not in wrapped:
            yield f"carries its own {name.rpartition('.')[2]} (stored beside the update)"


def _product(shape: tuple[int, ...]) -> int:
    total = 1
    for size in shape:
        total *= size
    return total


def tokenizer_content(files: AdapterFiles) -> str:
    """SHA-256 over the tokenizer's files beside an adapter, as `BaseFiles.tokenizer_content`."""
    return content_of([files.folder / file for file in TOKENIZER_FILES if (files.folder / file).is_file()])
