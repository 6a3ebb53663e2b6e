"""Joins the parts: study → run folder. Nothing else does.

`prepare` settles everything that can be wrong before anything is trained; `run` does the stages that are missing.
"""

import json
import platform
import resource
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import asdict, dataclass
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from byrote import lm
from byrote.attacks import find_attacks
from byrote.backends import Listener, run_tasks
from byrote.canaries import assign, training_records
from byrote.config import Study, dump_study, load_study
from byrote.corpora import Finding, load_corpus
from byrote.corpora.checks import cut_long
from byrote.errors import ByroteError, StageError, StoreError, StudyError
from byrote.finetune import Step, finetune, steps_of
from byrote.generation import Prompt, complete, suffix_chances
from byrote.grid import (
    METHOD_VERSION,
    Trial,
    base_key,
    completions_key,
    roles_key,
    scores_key,
    sequences_digest,
    trial_key,
    trials_of,
)
from byrote.records import (
    CALIBRATION,
    Assignment,
    Record,
    Role,
    TokenScores,
    chances_to_table,
    completions_to_table,
)
from byrote.report.render import render
from byrote.scoring import score
from byrote.store import Run, no_room


class Silent:
    """Hears nothing."""

    def say(self, text: str) -> None:
        """Ignored."""

    def task(self, label: str, total: int) -> AbstractContextManager[Callable[[int, str], None]]:  # noqa: ARG002
        """Ignored."""
        return nullcontext(lambda units, text: None)  # noqa: ARG005


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

    def trains_like(self, other: "Planned") -> bool:
        """Whether two trials can be trained in one pass: the same records in the same order, the same settings."""
        return self.trial.training == other.trial.training and self.training_ids == other.training_ids

    def row(self) -> dict[str, Any]:
        """What plan.json says of this trial."""
        trial = self.trial
        settings = {name: getattr(trial, name).model_dump(mode="json") for name in ("lora", "training", "canaries")}
        return {
            "trial": self.key,
            "label": trial.label,
            "matrices": trial.matrices,
            "rank": trial.lora.rank,
            "seed": trial.seed,
            "settings": settings,
            "roles": self.roles_key,
            **{name: getattr(self, name) for name in ("finetune", "scores", "completions")},
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
    null: Planned | None
    null_missing: str
    base_prompts: tuple[Prompt, ...]
    base_scores: str
    base_completions: str | None

    @property
    def stack(self) -> int:
        """The most adapters that are trained in one pass."""
        return self.study.machine.stack

    def trial(self, number: str) -> Planned:
        """A trial by its number in a task, or the null trial."""
        if number == "null":
            assert self.null
            return self.null
        return self.planned[int(number)]

    def plan(self) -> dict[str, Any]:
        """The content of plan.json."""
        return {
            "base": {"scores": self.base_scores, "completions": self.base_completions},
            "trials": [planned.row() for planned in self.planned],
            "null": self.null.row() if self.null else None,
            "null_missing": self.null_missing,
            "findings": [asdict(finding) for finding in self.findings],
        }

    def provenance(self) -> dict[str, Any]:
        """Versions and hashes for the run's copy of the study."""
        packages = ("byrote", "torch", "transformers", "peft", "numpy")
        return {
            "corpus_sha256": self.corpus_content,
            "base_model_sha256": self.files.content,
            "tokenizer_sha256": self.tokenizer.content,
            "precision": self.precision,
            "device": device_name(self.device),
            "python": platform.python_version(),
            "versions": {name: version(name) for name in packages},
            "method_versions": dict(METHOD_VERSION),
        }


def prepare(study: Study, listener: Listener | None = None) -> Prepared:
    """Read, tokenise and check everything; train nothing.

    Raises StudyError, CorpusError or ModelError for what would fail later.
    """
    listener = listener or Silent()
    find_attacks([*study.membership.attacks, study.membership.primary])
    trials = trials_of(study)
    device = lm.pick_device(study.machine.device)
    precision = lm.pick_precision(study.model.precision, device)
    corpus = load_corpus(study.corpus)
    files = lm.resolve_base(study.model.source, study.model.revision)
    tokenizer = lm.load_tokenizer(files)
    lm.check_matrices(files, [trial.lora.matrices for trial in trials])
    records, findings = _tokenise(study, corpus.records, tokenizer, lm.context_length(files))
    findings = (*corpus.findings, *findings)
    records_digest = sequences_digest([r.record for r in records], [r.token_ids for r in records])
    base = base_key(files.content, tokenizer.content, precision, study.model.quantization)
    planned = tuple(_plan_trial(study, trial, records, records_digest, base) for trial in trials)
    null, null_missing = _plan_null(study, planned[0], records, records_digest, base)
    base_prompts = _all_prompts(records, planned)
    left_out = _unprompted(planned, base_prompts)
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
        null,
        null_missing,
        base_prompts,
        f"base/{scores_key(base, records_digest)}",
        f"base/{completions_key(base, _prompts_digest(base_prompts), study.extraction)}" if base_prompts else None,
    )


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


def _plan_trial(study: Study, trial: Trial, records: Sequence[Record], records_digest: str, base: str) -> Planned:
    roles = tuple(assign(records, trial.canaries))
    rkey = roles_key(records_digest, trial.canaries)
    training = training_records(records, roles, trial.canaries)
    steps_of(len(training), trial.training)
    digest = sequences_digest([r.record for r in training], [r.token_ids for r in training])
    key = trial_key(base, rkey, digest, trial.lora, trial.training)
    prompts = _prompts(study, records, roles)
    ckey = completions_key(key, _prompts_digest(prompts), study.extraction)
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
    )


def _plan_null(
    study: Study, first: Planned, records: Sequence[Record], records_digest: str, base: str
) -> tuple[Planned | None, str]:
    """An adapter with the first trial's settings, tuned on the calibration records: groups outside both sets."""
    if not study.controls.null_trial:
        return None, "controls.null_trial is false"
    training = [r for r in records if r.split == CALIBRATION]
    if not training:
        return None, "there are no calibration records to tune a null trial on"
    try:
        steps_of(len(training), first.trial.training)
    except StudyError as error:
        return None, f"the null trial cannot be trained: {error}"
    digest = sequences_digest([r.record for r in training], [r.token_ids for r in training])
    key = trial_key(base, first.roles_key, digest, first.trial.lora, first.trial.training)
    ids = tuple(r.token_ids for r in training)
    stages = (f"trials/{key}", f"trials/{key}/scores/{scores_key(key, records_digest)}", None)
    return Planned(first.trial, key, first.roles, first.roles_key, ids, (), *stages), ""


def _all_prompts(records: Sequence[Record], planned: Sequence[Planned]) -> tuple[Prompt, ...]:
    """The prompts of all trials, each once, in the records' order."""
    wanted: dict[str, dict[float, Prompt]] = {}
    for prompt in (prompt for p in planned for prompt in p.prompts):
        wanted.setdefault(prompt.record, {})[prompt.prefix] = prompt
    return tuple(prompt for r in records for prompt in wanted.get(r.record, {}).values())


def _prompts(study: Study, records: Sequence[Record], roles: Sequence[Assignment]) -> tuple[Prompt, ...]:
    """Canaries, and a sample of members and of non-members that is the same for every trial as far as roles allow."""
    wanted, seed = study.extraction.prompts, study.extraction.seed
    by_record = {r.record: r for r in records}
    role_of = {a.record: a.role for a in roles}
    canaries = [a.record for a in roles if a.role in (Role.CANARY_IN, Role.CANARY_OUT)]
    groups = (
        (canaries, len(canaries) if wanted.canaries == "all" else wanted.canaries),
        ([r for r, role in role_of.items() if role is Role.MEMBER], wanted.members),
        ([r for r, role in role_of.items() if role is Role.NONMEMBER], wanted.nonmembers),
    )
    chosen = {
        record
        for ids, count in groups
        for record in sorted(ids, key=lambda r: sha256(f"{seed}|{r}".encode()).digest())[:count]
    }
    prompts = (
        _prompt(r, prefix) for r in by_record.values() if r.record in chosen for prefix in study.extraction.prefix
    )
    return tuple(p for p in prompts if p.prefix_tokens and p.suffix)


def _prompt(record: Record, prefix: float) -> Prompt:
    tokens = int(prefix) if prefix >= 1 else int(len(record.token_ids) * prefix)
    return Prompt(record.record, record.token_ids, tokens, prefix)


def _prompts_digest(prompts: Sequence[Prompt]) -> str:
    return sequences_digest([p.record for p in prompts], [p.token_ids for p in prompts])


def _unprompted(planned: Sequence[Planned], prompts: Sequence[Prompt]) -> tuple[Finding, ...]:
    """Canaries too short to be split into prompt and suffix."""
    asked = {p.record for p in prompts}
    planted = {a.record for p in planned for a in p.roles if a.role is Role.CANARY_IN}
    if not prompts or planned[0].trial.canaries.design == "none":
        return ()
    short = sorted(planted - asked)
    message = f"{len(short)} planted canaries are not prompted: {', '.join(short[:5])}"
    return (Finding("unprompted", len(short), message),) if short else ()


# --- running ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Outcome:
    """What a run came to. `failures`: the stages that failed, with their errors."""

    path: Path
    report: Path
    failures: tuple[dict[str, Any], ...]


def run(
    study: Study | str | Path | Mapping[str, Any],
    out: str | Path | None = None,
    overrides: Mapping[str, Any] | None = None,
    listener: Listener | None = None,
) -> Outcome:
    """Fine-tune, attack, prompt, tabulate, draw, report; what is finished already is not done again.

    out: the run folder, runs/NAME unless told. Raises ByroteError for what the user must mend first; a trial that fails
    is kept as a failure and the others go on.
    """
    listener = listener or Silent()
    if not isinstance(study, Study):
        study = load_study(study, overrides)
    store = Run(out or Path("runs") / study.name)
    prepared = prepare(study, listener)
    with store.locked():
        _write_plan(store, prepared)
        _work(store, prepared, listener)
        listener.say("tables, figures and report")
        report = render(store)
    return Outcome(store.path, report, tuple(store.failures()))


def _write_plan(store: Run, prepared: Prepared) -> None:
    store.write_records(list(prepared.records))
    for planned in prepared.planned:
        store.write_roles(planned.roles_key, list(planned.roles))
    store.write_study({**dump_study(prepared.study), "provenance": prepared.provenance()})
    store.write_json("plan.json", prepared.plan())


def _work(store: Run, prepared: Prepared, listener: Listener) -> None:
    """The missing stages, here or by worker processes beside each other."""
    tasks = _tasks(prepared)
    workers, threads = layout(prepared)
    if workers == 1 or all(store.has(stage) for stage in _stages(prepared)):
        torch.set_num_threads(threads)
        worker = Worker(store, prepared, listener)
        for task in tasks:
            worker.do(task)
        return

    def lost(task: str, why: str) -> None:
        if task == "base":
            raise StageError(f"the base model's stages failed: {why}")
        for planned in (prepared.trial(number) for number in task.split(",")):
            store.fail(planned.finetune, planned.key, StageError(why))
        listener.say(f"failed: {why}")

    listener.say(f"{workers} workers side by side, {threads} thread{'s' if threads > 1 else ''} each")
    run_tasks(tasks, (store.path, prepared), workers, threads, listener, lost)


def layout(prepared: Prepared) -> tuple[int, int]:
    """Workers and threads of each: a worker a core, no more than there are tasks, and no more than memory holds; one
    on a GPU. It follows from the study and the machine alone, so that a run that resumes computes as it began."""
    machine, cores = prepared.study.machine, lm.cores()
    threads = machine.threads or cores
    if prepared.device.type == "cuda":
        return 1, threads
    most = min(threads, len(_tasks(prepared)), lm.workers_that_fit(prepared.files))
    workers = max(1, min(machine.workers or most, threads))
    return workers, max(1, threads // workers)


def _tasks(prepared: Prepared) -> list[str]:
    """`base`, then trials by number, a stack of them joined by commas; the null trial last."""
    groups: list[list[int]] = []
    for number, planned in enumerate(prepared.planned):
        like = [g for g in groups if planned.trains_like(prepared.planned[g[0]]) and len(g) < prepared.stack]
        like[0].append(number) if like else groups.append([number])
    tasks = ["base", *(",".join(map(str, group)) for group in groups)]
    return [*tasks, "null"] if prepared.null else tasks


def _stages(prepared: Prepared) -> Iterator[str]:
    yield from filter(None, (prepared.base_scores, prepared.base_completions))
    for p in (*prepared.planned, *((prepared.null,) if prepared.null else ())):
        yield from filter(None, (p.finetune, p.scores, p.completions))


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
        trials = [self.prepared.trial(number) for number in task.split(",")]
        if len(trials) > 1:
            self._stack([p for p in trials if not self.store.has(p.finetune)])
        for planned in trials:
            self._trial(planned, self._label(planned))

    def _label(self, planned: Planned) -> str:
        if planned is self.prepared.null:
            return "null trial"
        number = next(i for i, p in enumerate(self.prepared.planned) if p is planned)
        return f"{planned.trial.label} ({number + 1}/{len(self.prepared.planned)})"

    def _base_stages(self) -> None:
        prepared = self.prepared
        with self._kept(prepared.base_scores, "base", StageError):
            self._score(prepared.base_scores, "base model", lambda: self.base.model)
        if prepared.base_completions:
            with self._kept(prepared.base_completions, "base", StageError):
                self._complete(prepared.base_completions, "base model", lambda: self.base.model, prepared.base_prompts)

    @property
    def base(self) -> lm.Base:
        """The base model in memory."""
        if self._base is None:
            prepared, model = self.prepared, self.prepared.study.model
            self.listener.say(
                f"loading {prepared.files.name} in {prepared.precision} on {device_name(prepared.device)}"
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
        missing = [s for s in (planned.finetune, planned.scores, planned.completions) if s and not self.store.has(s)]
        if not missing:
            self.listener.say(f"{label}: already done")
            return
        with self._kept(planned.finetune, planned.key):
            if planned.finetune in missing:
                adapted = lm.attach(self.base, planned.trial.lora, planned.trial.seed)
            else:
                adapted = lm.load_adapter(self.base, self.store.path / planned.finetune / "adapter")
                self.store.forget_failure(planned.finetune)
            try:
                self._trial_stages(planned, label, adapted)
            finally:
                lm.detach(self.base, adapted)

    def _trial_stages(self, planned: Planned, label: str, adapted: Any) -> None:
        if not self.store.has(planned.finetune):
            self._finetune([planned], label, adapted)
        with self._kept(planned.scores, planned.key):
            self._score(planned.scores, label, lambda: adapted)
        if planned.completions:
            with self._kept(planned.completions, planned.key):
                self._complete(planned.completions, label, lambda: adapted, planned.prompts)

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
            _write_scores(folder, scores)

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
            _write_parquet(folder / "suffixes.parquet", chances_to_table(chances))
            notes["tokens"] = sum(len(c.token_ids) for c in completions)
            _write_parquet(folder / "completions.parquet", completions_to_table(completions))

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
            "device": device_name(device),
            "peak_memory": peak_memory(device),
        }


def _write_scores(folder: Path, scores: TokenScores) -> None:
    _write_parquet(folder / "scores.parquet", scores.to_table())


def _write_parquet(path: Path, table: Any) -> None:
    import pyarrow.parquet as pq

    pq.write_table(table, path)


def device_name(device: torch.device) -> str:
    """The device in words, with the threads of a processor."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{platform.machine()} processor, {torch.get_num_threads()} threads"


def peak_memory(device: torch.device) -> int:
    """Most bytes held so far: of the device, or of this process where the device is the processor."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if platform.system() == "Darwin" else 1024)
