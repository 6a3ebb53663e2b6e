"""byrote measures what a fine-tuned language model has learned by rote.

    import byrote
    outcome = byrote.run("demo")
    results = byrote.load(outcome.path)
    results.tables.membership

Nothing here imports torch until a run needs it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from byrote.errors import ByroteError, CorpusError, ModelError, StageError, StoreError, StudyError
from byrote.study import Study, load_study

if TYPE_CHECKING:
    from byrote.running.audit import Audited
    from byrote.running.pipeline import Outcome
    from byrote.tables import Tables

__version__ = "0.1.0"
__all__ = [
    "ByroteError",
    "CorpusError",
    "ModelError",
    "Results",
    "StageError",
    "StoreError",
    "Study",
    "StudyError",
    "audit",
    "load",
    "load_study",
    "run",
]


def run(
    study: "Study | str | Path | Mapping[str, Any]",
    out: str | Path | None = None,
    overrides: Mapping[str, Any] | None = None,
    replace: bool = False,
) -> "Outcome":
    """Run a study, as `byrote run` does: fine-tune, attack, prompt, tabulate, draw and report what is not done yet.

    study: a path, the name of a study that comes with byrote, a mapping or a Study · out: the run folder, runs/NAME
    unless told · overrides: settings by dotted name · replace: take a folder whose study planned other trials, or was
    on another corpus or model; without it that is a StoreError.

    Returns the run folder, its report and what failed: a trial that fails does not stop the others. Raises ByroteError
    for what must be put right first.

    >>> outcome = byrote.run("my-study.yaml", "runs/mine", {"training.epochs": 1})
    >>> outcome.failures
    ()
    >>> outcome.report.name
    'report.html'
    """
    from byrote.running.checks import checked_study
    from byrote.store.remote import check_usable

    check_usable(out)
    checked = checked_study(study, overrides)  # before torch is imported, so that mistakes are told at once
    from byrote.running import pipeline

    return pipeline.run(checked, out, replace=replace)


def audit(
    *,
    adapter: str | Path | Sequence[str | Path] = (),
    model: str | Path | Sequence[str | Path] = (),
    base: str | Path | None = None,
    members: Any,
    nonmembers: Any,
    calibration: Any = None,
    out: str | Path | None = None,
    settings: Mapping[str, Any] | None = None,
    **options: Any,
) -> "Audited":
    """Measure models that were tuned elsewhere, as `byrote audit` does; returns the verdict and the tables.

    adapter, model: folders, hub ids or patterns, one or several · base: the base model, else the one that the adapter's
    configuration names; "none" to do without · members, nonmembers, calibration: a path, a list of texts or of dicts, a
    pandas frame or a `datasets.Dataset`; rows in memory are written into the run folder, readable by you alone ·
    out: the run folder, or its URL · settings: any setting of a study, by dotted name · options: the command's options
    by the names of `byrote.study.audit.AuditOptions`: columns (text, id, group, prompt, completion, messages),
    canaries, shadow, minutes, name, and rules (rates as ["0.01=0.05"], max_auc, max_verbatim, max_epsilon,
    equivalent_within, draws).

    Raises ByroteError for what must be put right first, TypeError for an option that there is not.

    >>> audited = byrote.audit(
    ...     adapter="out/adapter",
    ...     members=["Nausea followed the dose.", "The rash came back."],
    ...     nonmembers="heldout.jsonl",
    ...     max_auc=0.6,
    ...     settings={"machine.workers": 1},
    ... )
    >>> audited.verdict, audited.exit_status  # two members decide nothing
    ('undecided', 3)
    """
    from byrote.running.audit import run_audit

    sides = {"members": members, "nonmembers": nonmembers, "calibration": calibration}
    subjects = {"adapters": _several(adapter), "models": _several(model)}
    named = {**subjects, "base": None if base is None else str(base), **options}
    return run_audit(sides, named, out, settings)


def _several(source: str | Path | Sequence[str | Path]) -> list[str]:
    return [str(source)] if isinstance(source, str | Path) else [str(one) for one in source]


@dataclass(frozen=True)
class Results:
    """A run folder, read."""

    path: Path

    @cached_property
    def tables(self) -> "Tables":
        """All tables of the run as data frames, computed from its stored scores and completions."""
        from byrote import tables
        from byrote.store import Run

        return tables.build(Run.open(self.path))

    @cached_property
    def study(self) -> Study:
        """The resolved study; `provenance` holds versions and hashes."""
        from byrote.store import Run

        return Run.open(self.path).study()


def load(run: str | Path) -> Results:
    """The results of a run: its folder, its URL (s3://bucket/runs/first), or the name of one under runs/. StoreError
    where there is none. Needs no torch.

    >>> results = byrote.load("mine")
    >>> sorted(results.tables.trials["matrices"])
    ['q', 'v']
    >>> results.study.training.epochs
    1
    """
    from byrote.store import Run

    named = Path("runs") / run
    return Results(Run.open(named if not Path(run).exists() and named.is_dir() else run).path)


def __getattr__(name: str) -> Any:
    """`byrote.figures`, whose import draws in matplotlib, when it is first asked for."""
    if name == "figures":
        return import_module("byrote.figures")
    raise AttributeError(f"module 'byrote' has no attribute {name!r}")
