"""Pages of the reference, made from the code: settings, the command line. `conf.py` calls it."""

import os
import re
import subprocess
import sys
from pathlib import Path

from cyclopts import App

from byrote.cli import app
from byrote.study.dotted import dotted_names


def write(folder: Path) -> None:
    """settings.md and cli.md in the folder."""
    folder.mkdir(exist_ok=True)
    for name, page in (("settings", settings()), ("cli", command_line())):
        place = folder / f"{name}.md"
        if not place.exists() or place.read_text(encoding="utf-8") != page:
            place.write_text(page, encoding="utf-8")


def verbs(of: App, before: str = "") -> list[str]:
    """Every command of an app, those of its parts too, in the order of their names."""
    names = sorted(name for name in of if not name.startswith("-"))
    return [verb for name in names for verb in (f"{before}{name}", *verbs(of[name], f"{before}{name} "))]


def settings() -> str:
    """Every setting of a study."""
    lines = ["# Settings", "", "Each can stand in a study's YAML and, under its dotted name, on the command line.", ""]
    lines += ["| setting | default | meaning |", "|---|---|---|"]
    for name, setting in dotted_names().items():
        lines.append(f"| `{name}` | {_cell(setting.default_words)} | {_cell(setting.meaning)} |")
    return "\n".join(lines) + "\n"


def command_line() -> str:
    """What `--help` says of every verb."""
    lines = ["# Options of every command", "", "`byrote COMMAND --help` prints the same."]
    for verb in verbs(app):
        shown = subprocess.run(
            [sys.executable, "-m", "byrote", *verb.split(), "--help"],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "COLUMNS": "110", "NO_COLOR": "1", "TERM": "dumb"},
        ).stdout
        lines += [
            "",
            f"## byrote {verb}",
            "",
            "```text",
            re.sub(r"[ \t]+$", "", shown, flags=re.MULTILINE).strip(),
            "```",
        ]
    return "\n".join(lines) + "\n"


def _cell(words: str) -> str:
    return words.replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")
