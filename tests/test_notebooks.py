"""The notebooks: stripped of outputs, copied to where the user is; `make notebooks` executes them."""

import json
from importlib.resources import files
from pathlib import Path

import pytest

import byrote
from byrote.cli import main
from byrote.cli_notebooks import NOTEBOOKS
from byrote.figures import FIGURES


def command(*words: object) -> int:
    with pytest.raises(SystemExit) as stop:
        main(["notebooks", *map(str, words)])
    return int(stop.value.code or 0)


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_outputs_are_stripped(name: str):
    notebook = json.loads((files("byrote.notebooks") / name).read_text(encoding="utf-8"))
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            assert cell["outputs"] == []
            assert cell["execution_count"] is None
    kinds = [cell["cell_type"] for cell in notebook["cells"]]
    assert kinds[0] == "markdown"
    assert len({cell["id"] for cell in notebook["cells"]}) == len(kinds)


def test_every_figure_of_a_trained_run_is_in_the_plots():
    words = (files("byrote.notebooks") / "visualizations.ipynb").read_text(encoding="utf-8")
    assert [name for name in FIGURES if f'draw(\\"{name}\\")' not in words] == ["leakage_by_step"]  # of audits alone


def test_they_are_copied_and_nothing_is_replaced_unasked(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert command("copy", tmp_path / "mine") == 0
    assert sorted(path.name for path in (tmp_path / "mine").iterdir()) == sorted(NOTEBOOKS)
    assert "jupyter lab" in capsys.readouterr().out
    (tmp_path / "mine" / NOTEBOOKS[0]).write_text("my own")
    assert command("copy", tmp_path / "mine") == 2
    assert "with --force" in " ".join(capsys.readouterr().err.split())
    assert (tmp_path / "mine" / NOTEBOOKS[0]).read_text() == "my own"
    assert command("copy", tmp_path / "mine", "--force") == 0
    assert (tmp_path / "mine" / NOTEBOOKS[0]).read_text() != "my own"


def test_a_run_is_loaded_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "runs" / "mine").mkdir(parents=True)
    (tmp_path / "runs" / "mine" / "plan.json").write_text("{}")
    monkeypatch.chdir(tmp_path)
    assert byrote.load("mine").path == Path("runs/mine")
    with pytest.raises(byrote.StoreError, match="other is not a run folder"):
        byrote.load("other")
    assert byrote.figures.forest
    assert not hasattr(byrote, "nothing")
