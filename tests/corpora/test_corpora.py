"""The contract of every reader in the table, and of `load_corpus`."""

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest

from byrote.corpora import CORPORA, content_of, load_corpus, reader
from byrote.errors import CorpusError
from byrote.records import CALIBRATION, MEMBERS, NONMEMBERS, SPLITS, Record
from byrote.study import (
    AdverseEventsCorpus,
    Corpus,
    CorpusPart,
    FilesCorpus,
    HubCorpus,
    PheeCorpus,
)

COUNTS = {"train": 5, "test": 4, "dev": 3}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three files that PHEE, files and hub can all read; the library's cache beside them."""
    from datasets import config

    monkeypatch.setattr(config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))
    (tmp_path / "data").mkdir()
    for name, count in COUNTS.items():
        lines = [json.dumps({"id": f"{name}{i // 2}_{i}", "context": f"{name} number {i}"}) for i in range(count)]
        (tmp_path / "data" / f"{name}.json").write_text("\n".join(lines) + "\n")
    return tmp_path / "data"


def part(source: str, folder: Path, **fields: object) -> CorpusPart:
    """The part of a study for each source in the table, over the folder where it reads one."""
    named = {"members": "train.json", "nonmembers": "test.json", "calibration": "dev.json"}
    parts: dict[str, Callable[[], CorpusPart]] = {
        "phee": lambda: PheeCorpus.model_validate({"source": source, "path": str(folder), **fields}),
        "files": lambda: FilesCorpus.model_validate(
            {"source": source, "path": str(folder), **named, "text": "context", "id": "id", **fields}
        ),
        "hub": lambda: HubCorpus.model_validate(
            {"source": source, "path": str(folder), "calibration": "validation", "text": "context", **fields}
        ),
        "adverse_events": lambda: AdverseEventsCorpus.model_validate({"source": source, "size": 12, **fields}),
    }
    return parts[source]()


def test_table_holds_every_source_of_a_study() -> None:
    sources = {get_args(kind.model_fields["source"].annotation)[0] for kind in get_args(get_args(Corpus)[0])}
    assert set(CORPORA) == sources


@pytest.mark.parametrize("source", list(CORPORA))
def test_reader_contract(source: str, folder: Path) -> None:
    corpus = part(source, folder)
    records = CORPORA[source](corpus)
    assert all(isinstance(r, Record) and r.group and r.text.strip() and not r.token_ids for r in records)
    assert len({r.record for r in records}) == len(records)
    assert list(dict.fromkeys(r.split for r in records)) == list(SPLITS)
    assert all(r.text[s.start : s.start + len(s.text)] == s.text for r in records for s in r.spans)
    assert CORPORA[source](corpus) == records


@pytest.mark.parametrize("source", list(CORPORA))
def test_limit_keeps_the_first_of_each_split(source: str, folder: Path) -> None:
    everything = CORPORA[source](part(source, folder))
    limited = CORPORA[source](part(source, folder, limit=2))
    expected = [r for split in SPLITS for r in [r for r in everything if r.split == split][:2]]
    assert [(r.split, r.text) for r in limited] == [(r.split, r.text) for r in expected]


@pytest.mark.parametrize("source", list(CORPORA))
def test_no_calibration(source: str, folder: Path) -> None:
    records = CORPORA[source](part(source, folder, calibration=None))
    assert {r.split for r in records} == {MEMBERS, NONMEMBERS}


@pytest.mark.parametrize("source", list(CORPORA))
def test_load_corpus_checks_and_digests(source: str, folder: Path) -> None:
    loaded = load_corpus(part(source, folder))
    assert loaded.content == content_of(loaded.records)
    assert load_corpus(part(source, folder)) == loaded
    assert {r.split for r in loaded.records} == set(SPLITS)


def test_content_is_blind_to_paths(folder: Path) -> None:
    moved = folder.rename(folder.with_name("elsewhere"))
    there = load_corpus(part("files", moved))
    moved.rename(folder)
    assert load_corpus(part("files", folder)).content == there.content


def test_content_knows_split_id_group_text_and_order() -> None:
    record = Record("a", MEMBERS, "g", "text")
    two = Record("b", NONMEMBERS, "h", "other")
    same = content_of([record, two])
    changed = [
        [two, record],
        [replace(record, record="c"), two],
        [replace(record, split=CALIBRATION), two],
        [replace(record, group="i"), two],
        [replace(record, text="texts"), two],
        [record],
    ]
    assert len({same, *map(content_of, changed)}) == len(changed) + 1
    assert content_of([replace(record, token_ids=(1, 2)), two]) == same
    # sha256sum of the two lines, by another program: a change here makes every stored run of every user start anew.
    assert same == "9cffb128bceed0ad0586d745b3c17e8f744b5f3fc154c21418ab1a0cfe64ff72"


def test_unknown_source_lists_the_sources() -> None:
    with pytest.raises(CorpusError, match=r"no corpus source 'pubmed'; corpus\.source is one of phee, files, hub"):
        reader("pubmed")


def test_import_is_light() -> None:
    code = "import sys, byrote.corpora; print([m for m in sys.argv[1:] if m in sys.modules])"
    heavy = ["torch", "transformers", "datasets", "huggingface_hub", "pandas", "pyarrow.parquet"]
    env = {"PYTHONPATH": ":".join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code, *heavy], env=env, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
