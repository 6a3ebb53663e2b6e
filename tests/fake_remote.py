"""A remote folder in memory, and working copies of it on several machines."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import fsspec
import pytest

from byrote.store import Run

FILES = fsspec.filesystem("memory")


@contextmanager
def on_machine(name: str, folder: Path) -> Iterator[None]:
    """byrote's cache, and so every working copy that is opened, is that of another machine."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BYROTE_CACHE", str(folder / name))
        yield


def write_stage(run: Run, stage: str, text: str = "x") -> None:
    """A finished stage with a file, an adapter and weights."""
    with run.stage(stage, {"stage": "test"}) as draft:
        (draft.folder / "data").write_text(text)
        draft.adapter.mkdir()
        (draft.adapter / "adapter_config.json").write_text("{}")
        (draft.adapter / "adapter_model.safetensors").write_text(f"weights of {text}")
