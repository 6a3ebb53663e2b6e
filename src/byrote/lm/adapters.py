"""LoRA adapters on a frozen base model: attach, detach, save. The base model is lent and comes back as it was.

PEFT is the format on disk: adapter_config.json and adapter_model.safetensors.
"""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig
from peft.tuners.tuners_utils import BaseTunerLayer
from safetensors.torch import save_file
from torch import nn
from transformers.pytorch_utils import Conv1D

from byrote.errors import ModelError
from byrote.lm.adapter_files import ADAPTER_CONFIG, ADAPTER_WEIGHTS, PREFIX
from byrote.lm.base import Base, linear_width
from byrote.lm.lora import LoraLinear, Share, Stack
from byrote.lm.matrices import module_names
from byrote.study import Lora


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """torch's global generators (processor, and GPUs in use) start from `seed` inside, and are as before after it.

    The one place where byrote touches global random state.
    """
    in_use = list(range(torch.cuda.device_count())) if torch.cuda.is_initialized() else []
    with torch.random.fork_rng(devices=in_use):
        torch.default_generator.manual_seed(seed)
        if in_use:
            torch.cuda.manual_seed_all(seed)
        yield


def generator_states() -> dict[str, torch.Tensor]:
    """The states of torch's global generators, by device: the processor's, and those of GPUs in use."""
    states = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []
    return {"cpu": torch.get_rng_state(), **{f"cuda:{i}": state for i, state in enumerate(states)}}


def restore_generators(states: Mapping[str, torch.Tensor]) -> None:
    """Set torch's global generators to `generator_states`; call it under `seeded`. A device that is not available is
    left out."""
    torch.set_rng_state(states["cpu"])
    for i in range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ():
        if f"cuda:{i}" in states:
            torch.cuda.set_rng_state(states[f"cuda:{i}"], i)


class Carrier(nn.Module):
    """A base model that carries adapters: `inner` is the model with them on it, whose passes these are."""

    inner: Any

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """The model's own forward pass."""
        return self.inner(*args, **kwargs)

    def get_output_embeddings(self) -> Any:
        """The model's output layer."""
        return self.inner.get_output_embeddings()

    def get_decoder(self) -> Any:
        """The model without its output layer."""
        return self.inner.get_decoder()


class Adapted(Carrier):
    """A base model with one adapter on it, or a stack of them; the base's weights are frozen and lent.

    A stack of K runs batches whose rows are K equal parts, one an adapter. In evaluation mode all of them are on.
    """

    def __init__(self, base: Base, loras: Sequence[Lora], seeds: Sequence[int], names: Sequence[set[str]]) -> None:
        super().__init__()
        self.inner, self.loras = base.model, tuple(loras)
        self._stack = Stack(len(loras))
        modules = dict(base.model.named_modules())
        self._sites: dict[str, LoraLinear] = {}
        for number, name in enumerate(modules):
            on = [i for i, wanted in enumerate(names) if name in wanted]
            if on:
                shares = [Share(i, loras[i].rank, scale_of(loras[i]), loras[i].dropout, seeds[i]) for i in on]
                widths = _widths_known(name, modules[name])
                self._sites[name] = LoraLinear(modules[name], widths, shares, self._stack, number)
        for name, site in self._sites.items():
            _replace(base.model, name, site)
        for i, seed in enumerate(seeds):
            with seeded(seed):
                for _, a_RI, _ in self.weights_of(i):
                    a_RI.copy_(nn.init.kaiming_uniform_(torch.empty(a_RI.shape), a=math.sqrt(5)))

    @property
    def size(self) -> int:
        """Adapters in the stack; 1 ordinarily."""
        return self._stack.size

    def at(self, step: int, micro_batch: int) -> None:
        """Say where training is: this, the adapter's seed and the module decide which elements dropout drops."""
        self._stack.place.step, self._stack.place.micro_batch = step, micro_batch

    def checkpoint(self, on: bool) -> None:
        """Whether the model keeps its layers' activations for the backward pass, or computes them again."""
        if on:
            self.inner.activation_checkpointing_enable({"use_reentrant": False})
        elif self.inner.is_activation_checkpointing:
            self.inner.activation_checkpointing_disable()

    def weights_of(self, adapter: int) -> Iterator[tuple[str, torch.Tensor, torch.Tensor]]:
        """Module name, A (R, I) and B (O, R) of one adapter, in the model's order; views without padding."""
        for name, site in self._sites.items():
            for row, share in enumerate(site.shares):
                if share.adapter == adapter:
                    yield name, site.lora_A.data[row, : share.rank], site.lora_B.data[row, :, : share.rank]

    def gradients_of(self, adapter: int) -> list[torch.Tensor]:
        """The gradients of one adapter's A and B, views that may be scaled in place."""
        rows = [
            (s, row) for s in self._sites.values() for row, share in enumerate(s.shares) if share.adapter == adapter
        ]
        return [weight.grad[row] for s, row in rows for weight in (s.lora_A, s.lora_B) if weight.grad is not None]

    def remove(self) -> None:
        """Put the plain modules back."""
        for name, site in self._sites.items():
            _replace(self.inner, name, site.base_layer)


def scale_of(lora: Lora) -> float:
    """Scale of the update: alpha/r (`fixed`), alpha (`proportional`) or alpha/√r (`rslora`, Kalajdzievski 2023)."""
    return lora.alpha / {"fixed": lora.rank, "proportional": 1, "rslora": math.sqrt(lora.rank)}[lora.scaling]


def attach(base: Base, lora: Lora, seed: int) -> Adapted:
    """A fresh adapter (Hu et al. 2021) on the base model, in training mode: update 0, only its weights trainable.

    The adapter is fp32 whatever the base is: A uniform in ±1/√I as PEFT draws it, B zero. `seed` rules A and dropout.
    Raises ModelError for matrices the architecture lacks, or a base that has an adapter.
    """
    return attach_stack(base, [lora], [seed])


def attach_stack(base: Base, loras: Sequence[Lora], seeds: Sequence[int]) -> Adapted:
    """Several fresh adapters on the base model, to be trained in one pass; each starts as `attach` would start it."""
    refuse_second(base)
    names = [module_names(base.model, base.model_type, lora.matrices) for lora in loras]
    return Adapted(base, loras, seeds, [set(n) for n in names]).train()


def detach(base: Base, adapted: Any) -> None:
    """Take the adapter off: `base.model` is the plain, frozen model again, in evaluation mode."""
    adapted.remove()
    base.model.eval().requires_grad_(False)


def save_adapter(adapted: Adapted, folder: Path, base_name: str, which: int = 0) -> None:
    """Write an adapter in PEFT's format; the same adapter gives the same bytes.

    base_name: what the base model is called, written in place of its path on this machine · which: of a stack.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    lora, updates = adapted.loras[which], list(adapted.weights_of(which))
    weights = {f"{PREFIX}{n}.lora_{x}.weight": w for n, *ab in updates for x, w in zip("AB", ab, strict=True)}
    save_file(
        {n: w.cpu().contiguous() for n, w in sorted(weights.items())},
        folder / ADAPTER_WEIGHTS,
        metadata={"format": "pt"},
    )
    (folder / ADAPTER_WEIGHTS).chmod(0o600)  # as sensitive as the records
    modules = dict(adapted.inner.named_modules())
    config = LoraConfig(
        task_type="CAUSAL_LM",
        target_modules=[name for name, _, _ in updates],
        r=lora.rank,
        lora_alpha=lora.alpha * (lora.rank if lora.scaling == "proportional" else 1),  # type: ignore[arg-type]
        use_rslora=lora.scaling == "rslora",
        lora_dropout=lora.dropout,
        bias="none",
        fan_in_fan_out=all(isinstance(modules[f"{name}.base_layer"], Conv1D) for name, _, _ in updates),
    )
    config.save_pretrained(str(folder))
    values = json.loads((folder / ADAPTER_CONFIG).read_text(encoding="utf-8"))
    values |= {"base_model_name_or_path": base_name, "inference_mode": True}
    values["target_modules"] = sorted(values["target_modules"])  # PEFT keeps a set, whose order varies by process
    (folder / ADAPTER_CONFIG).write_text(json.dumps(values, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def trainable_parameters(adapted: Adapted, which: int = 0) -> int:
    """How many numbers of the model training changes, for one adapter of a stack."""
    return sum(a.numel() + b.numel() for _, a, b in adapted.weights_of(which))


def adapter_is_nonzero(adapted: Adapted, which: int = 0) -> bool:
    """Whether the adapter changes the model: some B of the update B·A is not all zero, as it is before training."""
    return any(bool(b.count_nonzero()) for _, _, b in adapted.weights_of(which))


def refuse_second(base: Base) -> None:
    """ModelError where the base model carries an adapter already."""
    if any(isinstance(module, (BaseTunerLayer, LoraLinear)) for module in base.model.modules()):
        raise ModelError(f"{base.files.name} already carries an adapter; detach it first")


def _widths_known(name: str, module: torch.nn.Module) -> tuple[int, int]:
    out, into = linear_width(module, 0), linear_width(module, 1)
    if out is None or into is None:
        raise ModelError(f"module {name!r} is a {type(module).__name__}, not a linear one; choose other matrices")
    return out, into


def _replace(model: torch.nn.Module, name: str, module: torch.nn.Module) -> None:
    parent, _, leaf = name.rpartition(".")
    setattr(model.get_submodule(parent), leaf, module)
