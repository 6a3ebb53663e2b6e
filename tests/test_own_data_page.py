"""docs/own-data.md: its studies hold, its commands and its Python run as they stand, on a tiny model."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from byrote.corpora.adverse_events import read
from byrote.records import CALIBRATION, MEMBERS, NONMEMBERS
from byrote.running.planning import prepare
from byrote.study import AdverseEventsCorpus, load_study
from fake_pages import FILES, blocks_of, execute, make_workplace, page_of

PAGE = page_of("own-data")
STUDIES = {block.file: block.text for block in blocks_of(PAGE) if block.kind == "file"}


def test_the_study_of_ones_own_files_holds_with_sixty_records(tmp_path: Path, tiny_folder: Path) -> None:
    raw: dict[str, Any] = yaml.safe_load(STUDIES["my-study.yaml"])
    assert {name: raw["corpus"][name] for name in FILES} == FILES
    corpus = read(AdverseEventsCorpus(source="adverse_events", size=60, seed=4))
    for split in (MEMBERS, NONMEMBERS, CALIBRATION):
        rows = [{"text": r.text, "id": r.record, "patient": r.group} for r in corpus if r.split == split]
        (tmp_path / FILES[split]).write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "my-study.yaml").write_text(STUDIES["my-study.yaml"], "utf-8")
    study = load_study(tmp_path / "my-study.yaml", {"model.source": str(tiny_folder), "model.precision": "fp32"})
    prepared = prepare(study)
    assert len(prepared.planned) == 3 * 2 * 3
    assert {len(planned.training_ids) for planned in prepared.planned} == {60}
    assert len({r.group for r in prepared.records}) < 180  # documents of several records, as in one's own files


@pytest.mark.slow
@pytest.mark.usefixtures("one_figure")
def test_every_command_of_the_page_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    make_workplace()
    done = []
    for command, status in execute(PAGE):
        assert status == 0, (command, capsys.readouterr())
        done.append(command.split()[0])
    assert done == ["plan"] * 3 + ["run"] * 2 + ["plan"] * 3
    assert (tmp_path / "runs" / "mine" / "report.html").exists()
    rows = (tmp_path / "split.csv").read_text("utf-8").splitlines()
    assert len(rows) == 61
    assert {row.rpartition(",")[2] for row in rows[1:]} == {"train", "test", "dev"}
