"""Which records are prompted, and with how many of their tokens."""

from collections.abc import Iterable, Iterator, Sequence
from hashlib import sha256

from byrote.corpora import Finding
from byrote.passes.generation import Prompt
from byrote.records import Assignment, Record, Role
from byrote.study import Study


def all_prompts(records: Sequence[Record], of_trials: Iterable[Sequence[Prompt]]) -> tuple[Prompt, ...]:
    """The prompts of all trials, each once, in the records' order."""
    wanted: dict[str, dict[float, Prompt]] = {}
    for prompt in (prompt for prompts in of_trials for prompt in prompts):
        wanted.setdefault(prompt.record, {})[prompt.prefix] = prompt
    return tuple(prompt for r in records for prompt in wanted.get(r.record, {}).values())


def prompts_of(study: Study, records: Sequence[Record], roles: Sequence[Assignment]) -> tuple[Prompt, ...]:
    """Canaries, and a sample of members and of non-members that is the same for every trial as far as roles allow."""
    wanted, seed = study.extraction.prompts, study.extraction.seed
    by_record = {r.record: r for r in records}
    role_of = {a.record: a.role for a in roles}
    groups = (
        ([a.record for a in roles if a.role in (Role.CANARY_IN, Role.CANARY_OUT)], wanted.canaries),
        ([r for r, role in role_of.items() if role is Role.MEMBER], wanted.members),
        ([r for r, role in role_of.items() if role is Role.NONMEMBER], wanted.nonmembers),
    )
    chosen = {
        record
        for ids, count in groups
        for record in sorted(ids, key=lambda r: sha256(f"{seed}|{r}".encode()).digest())[: _number(count)]
    }
    chosen_records = [r for r in by_record.values() if r.record in chosen]
    prompts = (prompt for r in chosen_records for prompt in _prompts(r, study.extraction.prefix))
    return tuple(p for p in prompts if p.prefix_tokens and p.suffix)


def _number(wanted: int | str) -> int | None:
    """Where to cut a list of which so many are wanted; nowhere for `all`."""
    return wanted if isinstance(wanted, int) else None


def _prompts(record: Record, prefixes: Sequence[float]) -> Iterator[Prompt]:
    """Plain text: a prompt for each prefix. A record with an answer: its true prompt (prefix 0.0), then the true prompt
    with each prefix of the answer; of several answers the last, after all that stands before it."""
    answer_start, end = _last_answer(record.answer_mask)
    if record.answer_mask:
        ids, mask = record.token_ids[:end], record.answer_mask[:end]
        for prefix in (0.0, *prefixes) if end else ():
            tokens = answer_start + _tokens(prefix, end - answer_start)
            if tokens > answer_start or prefix == 0.0:
                yield Prompt(record.record, ids, tokens, prefix, mask)
        return
    for prefix in prefixes:
        yield Prompt(record.record, record.token_ids, _tokens(prefix, len(record.token_ids)), prefix)


def _tokens(prefix: float, of: int) -> int:
    """A setting in tokens: a share of so many below 1, a number from 1 on."""
    return int(prefix) if prefix >= 1 else int(of * prefix)


def _last_answer(mask: Sequence[bool]) -> tuple[int, int]:
    """Where the last run of True starts and ends; both 0 where there is none."""
    end = next((place + 1 for place in reversed(range(len(mask))) if mask[place]), 0)
    start = next((place + 1 for place in reversed(range(end)) if not mask[place]), 0)
    return start, end


def unprompted(roles: Iterable[Sequence[Assignment]], prompts: Sequence[Prompt]) -> tuple[Finding, ...]:
    """Canaries too short to be split into prompt and suffix."""
    prompted = {p.record for p in prompts}
    planted = {a.record for of_trial in roles for a in of_trial if a.role is Role.CANARY_IN}
    if not prompts:
        return ()
    short = sorted(planted - prompted)
    message = f"{len(short)} planted canaries are not prompted: {', '.join(short[:5])}"
    return (Finding("unprompted", len(short), message),) if short else ()
