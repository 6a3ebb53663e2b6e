"""Texts out of a run: nothing of them is left in any byte, and the tables stand."""

import io
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

import byrote
from byrote.cli import main
from byrote.errors import StoreError
from byrote.running import pipeline
from byrote.store import Run
from byrote.store.purge import _BLANKED, ADAPTERS, TEXT, purge
from byrote.study import load_study
from fake_contents import contents
from fakes import tiny_study as tiny_study_of

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_figure")]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, tiny_folder: Path, corpus_folder: Path) -> Path:
    """A run whose page shows texts, with a failed stage that quotes one and rows that were handed over."""
    study = load_study(
        tiny_study_of(tiny_folder, corpus_folder), {"report.include_text": True, "extraction.untargeted.completions": 4}
    )
    out = tmp_path_factory.mktemp("purge") / "run"
    pipeline.run(study, out)
    run = Run(out)
    text = run.records()[0].text
    planned = run.plan()["trials"][0]
    run.fail(planned["finetune"], planned["trial"], ValueError(text))
    run.write_text("given/members.jsonl", json.dumps({"text": text}), private=True)
    run.write_text("checkpoints/half.bin", text, private=True)
    return out


@pytest.fixture
def copy(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "run"))


def command(*words: object) -> int:
    with pytest.raises(SystemExit) as stop:
        main([str(word) for word in words])
    return int(stop.value.code or 0)


def pieces(run: Path) -> set[bytes]:
    """The records' texts, cut into pieces that no other place would hold by chance."""
    texts = [record.text for record in Run(run).records()]
    return {text[start : start + 24].encode() for text in texts for start in range(0, len(text) - 24, 24)}


def tables(run: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (run / "tables").glob("*.csv")}


def test_no_piece_of_a_text_is_left_and_the_tables_and_page_stand(copy: Path, capsys: pytest.CaptureFixture[str]):
    sought, before = pieces(copy), tables(copy)
    holding = [name for name, words in contents(copy) if any(piece in words for piece in sought)]
    assert {"records.parquet", "report.html", "given/members.jsonl", "checkpoints/half.bin"} <= set(holding)
    assert any(name.startswith("failures/") for name in holding)
    assert command("purge", copy, "--text", "--yes") == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "blanked: records.parquet" in shown
    assert "What can no longer be computed" in shown
    assert "The adapters are still there" in shown
    assert [name for name, words in contents(copy) if any(piece in words for piece in sought)] == []
    assert tables(copy) == before
    assert (copy / "report.html").is_file()
    for path in copy.rglob("*.parquet"):
        if "tables" not in path.parts:
            table = pq.read_table(path)
            for name in set(_BLANKED) & set(table.column_names):
                assert not any(table.column(name).to_pylist()), (path, name)
    assert np.isfinite(byrote.load(copy).tables.membership["auc"]).any()
    assert list(copy.rglob("adapter_model.safetensors"))


def test_status_calls_it_purged_and_not_damaged_and_it_cannot_go_on(
    copy: Path, tiny_study: dict[str, Any], capsys: pytest.CaptureFixture[str]
):
    assert command("purge", copy, "--text", "--adapters", "--yes") == 0
    assert not list(copy.rglob("*.safetensors"))
    capsys.readouterr()
    assert command("status", copy) == 0
    shown = capsys.readouterr().out
    assert "cannot go on" in shown
    assert "damaged" not in shown
    with pytest.raises(StoreError, match=r"was purged on .*; name another --out"):
        pipeline.run(load_study(tiny_study), copy)
    assert command("report", copy, "--quiet", "--format", "md,json") == 0


def test_it_asks_and_says_beforehand_and_changes_nothing(copy: Path, capsys: pytest.CaptureFixture[str]):
    before = dict(contents(copy))
    assert command("purge", copy, "--text", "--dry-run") == 0
    assert "would be blanked: records.parquet" in capsys.readouterr().out
    assert command("purge", copy, "--text") == 2
    assert "add --yes" in " ".join(capsys.readouterr().err.split())
    assert command("purge", copy) == 2
    assert "nothing to purge" in capsys.readouterr().err
    assert dict(contents(copy)) == before


@pytest.mark.parametrize(("answer", "goes"), [("yes\n", True), ("y\n", False)])
def test_on_a_terminal_yes_is_typed(copy: Path, answer: str, goes: bool, monkeypatch: pytest.MonkeyPatch):
    terminal = io.StringIO(answer)
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    monkeypatch.setattr("sys.stdin", terminal)
    assert command("purge", copy, "--adapters") == 0
    assert (copy / "purged.json").exists() == goes


def test_an_interrupted_purge_is_finished_by_another(copy: Path, monkeypatch: pytest.MonkeyPatch):
    sought, run = pieces(copy), Run(copy)
    write, calls = run.write_parquet, []

    def broken(name: str, table: Any) -> None:
        calls.append(name)
        if len(calls) == 2:
            raise KeyboardInterrupt
        write(name, table)

    monkeypatch.setattr(run, "write_parquet", broken)
    with pytest.raises(KeyboardInterrupt):
        purge(run, frozenset({TEXT}))
    assert command("purge", copy, "--text", "--yes") == 0
    assert [name for name, words in contents(copy) if any(piece in words for piece in sought)] == []
    assert [row["stage"] for row in Run(copy).damages()] == []


def test_without_tables_it_is_refused(copy: Path):
    shutil.rmtree(copy / "tables")
    with pytest.raises(StoreError, match="run `byrote report` first"):
        purge(Run(copy), frozenset({TEXT}))
    assert purge(Run(copy), frozenset({ADAPTERS}))
