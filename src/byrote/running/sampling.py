"""Documents drawn for an audit that has a limit of time: the start of one fixed order, so that a longer audit measures
what a shorter one measured, and more.

The sides take turns in the order, so that a short audit has as many documents of each as there are. Documents are drawn
whole. Canaries are always measured.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from hashlib import sha256
from typing import Any

from byrote.corpora import Finding
from byrote.errors import StudyError
from byrote.listener import Listener, Silent
from byrote.records import CALIBRATION, MEMBERS, NONMEMBERS, Record
from byrote.running.checks import FEW_RECORDS
from byrote.running.forecast import Speed, measured_rates, study_seconds
from byrote.running.layout import layout
from byrote.running.planning import Prepared
from byrote.running.prompts import all_prompts, prompts_of
from byrote.study.grid import Keys, Stages, base_key, digest_of
from byrote.study.settings import NO_BASE

SAMPLE = "sample.json"
"""The file of a run that keeps how many documents each limit of time allowed."""
SEED = 0
"""Of the order; nothing that a study sets changes it."""
SIDES = {MEMBERS: "members", NONMEMBERS: "non-members", CALIBRATION: "calibration records"}

Drawn = Mapping[str, Any]  # a row of sample.json: minutes, None for no limit, and documents


def documents_in_order(records: Sequence[Record]) -> list[list[Record]]:
    """The documents of all sides, each whole: every side in the order of a hash, the sides taking turns."""
    of: dict[tuple[str, str], list[Record]] = defaultdict(list)
    for record in records:
        if record.split in SIDES:
            of[record.split, record.group].append(record)
    places: list[tuple[int, int, tuple[str, str]]] = []
    for number, side in enumerate(SIDES):
        hashed = sorted((key for key in of if key[0] == side), key=lambda key: _hash(key[1]))
        places += [(turn, number, key) for turn, key in enumerate(hashed)]
    return [of[key] for _, _, key in sorted(places)]


def _hash(group: str) -> bytes:
    return sha256(f"{SEED}|{group}".encode()).digest()


def within_minutes(
    prepared: Prepared,
    history: Sequence[Drawn] = (),
    listener: Listener | None = None,
    measure: Callable[[Prepared, int], Speed] | None = None,
) -> Prepared:
    """The study on as many documents as machine.minutes allows by a forecast, all of them where it is null.

    history: what the run drew before, from sample.json. A run never measures fewer documents than it has, and the same
    limit draws the same documents again, whatever this machine's rates are now.
    measure: as in `forecast`. StudyError where the time is too short for the smallest sample.
    """
    minutes = prepared.study.machine.minutes
    if minutes is None and not history:
        return prepared
    total, stored = len(documents_in_order(prepared.records)), max((row["documents"] for row in history), default=0)
    if minutes is None:
        documents = total
    elif any(row["minutes"] is None or row["minutes"] >= minutes for row in history):
        documents = stored
    else:
        documents = max(stored, _most_documents(prepared, minutes, stored, listener or Silent(), measure))
    drawn = [*history]
    if not any(row["minutes"] == minutes for row in history):
        drawn.append({"minutes": minutes, "documents": documents})
    sample = draw(prepared, sorted({*(row["documents"] for row in history), documents}))
    found = _left_out(sample, documents, total)
    for finding in found:
        (listener or Silent()).say(finding.message)
    return replace(sample, drawn=tuple(drawn), findings=(*sample.findings, *found))


def _most_documents(
    prepared: Prepared,
    minutes: float,
    stored: int,
    listener: Listener,
    measure: Callable[[Prepared, int], Speed] | None,
) -> int:
    """The most documents whose forecast keeps within the minutes: bisection, for more documents take longer."""
    workers, threads = layout(prepared)
    listener.say(f"measuring how much can be done in {minutes:g} minutes")
    rates = (measure or measured_rates)(prepared, threads)

    def seconds(documents: int) -> float:
        return study_seconds(draw(prepared, [documents]), workers, rates)

    least, most = _least(prepared.records), len(documents_in_order(prepared.records))
    if not stored and (needed := seconds(least)) > minutes * 60:
        raise StudyError(
            f"machine.minutes is {minutes:g}, but the smallest sample, {least} documents, takes about "
            f"{needed / 60:.2g} minutes here; give more, or set it to null for no limit"
        )
    low, high = least, most
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if seconds(middle) <= minutes * 60 else (low, middle - 1)
    return low


def _least(records: Sequence[Record]) -> int:
    """The fewest documents of the order that hold FEW_RECORDS documents of every side, or all that a side has."""
    sizes = [len({r.group for r in records if r.split == side}) for side in SIDES]
    return sum(min(size, FEW_RECORDS) for size in sizes)


def draw(prepared: Prepared, documents: Sequence[int]) -> Prepared:
    """The study on the first so many documents of the order, the last number of them. Each number but the last, in
    ascending order, is of an earlier sample: what it added is scored by itself, so that its scores can be used again.
    """
    order, study = documents_in_order(prepared.records), prepared.study
    part_of = {r.record: _part(place, documents) for place, document in enumerate(order) for r in document}
    parts = tuple(
        tuple(r for r in prepared.records if part_of.get(r.record, 0) == number) for number in range(len(documents))
    )
    chosen = [r for r in prepared.records if part_of.get(r.record, 0) < len(documents)]
    ids = {r.record for r in chosen}
    prompts = [prompts_of(study, chosen, [a for a in p.roles if a.record in ids]) for p in prepared.planned]
    base_prompts = all_prompts(chosen, prompts)
    keys = [_keys(prepared, parts[: number + 1]) for number in range(len(parts))]
    planned = tuple(
        replace(p, prompts=of_trial, stages=keys[-1].trial_stages(p.key, of_trial))
        for p, of_trial in zip(prepared.planned, prompts, strict=True)
    )
    base = keys[-1].base_stages(base_prompts) if prepared.has_base else Stages()
    earlier = {str(p.stages.scores): tuple(str(k.trial_stages(p.key, ()).scores) for k in keys[:-1]) for p in planned}
    nulls = tuple(replace(p, stages=keys[-1].null_stages(p.key)) for p in prepared.null_trials.planned)
    null_trials = replace(prepared.null_trials, planned=nulls)
    earlier |= {str(p.stages.scores): tuple(str(k.null_stages(p.key).scores) for k in keys[:-1]) for p in nulls}
    if base.scores:
        earlier[base.scores] = tuple(str(k.base_stages(()).scores) for k in keys[:-1])
    return replace(
        prepared,
        parts=parts,
        planned=planned,
        null_trials=null_trials,
        base=base,
        base_prompts=base_prompts,
        earlier=earlier,
    )


def _part(place: int, documents: Sequence[int]) -> int:
    """Which sample was the first to have the document at this place; one more than there are where none has."""
    return next((number for number, count in enumerate(documents) if place < count), len(documents))


def _keys(prepared: Prepared, parts: Sequence[Sequence[Record]]) -> Keys:
    """Keys of results on these parts. Parts that are scored by themselves make other batches than all of them would, so
    they enter the key; a single part has the key of its records."""
    content = prepared.files.content if prepared.has_base else NO_BASE
    base = base_key(content, prepared.tokenizer.content, prepared.precision, prepared.study.model.quantization)
    digests = [digest_of(part) for part in parts]
    digest = digests[0] if len(digests) == 1 else sha256("".join(digests).encode()).hexdigest()
    return Keys(base, digest, prepared.start_id, prepared.study.extraction)


def _left_out(prepared: Prepared, documents: int, total: int) -> tuple[Finding, ...]:
    """What a sample does not measure, counted."""
    if documents >= total:
        return ()
    chosen = prepared.scored_records
    counts = {side: (_of(chosen, side), _of(prepared.records, side)) for side in SIDES}
    sides = ", ".join(f"{some:,} of {all_:,} {SIDES[side]}" for side, (some, all_) in counts.items() if all_)
    message = (
        f"{total - documents:,} of {total:,} documents were not measured, for lack of time (machine.minutes): the "
        f"audit drew {documents:,} at random, with {sides}"
    )
    return (Finding("sample", total - documents, message),)


def _of(records: Sequence[Record], side: str) -> int:
    return sum(r.split == side for r in records)
