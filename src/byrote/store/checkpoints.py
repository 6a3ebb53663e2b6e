"""Where a training stands, as one file: arrays and facts in safetensors' format, with a digest of both."""

import json
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from byrote.errors import StoreError


def place(root: Path, stage: str) -> Path:
    """The checkpoint file of a stage of the run in `root`."""
    return root / "checkpoints" / f"{Path(stage).name}.safetensors"


def pack(arrays: Mapping[str, np.ndarray], facts: Mapping[str, Any]) -> bytes:
    """The file's content; facts: anything that JSON holds."""
    described = json.dumps(facts, sort_keys=True)
    return save(dict(arrays), metadata={"facts": described, "sha256": _digest(arrays, described)})


def read(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]] | None:
    """The inverse of `pack`, of a file; None where there is none. StoreError where it is damaged."""
    if not path.exists():
        return None
    try:
        opened: Any = safe_open(path, "numpy")
        with opened as file:
            metadata: dict[str, str] = file.metadata() or {}
            arrays: dict[str, np.ndarray] = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise StoreError(f"the checkpoint {path} cannot be read: {str(error).splitlines()[0]}") from None
    described = metadata.get("facts", "")
    if metadata.get("sha256") != _digest(arrays, described):
        raise StoreError(f"the checkpoint {path} does not hold the bytes that were written")
    return arrays, json.loads(described)


def _digest(arrays: Mapping[str, np.ndarray], described: str) -> str:
    digest = sha256(described.encode())
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name} {array.dtype} {array.shape}".encode())
        digest.update(array.data)
    return digest.hexdigest()
