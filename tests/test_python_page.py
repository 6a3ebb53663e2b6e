"""docs/python.md: its blocks are executed in their order, on a tiny model."""

from pathlib import Path

import pytest

from fake_pages import execute, make_workplace, page_of


@pytest.mark.slow
@pytest.mark.usefixtures("one_figure")
def test_every_block_of_the_page_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "agg")
    make_workplace()
    assert list(execute(page_of("python"))) == []  # no commands on this page
    printed = capsys.readouterr().out
    assert "corpus.memebers" in printed
    assert "corpus.members" in printed
    assert "max_auc" in printed
    for name in ("forest.pdf", "both.png", "runs/mine/report.html", "audits/python/report.html"):
        assert (tmp_path / name).stat().st_size > 1000, name
