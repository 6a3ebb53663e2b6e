"""PHEE, sentences of case reports on adverse drug events (Sun et al. 2022, arXiv:2210.12560), MIT licence.

Read from a local folder, or else downloaded as published. The hub's `sarus-tech/phee` is a loading script around the
same three files, in the same order, and `datasets` no longer runs scripts; so the files themselves are fetched.
"""

import os
from collections.abc import Iterator, Mapping
from hashlib import sha256
from http.client import HTTPException
from pathlib import Path
from typing import Any, cast
from urllib.request import urlopen

from byrote.cache import cache_folder
from byrote.corpora import formats
from byrote.corpora.checks import Finding
from byrote.corpora.files import read_bytes
from byrote.corpora.rows import Row, Table, build, did_you_mean, split_names
from byrote.errors import CorpusError
from byrote.records import Record, Span
from byrote.study import Columns, PheeCorpus

URL = "https://raw.githubusercontent.com/ZhaoyueSun/PHEE/12e9311e89c3d1d2db16a1a9fc93edf83ec2d9d8/data/json"
SHA256 = {
    "train": "a2d6cbdae3d95cb3a7e13439164c002041061f6f9823608af483c82d17a31f2b",
    "dev": "e1e24c0dfbe6f624e590a26d294f3082d0142ffc28b9da56761f1dd45e96aa53",
    "test": "ca7e24a88f62e8201583e14f206cd4df5c543acc627abd195bea4df8acd9afdf",
}
WAY_OUT = "set corpus.path or BYROTE_PHEE to a folder with train.json, dev.json and test.json"


def read(corpus: PheeCorpus) -> list[Record]:
    """Records of PHEE in the order of its files. The id is `PMID_sentence`, the group the PMID.

    spans: what the annotators marked, its kind in small letters (drug, effect, subject, age, trigger …), once each
    however many events name it, sorted by start. Raises CorpusError where no file can be had or one is broken.
    """
    tables = {split: _table(name, _file(corpus, name)) for split, name in split_names(corpus).items()}
    return build(tables, Columns(text=corpus.text, id="id", group="pmid"), corpus.limit, _spans)


def findings(corpus: PheeCorpus) -> tuple[Finding, ...]:
    """One Finding for every local file in use whose bytes differ from the published ones."""
    files = {name: _file(corpus, name) for name in split_names(corpus).values()}
    changed = [path for name, path in files.items() if sha256(read_bytes(path)).hexdigest() != SHA256[name]]
    return tuple(
        Finding("modified", 1, f"{path} differs from the PHEE file as published: not the same corpus")
        for path in changed
    )


def download(name: str, folder: Path, url: str = URL) -> Path:
    """The published file of a split in `folder`, fetched unless it is there and whole; its sha256 is checked.

    Raises CorpusError where there is no network, or where what came is not the published file.
    """
    path = folder / f"{name}.json"
    if path.is_file() and sha256(path.read_bytes()).hexdigest() == SHA256[name]:
        return path
    data = _fetch(f"{url}/{name}.json")
    digest = sha256(data).hexdigest()
    if digest != SHA256[name]:
        raise CorpusError(f"{url}/{name}.json has sha256 {digest}, published was {SHA256[name]}; {WAY_OUT}")
    _keep(path, data)
    return path


def _fetch(url: str) -> bytes:
    try:
        with urlopen(url, timeout=60) as answer:
            return answer.read()
    except (OSError, HTTPException) as error:
        raise CorpusError(f"cannot download PHEE from {url} ({error}); {WAY_OUT}") from error


def _keep(path: Path, data: bytes) -> None:
    partial = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_bytes(data)
        partial.replace(path)
    except OSError as error:
        raise CorpusError(f"cannot keep PHEE in {path.parent} ({error.strerror}); {WAY_OUT}") from error


def _file(corpus: PheeCorpus, name: str) -> Path:
    if name not in SHA256:
        raise CorpusError(f"PHEE has no split {name!r}; it has {', '.join(SHA256)}{did_you_mean(name, SHA256)}")
    local = corpus.path or os.environ.get("BYROTE_PHEE")
    if not local:
        return download(name, cache_folder() / "phee")
    path = Path(local).expanduser() / f"{name}.json"
    if not path.is_file():
        origin = "corpus.path" if corpus.path else "BYROTE_PHEE"
        raise CorpusError(f"no PHEE file {path} ({origin}); {WAY_OUT}")
    return path


def _table(name: str, path: Path) -> Table:
    columns, rows = formats.json_lines(read_bytes(path), str(path), "")
    with_pmid = [{**row, "pmid": str(row["id"]).partition("_")[0]} if "id" in row else row for row in rows]
    return Table(str(path), name, (*columns, "pmid"), with_pmid)


def _spans(row: Row) -> tuple[Span, ...]:
    try:
        spans = {
            span
            for annotation in row.get("annotations", ())
            for event in annotation["events"]
            for span in _marked("event", event)
        }
    except (TypeError, KeyError, ValueError, AttributeError) as error:
        raise CorpusError(
            f"PHEE record {row.get('id')}: annotations are not in the published form ({error!r})"
        ) from error
    return tuple(sorted(spans, key=lambda s: (s.start, len(s.text), s.kind)))


def _marked(kind: str, node: Mapping[str, Any]) -> Iterator[Span]:
    """Spans of an argument and of the arguments inside it. A span in several pieces gives one Span for each."""
    for texts, starts in zip(node.get("text", ()), node.get("start", ()), strict=True):
        for text, start in zip(texts, starts, strict=True):
            yield Span(kind.lower(), start, text)
    for name, inner in node.items():
        for child in cast("list[Any]", inner) if isinstance(inner, list) else [inner]:
            if isinstance(child, Mapping):
                yield from _marked(name, cast("Mapping[str, Any]", child))
