# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownParameterType=false
"""Typed rows and their Arrow schemas: records, roles, token scores, completions of prompts and of nothing.

Axes: N records, S scored tokens over all records (ragged, by `offsets`).
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from typing import Any

import numpy as np
import pyarrow as pa

MEMBERS, NONMEMBERS, CALIBRATION = "members", "nonmembers", "calibration"
SPLITS = (MEMBERS, NONMEMBERS, CALIBRATION)
CANARIES = "canaries"  # of canaries and references that the base model wrote: for a run, or into the members' file

RECORDS_STRATUM = "records"  # the stratum of members and non-members; `canary_stratum` names the others
PROMPTS_STRATUM = "prompts"  # the same records by their prompts, which training masked
_CANARY_STRATUM = re.compile(r"canaries@([1-9]\d*)")


def canary_stratum(copies: int) -> str:
    """The name of the stratum of canaries that stand so many times in the training records."""
    return f"canaries@{copies}"


def copies_in(stratum: str) -> int | None:
    """The copies of each canary of a stratum, by its name; None for `records`, and for what names no stratum."""
    named = _CANARY_STRATUM.fullmatch(stratum)
    return int(named[1]) if named else None


class Role(StrEnum):
    """What a record is in one trial; exactly one each (DESIGN: roles)."""

    MEMBER = "member"
    NONMEMBER = "nonmember"
    CALIBRATION = "calibration"
    SHADOW = "shadow"
    CANARY_IN = "canary_in"
    CANARY_OUT = "canary_out"
    REFERENCE = "reference"
    OVERWRITTEN = "overwritten"


@dataclass(frozen=True)
class Span:
    """A stretch of a record's text with a meaning (`answer`: the loss was on it). `start` counts characters from 0."""

    kind: str
    start: int
    text: str


ANSWER_SPAN = "answer"  # the kind of the spans on which the loss was, in a record of prompt and answer


@dataclass(frozen=True)
class Record:
    """One text. `record` is unique in a corpus; `group` is the document it was cut from; `split` is one of SPLITS, or
    CANARIES.

    turns: canonical JSON of what a chat or instruction record is made of (corpora/chat.py), '' for plain text; `text`
    is then a readable rendering. It is not stored in a run. answer_mask: True for each of `token_ids` that the loss was
    on; empty where the loss was on the whole record.
    """

    record: str
    split: str
    group: str
    text: str
    spans: tuple[Span, ...] = ()
    token_ids: tuple[int, ...] = ()
    turns: str = ""
    answer_mask: tuple[bool, ...] = ()

    def __post_init__(self) -> None:
        if self.answer_mask and len(self.answer_mask) != len(self.token_ids):
            raise ValueError(f"{self.record}: {len(self.token_ids)} token ids, a mask of {len(self.answer_mask)}")

    @property
    def sha256(self) -> str:
        """Digest of the text, in hexadecimal."""
        return sha256(self.text.encode()).hexdigest()

    def text_of(self, *, answer: bool) -> str:
        """The text of the record's answer, or of its prompt; a record without an answer is all answer."""
        spans = sorted((s for s in self.spans if s.kind == ANSWER_SPAN), key=lambda s: s.start)
        if not spans:
            return self.text if answer else ""
        if answer:
            return "\n\n".join(s.text for s in spans)
        starts, ends = [*(s.start for s in spans), len(self.text)], [0, *(s.start + len(s.text) for s in spans)]
        return "".join(self.text[end:start] for end, start in zip(ends, starts, strict=True))


def masks_of(records: Sequence[Record]) -> tuple[tuple[bool, ...], ...]:
    """The answer mask of each record; nothing at all where none has one."""
    masks = tuple(r.answer_mask for r in records)
    return masks if any(masks) else ()


def scored_tokens(record: Record, *, answer: bool) -> tuple[bool, ...]:
    """Which of a record's scored tokens (all token ids but the first) belong to its answer, or else to its prompt."""
    mask = record.answer_mask or (True,) * len(record.token_ids)
    return tuple(inside == answer for inside in mask[1:])


SPAN_TYPE = pa.list_(pa.struct([("kind", pa.string()), ("start", pa.int32()), ("text", pa.string())]))
RECORDS_SCHEMA = pa.schema(
    [
        ("record", pa.string()),
        ("group", pa.string()),
        ("split", pa.string()),
        ("sha256", pa.string()),
        ("text", pa.string()),
        ("spans", SPAN_TYPE),
        ("token_ids", pa.list_(pa.int32())),
        ("answer_mask", pa.list_(pa.bool_())),
    ]
)


def records_to_table(records: Sequence[Record]) -> pa.Table:
    """Records as an Arrow table of RECORDS_SCHEMA, in the order given; `turns` are left out."""
    rows = [
        {
            "record": r.record,
            "group": r.group,
            "split": r.split,
            "sha256": r.sha256,
            "text": r.text,
            "spans": [{"kind": s.kind, "start": s.start, "text": s.text} for s in r.spans],
            "token_ids": list(r.token_ids),
            "answer_mask": list(r.answer_mask),
        }
        for r in records
    ]
    return pa.Table.from_pylist(rows, schema=RECORDS_SCHEMA)


def records_from_table(table: pa.Table) -> list[Record]:
    """The inverse of `records_to_table`, but for `turns`; a run that is older than the masks has none."""
    return [
        Record(
            record=row["record"],
            split=row["split"],
            group=row["group"],
            text=row["text"] or "",
            spans=tuple(Span(s["kind"], s["start"], s["text"]) for s in row["spans"] or ()),
            token_ids=tuple(row["token_ids"] or ()),
            answer_mask=tuple(row.get("answer_mask") or ()),
        )
        for row in table.to_pylist()
    ]


@dataclass(frozen=True, slots=True)
class Assignment:
    """Role and copies of one record in one trial: how often its text is trained on (canary_out: would be)."""

    record: str
    role: Role
    copies: int


ROLES_SCHEMA = pa.schema([("record", pa.string()), ("role", pa.string()), ("copies", pa.int32())])


def roles_to_table(assignments: Sequence[Assignment]) -> pa.Table:
    """Assignments as an Arrow table of ROLES_SCHEMA, in the order given."""
    rows = [{"record": a.record, "role": a.role.value, "copies": a.copies} for a in assignments]
    return pa.Table.from_pylist(rows, schema=ROLES_SCHEMA)


def roles_from_table(table: pa.Table) -> list[Assignment]:
    """The inverse of `roles_to_table`."""
    return [Assignment(row["record"], Role(row["role"]), row["copies"]) for row in table.to_pylist()]


SCORES_SCHEMA = pa.schema(
    [
        ("record", pa.string()),
        ("logprob", pa.list_(pa.float32())),
        ("top1", pa.list_(pa.bool_())),
        ("mean", pa.list_(pa.float32())),
        ("std", pa.list_(pa.float32())),
    ]
)


@dataclass(frozen=True, eq=False)
class TokenScores:
    """Scores of every scored token of N records, ragged. Record i owns the tokens `offsets[i]:offsets[i + 1]`.

    records: N ids · offsets: int64 (N + 1,) · logprob: float32 (S,), natural log of the token's probability ·
    top1: bool (S,), the model's argmax is the token · mean, std: float32 (S,), of the log-probability over the
    vocabulary, weighted by probability (min-k++). A token without context is not scored, so a record of T token ids
    owns T − 1 scores.
    """

    records: tuple[str, ...]
    offsets: np.ndarray
    logprob: np.ndarray
    top1: np.ndarray
    mean: np.ndarray
    std: np.ndarray

    def __post_init__(self) -> None:
        scored = len(self.logprob)
        if len(self.offsets) != len(self.records) + 1 or int(self.offsets[-1]) != scored:
            raise ValueError(f"offsets end at {self.offsets[-1]}, logprob has {scored} tokens")
        if not (len(self.top1) == len(self.mean) == len(self.std) == scored):
            raise ValueError("logprob, top1, mean and std must have one entry a scored token")

    def __len__(self) -> int:
        return len(self.records)

    @property
    def lengths(self) -> np.ndarray:
        """Scored tokens of each record, int64 (N,)."""
        return np.diff(self.offsets)

    def spans(self) -> Iterator[slice]:
        """The slice of each record, in order."""
        for start, end in zip(self.offsets[:-1], self.offsets[1:], strict=True):
            yield slice(int(start), int(end))

    def take(self, records: Sequence[str]) -> "TokenScores":
        """The same scores for these records, in this order. KeyError names a record that has none."""
        place = {record: i for i, record in enumerate(self.records)}
        rows = [place[record] for record in records]
        lengths = self.lengths[rows]
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        picks = np.arange(offsets[-1]) + np.repeat(self.offsets[:-1][rows] - offsets[:-1], lengths)
        return TokenScores(
            tuple(records), offsets, self.logprob[picks], self.top1[picks], self.mean[picks], self.std[picks]
        )

    @classmethod
    def joined(cls, parts: Sequence["TokenScores"]) -> "TokenScores":
        """The scores of several sets of records, one after the other; at least one set."""
        if len(parts) == 1:
            return parts[0]
        lengths = np.concatenate([part.lengths for part in parts])
        return cls(
            tuple(record for part in parts for record in part.records),
            np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
            np.concatenate([part.logprob for part in parts]),
            np.concatenate([part.top1 for part in parts]),
            np.concatenate([part.mean for part in parts]),
            np.concatenate([part.std for part in parts]),
        )

    def keep(self, kept_S: np.ndarray) -> "TokenScores":
        """The same records with those of their tokens alone that `kept_S` (bool, (S,)) names; a record may be left with
        none."""
        ends = np.concatenate([[0], np.cumsum(kept_S)]).astype(np.int64)
        columns = (self.logprob[kept_S], self.top1[kept_S], self.mean[kept_S], self.std[kept_S])
        return TokenScores(self.records, ends[self.offsets], *columns)

    def to_table(self) -> pa.Table:
        """An Arrow table of SCORES_SCHEMA."""
        offsets = pa.array(self.offsets.astype(np.int32))

        def ragged(values: np.ndarray) -> pa.Array:
            return pa.ListArray.from_arrays(offsets, pa.array(values))

        columns = [ragged(self.logprob), ragged(self.top1), ragged(self.mean), ragged(self.std)]
        return pa.Table.from_arrays([pa.array(self.records, pa.string()), *columns], schema=SCORES_SCHEMA)

    @classmethod
    def from_table(cls, table: pa.Table) -> "TokenScores":
        """The inverse of `to_table`."""
        lists = [table.column(name).combine_chunks() for name in ("logprob", "top1", "mean", "std")]
        lengths = lists[0].value_lengths().to_numpy(zero_copy_only=False)
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        flat = [column.flatten().to_numpy(zero_copy_only=False) for column in lists]
        return cls(tuple(table.column("record").to_pylist()), offsets, *flat)


COMPLETIONS_SCHEMA = pa.schema(
    [
        ("record", pa.string()),
        ("prefix", pa.float64()),
        ("temperature", pa.float64()),
        ("sample", pa.int32()),
        ("prefix_tokens", pa.int32()),
        ("suffix_tokens", pa.int32()),
        ("token_ids", pa.list_(pa.int32())),
        ("logprob", pa.list_(pa.float32())),
        ("text", pa.string()),
        ("suffix_text", pa.string()),
    ]
)


@dataclass(frozen=True)
class Completion:
    """What a model wrote after the first `prefix_tokens` ids of a record, the prompt left out.

    token_ids: at most `suffix_tokens` ids, fewer where the model ended the text (its end-of-text id is kept) ·
    logprob: natural log-probability of each under the model that wrote it, before temperature and truncation ·
    text, suffix_text: what was written and the record's true suffix, decoded · prefix: the setting, a share of the
    record's tokens below 1, a number of tokens from 1 on. Where a record has a prompt and an answer, `prefix` counts
    the answer's tokens, which are given after the whole prompt: 0.0 is the true prompt alone.
    """

    record: str
    prefix: float
    temperature: float
    sample: int
    prefix_tokens: int
    suffix_tokens: int
    token_ids: tuple[int, ...]
    logprob: tuple[float, ...]
    text: str
    suffix_text: str


def completions_to_table(completions: Sequence[Completion]) -> pa.Table:
    """Completions as an Arrow table of COMPLETIONS_SCHEMA, in the order given."""
    columns = {name: [getattr(c, name) for c in completions] for name in COMPLETIONS_SCHEMA.names}
    return pa.Table.from_pydict(columns, schema=COMPLETIONS_SCHEMA)


def completions_from_table(table: pa.Table) -> list[Completion]:
    """The inverse of `completions_to_table`."""
    rows: list[dict[str, Any]] = table.to_pylist()
    for row in rows:
        row |= {name: tuple(row[name]) for name in ("token_ids", "logprob")}
    return [Completion(**row) for row in rows]


FREE_SCHEMA = pa.schema(
    [
        ("sample", pa.int32()),
        ("token_ids", pa.list_(pa.int32())),
        ("logprob", pa.list_(pa.float32())),
        ("text", pa.string()),
    ]
)


@dataclass(frozen=True)
class FreeCompletion:
    """What a model wrote from an empty prompt, the start token left out.

    sample: its number, from 0 · token_ids: at least one, its end-of-text id kept where the model ended the text ·
    logprob: natural log-probability of each under the model that wrote it, before temperature and truncation · text:
    what was written, decoded.
    """

    sample: int
    token_ids: tuple[int, ...]
    logprob: tuple[float, ...]
    text: str


def free_to_table(completions: Sequence[FreeCompletion]) -> pa.Table:
    """Completions of an empty prompt as an Arrow table of FREE_SCHEMA, in the order given."""
    columns = {name: [getattr(c, name) for c in completions] for name in FREE_SCHEMA.names}
    return pa.Table.from_pydict(columns, schema=FREE_SCHEMA)


def free_from_table(table: pa.Table) -> list[FreeCompletion]:
    """The inverse of `free_to_table`."""
    return [
        FreeCompletion(row["sample"], tuple(row["token_ids"]), tuple(row["logprob"]), row["text"] or "")
        for row in table.to_pylist()
    ]


CHANCES_SCHEMA = pa.schema(
    [
        ("record", pa.string()),
        ("prefix", pa.float64()),
        ("temperature", pa.float64()),
        ("prefix_tokens", pa.int32()),
        ("suffix_tokens", pa.int32()),
        ("log_probability", pa.float64()),
    ]
)


@dataclass(frozen=True)
class SuffixChance:
    """The natural log of the probability that exactly the record's suffix is drawn after its prefix; may be −inf."""

    record: str
    prefix: float
    temperature: float
    prefix_tokens: int
    suffix_tokens: int
    log_probability: float


def chances_to_table(chances: Sequence[SuffixChance]) -> pa.Table:
    """Suffix chances as an Arrow table of CHANCES_SCHEMA, in the order given."""
    columns = {name: [getattr(c, name) for c in chances] for name in CHANCES_SCHEMA.names}
    return pa.Table.from_pydict(columns, schema=CHANCES_SCHEMA)
