"""The stages of a trial, from a prepared study into its run folder: fine-tune, score, prompt, write freely.

A failed stage is kept with its error and the others go on.
"""

import json
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from typing import Any

import torch

from byrote import lm
from byrote.errors import ByroteError, StageError, StoreError
from byrote.listener import Listener
from byrote.passes.canaries import invent
from byrote.passes.finetune import Position, Step, finetune
from byrote.passes.generation import Prompt, complete, complete_freely, suffix_chances
from byrote.passes.scoring import score
from byrote.planting.written import Recipe
from byrote.records import FreeCompletion, TokenScores
from byrote.running.cost import costs, free_tokens, prompted_tokens
from byrote.running.planning import Planned, Prepared
from byrote.running.resuming import Checkpoints
from byrote.running.subject import Given, Opened, opened
from byrote.store import Run, no_room
from byrote.study import Study
from byrote.study.schedule import steps_of
from byrote.tables.first_records import learned_nothing


class Worker:
    """Does the missing stages of a prepared study, task by task; the base model is loaded when the first of them needs
    it, and stays."""

    def __init__(self, store: Run, prepared: Prepared, listener: Listener) -> None:
        self.store, self.prepared, self.listener = store, prepared, listener
        self._cost = {stage: cost.units for stage, cost in costs(prepared).items()}
        self._base: lm.Base | None = None
        if prepared.device.type == "cpu":
            lm.keep_memory()

    def do(self, task: str) -> None:
        """One task of `_tasks`. StageError where the base model's own stages fail: nothing can be compared without."""
        if task == "base":
            self._base_stages()
            return
        trials = [self.prepared.all_planned[name] for name in task.split(",")]
        if len(trials) > 1:
            self._stack([p for p in trials if not self.store.has(p.training_stage)])
        for planned in trials:
            self._trial(planned, self._label(planned))

    def _label(self, planned: Planned) -> str:
        label = self.prepared.label_of(planned)
        if self.prepared.is_null(planned):
            return label
        number = next(i for i, p in enumerate(self.prepared.planned) if p is planned)
        return f"{label} ({number + 1}/{len(self.prepared.planned)})"

    def _base_stages(self) -> None:
        stages = self.prepared.base
        if stages.scores:
            with self._kept(stages.scores, "base", StageError):
                self._score(stages.scores, "base model", lambda: self.base.model)
        if stages.completions:
            with self._kept(stages.completions, "base", StageError):
                self._complete(stages.completions, "base model", lambda: self.base.model, self.prepared.base_prompts)
        if stages.untargeted:
            with self._kept(stages.untargeted, "base", StageError):
                self._write_freely(stages.untargeted, "base model", lambda: self.base.model)

    @property
    def base(self) -> lm.Base:
        """The base model in memory."""
        if self._base is None:
            prepared, model = self.prepared, self.prepared.study.model
            self.listener.say(
                f"loading {prepared.files.name} in {prepared.precision} on {lm.device_name(prepared.device)}"
            )
            self._base = lm.load_base(prepared.files, prepared.precision, model.quantization, prepared.device)
        return self._base

    def _stack(self, trials: Sequence[Planned]) -> None:
        """Train the adapters of several trials in one pass; each is then loaded and measured on its own."""
        if len(trials) < 2:
            return
        with self._kept_all(trials):
            adapted = lm.attach_stack(self.base, [p.trained.lora for p in trials], [p.trained.seed for p in trials])
            try:
                self._finetune(trials, f"{len(trials)} trials in one pass", adapted)
            finally:
                lm.detach(self.base, adapted)

    @contextmanager
    def _kept_all(self, trials: Sequence[Planned]) -> Generator[None]:
        with ExitStack() as stack:
            for planned in trials:
                stack.enter_context(self._kept(planned.training_stage, planned.key, StageError))
            yield

    def _trial(self, planned: Planned, label: str) -> None:
        if all(self.store.has(stage) for stage in planned.stages.asked_for()):
            self.listener.say(f"{label}: already done")
            return
        device = self.prepared.device
        if planned.given:
            self.listener.say(f"{label}: opening {planned.given.files.name}")
        with (
            self._kept(planned.training_stage, planned.key),
            opened(planned.subject, lambda: self.base, self.store, device) as subject,
        ):
            if self.store.has(planned.training_stage):
                self.store.forget_failure(planned.training_stage)
            elif planned.given:
                self._note_given(planned, planned.given, subject)
            else:
                self._finetune([planned], label, subject.model)
            self._measure(planned, label, subject)

    def _note_given(self, planned: Planned, given: Given, subject: Opened) -> None:
        """What the manifest says of a subject that is given."""
        facts = {"stage": "given", "key": planned.key, "label": planned.trial.label, **planned.trial.settings}
        with self.store.stage(planned.training_stage, facts) as draft:
            draft.notes["total_parameters"] = subject.parameters
            draft.notes["trainable_parameters"] = given.parameters or subject.parameters

    def _measure(self, planned: Planned, label: str, subject: Opened) -> None:
        stages = planned.stages
        if stages.scores:
            with self._kept(stages.scores, planned.key):
                self._score(stages.scores, label, lambda: subject.model)
                self._warn_of_nothing_learned(planned, label)
        if stages.completions:
            with self._kept(stages.completions, planned.key):
                self._complete(stages.completions, label, lambda: subject.model, planned.prompts)
        if stages.untargeted:  # last: it closes the subject
            with self._kept(stages.untargeted, planned.key):
                self._write_freely(stages.untargeted, label, lambda: subject.model, subject.close)

    def _warn_of_nothing_learned(self, planned: Planned, label: str) -> None:
        """Said before the prompting, which takes longest: sides may be swapped, or the base model another."""
        base, tuned = self.prepared.base.scores, planned.stages.scores
        if planned.given and base and tuned and self.store.has(base):
            why = learned_nothing(self.store.scores(base), self.store.scores(tuned), planned.roles)
            if why:
                self.listener.say(f"warning: {label}: {why}")

    @contextmanager
    def _kept(self, stage: str, trial: str, instead: type[ByroteError] | None = None) -> Generator[None]:
        """Keep a stage's error in the run and go on, or raise `instead`. A full disk and bad settings end the run."""
        try:
            yield
        except StoreError:
            raise
        except Exception as error:
            if no_room(error):
                raise StoreError(
                    f"no room left to write to {self.store.path}; free some space and run again"
                ) from error
            self.store.fail(stage, trial, error)
            self.listener.say(f"failed: {stage}: {type(error).__name__}: {error}")
            if instead:
                raise instead(f"{stage} failed: {error}; see {self.store.path}/failures") from error
        finally:
            lm.give_back()

    def _finetune(self, trials: Sequence[Planned], label: str, adapted: lm.Adapted) -> None:
        first, machine = trials[0], self.prepared.study.machine
        steps = steps_of(len(first.training_ids), first.trained.training)
        most_tokens = machine.micro_batch_tokens or lm.micro_batch_tokens(self.base, len(trials))
        checkpoints = Checkpoints(self.store, trials, machine)
        resume = checkpoints.position(label, most_tokens, self.listener)
        with ExitStack() as stack:
            drafts = [stack.enter_context(self.store.stage(p.training_stage, self._facts(p))) for p in trials]
            logs = [stack.enter_context(draft.open_log()) for draft in drafts]
            cost = sum(self._cost[p.training_stage] for p in trials)
            advance = stack.enter_context(self.listener.task(f"fine-tune {label}", steps, "steps", cost))

            def on_step(of_adapters: tuple[Step, ...]) -> None:
                for planned, log, step in zip(trials, logs, of_adapters, strict=True):
                    log.write(json.dumps(asdict(step)) + "\n")
                    log.flush()
                    self.listener.step(planned.key, asdict(step))
                rate = sum(step.tokens for step in of_adapters) / sum(step.seconds for step in of_adapters)
                loss = sum(step.loss for step in of_adapters) / len(of_adapters)
                advance(1, f"loss {loss:.3f} · {rate:.0f} tokens/s")

            timed: dict[str, Any] = {}
            for of_adapters in resume.steps if resume else ():
                on_step(of_adapters)
            with self._timed(timed):
                done = finetune(
                    adapted,
                    first.training_ids,
                    first.trained.training,
                    most_tokens,
                    on_step=on_step,
                    resume=resume,
                    on_position=checkpoints.keep,
                    answer_masks=first.training_masks,
                )
            timed["seconds"] = timed["seconds"] / len(trials) + _seconds(resume)
            for which, draft in enumerate(drafts):
                draft.notes.update({**timed, **self._trained(adapted, which, done[which])})
                lm.save_adapter(adapted, draft.adapter, self.prepared.files.name, which)
        checkpoints.drop()

    def _facts(self, planned: Planned) -> dict[str, Any]:
        """What the manifest says of a training before it begins."""
        label = self.prepared.label_of(planned)
        return {"stage": "finetune", "key": planned.key, "label": label, **planned.trial.settings}

    def _trained(self, adapted: lm.Adapted, which: int, done: Sequence[Step]) -> dict[str, Any]:
        """What the manifest says of one adapter's training. StageError where it learned nothing."""
        if not lm.adapter_is_nonzero(adapted, which):
            raise StageError(f"the adapter is still zero after {len(done)} steps; raise training.learning_rate")
        last = [s for s in done if s.epoch == done[-1].epoch]
        return {
            "tokens": sum(s.tokens for s in done),
            "steps": len(done),
            "loss": sum(s.loss * s.targets for s in last) / sum(s.targets for s in last),
            "trainable_parameters": lm.trainable_parameters(adapted, which),
            "total_parameters": self.base.total_parameters,
            "micro_batch_tokens": done[-1].micro_batch_tokens,
            "checkpointing": done[-1].checkpointing,
            "stack": adapted.size,
        }

    def _score(self, stage: str, label: str, model: Callable[[], torch.nn.Module]) -> None:
        if self.store.has(stage):
            return
        batch_tokens = self._scoring_batch_tokens(stage)
        reused, known = self._scored_before(stage, batch_tokens)
        left = self.prepared.scored_parts[known:]
        total = sum(len(r.token_ids) for part in left for r in part)
        with (
            self.store.stage(stage, {"stage": "scores", "batch_tokens": batch_tokens}) as draft,
            self.listener.task(f"score {label}", total, "tokens", self._cost[stage]) as advance,
        ):
            network = model()
            with self._timed(draft.notes):
                scores = [
                    score(
                        network,
                        [r.record for r in part],
                        [r.token_ids for r in part],
                        batch_tokens,
                        lambda tokens: advance(tokens, ""),
                    )
                    for part in left
                ]
            draft.notes["tokens"] = total
            if reused:
                draft.notes["reused"] = reused
                scores.insert(0, self.store.scores(reused))
            draft.write_scores(TokenScores.joined(scores))

    def _scored_before(self, stage: str, batch_tokens: int) -> tuple[str | None, int]:
        """The stage that holds the most parts already, of the same model and in the same batches, and how many."""
        stages = self.prepared.earlier.get(stage, ())
        for known in range(len(stages), 0, -1):
            earlier = stages[known - 1]
            if self.store.has(earlier) and self.store.manifest(earlier)["batch_tokens"] == batch_tokens:
                return earlier, known
        return None, 0

    def _scoring_batch_tokens(self, stage: str) -> int:
        """Fixed by the base pass and used again by every trial, so that both see the same batches."""
        of_base = self.prepared.base.scores
        if of_base and stage != of_base and self.store.has(of_base):
            return self.store.manifest(of_base)["batch_tokens"]
        return self.prepared.study.machine.scoring_batch_tokens

    def _complete(
        self, stage: str, label: str, model: Callable[[], torch.nn.Module], prompts: Sequence[Prompt]
    ) -> None:
        if self.store.has(stage):
            return
        extraction, machine = self.prepared.study.extraction, self.prepared.study.machine
        most = prompted_tokens(self.prepared, prompts)
        with (
            self.store.stage(stage, {"stage": "completions", "batch": machine.generation_batch}) as draft,
            self.listener.task(f"prompt {label}", most, "tokens", self._cost[stage]) as advance,
        ):
            network = model()
            with self._timed(draft.notes):
                completions = complete(
                    network,
                    prompts,
                    extraction,
                    eos_id=self.prepared.tokenizer.eos_id,
                    decode=self.prepared.tokenizer.decode,
                    batch=machine.generation_batch,
                    on_batch=lambda tokens: advance(tokens, ""),
                )
                chances = suffix_chances(network, prompts, extraction, machine.scoring_batch_tokens)
            draft.write_suffixes(chances)
            draft.notes["tokens"] = sum(len(c.token_ids) for c in completions)
            draft.write_completions(completions)

    def _write_freely(
        self, stage: str, label: str, model: Callable[[], torch.nn.Module], close: Callable[[], None] | None = None
    ) -> None:
        """Completions of an empty prompt and their scores; with `close`, which closes the subject, then those under
        the plain base model too, in the same batches."""
        if self.store.has(stage):
            return
        batch_tokens = self._scoring_batch_tokens(stage)
        batch = self.prepared.study.machine.generation_batch
        manifest = {"stage": "untargeted", "batch": batch, "batch_tokens": batch_tokens}
        most = free_tokens(self.prepared)
        with (
            self.store.stage(stage, manifest) as draft,
            self.listener.task(f"write {label}", most, "tokens", self._cost[stage]) as advance,
        ):
            network = model()
            with self._timed(draft.notes):
                written = self._free_completions(network, batch, lambda tokens: advance(tokens, ""))
                scores = {"scores": self._score_free(network, written, batch_tokens)}
                if close:
                    close()
                    scores["base"] = self._score_free(self.base.model, written, batch_tokens)
            draft.notes["tokens"] = sum(len(c.token_ids) for c in written)
            draft.write_free_completions(written)
            for name, of_model in scores.items():
                draft.write_scores(of_model, name)

    def _free_completions(
        self, network: torch.nn.Module, batch: int, on_batch: Callable[[int], None]
    ) -> list[FreeCompletion]:
        tokenizer, start_id = self.prepared.tokenizer, self.prepared.start_id
        assert start_id is not None
        return complete_freely(
            network,
            start_id,
            self.prepared.study.extraction,
            eos_id=tokenizer.eos_id,
            decode=tokenizer.decode,
            batch=batch,
            on_batch=on_batch,
        )

    def _score_free(
        self, network: torch.nn.Module, written: Sequence[FreeCompletion], batch_tokens: int
    ) -> TokenScores:
        """The start token is the context of the first, so every token that was written has a score."""
        assert self.prepared.start_id is not None
        ids = [(self.prepared.start_id, *c.token_ids) for c in written]
        return score(network, [str(c.sample) for c in written], ids, batch_tokens)

    @contextmanager
    def _timed(self, notes: dict[str, Any]) -> Generator[None]:
        device = self.prepared.device
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        started = time.perf_counter()
        yield
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        notes |= {
            "seconds": time.perf_counter() - started,
            "device": lm.device_name(device),
            "peak_memory": lm.peak_memory(device),
        }


def write_canaries(store: Run, recipe: Recipe, study: Study, precision: str, listener: Listener) -> None:
    """Have the base model write a run's canaries; it is loaded for this alone."""
    device = lm.pick_device(study.machine.device)
    if device.type == "cpu":
        lm.keep_memory()
        torch.set_num_threads(study.machine.threads or lm.cores())
    files = lm.resolve_base(study.model.source, study.model.revision)
    with (
        store.stage(recipe.stage, {"stage": "canaries", "key": recipe.key}) as draft,
        listener.task("write canaries", recipe.wanted, "texts", 0.0) as advance,
    ):
        base = lm.load_base(files, precision, study.model.quantization, device)
        tokenizer = lm.load_tokenizer(files)
        invented = invent(recipe, base.model, tokenizer, base.context, lambda texts: advance(texts, ""))
        draft.notes["refused"] = invented.refused
        draft.write_canary_texts(invented.texts)


def _seconds(resume: Position | None) -> float:
    """What one adapter's training took before it was interrupted."""
    return sum(steps[0].seconds for steps in resume.steps) if resume else 0.0
