"""The verb `byrote purge`: texts, token ids and adapters out of a run, for good."""

import sys
from typing import Annotated

from cyclopts import Parameter

from byrote.cli_print import listener_of, mebibytes, out_console
from byrote.errors import StoreError, StudyError

LOST = (
    "What can no longer be computed: attacks that read texts (zlib), the blind classifier, what was completed word for "
    "word, and anything new. The tables stand as they were; `byrote report` still draws and writes from them."
)
STILL = "The adapters are still there, and hold what they learned of these texts: --adapters removes them."
ELSEWHERE = "Ids of records stay. Data files, manifests of canaries and copies elsewhere are untouched."


def purge(
    run_folder: str,
    /,
    *,
    text: Annotated[bool, Parameter(negative="")] = False,
    adapters: Annotated[bool, Parameter(negative="")] = False,
    dry_run: Annotated[bool, Parameter(negative="")] = False,
    yes: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """Take the texts of records out of a run, everywhere they lie. It cannot be undone, and the run cannot go on.

    Parameters
    ----------
    text
        Blank texts and token ids of records, completions and written canaries; remove unfinished trainings, rows that
        were handed over, and pages that may show texts.
    adapters
        Remove the adapters that were trained here.
    dry_run
        Say what would be changed, and change nothing.
    yes
        Do not ask.
    """
    from byrote.render import render
    from byrote.store import Run
    from byrote.store.purge import ADAPTERS, TEXT, targets
    from byrote.store.purge import purge as purge_run

    what = frozenset(name for name, asked in ((TEXT, text), (ADAPTERS, adapters)) if asked)
    if not what:
        raise StudyError("nothing to purge: --text blanks texts and token ids, --adapters removes adapters")
    store = Run.open(run_folder)
    if dry_run:
        changed = targets(store, what)
    else:
        if not yes and not _agreed(run_folder):
            out_console.print("nothing was changed")
            return
        with store.locked(listener_of().say):
            changed = purge_run(store, what)
            render(store)
    for target in changed:
        done = ("would be " if dry_run else "") + ("removed" if target.removed else "blanked")
        line = f"{done}: {target.path} ({mebibytes(target.size)})"
        out_console.print(line, markup=False, highlight=False, soft_wrap=True)
    if dry_run:
        return
    for line in (LOST if text else "", "" if adapters else STILL, ELSEWHERE):
        if line:
            out_console.print(line, markup=False, highlight=False, soft_wrap=True)


def _agreed(run_folder: str) -> bool:
    if not sys.stdin.isatty():
        raise StoreError(f"purging {run_folder} cannot be undone; add --yes, or --dry-run to see what it would change")
    return input(f"Purging {run_folder} cannot be undone. Type yes to go on: ").strip().lower() == "yes"
