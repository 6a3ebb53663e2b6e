"""The commands of docs/audit.md, run as they stand, on a tiny model."""

from pathlib import Path

import pytest

from byrote.store import Run
from fake_pages import execute, make_workplace, page_of


@pytest.mark.slow
@pytest.mark.usefixtures("one_figure")
def test_every_command_of_the_page_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)
    make_workplace()
    done = 0
    for command, status in execute(page_of("audit")):
        assert status in (0, 1, 3), (command, capsys.readouterr())
        done += command.startswith("audit ")
    assert done == 7
    subjects = [row["label"] for row in Run.open(tmp_path / "audits" / "checkpoints").plan()["trials"]]
    assert subjects == ["checkpoint-300", "checkpoint-900"]
