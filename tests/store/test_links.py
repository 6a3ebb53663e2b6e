"""Links out of a run folder: nothing behind them is written, changed or removed."""

from pathlib import Path

import pytest

from byrote.errors import StoreError
from byrote.store import Run
from byrote.store.links import links_out
from byrote.store.purge import TEXT, targets


@pytest.fixture
def run(tmp_path: Path) -> Run:
    store = Run(tmp_path / "run")
    store.write_json("plan.json", {})
    return store


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "kept").write_text("mine")
    return folder


def test_nothing_is_written_behind_a_link_to_another_folder(run: Run, outside: Path):
    for name in ("tables", "trials"):
        (run.path / name).symlink_to(outside)
    with pytest.raises(StoreError, match=r"tables leads out of the run folder, to .*outside.*take the link away"):
        run.write_text("tables/a.csv", "x")
    with pytest.raises(StoreError, match=r"trials/\.part-a-\w+ leads out"), run.stage("trials/a", {}):
        pass
    with pytest.raises(StoreError, match="leads out"):
        run.write_text("../outside/kept", "x")
    assert [(path.name, path.read_text()) for path in outside.iterdir()] == [("kept", "mine")]


@pytest.mark.parametrize("name", ["report.html", ".part-report.html"])
def test_a_link_in_the_place_of_a_file_is_replaced_and_its_target_kept(run: Run, outside: Path, name: str):
    (run.path / name).symlink_to(outside / "kept")
    run.write_text("report.html", "page")
    assert (run.path / "report.html").read_text() == "page"
    assert not (run.path / "report.html").is_symlink()
    assert (outside / "kept").read_text() == "mine"


def test_a_link_is_removed_and_not_what_it_leads_to(run: Run, outside: Path):
    (run.path / "trials").mkdir()
    (run.path / "trials/a").symlink_to(outside)
    (run.path / ".part-b").symlink_to(outside)
    run.remove("trials/a")
    with run.locked():
        pass
    assert not (run.path / "trials/a").is_symlink()
    assert not (run.path / ".part-b").is_symlink()
    assert (outside / "kept").read_text() == "mine"
    for name in ("../outside", "../outside/kept"):
        with pytest.raises(StoreError, match="leads out"):
            run.remove(name)
    (run.path / "base").symlink_to(outside)
    with pytest.raises(StoreError, match="leads out"):
        run.remove("base/kept")
    assert (outside / "kept").read_text() == "mine"


def test_a_purge_names_links_behind_which_text_would_stay(run: Run, outside: Path):
    (run.path / "base").symlink_to(outside)
    (run.path / "again").symlink_to(run.path / "plan.json")
    assert links_out(run.path) == [run.path / "base"]
    with pytest.raises(StoreError, match=r"^links lead out of .*: 1, such as base; what lies there would stay"):
        targets(run, frozenset({TEXT}))


def test_a_run_folder_that_is_a_link_is_written_to(tmp_path: Path, outside: Path):
    (tmp_path / "here").symlink_to(outside)
    store = Run(tmp_path / "here")
    store.write_text("tables/a.csv", "x")
    assert (outside / "tables/a.csv").read_text() == "x"
    assert links_out(store.path) == []
