"""What a study will do: its records read, tokenised and checked, its trials with their roles, prompts and keys.

`prepare` settles everything that can be wrong before anything is trained.
"""

import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import Any

import torch

from byrote import lm
from byrote.attacks import find_attacks
from byrote.corpora import Finding, load_corpus
from byrote.corpora.checks import cut_long
from byrote.errors import StudyError
from byrote.listener import Listener, Silent
from byrote.passes.finetune import steps_of
from byrote.passes.generation import Prompt
from byrote.planting.roles import assign, training_records
from byrote.planting.written import Maker, recipe_of, stand_ins
from byrote.records import Assignment, Record
from byrote.running.null_trials import NullTrials, plan_null_trials
from byrote.running.prompts import all_prompts, prompts_digest, prompts_of, unprompted
from byrote.store import STAGES
from byrote.study import Study
from byrote.study.grid import (
    METHOD_VERSION,
    Trial,
    base_key,
    completions_key,
    label_without_seed,
    roles_key,
    scores_key,
    sequences_digest,
    trial_key,
    trials_of,
    untargeted_key,
)


@dataclass(frozen=True)
class Planned:
    """A trial with its roles, what it trains on and prompts, and where its stages are in the run folder."""

    trial: Trial
    key: str
    roles: tuple[Assignment, ...]
    roles_key: str
    training_ids: tuple[tuple[int, ...], ...]
    prompts: tuple[Prompt, ...]
    finetune: str
    scores: str
    completions: str | None
    untargeted: str | None

    def trains_like(self, other: "Planned") -> bool:
        """Whether two trials can be trained in one pass: the same records in the same order, the same settings."""
        return self.trial.training == other.trial.training and self.training_ids == other.training_ids

    def row(self) -> dict[str, Any]:
        """What plan.json says of this trial."""
        trial = self.trial
        return {
            "trial": self.key,
            "label": trial.label,
            "matrices": trial.matrices,
            "rank": trial.lora.rank,
            "seed": trial.seed,
            "settings": trial.settings,
            "roles": self.roles_key,
            **{name: getattr(self, name) for name in STAGES},
        }


@dataclass(frozen=True)
class Prepared:
    """A study whose corpus is read, tokenised and checked, with all its trials planned."""

    study: Study
    records: tuple[Record, ...]
    findings: tuple[Finding, ...]
    corpus_content: str
    files: lm.BaseFiles
    tokenizer: lm.Tokenizer
    device: torch.device
    precision: str
    planned: tuple[Planned, ...]
    null_trials: NullTrials
    base_prompts: tuple[Prompt, ...]
    base_scores: str
    base_completions: str | None
    base_untargeted: str | None
    start_id: int | None

    @property
    def stack(self) -> int:
        """The most adapters that are trained in one pass."""
        return self.study.machine.stack

    @property
    def trained(self) -> dict[str, Planned]:
        """Everything that is trained, by its name in a task: trials by number, then null trials as `null:0`."""
        nulls = {f"null:{number}": null for number, null in enumerate(self.null_trials.planned)}
        return {str(number): planned for number, planned in enumerate(self.planned)} | nulls

    def plan(self) -> dict[str, Any]:
        """The content of plan.json."""
        return {
            "base": {
                "scores": self.base_scores,
                "completions": self.base_completions,
                "untargeted": self.base_untargeted,
            },
            "trials": [{**planned.row(), **self._null_of(planned)} for planned in self.planned],
            "nulls": [{**null.row(), "label": self.null_label(null)} for null in self.null_trials.planned],
            "null_missing": self.null_trials.missing,
            "findings": [asdict(finding) for finding in self.findings],
        }

    def _null_of(self, planned: Planned) -> dict[str, Any]:
        null, of_another = (self.null_trials.of or {}).get(planned.key, (None, False))
        return {"null": null, "null_of_another_configuration": of_another}

    def null_label(self, null: Planned) -> str:
        """What a reader calls a null trial: the configuration it is like, where there are several."""
        several = len(self.null_trials.planned) > 1
        return f"null trial of {label_without_seed(null.trial.label)}" if several else "null trial"

    def provenance(self) -> dict[str, Any]:
        """Versions and hashes for the run's copy of the study."""
        packages = ("byrote", "torch", "transformers", "peft", "numpy")
        return {
            "corpus_sha256": self.corpus_content,
            "base_model_sha256": self.files.content,
            "tokenizer_sha256": self.tokenizer.content,
            "precision": self.precision,
            "device": lm.device_name(self.device),
            "python": platform.python_version(),
            "versions": {name: version(name) for name in packages},
            "method_versions": dict(METHOD_VERSION),
        }


def prepare(study: Study, listener: Listener | None = None, make: Maker = stand_ins) -> Prepared:
    """Read, tokenise and check everything; train nothing.

    make: has the base model write canaries where the study wants that; without it, texts of like length stand in for
    them, enough for a forecast.

    Raises StudyError, CorpusError or ModelError for what would fail later.
    """
    listener = listener or Silent()
    find_attacks([*study.membership.attacks, study.membership.primary])
    find_attacks(study.extraction.untargeted.attacks, "extraction.untargeted.attacks")
    trials = trials_of(study)
    device = lm.pick_device(study.machine.device)
    precision = lm.pick_precision(study.model.precision, device)
    corpus = load_corpus(study.corpus)
    files = lm.resolve_base(study.model.source, study.model.revision)
    tokenizer = lm.load_tokenizer(files)
    lm.check_matrices(files, [trial.lora.matrices for trial in trials])
    context = lm.context_length(files)
    records, findings = _tokenise(study, corpus.records, tokenizer, context)
    start_id, no_start = _start(study, tokenizer, context)
    findings = (*corpus.findings, *findings, *no_start)
    base = base_key(files.content, tokenizer.content, precision, study.model.quantization)
    written = _written(study, trials, records, tokenizer, context, base, make)
    records, findings = (*records, *written[0]), (*findings, *written[1])
    records_digest = sequences_digest([r.record for r in records], [r.token_ids for r in records])
    planned = tuple(_plan_trial(study, trial, records, records_digest, base, start_id) for trial in trials)
    null_trials = plan_null_trials(study, planned, records, records_digest, base)
    base_prompts = all_prompts(records, [p.prompts for p in planned])
    left_out = (*unprompted([p.roles for p in planned], base_prompts), *null_trials.findings)
    for finding in (*findings, *left_out):
        listener.say(finding.message)
    return Prepared(
        study,
        records,
        (*findings, *left_out),
        corpus.content,
        files,
        tokenizer,
        device,
        precision,
        planned,
        null_trials,
        base_prompts,
        f"base/{scores_key(base, records_digest)}",
        f"base/{completions_key(base, prompts_digest(base_prompts), study.extraction)}" if base_prompts else None,
        _untargeted(study, "base", base, start_id),
        start_id,
    )


def _written(
    study: Study,
    trials: Sequence[Trial],
    records: Sequence[Record],
    tokenizer: lm.Tokenizer,
    context: int,
    base: str,
    make: Maker,
) -> tuple[tuple[Record, ...], tuple[Finding, ...]]:
    """Canaries and references that the base model writes, tokenised as the corpus is; none where none are wanted."""
    recipe = recipe_of(trials, records, base)
    if recipe is None:
        return (), ()
    found = make(recipe)
    message = f"{found.refused} texts that the base model wrote as canaries were drawn again: too short or not new"
    redrawn = (Finding("redrawn", found.refused, message),) if found.refused else ()
    invented, findings = _tokenise(study, found.records(), tokenizer, context)
    return invented, (*redrawn, *findings)


def _start(study: Study, tokenizer: lm.Tokenizer, context: int) -> tuple[int | None, tuple[Finding, ...]]:
    """The token that an empty prompt consists of, or why nothing is written from one. StudyError where the completions
    are longer than the context."""
    wanted = study.extraction.untargeted
    if not wanted.completions:
        return None, ()
    if tokenizer.start_id is None:
        why = "the tokenizer has neither a beginning-of-text nor an end-of-text token"
        return None, (Finding("untargeted", 1, f"nothing is written from an empty prompt: {why}"),)
    if wanted.tokens >= context:
        raise StudyError(
            f"extraction.untargeted.tokens is {wanted.tokens}, but the context holds {context} tokens with the start "
            f"token; set it to {context - 1} or less"
        )
    return tokenizer.start_id, ()


def _untargeted(study: Study, room: str, parent: str, start_id: int | None) -> str | None:
    """The stage of completions of an empty prompt in `room`; None where there is none."""
    return None if start_id is None else f"{room}/{untargeted_key(parent, start_id, study.extraction)}"


def _tokenise(
    study: Study, records: Sequence[Record], tokenizer: lm.Tokenizer, context: int
) -> tuple[tuple[Record, ...], tuple[Finding, ...]]:
    token_ids = tokenizer.encode([r.text for r in records], study.corpus.append_eos)
    with_ids = [_with_tokens(r, ids) for r, ids in zip(records, token_ids, strict=True)]
    longest = min(study.corpus.max_tokens or context, context)
    kept, cut = cut_long(with_ids, longest, study.corpus.long_records)
    eos = tokenizer.eos_id
    if study.corpus.append_eos and eos is not None:  # a record that was cut lost its end
        kept = [r if r.token_ids[-1] == eos else _with_tokens(r, (*r.token_ids[:-1], eos)) for r in kept]
    unscored = [r.record for r in kept if len(r.token_ids) < 2]
    findings = [cut] if cut else []
    if unscored:
        message = f"{len(unscored)} records have fewer than 2 tokens and get no score: {', '.join(unscored[:5])}"
        findings.append(Finding("unscored", len(unscored), message))
    return tuple(kept), tuple(findings)


def _with_tokens(record: Record, token_ids: Sequence[int]) -> Record:
    return Record(record.record, record.split, record.group, record.text, record.spans, tuple(token_ids))


def _plan_trial(
    study: Study, trial: Trial, records: Sequence[Record], records_digest: str, base: str, start_id: int | None
) -> Planned:
    roles = tuple(assign(records, trial.canaries))
    rkey = roles_key(records_digest, trial.canaries)
    training = training_records(records, roles, trial.canaries)
    steps_of(len(training), trial.training)
    digest = sequences_digest([r.record for r in training], [r.token_ids for r in training])
    key = trial_key(base, rkey, digest, trial.lora, trial.training)
    prompts = prompts_of(study, records, roles)
    ckey = completions_key(key, prompts_digest(prompts), study.extraction)
    return Planned(
        trial,
        key,
        roles,
        rkey,
        tuple(r.token_ids for r in training),
        prompts,
        f"trials/{key}",
        f"trials/{key}/scores/{scores_key(key, records_digest)}",
        f"trials/{key}/completions/{ckey}" if prompts else None,
        _untargeted(study, f"trials/{key}/untargeted", key, start_id),
    )
