"""How fast this processor multiplies a model's widths in bf16 and in fp32: measured once as passes multiply, and kept.

A plain product says too little: passes multiply by weights in oneDNN's own order, one thread a pass (docs/log.md).
"""

import json
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict
from hashlib import sha256
from typing import Any

import torch
from torch import nn

from byrote.cache import cache_folder
from byrote.lm.base import linear_widths
from byrote.lm.files import BaseFiles, write_whole
from byrote.lm.frozen import freeze_layers
from byrote.lm.precision import DTYPES, Precision, Rates, choose_precision, keep_precision, processor_name
from byrote.lm.threads import in_threads

# Input and output widths of SmolLM2-135M, for whoever asks before a base model is named.
DEFAULT_WIDTHS = ((576, 192), (576, 576), (576, 1536), (1536, 576))
ROWS = 512  # tokens a product, as in training and scoring
_FORMATS = ("bf16", "fp32")
_TURNS = 5
_APART = 1.1  # between halves that agree
_ATTEMPTS = 5
_WIDEST = 4096  # wider products run no faster, and a large model's would take minutes
_METHOD = 1  # of measuring; another number measures anew


def precision_of(
    files: BaseFiles, setting: str, device: torch.device, threads: int, kept: str | None = None
) -> Precision:
    """The format of a base model under `setting`; `auto` stands for `kept`, what a run began with, where there is one.

    Raises ModelError for a format that cannot be computed here.
    """
    own = choose_precision(setting, device, lambda: product_rates(linear_widths(files), threads))
    return keep_precision(kept, own, device) if kept and setting == "auto" else own


def product_rates(
    widths: Iterable[tuple[int, int]],
    threads: int,
    measure: Callable[[tuple[tuple[int, int], ...], int], dict[str, float]] | None = None,
) -> Rates:
    """Rates of products of ROWS rows with these input and output widths, by `threads` passes side by side.

    Measured where byrote's cache has none for this processor, torch, number of threads and widths.
    measure: gives FLOP/s of bf16 and fp32.
    """
    capped = tuple(sorted({(min(a, _WIDEST), min(b, _WIDEST)) for a, b in widths}))
    processor = processor_name()
    made_of = json.dumps([_METHOD, processor, torch.__version__, threads, capped])
    place = cache_folder() / "products" / f"{sha256(made_of.encode()).hexdigest()}.json"
    if place.is_file() and (known := _read(place.read_bytes())):
        return known
    rates = Rates(**(measure or _measured)(capped, threads), threads=threads, processor=processor)
    write_whole(place, json.dumps({**asdict(rates), "torch": torch.__version__, "widths": capped}) + "\n")
    return rates


def _read(kept: bytes) -> Rates | None:
    """Rates from the cache; None where they cannot be read, so that they are measured and written again."""
    try:
        row: dict[str, Any] = json.loads(kept)
        return Rates(float(row["bf16"]), float(row["fp32"]), int(row["threads"]), str(row["processor"]))
    except (ValueError, KeyError, TypeError):
        return None


def least_seconds(seconds: Callable[[str], float]) -> dict[str, float]:
    """The least seconds of each format, which take turns: two halves of five each, again where halves differ by 10%.

    seconds: of a turn in a format. On a machine that never rests it is the least after five such pairs.
    """
    least: dict[str, float] = {name: float("inf") for name in _FORMATS}
    for _ in range(_ATTEMPTS):
        halves = [_half(seconds) for _ in range(2)]
        least = {name: min(least[name], *(half[name] for half in halves)) for name in _FORMATS}
        if all(max(half[name] for half in halves) <= _APART * least[name] for name in _FORMATS):
            break
    return least


def _half(seconds: Callable[[str], float]) -> dict[str, float]:
    turns = [{name: seconds(name) for name in _FORMATS} for _ in range(_TURNS)]
    return {name: min(turn[name] for turn in turns) for name in _FORMATS}


def _measured(widths: tuple[tuple[int, int], ...], threads: int) -> dict[str, float]:
    layers = {name: _layers(widths, DTYPES[name]) for name in _FORMATS}
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for name in _FORMATS:  # weights are put in order when first used
            _products(layers[name])
        least = least_seconds(lambda name: max(in_threads(_products, [layers[name]] * threads, threads)))
    finally:
        torch.set_num_threads(before)
    flop = threads * sum(2 * ROWS * into * out for into, out in widths)
    return {name: flop / seconds for name, seconds in least.items()}


def _layers(widths: tuple[tuple[int, int], ...], dtype: torch.dtype) -> nn.ModuleList:
    """Linear layers of these widths, frozen as a base model's are."""
    generator = torch.Generator().manual_seed(0)
    layers = nn.ModuleList()
    for into, out in widths:
        layer = nn.utils.skip_init(nn.Linear, into, out, bias=False, dtype=dtype)
        layers.append(layer.requires_grad_(False))
    for weight in layers.parameters():
        nn.init.normal_(weight, generator=generator)
    freeze_layers(layers)
    return layers


@torch.inference_mode()
def _products(layers: Any) -> float:
    """Seconds of one product with each layer."""
    inputs = [torch.full((ROWS, layer.in_features), 0.5, dtype=layer.weight.dtype) for layer in layers]
    started = time.perf_counter()
    for layer, x_RI in zip(layers, inputs, strict=True):
        layer(x_RI)
    return time.perf_counter() - started
