"""The report as a section of a model card and as PDF; `test_verdict.py` asks a run for them."""

from pathlib import Path

import pytest

from byrote import pdf
from byrote.errors import StageError, StudyError
from byrote.report.cards import cards
from byrote.report.model_card import _cell, model_card_section
from fake_report import study_of
from fake_tables import fake_tables

TABLES = fake_tables(("q", "v"), (1,), canaries=0)


def test_a_section_of_a_model_card_has_a_row_for_each_card() -> None:
    lines = model_card_section(
        study_of(), TABLES, ["Attackers who see the training."], {"byrote": "0.1"}, "2026-01-02T3"
    )
    rows = [line for line in lines.splitlines() if line.startswith("| ") and not line.startswith("| question")]
    assert len(rows) == len(cards(TABLES, "ratio"))
    assert all(row.count(" | ") == 3 for row in rows)
    assert lines.startswith("## What the model has learned by rote\n\nMeasured with byrote 0.1 on 2026-01-02: 2 models")
    assert "- Attackers who see the training." in lines
    assert "safe" not in lines


@pytest.mark.parametrize(
    ("words", "cell"),
    [("a | b", "a \\| b"), ("<script>", "\\<script\\>"), ("q_v *x*", "q\\_v \\*x\\*"), ("a\nb", "a b")],
)
def test_words_stay_words_in_markdown(words: str, cell: str) -> None:
    assert _cell(words) == cell


def test_without_a_browser_or_with_a_broken_one_it_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(StudyError, match=r"no Chromium to print with .*apt-get install chromium"):
        pdf.find_browser()
    broken = tmp_path / "chromium"
    broken.write_text("#!/bin/sh\necho no display >&2\nexit 3\n")
    broken.chmod(0o755)
    (tmp_path / "page.html").write_text("<p>page</p>")
    with pytest.raises(StageError, match=r"did not print .*no display"):
        pdf.print_pdf(tmp_path / "page.html", tmp_path / "page.pdf")


@pytest.mark.browser
def test_the_page_is_printed(tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text("<title>A page</title><p>of a report</p>")
    pdf.print_pdf(tmp_path / "page.html", tmp_path / "page.pdf")
    assert (tmp_path / "page.pdf").read_bytes().startswith(b"%PDF")
