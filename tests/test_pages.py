"""Pages whose commands run as they stand, on a tiny model; what they say of exit statuses and studies is so."""

import re
from pathlib import Path

import pytest
import yaml

from byrote import verdict
from byrote.study import load_study
from byrote.study.checks import check_names
from byrote.study.hypotheses import named_hypotheses
from byrote.study.load import packaged_studies
from fake_pages import blocks_of, execute, make_workplace, page_of

ALL = ("first-study", "read-a-report", "ci-gate", "own-data", "own-attack", "python")
STATUSES = {
    "held": verdict.HELD_STATUS,
    "exceeded": verdict.EXCEEDED_STATUS,
    "undecided": verdict.UNDECIDED_STATUS,
    "error": verdict.ERROR_STATUS,
    "interrupted": verdict.INTERRUPTED_STATUS,
}


@pytest.mark.parametrize("name", ALL)
def test_what_is_not_executed_is_marked(name: str) -> None:
    """`make` and `pip` stand in no block that a reader would take for tested."""
    blocks = blocks_of(page_of(name))
    assert blocks
    others = [block for block in blocks if re.match(r"(make|pip|git|python|BYROTE_\w+=\S+) ", block.text)]
    assert [block.text for block in others if block.executed] == []


@pytest.mark.parametrize("name", ["ci-gate", "audit", "verdicts"])
def test_the_exit_statuses_of_a_page_are_those_of_the_code(name: str) -> None:
    rows = re.findall(r"^\| (\d+) \| ([^|]+) \|", page_of(name), flags=re.MULTILINE)
    meanings = {int(status): meaning for status, meaning in rows}
    assert set(meanings) == set(STATUSES.values())
    for word, status in STATUSES.items():
        assert word in meanings[status], (name, status)
    exits = {word: verdict.exit_status([word, "held"]) for word in ("exceeded", "undecided", "held")}
    assert exits == {word: STATUSES[word] for word in exits}
    assert verdict.exit_status([], failed=True) == STATUSES["error"]


def test_the_workflow_of_the_gate_is_yaml_and_runs_the_commands_that_are_tested() -> None:
    page = page_of("ci-gate")
    workflow = re.search(r"```yaml\n(.*?)```", page, re.DOTALL)
    assert workflow
    assert "has not been executed" in page[: workflow.start()].rpartition("\n\n")[0].rpartition("\n\n")[2]
    steps = yaml.safe_load(workflow.group(1))["jobs"]["audit"]["steps"]
    said = "\n".join(step.get("run", "") for step in steps)
    tested = [command for block in blocks_of(page) if block.kind == "commands" for command in block.commands]
    assert [command for command in tested if f"byrote {command}" not in said] == []


def test_the_page_of_studies_names_every_study() -> None:
    named = set(re.findall(r"`([\w./-]+)`", page_of("studies").partition("|---|---|")[2]))
    assert set(packaged_studies()) <= named


def test_the_study_of_the_page_on_hypotheses_holds() -> None:
    (block,) = re.findall(r"```yaml\n(.*?)```", page_of("hypotheses"), re.DOTALL)
    study = load_study(yaml.safe_load(block))
    assert len(check_names(study)) == 20
    assert [named.hypothesis.name for named in named_hypotheses(study)] == ["v-above-q", "v-levels-off"]


@pytest.mark.slow
@pytest.mark.usefixtures("one_figure")
def test_every_command_of_these_pages_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    make_workplace()
    done = dict.fromkeys(("first-study", "read-a-report", "ci-gate"), 0)
    for name in done:
        for command, status in execute(page_of(name)):
            assert status in ((0, 1, 3) if command.startswith("audit ") else (0,)), (command, capsys.readouterr())
            done[name] += 1
    assert done == {"first-study": 8, "read-a-report": 3, "ci-gate": 2}
    assert (tmp_path / "runs" / "demo" / "report.json").exists()
