"""How fast this machine does a study's own work: a few steps of a throw-away adapter, a batch scored, a few tokens
written.

Nothing is written anywhere. What is timed is a small part of what the study will do, with its texts and settings, after
a step that is not counted. On a processor the clock is the time of this process, so that what else the machine does now
is not counted; on a GPU it is the wall's.
"""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch

from byrote import lm
from byrote.listener import Listener, Silent
from byrote.passes.finetune import Step, finetune
from byrote.passes.generation import Prompt, complete, complete_freely
from byrote.passes.scoring import score
from byrote.records import Record
from byrote.running.cost import Cost
from byrote.running.planning import Planned, Prepared
from byrote.study import Lora

FEWEST, MOST = 2, 8  # steps that are timed
TOKENS = 1024  # in each of the fewest, where the study's steps have more; in all, where they have less
APART = 4  # times the weights of the smallest adapter, from which the largest is timed too
_SCORED, _WRITTEN = 2048, 8  # tokens that are scored; that each row writes


@dataclass(frozen=True)
class Timed:
    """Seconds a token of one worker while all of them work: of one that is trained on, by what is adapted; that is
    read; that is written."""

    trained: Mapping[Lora, float]
    read: float
    written: float
    timed: bool = True

    @property
    def products(self) -> float:
        """Seconds of a token that is read, passes with the products."""
        return self.read

    def seconds(self, cost: Cost, planned: Planned | None = None) -> float:
        """How long one worker takes."""
        training = self.trained[planned.trained.lora] if planned and cost.trained else 0.0
        return cost.trained * training + cost.read * self.read + cost.written * self.written


def timed(prepared: Prepared, threads: int, listener: Listener | None = None) -> Timed:
    """The rates of a prepared study's base model on this machine, `threads` of a processor for each worker.

    Training and reading are timed with passes of all the threads side by side, as when every worker is at work; writing
    with the threads of one worker. Raises ModelError where the model cannot be loaded, StageError where the loss is no
    number.
    """
    on_cpu, before = prepared.device.type == "cpu", torch.get_num_threads()
    (listener or Silent()).say(f"timing a few steps on {lm.device_name(prepared.device)} (--no-measure leaves it out)")
    if on_cpu:
        lm.keep_memory()
        torch.set_num_threads(prepared.threads)
    try:
        base = lm.load_base(prepared.files, prepared.precision, prepared.study.model.quantization, prepared.device)
        trained, read = _training(prepared, base), _reading(prepared, base.model)
        torch.set_num_threads(threads)
        written = _writing(prepared, base.model, read)
    finally:
        torch.set_num_threads(before)
        lm.give_back()
    share = 1 / threads if on_cpu else 1.0  # of a process's time, which adds up that of its threads
    return Timed({lora: seconds * share for lora, seconds in trained.items()}, read * share, written * share)


def _training(prepared: Prepared, base: lm.Base) -> dict[Lora, float]:
    """Seconds of a token that is trained on, by adapter: of the smallest timed, of one of APART times its weights or
    more too, of the others between them by their weights."""
    tuned = [planned for planned in prepared.all_planned.values() if not planned.given and planned.training_ids]
    first_of: dict[Lora, Planned] = {}
    for planned in tuned:
        first_of.setdefault(planned.trained.lora, planned)
    if not first_of:
        return {}
    of_rank_1 = {m: lm.adapter_bytes(prepared.files, m, 1) for m in {lora.matrices for lora in first_of}}
    sizes = {lora: of_rank_1[lora.matrices] * lora.rank for lora in first_of}
    small, large = min(sizes, key=lambda lora: sizes[lora]), max(sizes, key=lambda lora: sizes[lora])
    least = _steps(prepared, base, first_of[small])
    most = _steps(prepared, base, first_of[large]) if sizes[large] >= APART * sizes[small] else least
    span = sizes[large] - sizes[small]
    return {
        lora: least + (most - least) * ((size - sizes[small]) / span if span else 0) for lora, size in sizes.items()
    }


def _steps(prepared: Prepared, base: lm.Base, planned: Planned) -> float:
    """Seconds a token of a trial's first steps, by a throw-away adapter; the first step is not counted."""
    training, ids = planned.trained.training, planned.training_ids
    enough = max(1, round(TOKENS * len(ids) / max(1, planned.epoch_tokens)))  # records
    in_step = min(training.effective_batch, enough)
    steps = 1 + min(MOST, max(FEWEST, math.ceil(enough / in_step)))
    short = training.model_copy(update={"effective_batch": in_step, "epochs": steps, "warmup_steps": 0, "steps": steps})
    clock, tokens = [0.0], [0]

    def on_step(steps: tuple[Step, ...]) -> None:
        clock.append(_now(prepared.device))
        tokens.append(steps[0].tokens)

    adapted = lm.attach(base, planned.trained.lora, planned.trained.seed)
    clock[0] = _now(prepared.device)
    try:
        finetune(
            adapted,
            ids,
            short,
            prepared.study.machine.micro_batch_tokens or lm.micro_batch_tokens(base),
            on_step=on_step,
            answer_masks=planned.training_masks,
        )
    finally:
        lm.detach(base, adapted)
    return (clock[-1] - clock[1]) / sum(tokens[2:])


def _reading(prepared: Prepared, model: torch.nn.Module) -> float:
    """Seconds a token of records that are scored, drawn evenly from all."""
    tokens, batch = prepared.scored_tokens, prepared.study.machine.scoring_batch_tokens
    records = prepared.scored_records
    every = max(1, round(tokens / _SCORED))
    some = records[::every][: max(1, len(records) // every)]
    _scored(model, some[:4], batch)
    seconds = _seconds(lambda: _scored(model, some, batch), prepared.device)
    return seconds / max(1, sum(len(r.token_ids) for r in some))


def _scored(model: torch.nn.Module, records: Sequence[Record], batch: int) -> None:
    score(model, [r.record for r in records], [r.token_ids for r in records], batch)


def _writing(prepared: Prepared, model: torch.nn.Module, read: float) -> float:
    """Seconds a token that is written, as many rows side by side as in the study; 0 where it writes none."""
    extraction, tokenizer = prepared.study.extraction, prepared.tokenizer
    batch = prepared.study.machine.generation_batch
    rows = sum(extraction.samples if t > 0 else 1 for t in extraction.temperatures)
    longest = sorted(prepared.base_prompts or _prompts(prepared), key=lambda p: -len(p.suffix))
    prompts = [_short(prompt) for prompt in longest[: max(1, batch // rows)]]
    if prompts:
        seconds = _seconds(
            lambda: complete(model, prompts, extraction, eos_id=None, decode=tokenizer.decode, batch=batch),
            prepared.device,
        )
        given = sum(p.prefix_tokens for p in prompts)
        tokens = rows * sum(len(p.suffix) for p in prompts)
    elif prepared.start_id is not None:
        start = prepared.start_id
        few = extraction.untargeted.model_copy(update={"tokens": min(_WRITTEN, extraction.untargeted.tokens)})
        free = extraction.model_copy(update={"untargeted": few})
        seconds = _seconds(
            lambda: complete_freely(model, start, free, eos_id=None, decode=tokenizer.decode, batch=batch),
            prepared.device,
        )
        given, tokens = few.completions, few.completions * few.tokens
    else:
        return 0.0
    return max(0.0, seconds - given * read) / tokens


def _prompts(prepared: Prepared) -> tuple[Prompt, ...]:
    return next((planned.prompts for planned in prepared.planned if planned.prompts), ())


def _short(prompt: Prompt) -> Prompt:
    """A prompt of which few tokens are to be written."""
    ids = prompt.token_ids[: prompt.prefix_tokens + _WRITTEN]
    return replace(prompt, token_ids=ids, answer_mask=prompt.answer_mask[: len(ids)])


def _seconds(work: Callable[[], object], device: torch.device) -> float:
    started = _now(device)
    work()
    return _now(device) - started


def _now(device: torch.device) -> float:
    """Seconds of this process on a processor, of the clock where a GPU has done all that it was told."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        return time.perf_counter()
    return time.process_time()
