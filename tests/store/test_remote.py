"""A run at a URL: what is sent, what is fetched, and what is refused."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fsspec.implementations.memory import MemoryFile

from byrote.errors import StageError, StoreError
from byrote.store import Run
from byrote.store.purge import refuse_purged
from byrote.store.remote import Mirror, check_usable
from byrote.store.working_copy import awaited, stage_of
from fake_remote import FILES, on_machine, write_stage

STAGE = "trials/a"
WEIGHTS = "adapter/adapter_model.safetensors"


@pytest.fixture(params=["memory", pytest.param("file", marks=pytest.mark.slow)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """An empty remote folder."""
    yield f"memory:/{tmp_path}/run" if request.param == "memory" else f"file://{tmp_path}/there/run"
    FILES.store.clear()


@pytest.fixture
def run(url: str, tmp_path: Path) -> Iterator[Run]:
    """The run there, as this machine sees it, with one finished stage."""
    with on_machine("first", tmp_path):
        run = Run(url)
        with run.locked():
            write_stage(run, STAGE)
            run.write_json("plan.json", {})
        yield run


class There:
    """The remote folder itself."""

    def __init__(self, url: str) -> None:
        mirror = Mirror(url)
        self.fs, self.root = mirror._fs, mirror._root

    def names(self) -> set[str]:
        names = {path.removeprefix(f"{self.root}/") for path in self.fs.find(self.root)}
        return {name for name in names if not name.startswith(".")}

    def put(self, name: str, text: str) -> None:
        self.fs.pipe_file(f"{self.root}/{name}", text.encode())

    def rm(self, name: str) -> None:
        self.fs.rm_file(f"{self.root}/{name}")


def fetched(url: str, machine: str, tmp_path: Path) -> Run:
    with on_machine(machine, tmp_path):
        run = Run(url)
        run.fetch()
        return run


def test_a_finished_stage_is_there_and_another_machine_has_it_but_for_the_weights(url: str, run: Run, tmp_path: Path):
    whole = {f"{STAGE}/{name}" for name in ("data", "manifest.json", "adapter/adapter_config.json", WEIGHTS)}
    assert There(url).names() == whole | {"plan.json"}
    other = fetched(url, "second", tmp_path)
    assert other.path != run.path
    assert other.place == Run(other.path).place == url
    assert (other.path / STAGE / "data").read_bytes() == (run.path / STAGE / "data").read_bytes()
    assert not (other.path / STAGE / WEIGHTS).exists()
    assert other.has(STAGE)
    assert Run(other.path).has(STAGE), "a worker process that knows the copy alone"
    assert (Run(other.path).adapter(STAGE) / "adapter_model.safetensors").read_text() == "weights of x"
    assert awaited(other.path, STAGE) == {}
    assert [path.stat().st_mode & 0o077 for path in other.path.rglob("*") if path.suffix == ".safetensors"] == [0]


def test_the_manifest_is_sent_last_and_taken_away_first(url: str, run: Run, monkeypatch: pytest.MonkeyPatch):
    done = list[str]()
    kind = type(There(url).fs)
    put, rm = kind.put_file, kind.rm_file

    def putting(fs: Any, here: str, there: str) -> None:
        put(fs, here, there)
        done.append(f"+{Path(there).name}")

    def removing(fs: Any, path: str) -> None:
        rm(fs, path)
        done.append(f"-{Path(path).name}")

    monkeypatch.setattr(kind, "put_file", putting)
    monkeypatch.setattr(kind, "rm_file", removing)
    with run.locked():
        run.remove(STAGE)
        assert done[1] == "-manifest.json"  # after the lock of the last writer
        assert There(url).names() == {"plan.json"}
        write_stage(run, STAGE, "y")
    sent = [name for name in done if name.startswith("+")]
    assert len(sent) == 4
    assert sent[-1] == "+manifest.json"


@pytest.mark.usefixtures("run")
@pytest.mark.parametrize("left", ["", '{"files"'])
def test_a_stage_whose_manifest_is_missing_or_cut_off_is_done_again(url: str, tmp_path: Path, left: str):
    There(url).rm(f"{STAGE}/manifest.json")
    if left:
        There(url).put(f"{STAGE}/manifest.json", left)
    for machine in ("first", "second"):
        other = fetched(url, machine, tmp_path)
        assert not other.has(STAGE)
    with on_machine("second", tmp_path), (again := Run(url)).locked():
        again.discard_damaged([STAGE])
        assert There(url).names() == {"plan.json"}, "and nothing half-sent stays"
        write_stage(again, STAGE)
    assert fetched(url, "first", tmp_path).has(STAGE)


def test_what_was_not_sent_stays_in_the_copy_and_is_sent_later(url: str, run: Run, tmp_path: Path):
    write_stage(run, "trials/b")  # of a run that was killed before it was sent
    run.write_text("report.html", "page")
    run.fetch()
    assert run.has("trials/b")
    with run.locked():
        pass
    other = fetched(url, "second", tmp_path)
    assert other.has("trials/b")
    assert (other.path / "report.html").read_text() == "page"


def test_what_another_machine_removed_goes_from_the_copy(url: str, run: Run, tmp_path: Path):
    other = fetched(url, "second", tmp_path)
    with on_machine("second", tmp_path), (again := Run(url)).locked():
        again.remove(STAGE)
        again.write_json("plan.json", {"other": 1})
    run.fetch()
    assert not (run.path / "trials").exists()
    assert json.loads((run.path / "plan.json").read_text()) == json.loads((other.path / "plan.json").read_text())


def test_a_file_of_the_copy_that_was_harmed_is_fetched_again_and_never_sent(url: str, run: Run):
    (run.path / STAGE / "data").write_text("harmed")
    with run.locked():
        assert (run.path / STAGE / "data").read_text() == "x"
        (run.path / STAGE / "data").write_text("harmed")
    assert There(url).fs.cat_file(f"{There(url).root}/{STAGE}/data") == b"x"


def test_texts_that_were_purged_elsewhere_leave_every_copy(url: str, run: Run):
    write_stage(run, "trials/b", "a text that was not sent yet")
    There(url).put("purged.json", '{"what": ["text"], "when": "2026-01-01"}')
    run.fetch()
    assert not run.has("trials/b")
    assert run.has(STAGE)
    with pytest.raises(StoreError, match=f"^{url} was purged on 2026-01-01"):
        refuse_purged(run)


@pytest.mark.usefixtures("run")
def test_an_adapter_that_is_damaged_there_fails_one_stage_and_is_trained_again(url: str, tmp_path: Path):
    other = fetched(url, "second", tmp_path)
    There(url).put(f"{STAGE}/{WEIGHTS}", "Weights of x")
    with pytest.raises(StageError, match=f"the adapter at {url}/{STAGE} is damaged: .* trains it again"):
        other.adapter(STAGE)
    assert other.damage(STAGE, weights=True)


@pytest.mark.usefixtures("run")
def test_an_adapter_that_is_cut_off_there_is_damaged_before_it_is_fetched(url: str, tmp_path: Path):
    There(url).put(f"{STAGE}/{WEIGHTS}", "weights")
    other = fetched(url, "second", tmp_path)
    assert other.damage(STAGE) == "adapter_model.safetensors has 7 bytes where 12 were written"
    There(url).rm(f"{STAGE}/{WEIGHTS}")
    assert fetched(url, "second", tmp_path).damage(STAGE) == "adapter_model.safetensors is gone"


def test_a_writer_whose_run_was_taken_over_writes_no_more(url: str, run: Run, tmp_path: Path):
    before = There(url).names()

    def work() -> None:
        with run.locked():
            with on_machine("second", tmp_path):
                Mirror(url)._lock.take(dead=run._mirror._lock.owner)  # pyright: ignore[reportOptionalMemberAccess]
            write_stage(run, "trials/late")

    with pytest.raises(StoreError, match=f"another byrote has taken over {url} .* writes no more"):
        work()
    assert There(url).names() == before
    with pytest.raises(StoreError, match="taken over"):
        run.write_text("report.html", "page")


def test_a_second_writer_elsewhere_is_told_who_holds_the_run(
    url: str, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("byrote.store.remote_lock.BEAT", 0.01)
    said = list[str]()
    with run.locked(), on_machine("second", tmp_path):
        second = Run(url)
        with (
            pytest.raises(StoreError, match=r"another byrote \(process .*\) is writing to"),
            second.locked(said.append),
        ):
            pass
        assert (second.writer() or "").startswith("process ")
    assert second.writer() is None
    assert [line for line in said if "waiting up to 60 seconds" in line]


def test_the_machine_of_a_dead_writer_takes_over_at_once(url: str, run: Run):
    mirror, said = Mirror(url), list[str]()
    mirror._lock.take()
    (run.path / ".owner").write_text(mirror._lock.owner)  # as a writer that was killed leaves it
    with run.locked(said.append):
        write_stage(run, "trials/b")
    assert said == []


def test_a_bucket_that_is_away_for_a_while_stops_no_run(url: str, run: Run, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("byrote.store.remote.SEND_EVERY", 0.01)
    said, kind = list[str](), type(There(url).fs)
    put = kind.put_file

    def away(*_: object) -> None:
        raise ConnectionError("the network is away")

    with run.locked(said.append):
        monkeypatch.setattr(kind, "put_file", away)
        write_stage(run, "trials/b")
        while not said:
            time.sleep(0.005)
        assert said == [f"cannot use {url}: ConnectionError: the network is away; byrote goes on and tries again"]
        monkeypatch.setattr(kind, "put_file", put)
    assert "trials/b/manifest.json" in There(url).names()

    def ends_before_it_is_back() -> None:
        with run.locked(said.append):
            monkeypatch.setattr(kind, "put_file", away)
            write_stage(run, "trials/c")

    with pytest.raises(StoreError, match=f"it is kept in {run.path}, and the same command sends it"):
        ends_before_it_is_back()
    monkeypatch.setattr(kind, "put_file", put)
    with run.locked():
        pass
    assert "trials/c/manifest.json" in There(url).names()


def test_names_that_lead_out_of_a_run_are_refused(tmp_path: Path):
    with on_machine("first", tmp_path):
        outside = f"{tmp_path}/run/trials/../../x"  # what an object store may hold
        FILES.store[outside] = MemoryFile(FILES, outside)
        run = Run(f"memory:/{tmp_path}/run")
        with pytest.raises(StoreError, match=r"holds 'trials/../../x', which is no path in a run"):
            run.fetch()
        FILES.store.clear()


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("ftp://me:secret@host/run", "a ftp:// URL with a password in it would be written down; leave it out"),
        ("simplecache::s3://bucket/run", "is one URL, such as s3://bucket/runs/first, without ::"),
        ("memory://", "is a whole bucket; name a folder in it"),
        ("nowhere://bucket/run", "nowhere://bucket/run: Protocol not known: nowhere; give a folder, or a URL"),
        ("dropbox://bucket/run", r"needs a package that is not installed .*: pip install fsspec\[dropbox\]"),
        (Path("s3://bucket/run"), "s3:/bucket/run was a URL before Path took a slash from it; give it as a str"),
    ],
)
def test_places_that_cannot_be_used_are_refused_in_one_line(place: str | Path, message: str):
    with pytest.raises(StoreError, match=message) as refused:
        check_usable(place)
    assert "secret" not in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_folder_that_cannot_be_written_is_refused_before_anything_starts(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=f"^cannot use file://{tmp_path}/file/run: NotADirectoryError"):
        check_usable(f"file://{tmp_path}/file/run")
    check_usable(f"file://{tmp_path}/folder/run")
    assert list((tmp_path / "folder/run").iterdir()) == []
    check_usable(None)
    check_usable(tmp_path)


@pytest.mark.parametrize(
    ("name", "stage"),
    [
        ("plan.json", None),
        ("tables/trials.csv", None),
        ("base/k/scores.parquet", "base/k"),
        ("trials/k/adapter/adapter_config.json", "trials/k"),
        ("trials/k/manifest.json", "trials/k"),
        ("trials/k/scores/s/manifest.json", "trials/k/scores/s"),
    ],
)
def test_the_stage_of_a_file(name: str, stage: str | None):
    assert stage_of(name) == stage
