"""The command line: parses and prints; the work is elsewhere. Nothing heavy is imported until a verb needs it."""

import os
import shutil
import sys
import traceback
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, NoReturn

from cyclopts import App, CycloptsError, Parameter
from rich.markup import escape
from rich.table import Table

from byrote import __version__, large_pages
from byrote.cli_audit import audit
from byrote.cli_canaries import canaries
from byrote.cli_notebooks import notebooks
from byrote.cli_plan import plan
from byrote.cli_print import (
    Json,
    Options,
    Quiet,
    err_console,
    listener_of,
    mebibytes,
    out_console,
    print_json,
    print_not_logged,
    print_results,
)
from byrote.cli_purge import purge
from byrote.cli_status import status
from byrote.errors import ByroteError, StudyError
from byrote.study.dotted import dotted_names
from byrote.study.load import first_comment, load_study, packaged_studies, parse_overrides, study_path

app = App(
    name="byrote",
    help="What has a fine-tuned language model learned by rote?",
    version=__version__,
    version_flags=["--version"],
)
app.register_install_completion_command(  # pyright: ignore[reportUnknownMemberType]
    help="Install shell completion of byrote's commands and options."
)


def main(tokens: Sequence[str] | None = None) -> NoReturn:
    """Entry point; `tokens` are the words after `byrote`, else those of the command line.

    Exit status: 0 done, 1 some trials failed, 2 something to correct or an error that nobody foresaw, 130 interrupted.
    """
    if tokens is None and sys.argv[1:2] and sys.argv[1] in ("run", "audit"):
        large_pages.start_again()
    try:
        sys.exit(app(tokens, exit_on_error=False, print_error=False, result_action="return_value") or 0)
    except CycloptsError as error:
        err_console.print(f"error: {' '.join(str(error).split())}", style="red", markup=False, highlight=False)
        sys.exit(2)
    except ByroteError as error:
        err_console.print(f"error: {error}", style="red", markup=False, highlight=False)
        sys.exit(2)
    except BrokenPipeError:  # whoever reads has seen enough, as `| head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        sys.exit(141)
    except KeyboardInterrupt:
        err_console.print("interrupted; the same command continues from the last finished stage or checkpoint")
        sys.exit(130)
    except Exception:  # noqa: BLE001 (Python's own status for it is 1, which a verdict would be taken for)
        traceback.print_exc()
        sys.exit(2)


@app.command
def run(
    study: str,
    /,
    *options: Options,
    out: str | None = None,
    workers: int | None = None,
    replace: Annotated[bool, Parameter(negative="")] = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> int:
    """Fine-tune, attack, prompt, tabulate, draw, report. The same command resumes.

    Every setting of a study is an option under its dotted name: `byrote run demo --training.epochs 1
    --grid.rank '[1, 2]'`; `byrote studies settings` lists them.

    Parameters
    ----------
    study
        A path, or the name of a study that comes with byrote (`byrote studies`).
    out
        The run folder, or a URL such as s3://bucket/runs/first; runs/NAME by default.
    workers
        How many trials run side by side, each with its share of the cores; one per core by default
        (machine.workers).
    replace
        Reuse a run folder whose study planned other trials, or used another corpus or model.
    """
    overrides = parse_overrides(options)
    if workers is not None:
        overrides["machine.workers"] = workers
    resolved, listener = load_study(study, overrides), listener_of(quiet)
    listener.say("checking the study and reading its records")
    from byrote.running.checks import check_study
    from byrote.store.remote import check_usable

    check_usable(out)
    checked = check_study(resolved)  # before torch is imported, so that mistakes are reported at once
    listener.say("loading torch")
    from byrote.running import pipeline

    outcome = pipeline.run(checked, out, listener=listener, replace=replace)
    print_results(outcome.path, outcome.report, as_json, outcome.failures)
    for failure in outcome.failures if quiet else ():
        err_console.print(f"failed: {failure['stage']}: {failure['error']}", style="red", markup=False)
    print_not_logged(outcome.not_logged)
    if outcome.failures:
        failed = f"{len(outcome.failures)} {'stage' if len(outcome.failures) == 1 else 'stages'} failed"
        err_console.print(f"{failed}; `byrote status {out or outcome.path}` says why", style="red", markup=False)
    return 1 if outcome.failures else 0


@app.command
def clean(run_folder: str, /, *, dry_run: Annotated[bool, Parameter(negative="")] = False) -> None:
    """Remove from a run the trials and stages that its study no longer plans.

    Parameters
    ----------
    dry_run
        Say what would be removed, and remove nothing.
    """
    from byrote.store import Run
    from byrote.store.leftovers import clean as remove_leftovers
    from byrote.store.leftovers import leftovers

    store = Run.open(run_folder)
    if dry_run:
        unplanned = leftovers(store)
    else:
        with store.locked(listener_of().say):
            unplanned = remove_leftovers(store)
    done = "would be removed" if dry_run else "removed"
    for leftover in unplanned:
        line = f"{done}: {leftover.label}: {leftover.path} ({mebibytes(leftover.size)})"
        out_console.print(line, markup=False, highlight=False, soft_wrap=True)
    total = mebibytes(sum(leftover.size for leftover in unplanned))
    out_console.print(f"{total} {done}" if unplanned else "everything in the run is planned", highlight=False)


@app.command
def report(
    run_folder: str,
    /,
    *options: Options,
    formats: Annotated[str, Parameter(name="--format")] = "html",
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Tables, figures and report again from the stored results; needs no torch and no model.

    The settings under `report` are options, for this report alone: `byrote report runs/demo --report.include_text
    true`.

    Parameters
    ----------
    formats
        html, pdf, md, json or several with commas between: the page; the same on paper, printed by Chromium; a section
        for a model card; the first page and audit.json for programs. The page is always written.
    """
    overrides = parse_overrides(options)
    from byrote.render import check_formats, render
    from byrote.store import Run

    store, asked = Run.open(run_folder), [name.strip() for name in formats.split(",")]
    check_formats(asked)
    listener = listener_of(quiet)
    with store.locked(listener.say):
        listener.say("tables, figures and report")
        path = render(store, overrides, asked)
    print_results(store.path, path, as_json, store.failures())


app.command(audit)
app.command(canaries)
app.command(notebooks)
app.command(plan)
app.command(purge)
app.command(status)

studies = App(name="studies", help="The studies that come with byrote.")
app.command(studies)


@studies.default
@studies.command(name="list")
def list_studies(*, as_json: Json = False) -> None:
    """List the studies, with a line about each."""
    about = {name: first_comment(path) for name, path in packaged_studies().items()}
    if as_json:
        print_json([{"study": name, "about": line} for name, line in about.items()])
        return
    table = Table("study", "what it shows", box=None)
    for row in about.items():
        table.add_row(*row)
    out_console.print(table)
    out_console.print(
        "`byrote run NAME` runs one, `byrote studies show NAME` prints it, "
        "`byrote studies copy NAME` makes a file to edit"
    )


@studies.command
def show(name: str, /) -> None:
    """Print a study as YAML."""
    print(study_path(name).read_text(encoding="utf-8"), end="")


@studies.command
def copy(name: str, /, *, to: Path | None = None) -> None:
    """Copy a study into the current folder, to edit and run.

    Parameters
    ----------
    to
        The new file; NAME.yaml in the current folder by default.
    """
    source = study_path(name)
    target = to or Path(f"{source.stem}.yaml")
    if target.exists():
        raise StudyError(f"{target} already exists; name another file with --to")
    try:
        shutil.copyfile(source, target)
    except OSError as error:
        raise StudyError(f"cannot write {target}: {error.strerror}") from None
    out_console.print(f"{target}: edit it, then `byrote run {target}`")


@studies.command
def settings(*, as_json: Json = False) -> None:
    """Every setting of a study: its dotted name, default and meaning."""
    if as_json:
        named = dotted_names().items()
        print_json([{"setting": name, "default": s.default, "meaning": s.meaning} for name, s in named])
        return
    table = Table("setting", "default", "meaning", box=None)
    for name, setting in dotted_names().items():
        table.add_row(name, escape(setting.default_words), escape(setting.meaning))
    out_console.print(table)


@app.command
def doctor(*, as_json: Json = False) -> int:
    """What this machine has, what is missing, and what to do about it."""
    from byrote.doctor import examine

    checks = list(examine())
    missing = any(check.needed and not check.ok for check in checks)
    if as_json:
        print_json([asdict(check) for check in checks])
        return 1 if missing else 0
    table = Table("", "what", "on this machine", "what to do", box=None)
    for check in checks:
        mark = "[green]ok[/]" if check.ok else ("[red]missing[/]" if check.needed else "[yellow]none[/]")
        table.add_row(mark, escape(check.what), escape(check.found), "" if check.ok else escape(check.to_do))
    out_console.print(table)
    return 1 if missing else 0


os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

if __name__ == "__main__":  # `python -m byrote.cli` must not end with 0, a verdict's status, having done nothing
    main()
