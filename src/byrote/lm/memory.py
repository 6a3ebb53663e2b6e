"""Memory: kept between steps on a processor, measured, and what to do when there is not enough."""

import ctypes
import os
import platform
import resource

import torch

from byrote.lm.base import Base, numbers_a_token, total_weights
from byrote.lm.files import BaseFiles
from byrote.lm.library import text_config
from byrote.lm.precision import has_matrix_unit

_M_TRIM_THRESHOLD, _M_MMAP_MAX, _M_ARENA_MAX = -1, -4, -8  # glibc's malloc.h
WORKING = 5 * 2**30
"""Bytes beside the base model's weights that a worker process holds at most, on a processor (docs/log.md)."""
_PROCESSOR_TOKENS = 512  # larger activations leave the processor's caches (docs/log.md)
_MATRIX_UNIT_TOKENS = 1024  # products are soon done: what every operation costs at its start counts for more


def keep_memory() -> None:
    """Have glibc keep large blocks for the next step: it returns each at once, and mapping them anew costs a part of
    every training step on a processor (docs/log.md). Nothing is done with another C library."""
    if platform.libc_ver()[0] == "glibc":
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_MMAP_MAX, 0)
        mallopt(_M_ARENA_MAX, 1)  # others, one a thread, are cut up into 64 MiB and given back when empty
        mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)


def give_back() -> None:
    """Give the system back what glibc's malloc keeps and nobody uses. Blocks of many lengths leave gaps between those
    that stay: without this a process that trains for an hour holds three times what it needs (docs/log.md)."""
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that the device, or the processor's allocator, had no room."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or "not enough memory" in str(error)


def free_memory(device: torch.device) -> int:
    """Bytes that can still be taken: of the GPU, or of this machine."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def training_bytes_a_token(base: Base) -> int:
    """About what one token of a micro-batch takes in training, without checkpointing, in the base's format."""
    return (2 if base.precision != "fp32" else 4) * numbers_a_token(text_config(base.model))


def micro_batch_tokens(base: Base, stack: int = 1) -> int:
    """Tokens of one adapter in a micro-batch: the fastest on a processor, what half the free memory holds on a GPU."""
    if base.device.type == "cpu":
        return _MATRIX_UNIT_TOKENS if base.precision == "bf16" and has_matrix_unit() else _PROCESSOR_TOKENS
    return max(_PROCESSOR_TOKENS, free_memory(base.device) // 2 // training_bytes_a_token(base) // stack)


def weight_bytes(files: BaseFiles, precision: str) -> int:
    """Bytes of a base model's weights in memory."""
    return total_weights(files) * (4 if precision == "fp32" else 2)


def cores() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def workers_that_fit(files: BaseFiles) -> int:
    """How many worker processes this machine's memory holds, each with the base model in bf16 or fp32 and WORKING
    beside it; at least 1."""
    weights = sum(path.stat().st_size for path in files.folder.glob("*.safetensors"))
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return max(1, memory // (weights + WORKING))


def device_name(device: torch.device) -> str:
    """The device in words, with the threads of a processor."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{platform.machine()} processor, {torch.get_num_threads()} threads"


def peak_memory(device: torch.device) -> int:
    """Most bytes held so far: of the device, or of this process where the device is the processor."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if platform.system() == "Darwin" else 1024)
