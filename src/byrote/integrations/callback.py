"""Membership inference inside a training by transformers' Trainer or TRL's SFTTrainer, without disturbing it."""

import logging
import time
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import torch.distributed as distributed
from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from byrote import lm
from byrote.attacks import find_attacks
from byrote.errors import ModelError, StudyError
from byrote.integrations.looks import Look, bounds_of, crossings, error_of_each, measure, steps_to_look_at
from byrote.integrations.samples import Given, Sample, draw, splits_of, tokenised
from byrote.passes.scoring import score_by_forward
from byrote.records import CALIBRATION, MEMBERS, NONMEMBERS, Assignment, Role, TokenScores
from byrote.tables.compared import Compared, compare_stratum, strata_of

log = logging.getLogger(__name__)

PREFIX = "byrote/"  # of the names in the trainer's logs
BASE_FILE = "byrote_base_scores.parquet"  # in the training's output folder
_ROLES = {MEMBERS: Role.MEMBER, NONMEMBERS: Role.NONMEMBER, CALIBRATION: Role.CALIBRATION}


class AuditCallback(TrainerCallback):
    """Measures at given steps, and at the end, how well members can be told from non-members; can stop the training.

        trainer = SFTTrainer(model, args=args, train_dataset=train, …)
        audit = AuditCallback(members=train, nonmembers=held_out, every=200, stop_when="max_auc=0.7").attach(trainer)
        trainer.train()
        audit.looks[-1].numbers

    The training goes on as it would have without it, to the bit. The numbers go to the trainer's log and so to its
    trackers, as `byrote/auc_ratio`, `byrote/auc_ratio_low`, `byrote/tpr_at_fpr_0.1_ratio`, `byrote/loss_members` (see
    `looks.measure`); `looks` keeps them, with what is missing and why.

    members, nonmembers, calibration: texts, mappings with `text`, or with `input_ids` and `labels` (−100 where there is
    no loss; only tokens with a loss are then measured), a data set, a data frame, or the path of a file. calibration:
    records held out, which set thresholds · size: the most records of a split that are measured, drawn by `seed` ·
    text, group: keys of the mappings; records of one group (a patient, a document) count as one in the intervals ·
    every, at: the steps after which it measures; at the end it always does · attacks: names from docs/attacks.md ·
    rates: false-positive rates · level: of the intervals in the log, each for one look · stop_when: bounds, as
    {"max_auc": 0.7} or "max_auc=0.7"; the training stops when the lower bound of an attack lies above one. These lower
    bounds hold together: a training below all limits is stopped with a chance of at most (1 − level)/2 · base: None for
    the model without its adapter, or, where there is none, as it is when the training begins; else a base model to load
    (a hub id, a folder), or its token scores · append_eos: end texts with the end-of-text token, as SFTTrainer does ·
    max_tokens: longer records are cut; None for the trainer's max_length, else the model's context · batch_tokens:
    tokens in one forward pass, padding with them.

    Mistakes in these are told at once: StudyError for a setting, CorpusError for records, ModelError for a model that
    cannot be measured.
    """

    def __init__(
        self,
        members: Given,
        nonmembers: Given,
        *,
        calibration: Given | None = None,
        size: int = 200,
        seed: int = 0,
        text: str = "text",
        group: str | None = None,
        every: int | None = None,
        at: Collection[int] = (),
        attacks: Sequence[str] = ("loss", "ratio", "difference_mean"),
        rates: Sequence[float] = (0.1,),
        level: float = 0.95,
        stop_when: str | Mapping[str, float] | None = None,
        base: str | TokenScores | None = None,
        append_eos: bool = False,
        max_tokens: int | None = None,
        batch_tokens: int = 2048,
    ) -> None:
        _at_least("size", size, 2)
        _at_least("batch_tokens", batch_tokens, 1)
        if every is not None:
            _at_least("every", every, 1)
        if max_tokens is not None:
            _at_least("max_tokens", max_tokens, 2)
        for rate in (*rates, level):
            if not 0 < rate < 1:
                raise StudyError(f"rates and level must lie between 0 and 1, got {rate!r}")
        if isinstance(attacks, str) or not attacks:
            raise StudyError(f"attacks must be a list of names, got {attacks!r}; name one, such as ['ratio']")
        self.attacks = find_attacks(attacks, "attacks")
        wanting = [name for name, attack in self.attacks.items() if "calibration" in attack.needs]
        if wanting and calibration is None:
            raise StudyError(
                f"attacks: {wanting[0]} compares with calibration records; give calibration, or leave it out"
            )
        shadowed = [name for name, attack in self.attacks.items() if attack.needs_shadow]
        if shadowed:
            raise StudyError(f"attacks: {shadowed[0]} compares with a shadow, which `byrote audit` tunes; leave it out")
        self.bounds = bounds_of(stop_when, list(self.attacks), rates, calibration is not None)
        self._sample = draw(splits_of(members, nonmembers, calibration), size=size, seed=seed, text=text, group=group)
        self.every, self.at, self.rates, self.level = every, tuple(at), tuple(rates), level
        self.base, self.append_eos, self.max_tokens, self.batch_tokens = base, append_eos, max_tokens, batch_tokens
        self.trainer: Trainer | None = None
        self.looks: list[Look] = []
        self.steps: tuple[int, ...] = ()
        self.base_scores: TokenScores | None = None
        self._ready: Sample | None = None
        self._seen: int | None = None

    def attach(self, trainer: Trainer) -> "AuditCallback":
        """Join a trainer, ahead of its other callbacks: what is measured at the end must be logged before trackers
        close. Call it before `trainer.train()`; a callback is told of no trainer otherwise. Returns the callback."""
        callbacks = trainer.callback_handler.callbacks
        callbacks[:] = [self, *(callback for callback in callbacks if callback is not self)]
        if trainer is not self.trainer:
            self.trainer, self.base_scores = trainer, None
        return self

    @property
    def error(self) -> float:
        """The one-sided error of each comparison with a bound: (1 − level)/2 over the looks planned and the attacks
        that the bounds read (Bonferroni). Known once the training has begun."""
        return error_of_each((1 - self.level) / 2, max(1, len(self.steps)), self.bounds)

    # --- events of the trainer --------------------------------------------------------------------------------------

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, _: TrainerControl, **kwargs: Any) -> None:
        """Plan the looks, and take the base model's scores before the first step."""
        trainer = self._attached()
        model = _model(trainer)
        self._refuse_divided(trainer, model)
        self.steps = steps_to_look_at(self.every, self.at, state.max_steps)
        self.looks = []
        self._seen = None
        if not state.is_world_process_zero:
            return
        self._ready = self._tokenised(args, model, kwargs.get("processing_class"))
        for note in self._ready.notes:
            log.warning("byrote: %s", note)
        if self.bounds:
            log.info("byrote: %d looks planned, one-sided error %.2g for each comparison", len(self.steps), self.error)
        if self.base_scores is None:
            self.base_scores = self._base(model, args, resumed=state.global_step > 0)

    def on_step_end(self, _: TrainingArguments, state: TrainerState, control: TrainerControl, **__: Any) -> None:
        """Look where a look is due; the one at the last step waits for the end."""
        if state.global_step in self.steps[:-1]:
            self._look(state, control)

    def on_train_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Look at the model that the training leaves, unless it was just looked at."""
        if self._seen != state.global_step or args.load_best_model_at_end:
            self._look(state, control)

    # --- parts ------------------------------------------------------------------------------------------------------

    def _look(self, state: TrainerState, control: TrainerControl) -> None:
        crossed = False
        if state.is_world_process_zero:
            look = self._measured(state.global_step)
            self.looks.append(look)
            crossed = bool(look.crossed)
            for words in look.crossed:
                log.warning("byrote: stopped at step %d: %s", look.step, words)
            self._log(control, {PREFIX + name: value for name, value in look.numbers.items()})
        self._seen = state.global_step
        if _for_all(crossed):
            control.should_training_stop = True

    def _measured(self, step: int) -> Look:
        began, trainer = time.perf_counter(), self._attached()
        model = _model(trainer)
        with lm.undisturbed(model):
            compared = self._compared(self._scored(model))
        numbers, missing = measure(compared, self.attacks, self.rates, self.level)
        crossed = tuple(crossings(compared, self.attacks, self.bounds, self.error))
        if self.bounds:
            numbers |= {"error_of_each_bound": self.error, "bounds_crossed": float(len(crossed))}
        numbers |= {"look": float(len(self.looks) + 1), "seconds": time.perf_counter() - began}
        return Look(len(self.looks) + 1, len(self.steps), step, numbers, missing, crossed)

    def _compared(self, tuned: TokenScores) -> Compared:
        assert self.base_scores is not None
        sample = self._sampled()
        roles = [Assignment(record.record, _ROLES[record.split], 1) for record in sample.records]
        tuned, base = (_where_learned(scores, sample) for scores in (tuned, self.base_scores))
        records = {record.record: record for record in sample.records}
        return compare_stratum(next(strata_of(roles)), roles, records, tuned, base, None)

    def _log(self, control: TrainerControl, numbers: dict[str, float]) -> None:
        """Through Trainer's own `log`: SFTTrainer's would give these rows its running means, and empty them. The
        trainer logs its own row after a step where it was going to."""
        due = control.should_log
        Trainer.log(self._attached(), numbers)
        control.should_log = due

    def _tokenised(self, args: TrainingArguments, model: Any, tokenizer: Any) -> Sample:
        inner = getattr(tokenizer, "tokenizer", tokenizer)  # a processor of several kinds of input has one inside
        if inner is None:
            raise StudyError("the trainer has no processing_class; give it the tokenizer that byrote is to use")
        context = getattr(model.config.get_text_config(), "max_position_embeddings", None)
        limits = [n for n in (self.max_tokens or getattr(args, "max_length", None), context) if n]
        longest = min(limits, default=max(2, *(len(r.token_ids) for r in self._sample.records)))
        return tokenised(self._sample, lm.Tokenizer(inner, ""), append_eos=self.append_eos, max_tokens=longest)

    def _base(self, model: Any, args: TrainingArguments, *, resumed: bool) -> TokenScores:
        """The base model's scores: given, of a model that is loaded, or of the model at hand, whose scores are kept in
        the output folder for a training that goes on from a checkpoint."""
        if isinstance(self.base, TokenScores):
            return self._fitting(self.base, "base")
        path = Path(args.output_dir or ".") / BASE_FILE
        with lm.undisturbed(model):
            if self.base is not None:
                device = model.get_input_embeddings().weight.device
                loaded = lm.load_base(lm.resolve_base(self.base), "fp32", "none", device).model
                return self._scored(loaded)
            if lm.has_adapter(model):
                why = lm.why_not_its_base(model, resumed)
                if why is None:
                    with lm.without_adapter(model):
                        return self._scored(model)
            else:
                why = "it was trained before the checkpoint" if resumed else None
            if why is None:
                scores = self._scored(model)
                _save(scores, path)
                return scores
        if resumed and path.is_file():
            return self._fitting(TokenScores.from_table(pq.read_table(path)), str(path))
        raise ModelError(
            f"the model at hand is not the base model, for {why}, and there are no base scores in {path}; "
            "give base: the base model's name or folder, or its token scores"
        )

    def _scored(self, model: Any) -> TokenScores:
        records = self._sampled().records
        ids = [record.token_ids for record in records]
        return score_by_forward(model, [record.record for record in records], ids, self.batch_tokens)

    def _sampled(self) -> Sample:
        assert self._ready is not None
        return self._ready

    def _fitting(self, scores: TokenScores, where: str) -> TokenScores:
        records = self._sampled().records
        known = dict(zip(scores.records, scores.lengths.tolist(), strict=True))
        for record in records:
            if known.get(record.record) != len(record.token_ids) - 1:
                raise ModelError(
                    f"{where} has {known.get(record.record, 'no')} scores for {record.record}, which takes "
                    f"{len(record.token_ids) - 1}: they are of other records or another tokenizer; score these"
                )
        return scores.take([record.record for record in records])

    def _attached(self) -> Trainer:
        if self.trainer is None:
            raise StudyError(
                "AuditCallback knows no trainer: call audit.attach(trainer) before trainer.train(), in place of "
                "callbacks=[audit]"
            )
        return self.trainer

    @staticmethod
    def _refuse_divided(trainer: Trainer, model: Any) -> None:
        divided = "FSDP has divided it among the processes" if trainer.is_fsdp_enabled else lm.why_not_whole(model)
        if divided:
            raise ModelError(
                f"AuditCallback measures a model that is whole in one process, but {divided}; measure its checkpoints "
                "after the training"
            )


def _model(trainer: Trainer) -> Any:
    """The model without what the trainer has wrapped around it for several processes."""
    return trainer.accelerator.unwrap_model(trainer.model)


def _for_all(crossed: bool) -> bool:
    """What the first process found, told to all of them: they must stop together."""
    if not (distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1):
        return crossed
    told = [crossed]
    distributed.broadcast_object_list(told, src=0)
    return told[0]


def _where_learned(scores: TokenScores, sample: Sample) -> TokenScores:
    """The scores of tokens that the loss was on; all of them for a record without labels."""
    kept = np.ones(len(scores.logprob), dtype=bool)
    for record, span in zip(scores.records, scores.spans(), strict=True):
        if record in sample.learned:
            kept[span] = sample.learned[record][1:]
    lengths = [int(kept[span].sum()) for span in scores.spans()]
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return TokenScores(
        scores.records, offsets, scores.logprob[kept], scores.top1[kept], scores.mean[kept], scores.std[kept]
    )


def _save(scores: TokenScores, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)
    pq.write_table(scores.to_table(), path)


def _at_least(name: str, value: int, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise StudyError(f"{name} must be a whole number of at least {least}, got {value!r}")
