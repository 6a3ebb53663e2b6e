"""Members and non-members as a training script has them, checked, and a sample of each."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from typing import Any, cast

import numpy as np

from byrote.corpora.checks import check, cut_long
from byrote.corpora.files import read_table
from byrote.corpora.rows import Row, did_you_mean, first_few, name_in
from byrote.errors import CorpusError
from byrote.records import CALIBRATION, MEMBERS, NONMEMBERS, Record
from byrote.study import FilesCorpus

Given = str | PathLike[str] | Iterable[str | Mapping[str, Any]]
"""A file, texts, or records as mappings; a data set or a data frame counts as its rows."""

NO_LOSS = -100
_CHAT = ("prompt", "completion", "messages")


@dataclass(frozen=True)
class Sample:
    """Records drawn from those given, members first, then non-members, then calibration.

    learned: for records given as token ids with labels, which of their tokens the loss was on · notes: what a reader of
    the numbers must know, one sentence each; they name records, never texts.
    """

    records: tuple[Record, ...]
    learned: Mapping[str, tuple[bool, ...]]
    notes: tuple[str, ...]


def draw(given: Mapping[str, Given], *, size: int, seed: int, text: str = "text", group: str | None = None) -> Sample:
    """At most `size` records of each split, drawn without replacement by `seed`, in the order given.

    given: split → its records · text, group: keys of a mapping. A record is its own group where no key is named.
    Raises CorpusError for an empty split, a record without text or token ids, an empty text, and for a text or a group
    that members share with another split.
    """
    records: list[Record] = []
    learned: dict[str, tuple[bool, ...]] = {}
    for split, source in given.items():
        rows = _rows(source, split, text)
        if not rows:
            raise CorpusError(f"{split} is empty; give at least ten records, 200 for intervals worth reading")
        for number, row in enumerate(rows, 1):
            record, mask = _record(row, f"{split}:{number}", split, text, group)
            records.append(record)
            if mask is not None:
                learned[record.record] = mask
    names = {split: split for split in given}
    part = FilesCorpus(source="files", **names)  # type: ignore[arg-type]
    notes = [finding.message for finding in check(records, part)]
    rng = np.random.default_rng(seed)
    drawn: list[Record] = []
    for split in given:
        of_split = [r for r in records if r.split == split]
        picks = np.sort(rng.permutation(len(of_split))[:size])
        drawn += [of_split[i] for i in picks]
    return Sample(tuple(drawn), {r.record: learned[r.record] for r in drawn if r.record in learned}, tuple(notes))


def tokenised(sample: Sample, tokenizer: Any, *, append_eos: bool, max_tokens: int) -> Sample:
    """The sample with token ids and readable texts: texts encoded, and records given as token ids decoded, by
    `lm.Tokenizer`; every record cut to `max_tokens`, as the training cuts it."""
    texts = [r.text for r in sample.records if not r.token_ids]
    encoded = iter(tokenizer.encode(texts, append_eos=append_eos))
    whole = [r if r.token_ids else replace(r, token_ids=next(encoded)) for r in sample.records]
    cut, finding = cut_long(whole, max_tokens, "truncate")
    readable = [replace(r, text=_learned_text(r, sample, tokenizer)) if r.record in sample.learned else r for r in cut]
    learned = {r.record: sample.learned[r.record][:max_tokens] for r in cut if r.record in sample.learned}
    notes = (*sample.notes, finding.message) if finding else sample.notes
    return Sample(tuple(readable), learned, notes)


def _learned_text(record: Record, sample: Sample, tokenizer: Any) -> str:
    mask = sample.learned[record.record]
    return tokenizer.decode([token for token, kept in zip(record.token_ids, mask, strict=False) if kept])


def _rows(source: Given, split: str, text: str) -> list[Row]:
    """Rows with named columns, whatever they were given as."""
    if isinstance(source, str | PathLike):
        return list(read_table(Path(), str(source), text).rows)
    if hasattr(source, "iloc"):  # a data frame, whose iteration gives column names
        source = cast(Any, source).to_dict("records")
    if isinstance(source, Mapping):
        raise CorpusError(f"{split} is one mapping; give a list of records, a data set or a file")
    rows: list[Row] = []
    for number, row in enumerate(cast(Iterable[Any], source), 1):
        if not isinstance(row, str | Mapping):
            raise CorpusError(f"{split}, record {number} is a {type(row).__name__}; give texts, or mappings of names")
        rows.append({text: row} if isinstance(row, str) else row)
    return rows


def _record(row: Row, name: str, split: str, text: str, group: str | None) -> tuple[Record, tuple[bool, ...] | None]:
    document = name if group is None else _group(row, group, name)
    if "input_ids" in row:
        ids, mask = _ids(row, name)
        return Record(name, split, document, " ".join(map(str, ids)), token_ids=ids), mask
    if text not in row:
        chat = [key for key in _CHAT if key in row]
        if chat:
            raise CorpusError(
                f"{name} has {first_few(chat)}; the callback reads {text!r}, or input_ids with labels "
                f"({NO_LOSS} where there is no loss): give the records as your trainer tokenised them"
            )
        raise CorpusError(f"{name}: no {text!r}; it has {first_few(list(row), 8)}{did_you_mean(text, row)}")
    if not isinstance(row[text], str):
        raise CorpusError(f"{name}: {text!r} must be a string, got {type(row[text]).__name__}")
    return Record(name, split, document, row[text]), None


def _group(row: Row, group: str, name: str) -> str:
    if group not in row:
        raise CorpusError(f"{name}: no {group!r} (group); it has {first_few(list(row), 8)}{did_you_mean(group, row)}")
    return name_in(row, group, name)


def _ids(row: Row, name: str) -> tuple[tuple[int, ...], tuple[bool, ...]]:
    """Token ids, and on which of them the loss was; on all where there are no labels."""
    ids = tuple(int(token) for token in row["input_ids"])
    if not ids:
        raise CorpusError(f"{name}: input_ids is empty; take the record out")
    if "labels" not in row:
        return ids, (True,) * len(ids)
    labels: Sequence[int] = [int(label) for label in row["labels"]]
    if len(labels) != len(ids):
        raise CorpusError(f"{name}: {len(labels)} labels for {len(ids)} input_ids; give one a token")
    wrong = next(
        (i for i, (label, token) in enumerate(zip(labels, ids, strict=True)) if label not in (NO_LOSS, token)), None
    )
    if wrong is not None:
        raise CorpusError(
            f"{name}: label {wrong} is {labels[wrong]} where the token is {ids[wrong]}; a label is its token, not the "
            f"next one, or {NO_LOSS} where there is no loss"
        )
    return ids, tuple(label != NO_LOSS for label in labels)


def splits_of(members: Given, nonmembers: Given, calibration: Given | None) -> dict[str, Given]:
    """Split → the records given for it."""
    given: dict[str, Given] = {MEMBERS: members, NONMEMBERS: nonmembers}
    return given if calibration is None else {**given, CALIBRATION: calibration}
