"""Pages of the docs say what the code does: verbs, options and examples that they print exist."""

import pkgutil
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

import byrote.statistics
from byrote.cli import app
from byrote.study import Study, load_study
from byrote.study.audit import AUDIT_DEFAULTS
from byrote.study.dotted import dotted_names
from fake_pages import blocks_of

DOCS = Path(__file__).parents[1] / "docs"
PAGES = ("../README", *(path.stem for path in DOCS.glob("*.md")))
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


def studies_of(page: str) -> list[dict[str, Any]]:
    """The blocks of a page that are a study or settings of one: YAML whose keys are all a study's."""
    found = []
    for block in blocks_of((DOCS / f"{page}.md").read_text("utf-8")):
        try:
            raw = yaml.safe_load(block.text)
        except yaml.YAMLError:
            continue
        if isinstance(raw, dict) and set(raw) <= set(Study.model_fields):
            found.append(raw)
    return found


STUDIES = [(page, number, raw) for page in PAGES for number, raw in enumerate(studies_of(page))]
REST = {"model": {"source": "smollm2-135m"}, "corpus": {"source": "files", "members": "a", "nonmembers": "b"}}


@pytest.mark.parametrize(("page", "number", "raw"), STUDIES)
def test_every_study_that_a_page_prints_is_one(page: str, number: int, raw: dict[str, Any]) -> None:
    assert load_study({**REST, **raw}).name == "study", (page, number)


def test_several_pages_print_studies() -> None:
    assert {page for page, _, _ in STUDIES} >= {"canaries", "ci-gate", "own-data", "records", "verdicts"}


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


def test_the_page_of_commands_names_every_one() -> None:
    page = (DOCS / "commands.md").read_text("utf-8")
    named = set(re.findall(r"^\| `byrote ([a-z]+)", page, flags=re.MULTILINE))
    assert named == {name for name in app if not name.startswith("-")}


def test_the_reference_has_every_module_of_the_statistics() -> None:
    shown = set(re.findall(r"automodule:: byrote\.statistics\.(\w+)", (DOCS / "api.md").read_text("utf-8")))
    assert shown == {module.name for module in pkgutil.iter_modules(byrote.statistics.__path__)}
