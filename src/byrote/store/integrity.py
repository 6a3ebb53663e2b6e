# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownArgumentType=false
# pyright: reportUnknownVariableType=false
"""Whether the files of a finished stage are still those that were written."""

from collections.abc import Mapping
from functools import lru_cache
from hashlib import file_digest
from itertools import chain
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from safetensors import SafetensorError, safe_open

MANIFEST = "manifest.json"
# What a stage holds, for runs whose manifests have no hashes yet.
_EXPECTED: Mapping[str, tuple[str, ...]] = {
    "finetune": ("adapter/adapter_config.json", "adapter/adapter_model.safetensors", "log.jsonl"),
    "scores": ("scores.parquet",),
    "completions": ("completions.parquet",),
    "untargeted": ("completions.parquet", "scores.parquet"),
    "canaries": ("canaries.parquet",),
}


def fingerprints(folder: Path) -> dict[str, dict[str, Any]]:
    """Size and sha256 of every file under a folder but its manifest, by path within it."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() and path != folder / MANIFEST)
    return {path.relative_to(folder).as_posix(): fingerprint(path) for path in files}


def fingerprint(path: Path) -> dict[str, Any]:
    """Size and sha256 of a file."""
    return {"bytes": path.stat().st_size, "sha256": sha256_of(path)}


def sha256_of(path: Path) -> str:
    """Digest of a file, in hexadecimal; read again only where its size or time of change are others than before."""
    return _sha256(path, *_stamp(path))


@lru_cache(maxsize=1 << 14)
def _sha256(path: Path, size: int, changed: int) -> str:  # noqa: ARG001 (they are the key)
    with path.open("rb") as handle:
        return file_digest(handle, "sha256").hexdigest()


def _stamp(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_size, status.st_mtime_ns


def damage_of(folder: Path, manifest: Mapping[str, Any], weights: bool, awaited: Mapping[str, int]) -> str | None:
    """Why the stage in `folder` is not what its manifest says; None where it is.

    Sizes and hashes are compared, with `weights` those of adapter weights too, which may be large. Where an older
    manifest has no hashes, files must be there and open. awaited: files that lie where the folder is a copy of, and
    their sizes there, which alone are compared.
    """
    kept = manifest.get("files")
    if kept is None:
        expected = _EXPECTED.get(manifest.get("stage", ""), ())
        names = [*expected, *(path.name for path in folder.glob("*.parquet") if path.name not in expected)]
        reasons = (unreadable(folder / name) for name in names if name not in awaited)
    else:
        there = (_of_another_size(name, awaited[name], was) for name, was in kept.items() if name in awaited)
        here = (changed(folder / name, was, weights) for name, was in kept.items() if name not in awaited)
        reasons = chain(there, here)
    return next((reason for reason in reasons if reason), None)


def changed(path: Path, was: Mapping[str, Any], weights: bool = True) -> str | None:
    """Why a file is not the one that had this fingerprint; None where it is. Without `weights` only sizes of
    safetensors files are compared."""
    if not path.is_file():
        return f"{path.name} is gone"
    if reason := _of_another_size(path.name, path.stat().st_size, was):
        return reason
    hashed = weights or path.suffix != ".safetensors"
    if hashed and sha256_of(path) != was["sha256"]:
        return f"{path.name} does not hold the bytes that were written"
    return None


def _of_another_size(name: str, size: int, was: Mapping[str, Any]) -> str | None:
    return None if size == was["bytes"] else f"{Path(name).name} has {size} bytes where {was['bytes']} were written"


def unreadable(path: Path) -> str | None:
    """Why a Parquet or safetensors file does not open; None where it does, or is of another kind."""
    return _does_not_open(path, *_stamp(path)) if path.is_file() else f"{path.name} is gone"


@lru_cache(maxsize=1 << 14)
def _does_not_open(path: Path, size: int, changed: int) -> str | None:  # noqa: ARG001 (they are the key)
    try:
        if path.suffix == ".parquet":
            pq.read_schema(path)
        elif path.suffix == ".safetensors":
            with safe_open(path, "numpy"):
                pass
    except (OSError, pa.ArrowInvalid, SafetensorError) as error:
        return f"{path.name} cannot be read: {str(error).splitlines()[0]}"
    return None
