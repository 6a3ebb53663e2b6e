"""docs/own-attack.md: its script adds an attack to a run that is there, on a tiny model."""

from pathlib import Path

import pytest

import byrote
from byrote.attacks import ATTACKS
from fake_pages import blocks_of, page_of, run_command, write_cheap_study

SCRIPT, AGAIN, *_ = [block.text for block in blocks_of(page_of("own-attack")) if block.kind == "python"]


@pytest.mark.slow
@pytest.mark.usefixtures("one_figure")
def test_the_script_of_the_page_adds_its_attack_to_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_cheap_study()
    byrote.run("my-study.yaml", out="runs/mine")
    adapters = {path: path.read_bytes() for path in Path("runs/mine").rglob("adapter_model.safetensors")}
    names: dict[str, object] = {}
    with monkeypatch.context() as patch:
        patch.setitem(ATTACKS, "improved", ATTACKS["loss"])  # so that it is gone afterwards
        del ATTACKS["improved"]
        exec(SCRIPT, names)
        printed = capsys.readouterr().out
        assert printed.count(" improved ") == printed.count(" ratio ") == len(adapters) == 2
        exec(AGAIN, names)
        membership = byrote.load("runs/mine").tables.membership
    assert set(membership.attack) == {"ratio", "loss", "improved", "auditor"}
    assert {path: path.read_bytes() for path in adapters} == adapters
    assert ',"improved",' in Path("runs/mine/tables/membership.csv").read_text()
    assert run_command("report runs/mine") == 2
    assert "no attack 'improved'" in " ".join(capsys.readouterr().err.split())
