"""Names and ids that would do something where they are shown: on a terminal, in a spreadsheet, on the page."""

import csv
import io
import json
import re
from pathlib import Path

import pyarrow as pa
import pytest

from byrote.cli import main
from byrote.store import Run
from byrote.store.formulas import without_formulas
from byrote.terminal import VisibleConsole
from fakes import TEXTS, save_tiny_model

CHEAP = ("--machine.device", "cpu", "--machine.threads", "1", "--machine.workers", "1", "--model.precision", "fp32")
CHEAP += ("--statistics.bootstrap", "100", "--extraction.prompts.members", "4", "--extraction.prompts.nonmembers", "2")
NAME = "tuned<img src=x onerror=alert(1)>\x1b[31m\u202e"
IDS = ("=HYPERLINK(1)", "+1", "-2", "@SUM(A1)", "<script>alert(1)</script>", "\x1b]0;owned\x07", "a\u202eb")
IDS += ("'; DROP", "a/../b")


@pytest.mark.parametrize("text", ["\x1b[31mred", "\x1b]0;title\x07", "\x9b31m", "a\u202eb", "a\rb", "a\x7fb"])
@pytest.mark.parametrize("terminal", [True, False])
def test_control_characters_are_seen_and_not_obeyed(text: str, terminal: bool):
    shown = io.StringIO()
    console = VisibleConsole(file=shown, force_terminal=terminal, width=80, color_system=None)
    console.print(text, markup=False, highlight=False)
    assert not set(shown.getvalue()) & set("\x1b\x07\x9b\u202e\r\x7f")


def test_styles_still_work():
    shown = io.StringIO()
    VisibleConsole(file=shown, force_terminal=True, width=80, color_system="standard").print("bad", style="red")
    assert "\x1b[31m" in shown.getvalue()


def test_no_cell_is_a_formula_and_numbers_are_as_they_were():
    words = ["=1+1", "+1", "-1", "@A1", "\t=1", "case 3", "", None]
    table = pa.table({"record": pa.array(words, pa.string()), "auc": pa.array([-0.5] * len(words))})
    safe = without_formulas(table)
    assert safe["record"].to_pylist() == ["'=1+1", "'+1", "'-1", "'@A1", "'\t=1", "case 3", "", None]
    assert safe["auc"].to_pylist() == [-0.5] * len(words)


@pytest.mark.slow
def test_an_audit_shows_them_as_words(tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    save_tiny_model(tmp_path / "base")
    save_tiny_model(tmp_path / NAME, seed=1)
    for split, count in (("members", 24), ("nonmembers", 12), ("calibration", 12)):
        names = [IDS[i % len(IDS)] for i in range(count)]
        texts = [f"{TEXTS[i % 10]} {split} {i}" for i in range(count)]
        rows = [
            {"id": f"{name}{split}{i}", "who": f"{name}{i // 2}{split}", "text": text}
            for i, (name, text) in enumerate(zip(names, texts, strict=True))
        ]
        (tmp_path / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    words = ["audit", "--model", str(tmp_path / NAME), "--base", str(tmp_path / "base"), "--group", "who", "--id", "id"]
    words += [f"--{split}={tmp_path / split}.jsonl" for split in ("members", "nonmembers", "calibration")]
    out = tmp_path / "run"
    report = ["report", str(out), "--format", "html,md,json"]
    for command in ([*words, *CHEAP, "--out", str(out)], report, ["status", str(out)]):
        with pytest.raises(SystemExit) as stop:
            main(command)
        assert stop.value.code == 0
    assert not set("".join(capfd.readouterr())) & set("\x1b\x07\u202e")
    for page in ("report.html", "report.md"):
        shown = (out / page).read_text(encoding="utf-8")
        assert not re.search(r"(?<!\\)<(img src=x|script>alert)", shown)  # Markdown has a backslash before it
        assert not set(shown) & set("\x1b\x07\u202e")
    for table in (out / "tables").glob("*.csv"):
        with table.open(newline="", encoding="utf-8") as lines:
            cells = [cell for row in csv.reader(lines) for cell in row]
        assert [cell for cell in cells if cell.startswith(("=", "@", "+"))] == [], table.name
    assert Run(out).plan()["trials"][0]["label"] == NAME  # what is kept is as it was
