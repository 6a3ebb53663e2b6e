"""Pages of the docs say what the code does: verbs, options and examples that they print exist."""

import re
import shlex
from pathlib import Path

import pytest
import yaml

from byrote.cli import app
from byrote.study import load_study
from byrote.study.audit import AUDIT_DEFAULTS
from byrote.study.dotted import dotted_names

DOCS = Path(__file__).parents[1] / "docs"
PAGES = ("first-study", "read-a-report", "ci-gate", "limits", "index", "api", "track-a-run", "cluster")
COMMANDS = [
    (page, line)
    for page in PAGES
    for line in re.findall(r"^    byrote (.+)$", (DOCS / f"{page}.md").read_text("utf-8"), flags=re.MULTILINE)
]


@pytest.mark.parametrize(("page", "command"), COMMANDS)
def test_every_command_of_a_page_is_one_that_there_is(page: str, command: str) -> None:
    words = shlex.split(command)
    shown = app[words[0]]
    if words[1] in shown:  # a verb of two words
        shown = shown[words[1]]
    known = {name for argument in shown.assemble_argument_collection() for name in argument.names}
    for word in words[1:]:
        if word.startswith("--"):
            name = word.partition("=")[0]
            settings = {name[2:], f"machine.{name[2:]}"} & {*dotted_names()}  # --backend, --ray.address are short
            assert name in known or settings or name.startswith("--grid."), (page, name)


def test_the_rules_of_the_gate_are_a_study() -> None:
    page = (DOCS / "ci-gate.md").read_text("utf-8")
    example = re.search(r"    # release.yaml\n((?:    .+\n)+)", page)
    assert example
    lines = "".join(line[4:] + "\n" for line in example.group(1).splitlines())
    study = load_study({**AUDIT_DEFAULTS, **yaml.safe_load(lines)})
    assert study.decide.max_auc == 0.6
    assert study.decide.max_tpr_at_fpr == {0.01: 0.05}
    assert study.subjects[0].source == "out/adapter"


def test_every_page_is_in_the_sites_navigation() -> None:
    index = (DOCS / "index.md").read_text("utf-8")
    listed = {line for line in index.splitlines() if re.fullmatch(r"[a-z-]+", line)}
    assert {path.stem for path in DOCS.glob("*.md")} - {"index"} == listed
