"""What the verbs of the command line print with: two consoles, progress, JSON, and what a run came to."""

import json
import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

from cyclopts import Parameter
from rich.table import Table

from byrote.auc_table import auc_rows, number, print_auc
from byrote.listener import Listener, Silent
from byrote.terminal import Terminal, VisibleConsole

if TYPE_CHECKING:
    from byrote.running.forecast import Power

# A file or a pipe has no width: its lines are kept whole.
out_console = VisibleConsole(width=None if sys.stdout.isatty() else 140)
err_console = VisibleConsole(stderr=True, soft_wrap=True)

Options = Annotated[str, Parameter(allow_leading_hyphen=True, show=False)]
Quiet = Annotated[bool, Parameter(negative="", help="Print only results and errors, no progress.")]
Json = Annotated[bool, Parameter(name="--json", negative="", help="Print JSON, for programs, instead of tables.")]


def listener_of(quiet: bool = False) -> Listener:
    """Prints progress on standard error, or nothing."""
    return Silent() if quiet else Terminal(err_console)


def print_json(value: Any) -> None:
    """Print JSON, alone on standard output; a missing number is null."""
    print(json.dumps(_plain(value), indent=1, ensure_ascii=False, allow_nan=False))


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in cast("Mapping[Any, Any]", value).items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in cast("Sequence[Any]", value)]
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    return None if isinstance(value, float) and not math.isfinite(value) else value


def print_results(run_folder: Path, report: Path, as_json: bool, failures: Sequence[Mapping[str, Any]]) -> None:
    """What a run came to: its AUCs, verdicts, and where the report is."""
    from byrote.store import Run
    from byrote.verdict import audit_of, verdict_lines

    store = Run.open(run_folder)
    study, audit = store.study(), audit_of(store)
    rows = auc_rows(run_folder, study.membership.primary)
    if as_json:
        failed = [{name: failure[name] for name in ("stage", "trial", "error")} for failure in failures]
        decided = {name: audit[name] for name in ("verdict", "rules")}
        print_json({"run": store.place, "report": str(report), "auc": rows, **decided, "failures": failed})
        return
    print_auc(out_console, rows, study.statistics.level)
    for line in verdict_lines(audit):
        out_console.print(line, markup=False, highlight=False, soft_wrap=True)
    out_console.print(f"report: {report}", markup=False)
    if store.place != str(run_folder):
        out_console.print(f"everything is at {store.place}", markup=False, highlight=False)


def print_not_logged(lines: Sequence[str]) -> None:
    """On standard error: the trackers that failed, and how much they were not told."""
    for line in lines:
        err_console.print(f"warning: {line}", style="yellow", markup=False, highlight=False)


def mebibytes(size: int) -> str:
    """Bytes as `12.5 MiB`."""
    return f"{size / 2**20:.1f} MiB"


def power_table(powers: "Sequence[Power]") -> Table:
    """What each comparison can show at least."""
    table = Table("compared", "smallest AUC", "by document", "difference", "smallest TPR", box=None)
    for power in powers:
        rates = [f"{'none' if isinstance(tpr, str) else number(tpr)} at {rate:g}" for rate, tpr in power.tpr]
        sides = f"{power.stratum} ({power.members}/{power.nonmembers})"
        table.add_row(sides, *map(number, (power.auc, power.auc_by_document, power.difference)), "; ".join(rates))
    return table
