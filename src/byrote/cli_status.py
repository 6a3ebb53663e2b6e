"""The verb that says how far a run is, once or until it ends."""

import time
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter
from rich.console import Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from byrote.cli_print import Json, mebibytes, out_console, print_json

if TYPE_CHECKING:
    from byrote.store import Run

EVERY = 2.0  # seconds between two looks
OVER = ("not asked for", "done", "failed", "damaged")  # states that do not change by waiting
States = Mapping[str, Mapping[str, str]]


def status(run_folder: str, /, *, watch: Annotated[bool, Parameter(negative="")] = False, as_json: Json = False) -> int:
    """Each trial and stage of a run: done, waiting, running, interrupted, damaged, failed and why; what is no longer
    planned.

    Parameters
    ----------
    watch
        Look again every two seconds until the run ends or Ctrl-C; the exit status is then 1 where anything is not done.
    """
    from byrote.store import Run
    from byrote.store.leftovers import leftovers
    from byrote.store.purge import what_was_purged

    store = Run.open(run_folder)
    if watch:
        return _watch(store)
    failures = {f["stage"]: f["error"] for f in store.failures()}
    states, purged = states_of(store), what_was_purged(store)
    if as_json:
        rows = [{"trial": label, **stages} for label, stages in states.items()]
        no_longer_planned = [asdict(leftover) for leftover in leftovers(store)]
        details = {"trials": rows, "failures": store.failures(), "no_longer_planned": no_longer_planned}
        print_json({"run": run_folder, **details, "purged": purged})
        return 0
    out_console.print(_table(states))
    if purged:
        line = f"purged on {purged['when'][:10]}: {' and '.join(purged['what'])}; this run cannot go on"
        out_console.print(line, markup=False, highlight=False, soft_wrap=True)
    for stage, error in failures.items():
        out_console.print(f"failed: {stage}: {error}", style="red", markup=False, soft_wrap=True)
    unplanned = leftovers(store)
    for leftover in unplanned:
        line = f"no longer planned: {leftover.label}: {leftover.path}"
        out_console.print(line, markup=False, highlight=False, soft_wrap=True)
    if unplanned:
        size = mebibytes(sum(leftover.size for leftover in unplanned))
        line = f"`byrote clean {run_folder}` removes what is no longer planned ({size})"
        out_console.print(line, markup=False, highlight=False, soft_wrap=True)
    return 0


def states_of(store: "Run") -> dict[str, dict[str, str]]:
    """Label of a trial → stage → its state."""
    from byrote.store import STAGES
    from byrote.tables.trials import stage_state

    plan, failures = store.plan(), {f["stage"]: f["error"] for f in store.failures()}
    states = {"base model": {name: stage_state(store, plan["base"].get(name), failures) for name in STAGES[1:]}}
    for planned in [*plan["trials"], *plan["nulls"]]:
        states[planned["label"]] = {name: stage_state(store, planned.get(name), failures) for name in STAGES}
    return states


def progress_words(store: "Run", states: States) -> str:
    """`7 of 12 stages done; the last: scores at 2,310 tokens/s`."""
    asked = [state for stages in states.values() for state in stages.values() if state != "not asked for"]
    done = f"{asked.count('done')} of {len(asked)} stages done"
    newest = max(_finished(store), key=lambda row: row["created"], default=None)
    if newest is None or not newest["seconds"]:
        return done
    return f"{done}; the last: {newest['stage']} at {newest['tokens'] / newest['seconds']:,.0f} tokens/s"


def _finished(store: "Run") -> list[dict[str, Any]]:
    from byrote.store import STAGES

    plan, rows = store.plan(), list[dict[str, Any]]()
    for planned in (plan["base"], *plan["trials"], *plan["nulls"]):
        for name in STAGES:
            stage = planned.get(name)
            if stage and store.has(stage) and "seconds" in (manifest := store.manifest(stage)):
                rows.append({"stage": name, **{key: manifest[key] for key in ("created", "seconds", "tokens")}})
    return rows


def _watch(store: "Run") -> int:
    """Shows states until none can change, or nobody writes to the run; on a terminal in place, else a line a change."""
    said = ""
    with Live(console=out_console, auto_refresh=False, transient=False) as live:
        while True:
            store.fetch()
            states = states_of(store)
            words = progress_words(store, states)
            if out_console.is_terminal:
                live.update(Group(_table(states), Text(words)), refresh=True)
            elif words != said:
                live.console.print(words, markup=False, highlight=False, soft_wrap=True)
            said = words
            open_ = [state for stages in states.values() for state in stages.values() if state not in OVER]
            if not open_ or store.writer() is None:
                break
            time.sleep(EVERY)
    finished = {state for stages in states.values() for state in stages.values()}
    return 0 if finished <= {"done", "not asked for"} else 1


def _table(states: States) -> Table:
    from byrote.store import STAGES

    table = Table("trial", "fine-tune", "score", "prompt", "write freely", box=None)
    for label, stages in states.items():
        table.add_row(Text(label), *(stages.get(name, "") for name in STAGES))
    return table
