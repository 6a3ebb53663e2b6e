"""Base models that adapters of every method are opened on."""

import pytest

from byrote import lm
from fake_adapters import load_bases


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, lm.Base]:
    """The tiny Llama and GPT-2 as base models, by architecture."""
    return load_bases(tmp_path_factory.mktemp("bases"))


@pytest.fixture
def base(bases: dict[str, lm.Base]) -> lm.Base:
    """The tiny Llama."""
    return bases["llama"]
