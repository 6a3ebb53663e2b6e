"""The command line: parses and prints; the work is elsewhere. Nothing heavy is imported until a verb needs it."""

import os
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, NoReturn

from cyclopts import App, CycloptsError, Parameter
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from byrote import __version__
from byrote.errors import ByroteError, StudyError
from byrote.study.dotted import dotted_names
from byrote.study.load import first_comment, load_study, packaged_studies, parse_overrides, study_path

app = App(
    name="byrote",
    help="What has a fine-tuned language model learned by rote?",
    version=__version__,
    version_flags=["--version"],
)
# Where nobody's window says how wide it is, lines are kept whole for files and pipes.
out_console = Console(width=None if sys.stdout.isatty() else 140)
err_console = Console(stderr=True, soft_wrap=True)


def main(tokens: Sequence[str] | None = None) -> NoReturn:
    """Entry point; `tokens` are the words after `byrote`, else those of the command line.

    Exit status: 0 done, 1 some trials failed, 2 something to mend, 130 interrupted.
    """
    try:
        sys.exit(app(tokens, exit_on_error=False, result_action="return_value") or 0)
    except CycloptsError:  # printed already
        sys.exit(2)
    except ByroteError as error:
        err_console.print(f"error: {error}", style="red", markup=False, highlight=False)
        sys.exit(2)
    except KeyboardInterrupt:
        err_console.print("interrupted; the same command goes on from the last finished stage")
        sys.exit(130)


Options = Annotated[str, Parameter(allow_leading_hyphen=True, show=False)]


@app.command
def run(study: str, /, *options: Options, out: Path | None = None, workers: int | None = None) -> int:
    """Fine-tune, attack, prompt, tabulate, draw, report. The same command resumes.

    Every setting of a study is an option under its dotted name: `byrote run demo --training.epochs 1
    --grid.rank '[1, 2]'`; `byrote studies settings` lists them.

    Parameters
    ----------
    study
        A path, or the name of a study that comes with byrote (`byrote studies`).
    out
        The run folder; runs/NAME unless told.
    workers
        Trials side by side, each with its share of the cores; one a core unless told (machine.workers).
    """
    overrides = parse_overrides(options)
    if workers is not None:
        overrides["machine.workers"] = workers
    resolved = load_study(study, overrides)
    from byrote.running import pipeline

    outcome = pipeline.run(resolved, out, listener=_Terminal())
    _print_auc(outcome.path)
    out_console.print(f"report: {outcome.report}", markup=False)
    if outcome.failures:
        err_console.print(
            f"{len(outcome.failures)} stages failed; `byrote status {outcome.path}` says why", style="red"
        )
    return 1 if outcome.failures else 0


@app.command
def plan(study: str, /, *options: Options) -> None:
    """The trials of a study, time, memory and disk to expect, and the smallest effect it can show; trains nothing."""
    resolved = load_study(study, parse_overrides(options))
    from byrote.running.forecast import CORRELATION, ICC, forecast
    from byrote.running.planning import prepare

    found = forecast(prepare(resolved, _Terminal()))
    table = Table("trial", "records", "tokens", "steps", "time", box=None)
    for work in found.work:
        row = (f"{work.training_records}", f"{work.tokens:,}", f"{work.steps}", _duration(work.seconds))
        table.add_row(work.label, *row)
    out_console.print(table)
    out_console.print(
        f"in all about {_duration(found.seconds)} with {found.workers} workers of {found.threads} threads, "
        f"{found.memory / 2**30:.1f} GiB of memory, {found.disk / 2**20:.0f} MiB of disk",
        highlight=False,
    )
    table = Table("compared", "smallest AUC", "by document", "difference", "smallest TPR", box=None)
    for power in found.power:
        rates = [f"{'none' if isinstance(tpr, str) else _number(tpr)} at {rate:g}" for rate, tpr in power.tpr]
        sides = f"{power.stratum} ({power.members}/{power.nonmembers})"
        table.add_row(sides, *map(_number, (power.auc, power.auc_by_document, power.difference)), "; ".join(rates))
    out_console.print(table)
    out_console.print(
        f"told from chance at level 5% with power 80%; by document: records of one document correlate at {ICC:g}; "
        f"difference: between two trials near AUC 0.7 whose scores correlate at {CORRELATION:g}; none: too few "
        "non-members for so low a false-positive rate",
        highlight=False,
    )


@app.command
def status(run_folder: Path, /) -> None:
    """Each trial and stage of a run: done, waiting, running, failed and why."""
    from byrote.store import STAGES, Run
    from byrote.tables.trials import stage_state

    store = Run.open(run_folder)
    plan, failures = store.plan(), {f["stage"]: f["error"] for f in store.failures()}
    table = Table("trial", "fine-tune", "score", "prompt", "write freely", box=None)
    base = [stage_state(store, plan["base"].get(name), failures) for name in STAGES[1:]]
    table.add_row("base model", "", *base)
    for planned in [*plan["trials"], *plan["nulls"]]:
        states = (stage_state(store, planned.get(name), failures) for name in STAGES)
        table.add_row(planned["label"], *states)
    out_console.print(table)
    for stage, error in failures.items():
        out_console.print(f"failed: {stage}: {error}", style="red", markup=False)


@app.command
def report(run_folder: Path, /) -> None:
    """Tables, figures and report again from the stored results; needs no torch and no model."""
    from byrote.render import render
    from byrote.store import Run

    store = Run.open(run_folder)
    with store.locked():
        path = render(store)
    _print_auc(run_folder)
    out_console.print(f"report: {path}", markup=False)


studies = App(name="studies", help="The studies that come with byrote.")
app.command(studies)


@studies.default
def list_studies() -> None:
    """List the studies with a line on each."""
    table = Table("study", "what it shows", box=None)
    for name, path in packaged_studies().items():
        table.add_row(name, first_comment(path))
    out_console.print(table)
    out_console.print("byrote run NAME runs one; byrote studies copy NAME makes a file to edit")


@studies.command
def copy(name: str, /, *, to: Path | None = None) -> None:
    """Copy a study into the current folder, to edit and run.

    Parameters
    ----------
    to
        The new file; NAME.yaml here unless told.
    """
    source = study_path(name)
    target = to or Path(f"{source.stem}.yaml")
    if target.exists():
        raise StudyError(f"{target} exists; name another file with --to")
    try:
        shutil.copyfile(source, target)
    except OSError as error:
        raise StudyError(f"cannot write {target}: {error.strerror}") from None
    out_console.print(f"{target}: edit it, then `byrote run {target}`")


@studies.command
def settings() -> None:
    """Every setting of a study: its dotted name, default and meaning."""
    table = Table("setting", "default", "meaning", box=None)
    for name, (_, default, description) in dotted_names().items():
        table.add_row(name, "required" if default is None and not description else str(default), description)
    out_console.print(table)


@app.command
def doctor() -> int:
    """What this machine has, what is missing, which command mends it."""
    from byrote.doctor import examine

    table, missing = Table("", "what", "found", "mend", box=None), 0
    for check in examine():
        missing += check.needed and not check.ok
        mark = "[green]ok[/]" if check.ok else ("[red]missing[/]" if check.needed else "[yellow]none[/]")
        table.add_row(mark, escape(check.what), escape(check.found), "" if check.ok else escape(check.mend))
    out_console.print(table)
    return 1 if missing else 0


def _print_auc(run_folder: Path) -> None:
    """The AUC table: of each trial and stratum the primary attack and the outsider's of the highest AUC."""
    import pandas as pd

    from byrote.store import Run

    primary = Run.open(run_folder).study()["membership"]["primary"]
    tables = {n: pd.read_parquet(run_folder / "tables" / f"{n}.parquet") for n in ("trials", "membership")}
    labels = dict(zip(tables["trials"]["trial"], tables["trials"]["label"], strict=True))
    table = Table("trial", "compared", "attack", "AUC [95% interval]", "control", "blind", box=None)
    rows = tables["membership"]
    known = rows[rows["auc"].notna() & (rows["knowledge"] != "auditor")]
    best = known.groupby(["trial", "stratum"], sort=False)["auc"].idxmax()
    shown = rows[(rows["attack"] == primary) | rows.index.isin(best)]
    for row in shown.to_dict("records"):
        # An attack picked by its result has an interval over all attacks; the primary one was fixed beforehand.
        kind = "auc" if row["attack"] == primary else "simultaneous"
        low, high = row[f"{kind}_low"], row[f"{kind}_high"]
        interval = "" if pd.isna(low) else f" [{low:.3f}, {high:.3f}]"
        sizes = f"{row['stratum']} ({row['n_members']}/{row['n_nonmembers']})"
        numbers = [_number(row["auc"]) + escape(interval), _control(row), _number(row["auc_blind"])]
        table.add_row(labels[row["trial"]], sizes, row["attack"], *numbers)
    for row in tables["trials"].to_dict("records"):
        if row["condition"]:
            out_console.print(f"{row['condition']}: {row['label']}", style="yellow", markup=False)
    out_console.print(table)


def _control(row: dict[Any, Any]) -> str:
    """The control's AUC, and whether it is no likeness of the trial."""
    unmatched = row["control_matched"] is not None and not row["control_matched"]
    return _number(row["auc_control"]) + (" unmatched" if unmatched else "")


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _number(value: Any) -> str:
    return "–" if value != value or value is None else f"{value:.3f}"


class _Terminal:
    """Draws a run's progress: bars on a terminal, lines elsewhere. Several pieces of work may go on at once."""

    def __init__(self) -> None:
        self._lock, self._progress, self._open = threading.Lock(), None, 0

    def say(self, text: str) -> None:
        err_console.print(text, markup=False, highlight=False)

    @contextmanager
    def task(self, label: str, total: int) -> Iterator[Callable[[int, str], None]]:
        started, last = time.monotonic(), [""]
        if not err_console.is_terminal:
            self.say(f"{label} …")
        progress = self._bars(1)
        bar = progress.add_task(label, total=total, note="")

        def advance(units: int, note: str) -> None:
            last[0] = note or last[0]
            progress.update(bar, advance=units, note=note)

        try:
            yield advance
        finally:
            self._bars(-1)
        if not err_console.is_terminal:
            self.say(f"{label}: {time.monotonic() - started:.0f} s {last[0]}")

    def _bars(self, change: int) -> Progress:
        """The bars, drawn while any piece of work is open."""
        with self._lock:
            columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
            rest = (TimeRemainingColumn(), TextColumn("{task.fields[note]}"))
            if self._progress is None:
                self._progress = Progress(*columns, *rest, console=err_console, disable=not err_console.is_terminal)
                self._progress.start()
            progress, self._open = self._progress, self._open + change
            if self._open == 0:
                progress.stop()
                self._progress = None
            return progress


os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
