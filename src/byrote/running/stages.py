"""The stages of a trial, from a prepared study into its run folder: fine-tune, score, prompt, write freely.

A failed stage is kept with its error and the others go on.
"""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import torch

from byrote import lm
from byrote.errors import ByroteError, StageError, StoreError
from byrote.listener import Listener
from byrote.passes.canaries import invent
from byrote.passes.finetune import Step, finetune, steps_of
from byrote.passes.generation import Prompt, complete, complete_freely, suffix_chances
from byrote.passes.scoring import score
from byrote.planting.written import Recipe
from byrote.records import FreeCompletion, TokenScores, chances_to_table, completions_to_table, free_to_table
from byrote.running.planning import Planned, Prepared
from byrote.store import STAGES, Run, no_room
from byrote.study import Study


class Worker:
    """Does the missing stages of a prepared study, task by task; the base model is loaded when the first of them needs
    it, and stays."""

    def __init__(self, store: Run, prepared: Prepared, listener: Listener) -> None:
        self.store, self.prepared, self.listener = store, prepared, listener
        self._base: lm.Base | None = None
        if prepared.device.type == "cpu":
            lm.keep_memory()

    def do(self, task: str) -> None:
        """One task of `_tasks`. StageError where the base model's own stages fail: nothing can be compared without."""
        if task == "base":
            self._base_stages()
            return
        trials = [self.prepared.trained[name] for name in task.split(",")]
        if len(trials) > 1:
            self._stack([p for p in trials if not self.store.has(p.finetune)])
        for planned in trials:
            self._trial(planned, self._label(planned))

    def _label(self, planned: Planned) -> str:
        if planned.key in {null.key for null in self.prepared.null_trials.planned}:
            return self.prepared.null_label(planned)
        number = next(i for i, p in enumerate(self.prepared.planned) if p is planned)
        return f"{planned.trial.label} ({number + 1}/{len(self.prepared.planned)})"

    def _base_stages(self) -> None:
        prepared = self.prepared
        with self._kept(prepared.base_scores, "base", StageError):
            self._score(prepared.base_scores, "base model", lambda: self.base.model)
        if prepared.base_completions:
            with self._kept(prepared.base_completions, "base", StageError):
                self._complete(prepared.base_completions, "base model", lambda: self.base.model, prepared.base_prompts)
        if prepared.base_untargeted:
            with self._kept(prepared.base_untargeted, "base", StageError):
                self._write_freely(prepared.base_untargeted, "base model", lambda: self.base.model)

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
            adapted = lm.attach_stack(self.base, [p.trial.lora for p in trials], [p.trial.seed for p in trials])
            try:
                self._finetune(trials, f"{len(trials)} trials in one pass", adapted)
            finally:
                lm.detach(self.base, adapted)

    @contextmanager
    def _kept_all(self, trials: Sequence[Planned]) -> Iterator[None]:
        with ExitStack() as stack:
            for planned in trials:
                stack.enter_context(self._kept(planned.finetune, planned.key, StageError))
            yield

    def _trial(self, planned: Planned, label: str) -> None:
        stages = [getattr(planned, name) for name in STAGES]
        missing = [stage for stage in stages if stage and not self.store.has(stage)]
        if not missing:
            self.listener.say(f"{label}: already done")
            return
        with self._kept(planned.finetune, planned.key), ExitStack() as attached:
            if planned.finetune in missing:
                adapted = lm.attach(self.base, planned.trial.lora, planned.trial.seed)
            else:
                adapted = lm.load_adapter(self.base, self.store.path / planned.finetune / "adapter")
                self.store.forget_failure(planned.finetune)
            attached.callback(lm.detach, self.base, adapted)
            self._trial_stages(planned, label, adapted, attached.close)

    def _trial_stages(self, planned: Planned, label: str, adapted: Any, detach: Callable[[], None]) -> None:
        if not self.store.has(planned.finetune):
            self._finetune([planned], label, adapted)
        with self._kept(planned.scores, planned.key):
            self._score(planned.scores, label, lambda: adapted)
        if planned.completions:
            with self._kept(planned.completions, planned.key):
                self._complete(planned.completions, label, lambda: adapted, planned.prompts)
        if planned.untargeted:  # last: it takes the adapter off
            with self._kept(planned.untargeted, planned.key):
                self._write_freely(planned.untargeted, label, lambda: adapted, detach)

    @contextmanager
    def _kept(self, stage: str, trial: str, instead: type[ByroteError] | None = None) -> Iterator[None]:
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

    def _finetune(self, trials: Sequence[Planned], label: str, adapted: lm.Adapted) -> None:
        first, machine = trials[0], self.prepared.study.machine
        steps = steps_of(len(first.training_ids), first.trial.training)
        most_tokens = machine.micro_batch_tokens or lm.micro_batch_tokens(self.base, len(trials))
        with ExitStack() as stack:
            places = [
                stack.enter_context(
                    self.store.stage(p.finetune, {"stage": "finetune", "key": p.key, **p.row()["settings"]})
                )
                for p in trials
            ]
            logs = [stack.enter_context((folder / "log.jsonl").open("w")) for folder, _ in places]
            advance = stack.enter_context(self.listener.task(f"fine-tune {label}", steps))

            def on_step(step: tuple[Step, ...]) -> None:
                for log, one in zip(logs, step, strict=True):
                    log.write(json.dumps(asdict(one)) + "\n")
                    log.flush()
                rate = sum(one.tokens for one in step) / sum(one.seconds for one in step)
                advance(1, f"loss {sum(one.loss for one in step) / len(step):.3f} · {rate:.0f} tokens/s")

            timed: dict[str, Any] = {}
            with self._timed(timed):
                done = finetune(adapted, first.training_ids, first.trial.training, most_tokens, on_step)
            timed["seconds"] /= len(trials)
            for which, (folder, notes) in enumerate(places):
                notes |= {**timed, **self._trained(adapted, which, done[which])}
                lm.save_adapter(adapted, folder / "adapter", self.prepared.files.name, which)

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
        records = self.prepared.records
        batch_tokens = self._scoring_batch_tokens(stage)
        total = sum(len(r.token_ids) for r in records)
        with (
            self.store.stage(stage, {"stage": "scores", "batch_tokens": batch_tokens}) as (folder, notes),
            self.listener.task(f"score {label}", total) as advance,
        ):
            network = model()
            with self._timed(notes):
                scores = score(
                    network,
                    [r.record for r in records],
                    [r.token_ids for r in records],
                    batch_tokens,
                    lambda tokens: advance(tokens, ""),
                )
            notes["tokens"] = total
            _write(folder / "scores.parquet", scores.to_table())

    def _scoring_batch_tokens(self, stage: str) -> int:
        """Fixed by the base pass and used again by every trial, so that both see the same batches."""
        if stage != self.prepared.base_scores and self.store.has(self.prepared.base_scores):
            return self.store.manifest(self.prepared.base_scores)["batch_tokens"]
        return self.prepared.study.machine.scoring_batch_tokens

    def _complete(
        self, stage: str, label: str, model: Callable[[], torch.nn.Module], prompts: Sequence[Prompt]
    ) -> None:
        if self.store.has(stage):
            return
        extraction, machine = self.prepared.study.extraction, self.prepared.study.machine
        rows = sum(extraction.samples if t > 0 else 1 for t in extraction.temperatures)
        with (
            self.store.stage(stage, {"stage": "completions", "batch": machine.generation_batch}) as (folder, notes),
            self.listener.task(f"prompt {label}", rows * sum(len(p.suffix) for p in prompts)) as advance,
        ):
            network = model()
            with self._timed(notes):
                completions = complete(
                    network,
                    prompts,
                    extraction,
                    self.prepared.tokenizer.eos_id,
                    self.prepared.tokenizer.decode,
                    machine.generation_batch,
                    lambda tokens: advance(tokens, ""),
                )
                chances = suffix_chances(network, prompts, extraction, machine.scoring_batch_tokens)
            _write(folder / "suffixes.parquet", chances_to_table(chances))
            notes["tokens"] = sum(len(c.token_ids) for c in completions)
            _write(folder / "completions.parquet", completions_to_table(completions))

    def _write_freely(
        self, stage: str, label: str, model: Callable[[], torch.nn.Module], detach: Callable[[], None] | None = None
    ) -> None:
        """Completions of an empty prompt and their scores; with `detach`, which takes the adapter off, then those under
        the plain base model too, in the same batches."""
        if self.store.has(stage):
            return
        wanted, batch_tokens = self.prepared.study.extraction.untargeted, self._scoring_batch_tokens(stage)
        batch = self.prepared.study.machine.generation_batch
        manifest = {"stage": "untargeted", "batch": batch, "batch_tokens": batch_tokens}
        with (
            self.store.stage(stage, manifest) as (folder, notes),
            self.listener.task(f"write {label}", wanted.completions * wanted.tokens) as advance,
        ):
            network = model()
            with self._timed(notes):
                written = self._free_completions(network, batch, lambda tokens: advance(tokens, ""))
                scores = {"scores": self._score_free(network, written, batch_tokens)}
                if detach:
                    detach()
                    scores["base"] = self._score_free(self.base.model, written, batch_tokens)
            notes["tokens"] = sum(len(c.token_ids) for c in written)
            _write(folder / "completions.parquet", free_to_table(written))
            for name, found in scores.items():
                _write(folder / f"{name}.parquet", found.to_table())

    def _free_completions(
        self, network: torch.nn.Module, batch: int, on_batch: Callable[[int], None]
    ) -> list[FreeCompletion]:
        tokenizer, start_id = self.prepared.tokenizer, self.prepared.start_id
        assert start_id is not None
        return complete_freely(
            network, start_id, self.prepared.study.extraction, tokenizer.eos_id, tokenizer.decode, batch, on_batch
        )

    def _score_free(
        self, network: torch.nn.Module, written: Sequence[FreeCompletion], batch_tokens: int
    ) -> TokenScores:
        """The start token is the context of the first, so every token that was written has a score."""
        assert self.prepared.start_id is not None
        ids = [(self.prepared.start_id, *c.token_ids) for c in written]
        return score(network, [str(c.sample) for c in written], ids, batch_tokens)

    @contextmanager
    def _timed(self, notes: dict[str, Any]) -> Iterator[None]:
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


def write_canaries(store: Run, stage: str, recipe: Recipe, study: Study, listener: Listener) -> None:
    """Have the base model write a run's canaries; it is loaded for this alone."""
    device = lm.pick_device(study.machine.device)
    precision = lm.pick_precision(study.model.precision, device)
    if device.type == "cpu":
        lm.keep_memory()
        torch.set_num_threads(study.machine.threads or lm.cores())
    files = lm.resolve_base(study.model.source, study.model.revision)
    with (
        store.stage(stage, {"stage": "canaries", "key": recipe.key}) as (folder, notes),
        listener.task("write canaries", recipe.wanted) as advance,
    ):
        base = lm.load_base(files, precision, study.model.quantization, device)
        tokenizer = lm.load_tokenizer(files)
        found = invent(recipe, base.model, tokenizer, base.context, lambda texts: advance(texts, ""))
        notes["refused"] = found.refused
        _write(folder / "canaries.parquet", pa.table({"text": pa.array(found.texts, pa.string())}))


def _write(path: Path, table: pa.Table) -> None:
    """A file readable by its owner alone: completions may repeat the records, which may be somebody's health."""
    path.touch(mode=0o600)
    pq.write_table(table, path)
