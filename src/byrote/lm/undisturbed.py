"""A model that somebody else is training, lent for a measurement; the training goes on as if there had been none."""

import random
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import nn

from byrote.lm.adapters import generator_states, restore_generators

# PEFT's ways to start a LoRA adapter that take a part of the base model's weights into the adapter.
_TAKES_FROM_BASE = ("pissa", "olora", "corda", "loftq", "lora_ga")


@contextmanager
def undisturbed(model: nn.Module) -> Iterator[None]:
    """Inside, every module is in evaluation mode (no dropout) and no gradients are recorded. As before after it: each
    module's own mode, which parameters are trained, and the global generators of torch, numpy and Python.

    Modes are set without `train()` and `eval()`, which models may extend. Not `torch.inference_mode`: what a model
    keeps for later, such as rotary tables, could not be trained through afterwards.
    """
    modes = [(module, module.training) for module in model.modules()]
    trained = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
    torch_states, numpy_state, python_state = generator_states(), np.random.get_state(), random.getstate()
    try:
        for module, _ in modes:
            module.training = False
        with torch.no_grad():
            yield
    finally:
        for module, mode in modes:
            module.training = mode
        for parameter, required in trained:
            if parameter.requires_grad != required:
                parameter.requires_grad_(required)
        restore_generators(torch_states)
        np.random.set_state(numpy_state)
        random.setstate(python_state)


def has_adapter(model: nn.Module) -> bool:
    """Whether a PEFT adapter is on the model, by PEFT's own wrapper or by transformers' `add_adapter`."""
    return hasattr(model, "disable_adapter") or any(isinstance(m, BaseTunerLayer) for m in model.modules())


@contextmanager
def without_adapter(model: Any) -> Iterator[None]:
    """Inside, the model computes without its PEFT adapter; call it inside `undisturbed`, for PEFT changes which
    parameters are trained."""
    if hasattr(model, "disable_adapter"):
        with warnings.catch_warnings():
            # PEFT's word on trained biases, which `why_not_its_base` judges by what was trained.
            warnings.filterwarnings("ignore", "Careful, disabling adapter layers with bias", UserWarning)
            with model.disable_adapter():
                yield
        return
    model.disable_adapters()
    try:
        yield
    finally:
        model.enable_adapters()


def why_not_its_base(model: nn.Module, resumed: bool) -> str | None:
    """Why the model without its adapter is not the base model, or None where it is; call it inside `undisturbed`.

    Weights that an adapter's start took from the base model are gone from it. Biases, and what else is trained in the
    base model's own modules, have changed where a training is `resumed`. Modules to save keep their originals.
    """
    for config in getattr(model, "peft_config", {}).values():
        start = str(getattr(config, "init_lora_weights", "")).lower()
        if start.startswith(_TAKES_FROM_BASE):
            return f"its adapter started by {start!r}, which changes the base model's own weights"
    if not resumed:
        return None
    trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    with without_adapter(model):
        own = [name for name, parameter in model.named_parameters() if parameter.requires_grad and name in trained]
    if own:
        return f"{len(own)} of its own parameters are trained beside the adapter ({own[0]})"
    return None


def why_not_whole(model: nn.Module) -> str | None:
    """Why this process cannot run the model alone, or None where it can: FSDP, DeepSpeed ZeRO-3 and tensor parallelism
    leave a part of each weight here."""
    if any(type(module).__name__ in ("FullyShardedDataParallel", "FSDPModule") for module in model.modules()):
        return "FSDP has divided it among the processes"
    for parameter in model.parameters():
        if hasattr(parameter, "ds_id"):
            return "DeepSpeed ZeRO-3 has divided it among the processes"
        if hasattr(parameter, "device_mesh"):
            return "its weights are divided among the processes (FSDP 2 or tensor parallelism)"
    return None
