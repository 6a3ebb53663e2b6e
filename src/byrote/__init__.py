"""byrote measures what a fine-tuned language model has learned by rote.

    import byrote
    outcome = byrote.run("demo")
    results = byrote.load(outcome.path)
    results.tables.membership

Nothing here imports torch until a run needs it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from byrote.errors import ByroteError, CorpusError, ModelError, StageError, StoreError, StudyError
from byrote.study import Study, load_study

if TYPE_CHECKING:
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
    """Run a study: a path, the name of one that comes with byrote, a mapping or a Study. See
    `byrote.running.pipeline.run`."""
    from byrote.running.checks import checked_study

    checked = checked_study(study, overrides)  # before torch is imported, so that mistakes are told at once
    from byrote.running import pipeline

    return pipeline.run(checked, out, replace=replace)


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
    """The results of a run folder. StoreError where it is not one. Needs no torch."""
    from byrote.store import Run

    return Results(Run.open(run).path)
