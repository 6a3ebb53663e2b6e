"""Corpora: records in splits, from a table of readers. A new corpus is one file here and one line in CORPORA."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any

import numpy as np

from byrote.corpora import adverse_events, files, hub, phee
from byrote.corpora.checks import Finding, check, cut_long, drop_blank, drop_misplaced_spans
from byrote.corpora.near_duplicates import near_duplicates_finding
from byrote.corpora.rows import Row, Table, build, columns_of
from byrote.errors import CorpusError
from byrote.records import CALIBRATION, CANARIES, NONMEMBERS, Record
from byrote.study import CorpusPart
from byrote.study.settings import Columns, RowsCorpus

__all__ = [
    "CORPORA",
    "Finding",
    "LoadedCorpus",
    "calibrate_on_half",
    "content_of",
    "cut_long",
    "load_corpus",
    "read_corpus",
    "reader",
    "records_of_rows",
]

# A reader gets its own part of the study, which Callable cannot say, and gives the records of every split it names,
# `split` in SPLITS, in the order of the source, at most `limit` a split, ids unique.
CORPORA: dict[str, Callable[[Any], list[Record]]] = {
    "phee": phee.read,
    "files": files.read,
    "hub": hub.read,
    "adverse_events": adverse_events.read,
}

# What a source has to say of itself beyond its records.
SOURCE_FINDINGS: dict[str, Callable[[Any], tuple[Finding, ...]]] = {"phee": phee.findings, "files": files.findings}


@dataclass(frozen=True)
class LoadedCorpus:
    """Records in the order of the source, what was found on them, and the sha256 of what they hold (`content_of`)."""

    records: tuple[Record, ...]
    findings: tuple[Finding, ...]
    content: str


def load_corpus(corpus: CorpusPart, records: Sequence[Record] | None = None) -> LoadedCorpus:
    """Read a corpus, leave out blank texts and misplaced spans (counted in findings), and check it.

    records: those to check, where they were read before and some of them taken out. Raises CorpusError where the corpus
    cannot be read or would make the measurement void.
    """
    source = _source_of(corpus)
    records, blank = drop_blank(read_corpus(corpus) if records is None else records)
    records, misplaced = drop_misplaced_spans(records)
    own = SOURCE_FINDINGS[source](corpus) if source in SOURCE_FINDINGS else ()
    checked, half = check(records, corpus), _half_finding(corpus, records)
    near = near_duplicates_finding(records)
    findings = [finding for finding in (*own, half, blank, misplaced, *checked, near) if finding]
    return LoadedCorpus(tuple(records), tuple(findings), content_of(records))


def read_corpus(corpus: CorpusPart) -> list[Record]:
    """The records of a corpus as its source has them, unchecked. CorpusError where it cannot be read."""
    records = reader(_source_of(corpus))(corpus)
    return records if _halved(corpus) is None else calibrate_on_half(records, _halved(corpus) or 0)


def _halved(corpus: CorpusPart) -> int | None:
    """The seed by which half of the non-members are to become calibration records; None where they are not."""
    return corpus.calibration_half if corpus.calibration is None else None


def calibrate_on_half(records: Sequence[Record], seed: int) -> list[Record]:
    """Records of which half of the non-members' documents, drawn by the seed, are calibration records instead.

    Which documents are drawn depends on their names and the seed alone, not on the order of the records. CorpusError
    where there are not two documents.
    """
    documents = sorted({r.group for r in records if r.split == NONMEMBERS})
    if len(documents) < 2:
        raise CorpusError(
            f"the non-members are of {len(documents)} document, which cannot be halved to fix thresholds; give "
            "calibration records (corpus.calibration; --calibration of an audit), or set corpus.calibration_half to "
            "null"
        )
    order: list[int] = np.random.default_rng(seed).permutation(len(documents)).tolist()
    drawn = {documents[place] for place in order[: len(documents) // 2]}
    halved = [replace(r, split=CALIBRATION) if r.split == NONMEMBERS and r.group in drawn else r for r in records]
    return [*(r for r in halved if r.split != CALIBRATION), *(r for r in halved if r.split == CALIBRATION)]


def _half_finding(corpus: CorpusPart, records: Sequence[Record]) -> Finding | None:
    if _halved(corpus) is None:
        return None
    count = sum(r.split == CALIBRATION for r in records)
    kept = sum(r.split == NONMEMBERS for r in records)
    message = (
        f"no calibration records are given: {count} of {count + kept} non-members, half of their documents by seed "
        f"{_halved(corpus)}, fix thresholds and are not evaluated"
    )
    return Finding("calibration_half", count, message)


def records_of_rows(corpus: CorpusPart, where: str, rows: Sequence[Row]) -> list[Record]:
    """Rows that are in no split of the corpus, as records with the texts that the corpus would give them.

    where: names the rows in errors. Raises CorpusError where they lack the columns that the corpus reads.
    """
    columns = corpus.columns if isinstance(corpus, RowsCorpus) else Columns(text=str(getattr(corpus, "text", "text")))
    own_names = replace(columns, id=None, group=None)
    return build({CANARIES: Table(where, CANARIES, columns_of(rows), rows)}, own_names, None)


def _source_of(corpus: CorpusPart) -> str:
    return getattr(corpus, "source", type(corpus).__name__)


def reader(source: str) -> Callable[[Any], list[Record]]:
    """The reader of a source. CorpusError lists the sources."""
    if source not in CORPORA:
        raise CorpusError(f"no corpus source {source!r}; corpus.source is one of {', '.join(CORPORA)}")
    return CORPORA[source]


def content_of(records: Sequence[Record]) -> str:
    """sha256, in hexadecimal, over split, id, group and text of the records in order, and the turns of those that have
    them: one JSON list a line."""
    digest = sha256()
    for r in records:
        digest.update(
            json.dumps([r.split, r.record, r.group, r.text, *([r.turns] if r.turns else [])]).encode() + b"\n"
        )
    return digest.hexdigest()
