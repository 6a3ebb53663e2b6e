"""Token ids of records as they were trained on, and which of them the loss was on.

Messages go through the tokenizer's own chat template, prompts and completions are joined, both token for token as TRL's
SFTTrainer does it (`assistant_only_loss` for `loss_on: assistant`, `completion_only_loss` for `completion`).
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

from byrote.corpora.chat import Turn, answering, turns_in
from byrote.errors import CorpusError, ModelError
from byrote.lm.tokenizer import Tokenizer
from byrote.records import Record

Ids = tuple[int, ...]
Mask = tuple[bool, ...]


@dataclass(frozen=True)
class Tokenised:
    """Records with token ids and answer masks, and the ids of those whose prompt does not end on a token's edge: the
    answer then starts where the tokens of prompt and record part, as TRL has it."""

    records: tuple[Record, ...]
    merged: tuple[str, ...]


def tokenise(records: Sequence[Record], tokenizer: Tokenizer, loss_on: str, append_eos: bool | None) -> Tokenised:
    """Token ids and answer masks of records; the mask is empty where the loss is on the whole record.

    append_eos: None ends completions that are strings with the end-of-text token, and nothing else. Raises ModelError
    where the tokenizer lacks a chat template or that token, CorpusError where the template does not fit the messages.
    """
    plain_ids = iter(tokenizer.encode([r.text for r in records if not r.turns], bool(append_eos)))
    done, merged = [], []
    for record in records:
        if not record.turns:
            done.append(replace(record, token_ids=next(plain_ids)))
            continue
        said = json.loads(record.turns)
        if isinstance(said.get("prompt"), str):
            ids, mask, clean = _strings(said, tokenizer, append_eos is not False)
        elif append_eos:
            raise CorpusError(
                "corpus.append_eos is true, but the chat template ends messages by itself; set it to null"
            )
        else:
            ids, mask, clean = _turns(record, said, tokenizer, loss_on)
        merged += [] if clean or loss_on == "all" else [record.record]
        done.append(replace(record, token_ids=ids, answer_mask=() if loss_on == "all" else mask))
    return Tokenised(tuple(done), tuple(merged))


def token_runs(record: Record, tokenizer: Tokenizer) -> list[tuple[bool, list[str]]]:
    """A record as the model sees it: its tokens as text, in runs that the loss is on (True) or not (False)."""
    mask = record.answer_mask or (True,) * len(record.token_ids)
    pieces = zip(mask, (tokenizer.decode([token]) for token in record.token_ids), strict=True)
    return [(inside, [piece for _, piece in run]) for inside, run in groupby(pieces, key=lambda pair: pair[0])]


def _strings(said: Mapping[str, Any], tokenizer: Tokenizer, append_eos: bool) -> tuple[Ids, Mask, bool]:
    prompt, whole = said["prompt"], said["prompt"] + said["completion"]
    eos = tokenizer.eos_text if append_eos else ""
    if not whole.endswith(eos):
        whole += eos
    prompt_ids, ids = tokenizer.encode([prompt, whole], append_eos=False)
    start = _shared(prompt_ids, ids)
    return ids, _mask(len(ids), [(start, len(ids))]), start == len(prompt_ids)


def _turns(record: Record, said: Mapping[str, Any], tokenizer: Tokenizer, loss_on: str) -> tuple[Ids, Mask, bool]:
    turns = [{name: value for name, value in turn.items() if name != "weight"} for turn in turns_in(said)]
    template = _Template(record.record, tokenizer, said.get("tools"))
    ids = template.ids(turns)
    if loss_on == "all":
        return ids, (), True
    wanted = answering(said, loss_on)
    if loss_on == "completion":
        return _completion(template, turns, ids, wanted)
    weighted = any(turn.get("weight") == 0 for turn in turns_in(said))
    if tokenizer.marks_answers and not weighted:
        mask, first = template.marked(turns), 0
        if "prompt" in said:
            first = _shared(template.ids(said["prompt"], starts_answer=True), ids)
        mask = tuple(inside and place >= first for place, inside in enumerate(mask))
        if not any(mask):
            raise CorpusError(
                f"{record.record}: the chat template marks no token of its answers; correct its generation markers"
            )
        return ids, mask, True
    spans = [template.exact_span(turns, ids, turn) for turn in wanted]
    return ids, _mask(len(ids), spans), True


def _completion(template: "_Template", turns: list[Turn], ids: Ids, wanted: Sequence[int]) -> tuple[Ids, Mask, bool]:
    """From the first of the wanted turns to the end of the last, from where prompt and record part."""
    prompt_ids = template.ids(turns[: wanted[0]], starts_answer=True)
    start, end = _shared(prompt_ids, ids), len(ids)
    if wanted[-1] + 1 < len(turns):
        end = _shared(template.ids(turns[: wanted[-1] + 1]), ids)
    return ids, _mask(len(ids), [(start, end)]), start == len(prompt_ids)


@dataclass(frozen=True)
class _Template:
    """The chat template on the messages of one record, with its tools."""

    record: str
    tokenizer: Tokenizer
    tools: list[Any] | None

    def ids(self, turns: Sequence[Turn], *, starts_answer: bool = False) -> Ids:
        """Token ids of these turns, with the template's start of an answer after them where that is asked for."""
        return self._applied(turns, starts_answer=starts_answer)[0]

    def marked(self, turns: Sequence[Turn]) -> Mask:
        """Which token ids stand between the template's generation markers."""
        return self._applied(turns, mark=True)[1]

    def _applied(self, turns: Sequence[Turn], **how: bool) -> tuple[Ids, Mask]:
        try:
            return self.tokenizer.apply_template(turns, self.tools, **how)
        except ModelError:
            raise
        except Exception as error:  # a template raises what it likes
            said = " ".join(str(error).split())[:200]
            raise CorpusError(
                f"{self.record}: the chat template refuses its messages ({said}); correct the record, or take a model "
                "whose template fits"
            ) from error

    def exact_span(self, turns: Sequence[Turn], ids: Ids, turn: int) -> tuple[int, int]:
        """Where the answer of one turn starts and ends, from the differences of renderings. CorpusError where what
        stands before it is rendered otherwise alone than in the whole."""
        before = self.ids(turns[:turn], starts_answer=True)
        until = self.ids(turns[: turn + 1]) if turn + 1 < len(turns) else ids
        if ids[: len(before)] != before or ids[: len(until)] != until:
            raise CorpusError(
                f"{self.record}, message {turn + 1}: the chat template renders the messages before it otherwise alone "
                "than within the whole, so the answer's tokens cannot be told; add {% generation %} markers to the "
                "template, or set corpus.loss_on to completion or all"
            )
        return len(before), len(until)


def _shared(first: Ids, second: Ids) -> int:
    """How many tokens two sequences share at their start."""
    return next(
        (i for i, (a, b) in enumerate(zip(first, second, strict=False)) if a != b), min(len(first), len(second))
    )


def _mask(length: int, spans: Sequence[tuple[int, int]]) -> Mask:
    return tuple(any(start <= place < end for start, end in spans) for place in range(length))
