"""The verb `byrote canaries make`: parses and prints; the work is in running/canaries.py."""

import json
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import App, Parameter
from rich.table import Table

from byrote.cli_print import err_console, out_console
from byrote.errors import StudyError
from byrote.listener import Silent
from byrote.study.settings import SMOLLM2
from byrote.terminal import Terminal

if TYPE_CHECKING:
    from byrote.running.canaries import Made

canaries = App(name="canaries", help="Canaries in a data set, before anything is trained on it.")


@canaries.command
def make(
    *,
    data: Path,
    out: Path,
    text: str | None = None,
    prompt: str | None = None,
    completion: str | None = None,
    messages: str | None = None,
    id_column: Annotated[str | None, Parameter(name="--id")] = None,
    group: str | None = None,
    count: int = 200,
    copies: str = "1",
    references: int = 100,
    kind: Literal["synthetic", "new-token", "high-temperature"] = "synthetic",
    temperature: float | None = None,
    model: str = SMOLLM2,
    seed: int | None = None,
    manifest: Path | None = None,
    quiet: Annotated[bool, Parameter(negative="", help="Print only results and errors, no progress.")] = False,
    as_json: Annotated[bool, Parameter(name="--json", negative="", help="Print JSON, for programs.")] = False,
) -> None:
    """Write a copy of a data set with canaries in it, and the manifest that an audit of the trained model reads.

    Canaries are texts in the data's own manner that nobody wrote. A fair coin puts each in or leaves it out; train on
    the copy with any trainer, then set `canaries: {design: manifest, path: MANIFEST}`.

    Parameters
    ----------
    data
        The data to train on: JSONL, JSON, CSV, TSV, Parquet or plain text, also .gz or .zip.
    out
        The copy with canaries, in the same format.
    text
        The column that holds texts; text by default.
    prompt
        The column that holds prompts, as strings or messages; goes with --completion.
    completion
        The column that holds completions; a canary is the completion.
    messages
        The column that holds conversations; a canary is what the last assistant turn says.
    id_column
        The column with ids; each row of a canary gets one of its own.
    group
        The column with documents or patients; each canary gets one of its own.
    count
        Canaries of each number of copies, in and out together.
    copies
        How often planted canaries are repeated: one number or several, as 1,4,16.
    references
        Texts that are never planted, among which exposure ranks canaries.
    kind
        synthetic: in the data's manner, by the base model; high-temperature: further from it; new-token: ending in
        tokens that the data does not have.
    temperature
        At which the base model writes; by default 1.2, or 1.5 for high-temperature.
    model
        The base model that writes them: smollm2-135m, a hub id, a local directory or a .gguf file.
    seed
        Of texts, copies, coin and places; drawn afresh by default. The manifest keeps it.
    manifest
        The manifest; by default OUT's name with .manifest.json.
    """
    from byrote.running.canaries import Wanted, make_canaries
    from byrote.study import Columns

    if not (text or prompt or completion or messages):
        text = "text"
    wanted = Wanted(
        data=data,
        out=out,
        columns=Columns(
            text=text or None, prompt=prompt, completion=completion, messages=messages, id=id_column, group=group
        ),
        count=count,
        copies=_numbers(copies),
        references=references,
        seed=secrets.randbelow(2**32) if seed is None else seed,
        kind=kind,
        temperature=temperature,
        model=model,
        manifest=manifest,
    )
    made = make_canaries(wanted, Silent() if quiet else Terminal(err_console))
    if as_json:
        print(json.dumps(_summary(made), indent=1))
    else:
        _print(made)


def _numbers(words: str) -> tuple[int, ...]:
    try:
        return tuple(int(word) for word in words.strip("[] ").split(","))
    except ValueError:
        raise StudyError(f"--copies must be whole numbers such as 1,4,16, got {words!r}") from None


def _summary(made: "Made") -> dict[str, object]:
    by_copies = [
        {"copies": s.copies, "planted": s.planted, "left_out": s.left_out, "largest_epsilon": s.epsilon}
        for s in made.showable
    ]
    rows = dict(zip(("rows_before", "rows"), made.rows, strict=True))
    told = {"seed": made.manifest.seed, "drawn_again": made.refused, "delta": made.delta, "level": made.level}
    return {"out": str(made.out), "manifest": str(made.manifest_path), **rows, **told, "canaries": by_copies}


def _print(made: "Made") -> None:
    console = out_console

    def say(line: str) -> None:
        console.print(line, markup=False, highlight=False, soft_wrap=True)

    before, after = made.rows
    say(f"{made.out}: {before} rows of the data and {after - before} of canaries")
    table = Table("copies", "planted", "left out", "largest ε", box=None)
    for row in made.showable:
        table.add_row(f"{row.copies}", f"{row.planted}", f"{row.left_out}", f"{row.epsilon:.2f}")
    console.print(table)
    say(
        f"largest ε: what the audit of one model could show if every guess were right, at δ = {made.delta:g}, all "
        f"numbers of copies together with {1 - made.level:.0%} confidence; that of c copies is for groups of c"
    )
    seed = made.manifest.seed
    say(f"manifest: {made.manifest_path} (readable by you alone: it tells which canaries are in; seed {seed})")
