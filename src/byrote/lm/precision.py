"""Where the arithmetic happens and in which number format."""

import platform
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from byrote.errors import ModelError

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
WORTH = 1.2  # times as fast as fp32 must bf16 be to be taken: it rounds more


@dataclass(frozen=True)
class Rates:
    """FLOP/s of a model's products in each format, all of `threads` passes side by side together."""

    bf16: float
    fp32: float
    threads: int
    processor: str

    def __str__(self) -> str:
        threads = f"{self.threads} thread{'s' if self.threads > 1 else ''}"
        return f"bf16 {self.bf16 / 1e9:.0f} and fp32 {self.fp32 / 1e9:.0f} GFLOP/s on {threads}"


@dataclass(frozen=True)
class Precision:
    """A number format, why it was taken, and the rates of products where they decided.

    instead_of: the format that this machine would choose, where a run that began elsewhere keeps another.
    """

    format: str
    why: str
    rates: Rates | None = None
    instead_of: str | None = None

    def __str__(self) -> str:
        return f"{self.format} ({self.why})"


def pick_device(setting: str) -> torch.device:
    """The device of `auto`, `cpu`, `cuda` or `cuda:N`; auto is the first GPU where there is one.

    Raises ModelError for another name, or a GPU that this machine or this torch does not have.
    """
    if setting == "auto":
        return torch.device("cuda", 0) if torch.cuda.is_available() else torch.device("cpu")
    kind, _, number = setting.partition(":")
    if setting != "cpu" and (kind != "cuda" or setting == "cuda:" or (number and not number.isdigit())):
        raise ModelError(f"device must be auto, cpu, cuda or cuda:N, got {setting!r}")
    if kind == "cpu":
        return torch.device("cpu")
    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if not gpus:
        why = "sees no GPU" if torch.version.cuda or torch.version.hip else "is built for the processor only"
        raise ModelError(f"device {setting!r} is not available: torch {torch.__version__} {why}; use auto or cpu")
    if int(number or 0) >= gpus:
        raise ModelError(f"device {setting!r} is not available: this machine's GPUs are cuda:0 to cuda:{gpus - 1}")
    return torch.device("cuda", int(number or 0))


def choose_precision(setting: str, device: torch.device, measure: Callable[[], Rates]) -> Precision:
    """The format `fp32`, `bf16` or `fp16` of a setting.

    auto is bf16 on a GPU that multiplies it in hardware, and on a processor that does so at least WORTH times as fast
    as fp32; else fp32. measure: called only where the answer depends on it. Raises ModelError for another name, and for
    fp16 without a GPU.
    """
    if setting != "auto":
        return _as_told(setting, device)
    if not multiplies_bf16(device):
        where = "GPU" if device.type == "cuda" else "processor"
        return Precision("fp32", f"this {where} has no instructions for bf16")
    return Precision("bf16", "the GPU supports it") if device.type == "cuda" else faster(measure())


def faster(rates: Rates) -> Precision:
    """The format that measured products of a processor speak for."""
    return Precision("bf16" if rates.bf16 >= WORTH * rates.fp32 else "fp32", f"products: {rates}", rates)


def keep_precision(kept: str, own: Precision, device: torch.device) -> Precision:
    """The format that a run began with, whatever this machine would choose. ModelError where it cannot be computed."""
    _as_told(kept, device)
    if kept == own.format:
        return own
    why = f"keeps {kept}, which the run began with; this machine's own choice would be {own}"
    return replace(own, format=kept, why=why, instead_of=own.format)


def _as_told(setting: str, device: torch.device) -> Precision:
    if setting not in DTYPES:
        raise ModelError(f"precision must be auto, {', '.join(DTYPES)}, got {setting!r}")
    if setting == "fp16" and device.type == "cpu":
        raise ModelError(
            "precision 'fp16' needs a GPU: processors compute it slowly and it overflows above 65504; use fp32 or bf16"
        )
    return Precision(setting, "model.precision")


def multiplies_bf16(device: torch.device) -> bool:
    """Whether the device has instructions for products in bf16; without them torch emulates it, slower than fp32."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return any(has() for has in _INSTRUCTIONS.values())


def has_matrix_unit() -> bool:
    """Whether the processor multiplies bf16 in tiles (AMX), several times faster than by vectors."""
    return _INSTRUCTIONS["amx"]()


def processor_name() -> str:
    """The processor's model name, and which of the instructions for bf16 it has: some machines hide the model."""
    listed = Path("/proc/cpuinfo")
    lines = listed.read_text().splitlines() if listed.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    has = [name for name, supported in _INSTRUCTIONS.items() if supported()]
    name = names[0] if names else platform.processor() or platform.machine()
    return f"{name} ({', '.join(has) or 'no bf16 instructions'})"


_INSTRUCTIONS = {
    "avx512_bf16": getattr(torch.cpu, "_is_avx512_bf16_supported", bool),
    "amx": getattr(torch.cpu, "_is_amx_tile_supported", bool),
}
