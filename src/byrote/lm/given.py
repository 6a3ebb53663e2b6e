"""Subjects that are given: adapters and whole models that were tuned elsewhere, on a base model that comes back.

Plain LoRA runs by byrote's own layers, every other method by PEFT's (docs/subjects.md).
"""

import json
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from peft import PeftConfig, PeftModelForCausalLM, get_peft_model_state_dict, set_peft_model_state_dict
from peft.tuners.tuners_utils import check_target_module_exists
from safetensors import SafetensorError
from safetensors.torch import load_file
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from byrote.errors import ModelError
from byrote.lm.adapter_files import (
    ADAPTER_WEIGHTS,
    PREFIX,
    AdapterFiles,
    adapted_modules,
    config_from,
    looks_like_path,
    read_shapes,
    read_values,
    tokenizer_content,
)
from byrote.lm.adapters import Adapted, Carrier, detach, refuse_second, seeded
from byrote.lm.base import Base, linear_width, load_base, skeleton
from byrote.lm.files import BaseFiles
from byrote.lm.library import first_line, quiet, text_config
from byrote.lm.snapshot import Snapshot, lend, trace
from byrote.lm.tokenizer import Tokenizer, load_tokenizer
from byrote.study import Lora

# Methods that only put other modules in the place of the base model's, which see one token at a time: byrote packs
# records through them. Held by tests, each against PEFT's own forward pass; all others run record by record.
PACKED_KINDS = ("LORA", "ADALORA", "IA3", "LOHA", "LOKR", "OFT", "BOFT", "VERA", "LN_TUNING", "TRAINABLE_TOKENS")
_PUT_BEFORE = ("PROMPT_TUNING", "P_TUNING", "CPT")  # embeddings before every record's own
_ERRORS = (ValueError, RuntimeError, TypeError, KeyError, AttributeError, ImportError, NotImplementedError)


class PeftAdapted(Carrier):
    """A base model with an adapter that PEFT runs, in evaluation mode, nothing trainable.

    packs: whether byrote's packed passes compute what PEFT's forward pass does.
    """

    def __init__(self, model: PeftModelForCausalLM, snapshot: Snapshot, packs: bool) -> None:
        super().__init__()
        self.inner, self.packs, self._snapshot = model, packs, snapshot
        self.eval().requires_grad_(False)

    def remove(self) -> None:
        """Put the plain modules, their weights and settings back."""
        self._snapshot.restore()


def open_adapter(base: Base, files: AdapterFiles) -> Adapted | PeftAdapted:
    """The adapter on the base model, in evaluation mode (no dropout), nothing trainable.

    Raises ModelError where its files are damaged, or it does not fit the base, which is then as it was.
    """
    refuse_second(base)
    values, shapes = read_values(files.folder, files.name), read_shapes(files.folder, files.name)
    _refuse_misfit(base.model, base.files.name, files, shapes)
    config: Any = config_from(values, files.name)
    if getattr(config, "use_dora", False) and base.quantization == "int8" and base.device.type == "cpu":
        # PEFT 0.21 and bitsandbytes 0.50 lose the weights' scales there: an AttributeError in the first batch
        raise ModelError(f"adapter {files.name!r} is DoRA, which does not run on int8 on a processor; use none")
    try:
        weights = load_file(files.folder / ADAPTER_WEIGHTS)
    except (OSError, SafetensorError) as error:
        raise ModelError(f"the weights of adapter {files.name!r} cannot be read: {first_line(error)}") from error
    if files.plain:
        return _with_own_layers(base, files, config, weights)
    return _with_peft(base, files, config, weights)


def close_adapter(base: Base, model: Adapted | PeftAdapted) -> None:
    """Take the adapter off: `base.model` is the plain, frozen model again.

    Where PEFT ran it, the base's weights and its scores of a few tokens are compared with those before, to the bit;
    ModelError says what differs, and the base must not be used any more.
    """
    detach(base, model)
    if isinstance(model, PeftAdapted) and base.trace is not None:
        differs = base.trace.differs(trace(base.model, base.device))
        if differs:
            raise ModelError(f"taking the adapter off does not give {base.files.name} back: {differs}; start again")


def check_adapter(files: AdapterFiles, base: BaseFiles) -> None:
    """ModelError where an adapter does not fit a base model: modules that it lacks, other widths, another vocabulary,
    the tokenizer of another model. From configurations and the weights' header; no weight is read."""
    values, shapes = read_values(files.folder, files.name), read_shapes(files.folder, files.name)
    model = skeleton(base)
    _refuse_misfit(model, base.name, files, shapes)
    if files.tokenizer:
        _refuse_other_tokenizer(files.name, load_tokenizer(_beside(files)), base)
    _refuse_other_shapes(model, base.name, files, config_from(values, files.name), shapes)


def base_source_of(files: AdapterFiles) -> str | None:
    """The base model that an adapter's configuration names: a folder here or a hub id; None where it names none.

    Raises ModelError where it names a path at which there is nothing: that of the machine where it was trained.
    """
    if files.base is None or Path(files.base).expanduser().exists():
        return files.base
    if looks_like_path(files.base) or "\\" in files.base:
        raise ModelError(
            f"adapter {files.name!r} names the base model {files.base!r}, and there is no such folder here; "
            "say which base model it is with --base"
        )
    return files.base


def base_differs(base: BaseFiles, files: AdapterFiles) -> str | None:
    """A sentence where the base model in use is not the one that the adapter's configuration names; else None."""
    if files.base is None or files.base == base.name:
        return None
    named = Path(files.base).expanduser()
    if named.exists() and named.resolve() in (base.folder, base.folder.resolve()):
        return None
    if named.name == Path(base.name).name and named.is_absolute():  # the same model at another machine's path
        return None
    return (
        f"adapter {files.name!r} names the base model {files.base!r}, but it is measured on {base.name!r}: where the "
        "two are not the same model, the figures are not those of the adapter as trained"
    )


def tokens_added(files: AdapterFiles | BaseFiles, base: BaseFiles) -> str | None:
    """A sentence where a subject's tokenizer knows tokens that the base model's lacks; None where it does not, or an
    adapter has no tokenizer beside it."""
    if isinstance(files, AdapterFiles) and not files.tokenizer:
        return None
    beside = _beside(files) if isinstance(files, AdapterFiles) else files
    own = load_tokenizer(base).vocabulary()
    added = [token for token in load_tokenizer(beside).vocabulary() if token not in own]
    if not added:
        return None
    return (
        f"the tokenizer of {files.name!r} has {len(added)} tokens that the one of {base.name!r} lacks "
        f"({', '.join(sorted(added)[:3])}): where records hold them, the base model's tokenizer cuts them up"
    )


def check_model(files: BaseFiles, base: BaseFiles | None) -> None:
    """ModelError where a whole model asks for code of its own, or has another tokenizer or vocabulary than its base
    model. From configurations and tokenizers; no weight is read."""
    _refuse_own_code(files)
    if base is None:
        return
    _refuse_own_code(base)
    _refuse_other_tokenizer(files.name, load_tokenizer(files), base)


def check_architecture(files: BaseFiles, base: BaseFiles) -> None:
    """ModelError where a whole model cannot have been tuned from a base model: another kind, more or fewer layers,
    other widths. The vocabulary may have grown. From configurations; no weight is read."""
    model, base_model = skeleton(files), skeleton(base)
    kind, base_kind = text_config(model).model_type, text_config(base_model).model_type
    if kind != base_kind:
        differs = f"the first is a {kind}, the second a {base_kind}"
    else:
        own, theirs = _shapes(model), _shapes(base_model)
        odd = sorted(name for name in own.keys() | theirs.keys() if own.get(name) != theirs.get(name))
        if not odd:
            return
        name = odd[0]
        differs = (
            f"{name} has the shapes {list(own[name])} and {list(theirs[name])}"
            if name in own and name in theirs
            else f"only {(files if name in own else base).name!r} has {name}"
        )
    raise ModelError(
        f"model {files.name!r} was not tuned from {base.name!r}, which has another size or architecture ({differs}); "
        "name the base model that it was tuned from (--base), or --base none"
    )


def _shapes(model: Any) -> dict[str, tuple[int, ...]]:
    """Name → shape of the parameters; of embeddings and output layer, which may be tied or not and grow with the
    vocabulary, the width of the embeddings alone."""
    embeddings, output = model.get_input_embeddings().weight, model.get_output_embeddings()
    left_out = {id(embeddings)} | ({id(t) for t in output.parameters()} if output is not None else set())
    shapes = {name: tuple(t.shape) for name, t in model.named_parameters() if id(t) not in left_out}
    return shapes | {"embeddings": (embeddings.shape[1],)}


def open_model(files: BaseFiles, base: Base | None, precision: str, quantization: str, device: torch.device) -> Base:
    """A merged or fully tuned model, beside its base model where there is one. Raises as `check_model`, `load_base`."""
    check_model(files, base.files if base else None)
    return load_base(files, precision, quantization, device)


def _with_own_layers(base: Base, files: AdapterFiles, config: Any, weights: dict[str, torch.Tensor]) -> Adapted:
    names = {name for name, _ in base.model.named_modules() if check_target_module_exists(config, name)}
    _refuse_odd(files, base, {f"{PREFIX}{name}.lora_{x}.weight" for name in names for x in "AB"} ^ set(weights))
    lora = Lora(rank=config.r, alpha=config.lora_alpha, scaling="rslora" if config.use_rslora else "fixed", dropout=0)
    adapted = Adapted(base, [lora], [0], [names])
    for name, a_RI, b_OR in adapted.weights_of(0):
        a_RI.copy_(weights[f"{PREFIX}{name}.lora_A.weight"])
        b_OR.copy_(weights[f"{PREFIX}{name}.lora_B.weight"])
    return adapted.eval().requires_grad_(False)


def _refuse_odd(files: AdapterFiles, base: Base, odd: set[str]) -> None:
    if odd:
        raise ModelError(
            f"adapter {files.name!r} does not fit {base.files.name}: {min(odd)} is in only one of its weights and its "
            f"configuration ({len(odd)} such); save it again"
        )


def _with_peft(base: Base, files: AdapterFiles, config: PeftConfig, weights: dict[str, torch.Tensor]) -> PeftAdapted:
    if base.trace is None:
        base.trace = trace(base.model, base.device)
    snapshot = Snapshot(base.model)
    try:
        own = dict(base.model.named_parameters(remove_duplicate=False)) | dict(base.model.named_buffers())
        # what PEFT writes into: biases and embeddings of the file, and what pissa and olora take a part of
        for name in {_plain_name(key) for key in weights} | _taken_apart(files.kind, config, weights):
            if name in own:
                lend(own[name])
        with seeded(0), unadvised():  # initial weights, all of which are overwritten
            model = PeftModelForCausalLM(base.model, config)
            loaded = set_peft_model_state_dict(model, weights)
        needs = set(get_peft_model_state_dict(model, save_embedding_layers=False))
        _refuse_odd(files, base, (needs - set(weights)) | (set(loaded.unexpected_keys) - needs))
        return PeftAdapted(model, snapshot, _packs(files.kind, config))
    except ModelError:
        snapshot.restore()
        raise
    except _ERRORS as error:
        snapshot.restore()
        raise ModelError(f"adapter {files.name!r} does not fit {base.files.name}: {first_line(error)}") from error


@contextmanager
def unadvised() -> Iterator[None]:
    """Nothing of PEFT's advice to those who train or merge; what matters when loading is checked here, as errors."""
    with quiet(), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        yield


def _taken_apart(kind: str, config: Any, weights: dict[str, torch.Tensor]) -> set[str]:
    start = str(getattr(config, "init_lora_weights", True))
    modules = adapted_modules(kind, weights) if start.startswith(("pissa", "olora")) else []
    return {f"{module}.weight" for module in modules}


def _packs(kind: str, config: Any) -> bool:
    return kind in PACKED_KINDS and not getattr(config, "alora_invocation_tokens", None)


def _plain_name(key: str) -> str:
    return key.removeprefix(PREFIX).replace(".base_layer.", ".")


def _refuse_misfit(model: Any, base: str, files: AdapterFiles, shapes: dict[str, tuple[int, ...]]) -> None:
    """Before anything is attached: adapted modules must be there, LoRA's A and B as wide as they."""
    modules = dict(model.named_modules())
    for name in adapted_modules(files.kind, shapes):
        if name and name not in modules:
            raise ModelError(
                f"adapter {files.name!r} does not fit {base}, which has no module {name!r}; "
                "name the base model that it was trained on (--base)"
            )
    own = {name: tuple(t.shape) for name, t in model.named_parameters(remove_duplicate=False)}
    for key, shape in shapes.items():
        if (has := own.get(_plain_name(key))) is not None and has != shape and len(has) == len(shape) == 2:
            raise ModelError(
                f"adapter {files.name!r} carries {_plain_name(key)} with {shape[0]} rows of {shape[1]} numbers, but "
                f"{base} has {has[0]} of {has[1]}: another vocabulary or size; merge it into its base and give a model"
            )
        for part, axis in ((".lora_A.weight", 1), (".lora_B.weight", 0)):
            module = modules.get(_plain_name(key).removesuffix(part)) if key.endswith(part) else None
            width = linear_width(module, axis) if module is not None and len(shape) == 2 else None
            if width is not None and width != shape[axis]:
                raise ModelError(
                    f"adapter {files.name!r} does not fit {base}: {key} is {shape[axis]} wide, not {width}; "
                    "it was trained on a base model of another size"
                )


def _refuse_other_shapes(
    model: Any, base: str, files: AdapterFiles, config: Any, shapes: dict[str, tuple[int, ...]]
) -> None:
    """What PEFT would build on the base model, without weights, against what the file holds."""
    width = model.get_input_embeddings().weight.shape[1]
    if files.kind in _PUT_BEFORE and config.token_dim not in (None, width):
        raise ModelError(
            f"adapter {files.name!r} does not fit {base}: its virtual tokens are {config.token_dim} wide, not {width}; "
            "it was trained on a base model of another size"
        )
    if getattr(config, "init_lora_weights", True) is not True:
        config.init_lora_weights = True  # nothing to take apart in a model without weights
    try:
        with unadvised():
            built = PeftModelForCausalLM(model, config, low_cpu_mem_usage=True)
        needs = {
            key: tuple(t.shape) for key, t in get_peft_model_state_dict(built, save_embedding_layers=False).items()
        }
    except _ERRORS as error:
        if "Target modules" in str(error):  # PEFT's words tell people to check their training script
            raise ModelError(
                f"adapter {files.name!r} does not fit {base}, which has none of the modules that it adapts "
                f"({_targets(config)}); name the base model that it was trained on (--base)"
            ) from error
        raise ModelError(f"adapter {files.name!r} does not fit {base}: {first_line(error)}") from error
    lacking = [key for key in needs if key not in shapes]
    if lacking and min(map(_layer, lacking)) > max(map(_layer, shapes), default=-1):
        raise ModelError(
            f"adapter {files.name!r} does not fit {base}: it has nothing for layer {min(map(_layer, lacking))} and "
            "after; it was trained on a base model with fewer layers: name that (--base)"
        )
    for key, shape in needs.items():
        if key not in shapes:
            raise ModelError(f"adapter {files.name!r} does not fit {base}: its weights lack {key}; save it again")
        if shapes[key] != shape:
            raise ModelError(
                f"adapter {files.name!r} does not fit {base}: {key} has the shape {list(shapes[key])}, not "
                f"{list(shape)}; it was trained on a base model of another size"
            )


def _layer(key: str) -> int:
    """The number of the layer in a weight's name, from 0; -1 where it has none."""
    return next((int(part) for part in key.split(".") if part.isdigit()), -1)


def _targets(config: Any) -> str:
    named = config.target_modules
    return ", ".join(sorted(named)) if isinstance(named, list | set | tuple) else str(named)


def _beside(files: AdapterFiles) -> BaseFiles:
    """The tokenizer beside an adapter, for `load_tokenizer`."""
    return BaseFiles(files.name, files.folder, files.content, tokenizer_content(files))


def _refuse_other_tokenizer(name: str, tokenizer: Tokenizer, base: BaseFiles) -> None:
    """The subject's tokenizer may have more tokens than the base model's (a padding token), never others."""
    theirs, own = tokenizer.vocabulary(), load_tokenizer(base).vocabulary()
    other = [token for token, number in own.items() if theirs.get(token) != number]
    if other:
        raise ModelError(
            f"the tokenizer of {name!r} is another than that of its base model {base.name}: {len(other)} of "
            f"{len(own)} tokens have another id or none; name the base model that it was tuned from"
        )


def _refuse_own_code(files: BaseFiles) -> None:
    config = json.loads((files.folder / "config.json").read_text(encoding="utf-8"))
    if config.get("auto_map") and config.get("model_type") not in CONFIG_MAPPING:
        raise ModelError(
            f"model {files.name!r} needs code of its own (auto_map in config.json), which byrote never runs; "
            "give a model of an architecture that transformers knows"
        )
