"""A trial's subject: the tuned model that its trial measures, trained here or given. It is opened here alone, so that
scoring, prompting and tables need not know where it came from.
"""

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from byrote import lm
from byrote.corpora import Finding
from byrote.errors import ModelError, StudyError
from byrote.store import Run
from byrote.study import Lora
from byrote.study.given import GivenTrial, Known, apart
from byrote.study.settings import FROM_ADAPTER, NO_BASE, Model, Subject


@dataclass(frozen=True)
class Trained:
    """A subject that is trained here. stage: where its adapter is kept in the run folder."""

    lora: Lora
    seed: int
    stage: str


@dataclass(frozen=True)
class Given:
    """A subject that exists already. files: its own, an adapter's or a whole model's."""

    files: lm.AdapterFiles | lm.BaseFiles
    precision: str
    quantization: str

    @property
    def parameters(self) -> int | None:
        """Numbers of its adapter; None of a whole model."""
        return None if isinstance(self.files, lm.BaseFiles) else self.files.trainable_parameters


@dataclass(frozen=True)
class Opened:
    """A subject in memory. close: take it off the base model, which is plain again after it; `model` is then gone.
    parameters: how many numbers it has in all."""

    model: Any
    close: Callable[[], None]
    parameters: int


@contextmanager
def opened(subject: Trained | Given, base: Callable[[], lm.Base], store: Run, device: Any) -> Generator[Opened]:
    """The subject in memory: the adapter that the run holds, a fresh one that is still to be trained, or what is
    given. base: gives the base model, which is asked for where the subject stands on it."""
    with ExitStack() as attached:
        if isinstance(subject, Given) and isinstance(subject.files, lm.BaseFiles):
            whole = lm.open_model(subject.files, None, subject.precision, subject.quantization, device)
            yield Opened(whole.model, attached.close, whole.total_parameters)
            return
        on = base()
        if isinstance(subject, Given):
            assert isinstance(subject.files, lm.AdapterFiles)
            model = lm.open_adapter(on, subject.files)
        elif store.has(subject.stage):
            model = lm.open_adapter(on, lm.resolve_adapter(str(store.adapter(subject.stage))))
        else:
            model = lm.attach(on, subject.lora, subject.seed)
        attached.callback(lm.close_adapter, on, model)
        yield Opened(model, attached.close, on.total_parameters)


def given_files(subject: Subject) -> lm.AdapterFiles | lm.BaseFiles:
    """The files of a given subject, none of its weights loaded. ModelError where there are none."""
    if subject.adapter is not None:
        return lm.resolve_adapter(subject.adapter, subject.revision)
    return lm.resolve_base(subject.source, subject.revision)


def base_files(model: Model, subjects: list[lm.AdapterFiles | lm.BaseFiles]) -> lm.BaseFiles:
    """The files of the base model: those that the study names, or the adapters' configurations. Without a base model
    those of the first subject, whose tokenizer and format serve all. ModelError where adapters name different ones."""
    if model.source == NO_BASE:
        assert isinstance(subjects[0], lm.BaseFiles)
        return subjects[0]
    adapters = [files for files in subjects if isinstance(files, lm.AdapterFiles)]
    if not adapters or model.source != FROM_ADAPTER:
        return lm.resolve_base(model.source, model.revision)
    named = {files.base: files for files in adapters}
    if len(named) > 1:
        told = ", ".join(f"{files.name} on {base}" for base, files in named.items())
        raise ModelError(f"the adapters name different base models ({told}); name the one that they share (--base)")
    source = lm.base_source_of(adapters[0])
    if source is None:
        raise ModelError(f"the configuration of adapter {adapters[0].name} names no base model; name it (--base)")
    return lm.resolve_base(source, model.revision)


def check_fit(files: lm.AdapterFiles | lm.BaseFiles, base: lm.BaseFiles | None, source: str) -> None:
    """ModelError where a given subject does not fit the base model, by configurations and tokenizers alone.

    source: the study's `model.source`; where it is none, `base` is another subject, whose tokenizer alone must fit.
    """
    if isinstance(files, lm.BaseFiles):
        lm.check_model(files, base)
        if base is not None and source != NO_BASE:
            lm.check_architecture(files, base)
    elif base is not None:
        lm.check_adapter(files, base)


def virtual_tokens(files: lm.AdapterFiles | lm.BaseFiles) -> int:
    """Places of the context that a given subject takes for itself, as prefix tuning does."""
    return files.virtual_tokens if isinstance(files, lm.AdapterFiles) else 0


def known_of(files: lm.AdapterFiles | lm.BaseFiles, series: str) -> Known:
    """What the files of a subject say of it, and the training that it is of."""
    steps = lm.steps_in(files.folder)
    if isinstance(files, lm.BaseFiles):
        return Known("model", files.content, "all weights", steps=steps, series=series)
    return Known(
        files.kind, files.content, files.matrices, files.rank, steps=steps, changes=files.changes, series=series
    )


def series_of(subjects: Sequence[Subject]) -> list[str]:
    """The training that each subject is of: the folder that it lies in, by as many parts of its path as tell folders
    apart, or its hub id."""
    places = [_place(subject.source) for subject in subjects]
    different = list(dict.fromkeys(places))
    names = dict(zip(different, apart(different), strict=True))
    return [names[place] or place for place in places]


def _place(source: str) -> str:
    path = Path(source).expanduser()
    return str(path.resolve().parent) if path.exists() else source


def refuse_same_files(trials: Sequence[GivenTrial]) -> None:
    """StudyError where two subjects hold the same to the byte: they would be one trial."""
    first: dict[str, str] = {}
    for trial in trials:
        other = first.setdefault(trial.of_files.content, trial.name)
        if other != trial.name:
            raise StudyError(
                f"subjects: {other} and {trial.name} hold the same files to the byte; leave one of them out"
            )


def findings_on(
    files: lm.BaseFiles, subjects: Sequence[lm.AdapterFiles | lm.BaseFiles], source: str
) -> Iterator[Finding]:
    """What is said of given subjects before any is opened: another base than their own, changes beside the update, and
    that there is no base model."""
    if source == NO_BASE:
        message = (
            "there is no base model: attacks that compare with one are not run, and no figure says what the model knew "
            "before fine-tuning"
        )
        yield Finding("no_base", 1, message)
    for subject in subjects:
        if subject is not files and (added := lm.tokens_added(subject, files)):
            yield Finding("tokens_added", 1, added)
        if isinstance(subject, lm.AdapterFiles):
            if source != FROM_ADAPTER and (differs := lm.base_differs(files, subject)):
                yield Finding("other_base", 1, differs)
            if subject.changes:
                message = f"adapter {subject.name} changes more than its update: {', '.join(subject.changes)}"
                yield Finding("changes", len(subject.changes), message)
