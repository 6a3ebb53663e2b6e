"""What a study will do: its records read, tokenised and checked, its trials with their roles, prompts and keys.

`prepare` settles everything that can be wrong before anything is trained.
"""

import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from importlib.metadata import version
from typing import Any

import torch

from byrote import lm
from byrote.corpora import Finding
from byrote.corpora.checks import answers_checked, cut_long
from byrote.errors import StudyError
from byrote.listener import Listener, Silent
from byrote.passes.generation import Prompt
from byrote.planting.manifest import Manifest
from byrote.planting.roles import assign_all
from byrote.planting.written import Invented, Maker, Recipe, recipe_of, stand_ins
from byrote.records import Assignment, Record
from byrote.running.checks import Checked, check_study
from byrote.running.null_trials import NullTrials, plan_null_trials
from byrote.running.prompts import all_prompts, unprompted
from byrote.running.shadows import plan_shadows
from byrote.running.sides import Sides, sides_of
from byrote.running.subject import (
    Given,
    Trained,
    base_files,
    check_fit,
    findings_on,
    given_files,
    known_of,
    refuse_same_files,
    series_of,
    virtual_tokens,
)
from byrote.study import Study
from byrote.study.given import GivenTrial
from byrote.study.grid import METHOD_VERSION, Keys, Stages, Trial, base_key, digest_of
from byrote.study.settings import NO_BASE
from byrote.visible import without_home


@dataclass(frozen=True, kw_only=True)
class Planned:
    """A trial with its roles, what it trains on and prompts, and where its stages are in the run folder."""

    trial: Trial | GivenTrial
    key: str
    roles: tuple[Assignment, ...]
    roles_key: str
    training_ids: tuple[tuple[int, ...], ...]
    training_masks: tuple[tuple[bool, ...], ...] = ()
    prompts: tuple[Prompt, ...]
    stages: Stages
    given: Given | None = None

    @property
    def training_stage(self) -> str:
        """The stage in which this trial is trained, or that says what its subject is where that is given."""
        assert self.stages.finetune
        return self.stages.finetune

    @property
    def trained(self) -> Trial:
        """The configuration that this trial is trained with. ValueError where its subject is given."""
        if not isinstance(self.trial, Trial):
            raise ValueError(f"{self.trial.label} is not trained here")
        return self.trial

    @cached_property
    def epoch_tokens(self) -> int:
        """Tokens of all records that it trains on, once."""
        return sum(map(len, self.training_ids))

    @property
    def subject(self) -> Trained | Given:
        """The model that this trial measures."""
        return self.given or Trained(self.trained.lora, self.trained.seed, self.training_stage)

    def trains_like(self, other: "Planned") -> bool:
        """Whether two trials can be trained in one pass: the same records in the same order, the same settings."""
        if self.given or other.given:
            return False
        same = self.training_ids == other.training_ids and self.training_masks == other.training_masks
        return same and self.trained.training == other.trained.training

    def row(self) -> dict[str, Any]:
        """What plan.json says of this trial."""
        trial = self.trial
        return {
            "trial": self.key,
            "label": trial.label,
            "matrices": trial.matrices,
            "rank": trial.rank,
            "seed": trial.seed,
            "settings": trial.settings,
            "roles": self.roles_key,
            **self.stages.row(),
        }


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A study whose corpus is read, tokenised and checked, with all its trials planned. files: of the base model; where
    there is none, of the first subject. parts, earlier, drawn: where documents were drawn (byrote.running.sampling),
    the records in parts that are scored by themselves; stage of scores → those of its first 1, 2 … parts; rows of
    sample.json. manifest: that the canaries follow."""

    study: Study
    records: tuple[Record, ...]
    findings: tuple[Finding, ...]
    corpus_content: str
    files: lm.BaseFiles
    tokenizer: lm.Tokenizer
    device: torch.device
    chosen: lm.Precision
    planned: tuple[Planned, ...]
    null_trials: NullTrials
    base_prompts: tuple[Prompt, ...]
    base: Stages
    canaries: str | None
    start_id: int | None
    parts: tuple[tuple[Record, ...], ...] = ()
    earlier: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    drawn: tuple[Mapping[str, Any], ...] = ()
    manifest: Manifest | None = None

    @property
    def scored_parts(self) -> tuple[tuple[Record, ...], ...]:
        """Records that are scored, in parts one after the other; all at once unless documents were drawn."""
        return self.parts or (self.records,)

    @property
    def scored_records(self) -> tuple[Record, ...]:
        """All of them."""
        return tuple(record for part in self.scored_parts for record in part)

    @cached_property
    def scored_tokens(self) -> int:
        """Their tokens."""
        return sum(len(r.token_ids) for part in self.scored_parts for r in part)

    @property
    def precision(self) -> str:
        """The number format of the base model, chosen once, for every process that works on the study."""
        return self.chosen.format

    @property
    def threads(self) -> int:
        """Threads of a processor that all workers share."""
        return threads_of(self.study)

    @property
    def stack(self) -> int:
        """The most adapters that are trained in one pass."""
        return self.study.machine.stack

    @property
    def has_base(self) -> bool:
        """Whether there is a base model to compare with."""
        return self.study.model.source != NO_BASE

    @property
    def all_planned(self) -> dict[str, Planned]:
        """Every trial by its name in a task: trials by number, then null trials as `null:0`."""
        nulls = {f"null:{number}": null for number, null in enumerate(self.null_trials.planned)}
        return {str(number): planned for number, planned in enumerate(self.planned)} | nulls

    def plan(self) -> dict[str, Any]:
        """The content of plan.json."""
        return {
            "base": self.base.row(),
            "canaries": self.canaries,
            "trials": [self._trial_row(planned) for planned in self.planned],
            "nulls": [{**null.row(), "label": self.label_of(null)} for null in self.null_trials.planned],
            "null_missing": self.null_trials.missing,
            **({"shadow": dict(self.null_trials.shadow)} if self.null_trials.shadow else {}),
            "findings": [asdict(finding) for finding in self.findings],
        }

    def _trial_row(self, planned: Planned) -> dict[str, Any]:
        null, of_another = (self.null_trials.of or {}).get(planned.key, (None, False))
        parts = {"label_parts": planned.trial.label_parts}
        second = (self.null_trials.second or {}).get(null or "")
        controls = {"null": null, "null_of_another_configuration": of_another}
        return {**planned.row(), **parts, **controls, **({"second_shadow": second} if second else {})}

    def is_null(self, planned: Planned) -> bool:
        """Whether this is one of the null trials."""
        return planned.key in {null.key for null in self.null_trials.planned}

    def label_of(self, planned: Planned) -> str:
        """What a reader calls a trial; a null trial by the configuration it is like, where there are several."""
        if not self.is_null(planned):
            return planned.trial.label
        if self.null_trials.labels:
            return self.null_trials.labels[planned.key]
        several = len(self.null_trials.planned) > 1
        return f"null trial of {planned.trial.configuration_label}" if several else "null trial"

    def provenance(self) -> dict[str, Any]:
        """Versions and hashes for the run's copy of the study."""
        packages = ("byrote", "torch", "transformers", "peft", "numpy")
        return {
            "corpus_sha256": self.corpus_content,
            "base_model_sha256": self.files.content if self.has_base else None,
            "tokenizer_sha256": self.tokenizer.content,
            "precision": self.precision,
            "precision_because": self.chosen.why,
            "products": asdict(self.chosen.rates) if self.chosen.rates else None,
            "device": lm.device_name(self.device),
            "python": platform.python_version(),
            "versions": {name: version(name) for name in packages},
            "method_versions": dict(METHOD_VERSION),
        }


def threads_of(study: Study) -> int:
    """Threads that a study may use on this machine, one a core unless it says otherwise."""
    return study.machine.threads or lm.cores()


def prepare(
    study: Study | Checked, listener: Listener | None = None, make: Maker = stand_ins, kept: str | None = None
) -> Prepared:
    """Read, tokenise and check everything; train nothing.

    In this order, the cheap first: the study by itself, its corpus, the base model's configuration and tokenizer, and
    last the canaries that the base model writes.

    make: has the base model write canaries where the study wants that; without it, texts of like length stand in for
    them, enough for a forecast. kept: the precision of the run that this study goes on with, which `auto` stands for.

    Raises StudyError, CorpusError or ModelError for what would fail later.
    """
    listener = listener or Silent()
    checked = study if isinstance(study, Checked) else check_study(study)
    study, trials, corpus = checked.study, checked.trials, checked.corpus
    device = lm.pick_device(study.machine.device)
    lm.check_quantization(study.model.quantization, "fp32", device)
    source = without_home(study.model.source)
    listener.say("opening the subjects" if study.subjects else f"opening the base model {source}")
    subjects = [given_files(subject) for subject in study.subjects]
    files = base_files(study.model, subjects)
    series = series_of(study.subjects)
    trials = tuple(
        replace(trial, known=known_of(subjects[number], series[number])) if isinstance(trial, GivenTrial) else trial
        for number, trial in enumerate(trials)
    )
    refuse_same_files([trial for trial in trials if isinstance(trial, GivenTrial)])
    tokenizer = lm.load_tokenizer(files)
    lm.check_matrices(files, [trial.lora.matrices for trial in trials if isinstance(trial, Trial)])
    for subject in subjects:
        check_fit(subject, None if subject is files else files, study.model.source)
    models = [files, *(subject for subject in subjects if isinstance(subject, lm.BaseFiles))]
    context = min(map(lm.context_length, models)) - max((virtual_tokens(subject) for subject in subjects), default=0)
    listener.say(f"tokenizing {len(corpus.records)} records and planning {len(trials)} trials")
    records, findings = _tokenise(study, corpus.records, tokenizer, context)
    start_id, no_start = _start(study, tokenizer, context)
    findings = (*corpus.findings, *findings, *no_start, *findings_on(files, subjects, study.model.source))
    chosen = lm.precision_of(files, study.model.precision, device, threads_of(study), kept)
    if chosen.instead_of:
        listener.say(f"precision: {chosen.why}")
    content = files.content if study.model.source != NO_BASE else NO_BASE
    base = base_key(content, tokenizer.content, chosen.format, study.model.quantization)
    recipe = recipe_of(trials, records, base)
    written = _written(study, recipe, tokenizer, context, lambda recipe: make(recipe, chosen.format))
    records, findings = (*records, *written[0]), (*findings, *written[1])
    keys = Keys(base, digest_of(records), start_id, study.extraction)
    given = [Given(subject, chosen.format, study.model.quantization) for subject in subjects]
    sides = {
        plan: sides_of(study, plan, roles, records, keys)
        for plan, roles in assign_all(records, [trial.canaries for trial in trials], checked.manifest).items()
    }
    planned = tuple(
        _plan_given(trial, given[number], sides[trial.canaries], keys)
        if isinstance(trial, GivenTrial)
        else _plan_trial(trial, sides[trial.canaries], keys)
        for number, trial in enumerate(trials)
    )
    if study.controls.shadow:
        null_trials = plan_shadows(study, planned, records, keys, files)
    else:
        null_trials = plan_null_trials(study, planned, records, keys)
    base_prompts = all_prompts(records, [p.prompts for p in planned])
    left_out = (*unprompted([p.roles for p in planned], base_prompts), *null_trials.findings)
    for finding in (*findings, *left_out):
        listener.say(finding.message)
    return Prepared(
        study=study,
        records=records,
        findings=(*findings, *left_out),
        corpus_content=corpus.content,
        files=files,
        tokenizer=tokenizer,
        device=device,
        chosen=chosen,
        planned=planned,
        null_trials=null_trials,
        base_prompts=base_prompts,
        base=keys.base_stages(base_prompts) if study.model.source != NO_BASE else Stages(),
        canaries=recipe.stage if recipe else None,
        start_id=start_id,
        manifest=checked.manifest,
    )


def _written(
    study: Study,
    recipe: Recipe | None,
    tokenizer: lm.Tokenizer,
    context: int,
    make: Callable[[Recipe], Invented],
) -> tuple[tuple[Record, ...], tuple[Finding, ...]]:
    """Canaries and references that the base model writes, tokenised as the corpus is; none where none are wanted."""
    if recipe is None:
        return (), ()
    invented = make(recipe)
    message = f"{invented.refused} texts that the base model wrote as canaries were drawn again: too short or not new"
    redrawn = (Finding("redrawn", invented.refused, message),) if invented.refused else ()
    records, findings = _tokenise(study, invented.records(), tokenizer, context)
    return records, (*redrawn, *findings)


def _start(study: Study, tokenizer: lm.Tokenizer, context: int) -> tuple[int | None, tuple[Finding, ...]]:
    """The token that an empty prompt consists of, or why nothing is written from one. StudyError where the completions
    are longer than the context."""
    wanted = study.extraction.untargeted
    if not wanted.completions:
        return None, ()
    if study.model.source == NO_BASE:
        why = "without a base model nothing tells what was learned from what was known"
        return None, (Finding("untargeted", 1, f"nothing is written from an empty prompt: {why}"),)
    if tokenizer.start_id is None:
        why = "the tokenizer has neither a beginning-of-text nor an end-of-text token"
        return None, (Finding("untargeted", 1, f"nothing is written from an empty prompt: {why}"),)
    if wanted.tokens >= context:
        raise StudyError(
            f"extraction.untargeted.tokens is {wanted.tokens}, but the context holds {context} tokens with the start "
            f"token; set it to {context - 1} or less"
        )
    return tokenizer.start_id, ()


def _tokenise(
    study: Study, records: Sequence[Record], tokenizer: lm.Tokenizer, context: int
) -> tuple[tuple[Record, ...], tuple[Finding, ...]]:
    corpus = study.corpus
    tokenised = lm.tokenise(records, tokenizer, corpus.loss_is_on, corpus.append_eos)
    longest = min(corpus.max_tokens or context, context)
    kept, cut = cut_long(tokenised.records, longest, corpus.long_records)
    eos = tokenizer.eos_id
    if corpus.append_eos and eos is not None:  # a text that was cut lost its end
        kept = [
            r if r.turns or r.token_ids[-1] == eos else replace(r, token_ids=(*r.token_ids[:-1], eos)) for r in kept
        ]
    unscored = [r.record for r in kept if len(r.token_ids) < 2]
    findings = [cut] if cut else []
    if unscored:
        message = f"{len(unscored)} records have fewer than 2 tokens and get no score: {', '.join(unscored[:5])}"
        findings.append(Finding("unscored", len(unscored), message))
    return tuple(kept), (*findings, *answers_checked(kept, tokenised.merged))


def _plan_trial(trial: Trial, sides: Sides, keys: Keys) -> Planned:
    key = keys.trial(trial, sides.roles_key, sides.training_digest)
    return Planned(
        trial=trial,
        key=key,
        roles=sides.roles,
        roles_key=sides.roles_key,
        training_ids=sides.training_ids,
        training_masks=sides.training_masks,
        prompts=sides.prompts,
        stages=keys.trial_stages(key, sides.prompts),
    )


def _plan_given(trial: GivenTrial, given: Given, sides: Sides, keys: Keys) -> Planned:
    key = keys.given(trial.of_files.content, sides.roles_key)
    return Planned(
        trial=trial,
        key=key,
        roles=sides.roles,
        roles_key=sides.roles_key,
        training_ids=(),
        prompts=sides.prompts,
        stages=keys.trial_stages(key, sides.prompts),
        given=given,
    )
