"""A study on an S3 server: killed, raced for, resumed elsewhere, with the tables that a local run has."""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import byrote
from byrote.cli import main
from byrote.errors import StoreError
from byrote.running import pipeline
from byrote.store import Run, remote, remote_lock
from fake_listener import Recorder, tables
from fake_remote import FILES, on_machine

pytestmark = pytest.mark.slow
URL = "s3://bucket/runs/first"
# Another machine: a cache of its own, and a lock that need not be watched for a minute.
ELSEWHERE = """
import json, os, sys
from byrote import figures
from byrote.running import pipeline
from byrote.store import remote, remote_lock
remote_lock.BEAT, remote_lock.DEAD, remote.SEND_EVERY = 0.2, 3.0, 0.05
figures.FIGURES = {"roc": figures.FIGURES["roc"]}
pipeline.run(json.loads(sys.argv[1]), sys.argv[2])
"""


@pytest.fixture(scope="module")
def s3() -> Iterator[Any]:
    """A server with an empty bucket, and credentials for it."""
    import s3fs
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        patch.setenv("AWS_ACCESS_KEY_ID", "id-of-a-key")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "secret-of-a-key")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        files = s3fs.S3FileSystem()
        files.mkdir("bucket")
        yield files
        server.stop()


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote_lock, "BEAT", 0.2)
    monkeypatch.setattr(remote_lock, "DEAD", 3.0)
    monkeypatch.setattr(remote, "SEND_EVERY", 0.05)


def start(study: dict[str, Any], machine: str, tmp_path: Path) -> subprocess.Popen[str]:
    """The study on another machine."""
    with on_machine(machine, tmp_path):
        command = [sys.executable, "-c", ELSEWHERE, json.dumps(study), URL]
        return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)


def manifests(s3: Any) -> list[str]:
    s3.invalidate_cache()
    return [name for name in s3.find("bucket/runs/first") if name.endswith("manifest.json")]


def test_a_killed_run_is_resumed_elsewhere_by_one_writer(s3: Any, tiny_study: dict[str, Any], tmp_path: Path):
    local = pipeline.run(tiny_study, tmp_path / "local").path
    killed = start(tiny_study, "killed", tmp_path)
    while not manifests(s3):
        assert killed.poll() is None
        time.sleep(0.02)
    killed.kill()
    killed.communicate()
    stages = Run(local).planned_stages()
    assert len(manifests(s3)) < len(stages), "it was killed on its way"

    refused = list[str]()

    class Meanwhile(Recorder):
        """Another machine tries to write while this one trains."""

        def step(self, trial: str, row: dict[str, Any]) -> None:
            super().step(trial, row)
            if not refused:
                with on_machine("third", tmp_path), pytest.raises(StoreError) as refusal, Run(URL).locked():
                    pass
                refused.append(str(refusal.value))

    with on_machine("second", tmp_path):
        resumed = Meanwhile()
        pipeline.run(tiny_study, URL, listener=resumed)
    assert [line for line in resumed.said if line.startswith(f"{URL} was held by process {killed.pid} on ")]
    assert refused[0].startswith("another byrote (process ")
    assert refused[0].endswith(f" is writing to {URL}; wait for it, or name another --out")

    with on_machine("fourth", tmp_path):
        copy = byrote.load(URL).path
        assert tables(copy) == tables(local)
        assert not list(copy.rglob("*.safetensors")), "a report needs no weights"
        again = Recorder()
        assert tables(pipeline.run(tiny_study, URL, listener=again).path) == tables(local)
        assert not again.logged
    assert len(manifests(s3)) == len(stages)
    secret = b"secret-of-a-key"
    assert not [name for name in s3.find("bucket") if secret in s3.cat_file(name)]
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and secret in path.read_bytes()]


def test_of_many_writers_at_one_moment_one_gets_a_run(s3: Any):
    start, over = threading.Barrier(5), threading.Event()
    held, refused = list[str](), list[str]()

    def race() -> None:
        lock = remote_lock.RemoteLock(s3, "bucket/runs/raced", "s3://bucket/runs/raced")
        start.wait()
        try:
            lock.take()
        except StoreError as error:
            refused.append(str(error))
            return
        held.append(lock.owner)
        while not over.wait(0.05):
            lock.beat()

    threads = [threading.Thread(target=race) for _ in range(5)]
    for thread in threads:
        thread.start()
    while len(held) + len(refused) < 5:
        time.sleep(0.02)
    over.set()
    for thread in threads:
        thread.join()
    assert (len(held), len(refused)) == (1, 4)


def test_what_is_damaged_there_is_done_again_and_nothing_else(
    s3: Any, tiny_study: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    url, root = "s3://bucket/runs/harmed", "bucket/runs/harmed"
    with on_machine("first", tmp_path):
        run = Run(pipeline.run(tiny_study, url).path)
    before, plan = tables(run.path), run.plan()
    first, second = plan["trials"][:2]
    s3.rm_file(f"{root}/{first['scores']}/manifest.json")
    s3.pipe_file(f"{root}/{second['completions']}/manifest.json", b'{"stage": "comp')
    with on_machine("second", tmp_path):
        with pytest.raises(SystemExit) as status:
            main(["status", url, "--json"])
        assert status.value.code == 0
        states = {row["trial"]: row for row in json.loads(capsys.readouterr().out)["trials"]}
        assert states[first["label"]]["scores"] == "waiting"
        assert states[second["label"]]["completions"] == "damaged"
        again = Run(pipeline.run(tiny_study, url).path)
        assert tables(again.path) == before
        created = {stage: run.manifest(stage)["created"] for stage in run.planned_stages()}
        redone = {stage for stage, when in created.items() if again.manifest(stage)["created"] != when}
        assert redone == {first["scores"], second["completions"]}
        assert len(list(again.path.glob("trials/*/adapter/*.safetensors"))) == 2, "fetched, not trained again"


def test_a_run_that_was_taken_over_stops_and_is_no_failure_of_a_stage(tiny_study: dict[str, Any], tmp_path: Path):
    url = f"memory:/{tmp_path}/run"

    class TakenOver(Recorder):
        """Another machine finds this one silent while it trains."""

        def step(self, trial: str, row: dict[str, Any]) -> None:
            if not self.logged:
                with on_machine("second", tmp_path):
                    other = remote.Mirror(url)._lock
                    other.take(dead=other.holder().facts["owner"])
            super().step(trial, row)
            time.sleep(2 * remote_lock.BEAT)

    with on_machine("first", tmp_path):
        listener = TakenOver()
        with pytest.raises(StoreError, match=f"another byrote has taken over {url}"):
            pipeline.run(tiny_study, url, listener=listener)
        assert listener.steps() < 6, "it stops in the middle of a training"
        assert Run(Run(url).path).failures() == []
    assert not [name for name in FILES.find(f"{tmp_path}/run") if "adapter" in name or "tables" in name]


def test_purge_and_report_reach_the_bucket(s3: Any, tiny_study: dict[str, Any], tmp_path: Path):
    url, root = "s3://bucket/runs/purged", "bucket/runs/purged"
    with on_machine("first", tmp_path):
        run = Run(pipeline.run(tiny_study, url).path)
        text = run.records()[0].text.encode()
    with on_machine("second", tmp_path):
        for words in (["report", url, "--format", "md"], ["purge", url, "--text", "--adapters", "--yes"]):
            with pytest.raises(SystemExit) as status:
                main(words)
            assert status.value.code == 0
    s3.invalidate_cache()
    names = s3.find(root)
    assert f"{root}/purged.json" in names
    assert not [name for name in names if name.endswith(".safetensors") or text in s3.cat_file(name)]
    with on_machine("first", tmp_path):
        run = Run(url)
        run.fetch()
        assert not list(run.path.rglob("*.safetensors"))
        assert {record.text for record in run.records()} == {""}
        with pytest.raises(StoreError, match=f"{url} was purged on"):
            pipeline.run(tiny_study, url)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("s3://no-such-bucket/run", "cannot use s3://no-such-bucket/run: FileNotFoundError: The specified bucket does"),
        ("s3://bucket", "s3://bucket is a whole bucket; name a folder in it, such as s3://bucket/runs/first"),
    ],
)
@pytest.mark.usefixtures("s3")
def test_a_bucket_that_cannot_be_used_is_one_line_before_anything_starts(
    url: str, message: str, capsys: pytest.CaptureFixture[str]
):
    with pytest.raises(SystemExit) as status:
        main(["run", "demo", "--out", url])
    assert status.value.code == 2
    printed = capsys.readouterr().err
    assert message in printed
    assert "torch" not in printed


def test_missing_credentials_are_one_line(s3: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):  # noqa: ARG001
    import s3fs

    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("HOME", str(tmp_path))
    s3fs.S3FileSystem.clear_instance_cache()
    with pytest.raises(
        StoreError, match=r"cannot use s3://bucket/x: NoCredentialsError: .*; give credentials where"
    ) as told:
        remote.check_usable("s3://bucket/x")
    assert "\n" not in str(told.value)
    s3fs.S3FileSystem.clear_instance_cache()
