"""What most tests start from."""

import os
from collections.abc import Iterator
from pathlib import Path

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("OMP_NUM_THREADS", "1")  # tests run side by side

import pytest
from hypothesis import settings

from byrote.study import Study, load_study

settings.register_profile("byrote", deadline=None, derandomize=True)  # no clock and no chance in a verdict
settings.load_profile("byrote")


@pytest.fixture(scope="session", autouse=True)
def byrote_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """byrote's cache, in the tests' own temporary folder: they leave the user's alone."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BYROTE_CACHE", str(folder))
        yield folder


@pytest.fixture(scope="session")
def published_phee() -> Path:
    """PHEE as published, for tests marked `phee`; without it they fail and name the way out, and none is skipped."""
    named = os.environ.get("BYROTE_PHEE")
    files = ("train.json", "dev.json", "test.json")
    if not named or not all((Path(named) / file).is_file() for file in files):
        way_out = f"set BYROTE_PHEE to a folder with {', '.join(files[:2])} and {files[2]}"
        pytest.fail(f"PHEE is missing (BYROTE_PHEE is {named or 'not set'}): {way_out}", pytrace=False)
    return Path(named)


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny Llama with its tokenizer, as files."""
    from fakes import save_tiny_model

    return save_tiny_model(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="session")
def corpus_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve members, twelve non-members, ten calibration records as JSON lines, documents of two."""
    from fakes import save_tiny_corpus

    return save_tiny_corpus(tmp_path_factory.mktemp("corpus"))


@pytest.fixture
def tiny_study(tiny_folder: Path, corpus_folder: Path) -> dict:
    """A study that trains in a second, as the mapping that `load_study` takes."""
    from fakes import tiny_study

    return tiny_study(tiny_folder, corpus_folder)


@pytest.fixture
def study(tiny_study: dict) -> Study:
    """The same, checked."""
    return load_study(tiny_study)


@pytest.fixture
def one_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs draw one figure: all of them take longer than the rest of a tiny run, and tests/figures draws them."""
    from byrote import figures

    monkeypatch.setattr(figures, "FIGURES", {"roc": figures.FIGURES["roc"]})


@pytest.fixture
def two_threads():
    """torch with two threads, as many as before afterwards."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)
