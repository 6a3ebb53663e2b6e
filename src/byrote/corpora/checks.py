"""What would make a measurement void or doubtful, found before anything is trained. Pure functions over records.

A void measurement is a CorpusError; a doubtful one is a Finding, which the report prints. Messages name record ids and
figures, never texts.
"""

import math
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from statistics import fmean, variance

from byrote.corpora.rows import first_few
from byrote.errors import CorpusError
from byrote.records import CALIBRATION, MEMBERS, NONMEMBERS, SPLITS, Record
from byrote.study import CorpusPart

LENGTH_SHIFT = 0.2
"""Standardised mean difference of word counts that is worth a line: Cohen's small effect (Cohen 1988, 2.2.3)."""


@dataclass(frozen=True)
class Finding:
    """Something a reader of the results must know. `count` is in the unit the message names."""

    kind: str
    count: int
    message: str


def check(records: Sequence[Record], corpus: CorpusPart) -> tuple[Finding, ...]:
    """Findings on a corpus, in a fixed order; empty where nothing is to be said.

    Raises CorpusError for an empty split, an id that stands twice, a blank text, a text that members share with
    non-members or calibration, and a group that they share unless `corpus.shared_groups` is 'allow'.
    Texts are compared after Unicode NFC, with every run of white space as one space.
    """
    _refuse_empty_splits(records, corpus)
    _refuse_repeated_ids(records)
    _refuse_blank(records)
    findings = [*_shared_texts(records), *_shared_groups(records, allow=corpus.shared_groups == "allow")]
    findings += [finding for split in SPLITS if (finding := _repeated_texts(records, split))]
    shift = _length_shift(records)
    return (*findings, shift) if shift else tuple(findings)


def fold(text: str) -> str:
    """A text as it is compared: Unicode NFC, every run of white space one space, none at the ends."""
    return " ".join(unicodedata.normalize("NFC", text).split())


def drop_blank(records: Sequence[Record]) -> tuple[list[Record], Finding | None]:
    """Records without those whose text is empty or white space, and how many those were."""
    blank = [r.record for r in records if not r.text.strip()]
    if not blank:
        return list(records), None
    message = f"{len(blank)} records were left out because their text is empty or white space: {first_few(blank)}"
    return [r for r in records if r.text.strip()], Finding("blank", len(blank), message)


def drop_misplaced_spans(records: Sequence[Record]) -> tuple[list[Record], Finding | None]:
    """Records without the spans whose text does not stand at their start, and how many those were."""
    kept = [
        replace(r, spans=tuple(s for s in r.spans if r.text.startswith(s.text, s.start))) if r.spans else r
        for r in records
    ]
    lost = sum(len(a.spans) - len(b.spans) for a, b in zip(records, kept, strict=True))
    if not lost:
        return list(records), None
    named = [a.record for a, b in zip(records, kept, strict=True) if a.spans != b.spans]
    message = f"{lost} spans were left out because the text at their start differs: in {first_few(named)}"
    return kept, Finding("misplaced_spans", lost, message)


def cut_long(records: Sequence[Record], max_tokens: int, policy: str) -> tuple[list[Record], Finding | None]:
    """Records of at most `max_tokens` token ids, in the same order, and how many were cut.

    policy: 'truncate' keeps the first `max_tokens` ids (the text stays whole); 'refuse' raises CorpusError where a
    record is longer. ValueError for another policy or `max_tokens` below 1.
    """
    if policy not in ("truncate", "refuse") or max_tokens < 1:
        raise ValueError(f"policy must be truncate or refuse and max_tokens at least 1, got {policy!r}, {max_tokens}")
    long = [r.record for r in records if len(r.token_ids) > max_tokens]
    if not long:
        return list(records), None
    longest = max(len(r.token_ids) for r in records)
    message = f"{len(long)} records are longer than {max_tokens} tokens (the longest has {longest}): {first_few(long)}"
    if policy == "refuse":
        raise CorpusError(f"{message}; raise corpus.max_tokens or set corpus.long_records to truncate")
    cut = [replace(r, token_ids=r.token_ids[:max_tokens], answer_mask=r.answer_mask[:max_tokens]) for r in records]
    return cut, Finding("truncated", len(long), f"{message}; cut to {max_tokens}")


def answers_checked(records: Sequence[Record], merged: Sequence[str]) -> tuple[Finding, ...]:
    """What is to be known of answers whose tokens are told: those of which truncation left nothing, which are neither
    trained on nor scored, and those whose first token begins within the prompt.

    merged: ids of the latter. CorpusError where no member has an answer left.
    """
    masked = [r for r in records if r.answer_mask]
    lost = [r for r in masked if not any(r.answer_mask[1:])]
    members = [r for r in masked if r.split == MEMBERS]
    if members and all(not any(r.answer_mask[1:]) for r in members):
        raise CorpusError(
            f"truncation leaves no member any token of its answer, such as {members[0].record}; raise "
            "corpus.max_tokens, or shorten the prompts"
        )
    findings: list[Finding] = []
    if lost:
        message = (
            f"{len(lost)} records lose their whole answer to truncation, and so are not trained on and have no score: "
            f"{first_few([r.record for r in lost])}"
        )
        findings.append(Finding("answers_cut", len(lost), message))
    if merged:
        message = (
            f"{len(merged)} prompts do not end on a token's edge: their answers start where the tokens of prompt and "
            f"record part, as TRL has it: {first_few(merged)}"
        )
        findings.append(Finding("merged_prompts", len(merged), message))
    return tuple(findings)


def _refuse_empty_splits(records: Sequence[Record], corpus: CorpusPart) -> None:
    there = {r.split for r in records}
    named = {MEMBERS: corpus.members, NONMEMBERS: corpus.nonmembers, CALIBRATION: corpus.calibration}
    for split, name in named.items():
        if name is not None and split not in there:
            way_out = " or set it to null" if split == CALIBRATION else ""
            raise CorpusError(f"no records in corpus.{split} ({name!r}); name a split that has some{way_out}")


def _refuse_repeated_ids(records: Sequence[Record]) -> None:
    twice = [name for name, rows in _by(records, lambda r: r.record).items() if len(rows) > 1]
    if twice:
        raise CorpusError(f"{len(twice)} ids occur more than once in the corpus: {first_few(twice)}; set corpus.id")


def _refuse_blank(records: Sequence[Record]) -> None:
    blank = [r.record for r in records if not r.text.strip()]
    if blank:
        raise CorpusError(f"{len(blank)} records have an empty text: {first_few(blank)}; remove them")


def _shared_texts(records: Sequence[Record]) -> list[Finding]:
    shared = _on_both_sides(_by(records, lambda r: fold(r.text)))
    void = [pair for pair in shared.values() if pair[0].split == MEMBERS]
    if void:
        raise CorpusError(
            f"{len(void)} texts occur both in members and outside: {_pairs(void)}; a non-member that was trained on "
            "makes the measurement void: remove these records from one split"
        )
    if not shared:
        return []
    message = f"{len(shared)} texts occur in both nonmembers and calibration: {_pairs(shared.values())}"
    return [Finding("shared_texts", len(shared), message)]


def _shared_groups(records: Sequence[Record], allow: bool) -> list[Finding]:
    shared = _on_both_sides(_by(records, lambda r: r.group))
    void = [pair for pair in shared.values() if pair[0].split == MEMBERS]
    if void and not allow:
        raise CorpusError(
            f"{len(void)} groups have records both in members and outside, such as {_pairs(void)}; sentences of a "
            "document that was trained on cannot be non-members: split by group, or set corpus.shared_groups to allow"
        )
    if not shared:
        return []
    message = f"{len(shared)} groups have records in several splits ({len(void)} in members): {_pairs(shared.values())}"
    return [Finding("shared_groups", len(shared), message)]


def _repeated_texts(records: Sequence[Record], split: str) -> Finding | None:
    texts = _by([r for r in records if r.split == split], lambda r: fold(r.text))
    repeated = [rows for rows in texts.values() if len(rows) > 1]
    if not repeated:
        return None
    extra = sum(len(rows) - 1 for rows in repeated)
    named = first_few([" = ".join(r.record for r in rows[:4]) for rows in repeated])
    message = f"{extra} records of {split} repeat the text of another ({len(repeated)} texts): {named}"
    return Finding(f"repeated_texts.{split}", extra, message)


def _length_shift(records: Sequence[Record]) -> Finding | None:
    """Cohen's d of word counts, members minus non-members, over the root mean square of both standard deviations."""
    inside = [float(len(r.text.split())) for r in records if r.split == MEMBERS]
    outside = [float(len(r.text.split())) for r in records if r.split == NONMEMBERS]
    if min(len(inside), len(outside)) < 2:
        few = min(len(inside), len(outside))
        return Finding(
            "length_shift", few, "lengths of members and non-members were not compared: a split has one record"
        )
    difference = fmean(inside) - fmean(outside)
    scale = math.sqrt((variance(inside) + variance(outside)) / 2)
    d = difference / scale if scale else math.copysign(math.inf, difference) if difference else 0.0
    if abs(d) <= LENGTH_SHIFT:
        return None
    figures = f"{fmean(inside):.1f} words in members, {fmean(outside):.1f} in nonmembers, d = {d:+.2f}"
    message = (
        f"lengths differ between members and non-members ({figures}): attacks may detect length instead of membership"
    )
    return Finding("length_shift", len(inside) + len(outside), message)


def _by(records: Iterable[Record], key: Callable[[Record], str]) -> dict[str, list[Record]]:
    records_by_key: dict[str, list[Record]] = defaultdict(list)
    for record in records:
        records_by_key[key(record)].append(record)
    return records_by_key


def _on_both_sides(records_by_key: dict[str, list[Record]]) -> dict[str, tuple[Record, Record]]:
    """Key → one record of its first split (in the order of SPLITS) and one of another, where there are two splits."""
    pairs: dict[str, tuple[Record, Record]] = {}
    for key, rows in records_by_key.items():
        first = min(rows, key=lambda r: SPLITS.index(r.split))
        other = next((r for r in rows if r.split != first.split), None)
        if other is not None:
            pairs[key] = (first, other)
    return pairs


def _pairs(pairs: Iterable[tuple[Record, Record]]) -> str:
    return first_few([f"{a.record} ({a.split}) and {b.record} ({b.split})" for a, b in pairs])
