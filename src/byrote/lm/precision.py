"""Where the arithmetic happens and in which number format."""

import torch

from byrote.errors import ModelError

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


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
    found = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if not found:
        why = "sees no GPU" if torch.version.cuda or torch.version.hip else "is built for the processor only"
        raise ModelError(f"device {setting!r} is not here: torch {torch.__version__} {why}; use auto or cpu")
    if int(number or 0) >= found:
        raise ModelError(f"device {setting!r} is not here: this machine's GPUs are cuda:0 to cuda:{found - 1}")
    return torch.device("cuda", int(number or 0))


def pick_precision(setting: str, device: torch.device) -> str:
    """The format `fp32`, `bf16` or `fp16`; auto is bf16 where the device multiplies it in hardware, else fp32.

    Raises ModelError for another name, and for fp16 without a GPU.
    """
    if setting == "auto":
        return "bf16" if _multiplies_bf16(device) else "fp32"
    if setting not in DTYPES:
        raise ModelError(f"precision must be auto, {', '.join(DTYPES)}, got {setting!r}")
    if setting == "fp16" and device.type == "cpu":
        raise ModelError(
            "precision 'fp16' needs a GPU: processors compute it slowly and it overflows above 65504; use fp32 or bf16"
        )
    return setting


def _multiplies_bf16(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    # Without these instructions torch emulates bf16 on a processor, slower than fp32.
    checks = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, check, bool)() for check in checks)
