"""How fast this machine multiplies a base model's weights and passes over its activations: measured once, then kept.

A plain product says too little: passes multiply by weights in oneDNN's own order, one thread a pass (docs/log.md). The
choice of a number format and the forecast of a study's time both rest on what is measured here.
"""

import json
import math
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from hashlib import sha256
from typing import Any

import torch
from torch import nn

from byrote.cache import cache_folder
from byrote.lm.base import numbers_of, product_shapes
from byrote.lm.files import BaseFiles, write_whole
from byrote.lm.frozen import freeze_layers
from byrote.lm.precision import DTYPES, Precision, Rates, choose_precision, keep_precision, processor_name
from byrote.lm.threads import in_threads

Shapes = Mapping[tuple[int, int], int]  # input and output width of linear layers → how many there are

# Those of SmolLM2-135M, for use before a base model is named.
DEFAULT_SHAPES: Shapes = {(576, 576): 60, (576, 192): 60, (576, 1536): 60, (1536, 576): 30, (576, 49152): 1}
ROWS = 512  # tokens a product, as in training and scoring
_FORMATS = ("bf16", "fp32")
_TURNS = 5
_APART = 1.1  # between halves that agree
_ATTEMPTS = 5
_LONG = 5e-3  # seconds from which one call can be timed; shorter ones are repeated
_LARGEST, _WIDEST = 4e7, 4096  # layers of more weights are measured up to this width, else it would take minutes
_NUMBERS = 1024  # a row, of those that a pass is timed on
_METHOD = 2  # of measuring; another number measures anew


def precision_of(
    files: BaseFiles, setting: str, device: torch.device, threads: int, kept: str | None = None
) -> Precision:
    """The format of a base model under `setting`; `auto` stands for `kept`, what a run began with, where there is one.

    Raises ModelError for a format that cannot be computed here.
    """
    own = choose_precision(setting, device, lambda: product_rates(product_shapes(files), threads))
    return keep_precision(kept, own, device) if kept and setting == "auto" else own


def product_rates(
    shapes: Shapes,
    threads: int,
    measure: Callable[[Shapes, Collection[str]], dict[str, float]] | None = None,
) -> Rates:
    """FLOP/s of the products that a token costs forward, on a processor, by `threads` passes side by side.

    Measured where byrote's cache has no rates for this processor, torch, number of threads and shapes.
    measure: gives FLOP/s of each format.
    """
    flops = _product_flops(shapes, _FORMATS, torch.device("cpu"), threads, measure)
    return Rates(**flops, threads=threads, processor=processor_name())


def product_flops(files: BaseFiles, chosen: Precision, device: torch.device, threads: int) -> float:
    """FLOP/s of a base model's products in the format that was chosen, of all threads of a processor together.

    Those that the format was chosen by, where it was; else measured once and kept like them.
    """
    if chosen.rates:
        return {"bf16": chosen.rates.bf16, "fp32": chosen.rates.fp32}[chosen.format]
    return _product_flops(product_shapes(files), (chosen.format,), device, threads)[chosen.format]


def pass_seconds(files: BaseFiles, chosen: Precision, device: torch.device, threads: int) -> float:
    """Seconds of one pass over a token's activations in the format that was chosen, while every thread makes one."""

    def measure() -> dict[str, float]:
        numbers = torch.ones(ROWS, _NUMBERS, dtype=DTYPES[chosen.format], device=device)
        calls = {"pass": [(1.0, partial(_pass, numbers))]}
        return _least(calls, device, threads)

    seconds = _kept(["pass", chosen.format, *_machine(device, threads)], ("pass",), measure)["pass"]
    return numbers_of(files) * seconds / (ROWS * _NUMBERS)


def _pass(numbers: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.silu(numbers) * numbers


def _product_flops(
    shapes: Shapes,
    formats: Collection[str],
    device: torch.device,
    threads: int,
    measure: Callable[[Shapes, Collection[str]], dict[str, float]] | None = None,
) -> dict[str, float]:
    listed = [[*widths, count] for widths, count in sorted(shapes.items())]
    made_of = ["products", *formats, listed, *_machine(device, threads)]
    measured = partial(measure, shapes, formats) if measure else partial(_measured, shapes, formats, device, threads)
    return _kept(made_of, formats, measured)


def _machine(device: torch.device, threads: int) -> list[Any]:
    """What else a measurement depends on."""
    name = processor_name() if device.type == "cpu" else torch.cuda.get_device_name(device)
    return [_METHOD, name, torch.__version__, threads]


def _kept(made_of: list[Any], names: Collection[str], measure: Callable[[], dict[str, float]]) -> dict[str, float]:
    """What byrote's cache holds under these names, else what is measured now, and written there."""
    described = json.dumps(made_of)
    place = cache_folder() / "products" / f"{sha256(described.encode()).hexdigest()}.json"
    if place.is_file() and (known := _read(place.read_bytes(), names)):
        return known
    measured = measure()
    write_whole(place, json.dumps({**measured, "of": made_of}) + "\n")
    return measured


def _read(kept: bytes, names: Collection[str]) -> dict[str, float] | None:
    """Numbers from the cache; None where they cannot be read, so that they are measured and written again."""
    try:
        row: dict[str, Any] = json.loads(kept)
        return {name: float(row[name]) for name in names}
    except (ValueError, KeyError, TypeError):
        return None


def least_seconds(seconds: Callable[[str], float], names: Collection[str] = _FORMATS) -> dict[str, float]:
    """The least seconds of each format, which take turns: two halves of five each, again where halves differ by 10%.

    seconds: of a turn in a format. On a machine that never rests it is the least after five such pairs.
    """
    least: dict[str, float] = dict.fromkeys(names, math.inf)
    for _ in range(_ATTEMPTS):
        halves = [_half(seconds, names) for _ in range(2)]
        least = {name: min(least[name], *(half[name] for half in halves)) for name in names}
        if all(max(half[name] for half in halves) <= _APART * least[name] for name in names):
            break
    return least


def _half(seconds: Callable[[str], float], names: Collection[str]) -> dict[str, float]:
    turns = [{name: seconds(name) for name in names} for _ in range(_TURNS)]
    return {name: min(turn[name] for turn in turns) for name in names}


def _measured(shapes: Shapes, formats: Collection[str], device: torch.device, threads: int) -> dict[str, float]:
    """FLOP/s of each format: of a token's products, each as often as the model has its shape."""
    calls = {name: _products(shapes, DTYPES[name], device) for name in formats}
    flop = 2 * ROWS * sum(count * into * out for (into, out), count in shapes.items())
    lanes = threads if device.type == "cpu" else 1
    return {name: lanes * flop / seconds for name, seconds in _least(calls, device, threads).items()}


Calls = Sequence[tuple[float, Callable[[], torch.Tensor]]]  # how often each counts


def _least(calls: Mapping[str, Calls], device: torch.device, threads: int) -> dict[str, float]:
    """Least seconds of all calls of each name, by every thread of a processor side by side; one after the other on a
    GPU."""
    lanes = threads if device.type == "cpu" else 1

    def seconds(name: str) -> float:
        return max(in_threads(partial(_seconds, device=device), [calls[name]] * lanes, lanes))

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for name in calls:  # weights are put in order when first used
            _seconds(calls[name], device)
        return least_seconds(seconds, calls.keys())
    finally:
        torch.set_num_threads(before)


@torch.inference_mode()
def _seconds(calls: Calls, device: torch.device) -> float:
    """Seconds of all calls, each as often as it counts; on a processor those of this thread alone, so that what else
    the machine does now is not counted."""
    clock = time.thread_time if device.type == "cpu" else time.perf_counter

    def timed(call: Callable[[], torch.Tensor], times: int) -> float:
        started = clock()
        for _ in range(times):
            call()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return (clock() - started) / times

    total = 0.0
    for count, call in calls:
        seconds = timed(call, 1)
        if seconds < _LONG:
            seconds = timed(call, math.ceil(_LONG / max(seconds, 1e-6)))
        total += count * seconds
    return total


def _products(shapes: Shapes, dtype: torch.dtype, device: torch.device) -> Calls:
    """A product of each shape, no layer larger than is measured; it counts as often as its weights stand in a model."""
    calls: list[tuple[float, Callable[[], torch.Tensor]]] = []
    for (into, out), layer in zip(shapes, _layers([_capped(*s) for s in shapes], dtype, device), strict=True):
        inputs = torch.full((ROWS, layer.in_features), 0.5, dtype=dtype, device=device)
        count = shapes[into, out] * into * out / layer.weight.numel()
        calls.append((count, partial(layer, inputs)))
    return calls


def _capped(into: int, out: int) -> tuple[int, int]:
    return (into, out) if into * out <= _LARGEST else (min(into, _WIDEST), min(out, _WIDEST))


def _layers(widths: Sequence[tuple[int, int]], dtype: torch.dtype, device: torch.device) -> Any:
    """Linear layers of these widths, frozen as a base model's are."""
    generator = torch.Generator(device).manual_seed(0)
    layers = nn.ModuleList()
    for into, out in widths:
        layer = nn.utils.skip_init(nn.Linear, into, out, bias=False, dtype=dtype, device=device)
        layers.append(layer.requires_grad_(False))
    for weight in layers.parameters():
        nn.init.normal_(weight, generator=generator)
    if device.type == "cpu":
        freeze_layers(layers)
    return layers
