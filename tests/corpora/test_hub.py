"""Local folders in the hub's layout, and a small server in place of the hub for what it may answer."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets.exceptions import DatasetNotFoundError

from byrote.corpora import hub
from byrote.errors import CorpusError
from byrote.records import CALIBRATION, MEMBERS, NONMEMBERS
from byrote.study import HubCorpus


def rows(name: str, count: int) -> list[dict]:
    """Rows with every kind of column that a reader meets."""
    return [{"sentence": f"{name} {i}", "n": i, "pmid": f"{name}-{i // 2}", "score": 0.5} for i in range(count)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set of JSON lines with three splits."""
    folder = tmp_path_factory.mktemp("layout")
    for name, count in (("train", 6), ("validation", 3), ("test", 4)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows(name, count)))
    return folder


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """The library's cache, in a folder of the test run."""
    from datasets import config

    monkeypatch.setattr(config, "HF_DATASETS_CACHE", str(tmp_path_factory.getbasetemp() / "datasets-cache"))


def corpus(path: object, **fields: object) -> HubCorpus:
    """A hub corpus over a folder, with the columns of `rows`."""
    named = {"members": "train", "nonmembers": "test", "calibration": "validation", "text": "sentence"}
    return HubCorpus.model_validate({"source": "hub", "path": str(path), **named, **fields})


def test_local_folder_in_order(folder: Path) -> None:
    records = hub.read(corpus(folder))
    assert [r.split for r in records] == [MEMBERS] * 6 + [NONMEMBERS] * 4 + [CALIBRATION] * 3
    assert (records[0].record, records[0].group, records[0].text) == ("train:1", "train:1", "train 0")


def test_columns_limit_and_shared_ids(folder: Path) -> None:
    records = hub.read(corpus(folder, id="n", group="pmid", limit=3, calibration=None))
    assert [r.record for r in records[:4]] == ["members:0", "members:1", "members:2", "nonmembers:0"]
    assert [r.group for r in records[:3]] == ["train-0", "train-0", "train-1"]
    assert len(records) == 6


def test_slices_of_one_split(folder: Path) -> None:
    records = hub.read(corpus(folder, members="train[:50%]", nonmembers="train[50%:]"))
    assert [r.text for r in records[:6]] == [f"train {i}" for i in range(6)]
    assert [r.split for r in records[:6]] == [MEMBERS] * 3 + [NONMEMBERS] * 3


def test_parquet_folder(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    for name in ("train", "test"):
        pq.write_table(pa.Table.from_pylist(rows(name, 2)), tmp_path / "data" / f"{name}-00000-of-00001.parquet")
    records = hub.read(corpus(tmp_path, calibration=None))
    assert [r.text for r in records] == ["train 0", "train 1", "test 0", "test 1"]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"nonmembers": "tests"}, r"split 'tests': no such split; it has train, validation, test; did you mean 'test'"),
        ({"nonmembers": "test[:x]"}, r"split 'test\[:x\]': not a slice the hub knows"),
        (
            {"text": "sentense"},
            r"no column 'sentense' \(corpus.text\); it has sentence, n, pmid, score; did .*'sentence'",
        ),
        ({"group": "doc"}, r"no column 'doc' \(corpus.group\); it has sentence, n, pmid, score"),
        ({"text": "n"}, r"split 'train', row 1: 'n' must be a string, got int"),
        ({"id": "score"}, r"row 1: 'score' must be a string or a whole number, got float"),
        ({"calibration": "test"}, r"corpus.nonmembers and corpus.calibration are both 'test'"),
        ({"subset": "medical"}, r"cannot be read \(.*medical.*\); check corpus.path, corpus.subset"),
    ],
)
def test_wrong_names(folder: Path, fields: dict[str, object], message: str) -> None:
    with pytest.raises(CorpusError, match=message) as raised:
        hub.read(corpus(folder, **fields))
    assert "\n" not in str(raised.value)


def test_broken_folder_and_empty_folder(tmp_path: Path) -> None:
    (tmp_path / "broken").mkdir()
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken" / "train.jsonl").write_text('{"sentence": \n')
    for name in ("broken", "empty"):
        with pytest.raises(CorpusError, match=f"data set .*{name}' cannot be read"):
            hub.read(corpus(tmp_path / name))


class _Hub(BaseHTTPRequestHandler):
    """Answers as the hub does to what is not there, and to what asks for consent first; hangs up on the rest."""

    def do_HEAD(self) -> None:
        if "unreachable" in self.path:
            return self.connection.close()
        gated = "consent" in self.path
        self.send_response(403 if gated else 404)
        self.send_header("X-Error-Code", "GatedRepo" if gated else "RepoNotFound")
        self.send_header("Content-Length", "0")
        return self.end_headers()

    do_GET = do_HEAD  # noqa: N815

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def endpoint() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Hub)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


# The library reads its end point when it is imported, so a process of its own asks the small server.
ASK = """
import json, sys
from byrote.study import HubCorpus
from byrote.corpora import hub
from byrote.errors import CorpusError
said = []
for path in sys.argv[1:]:
    try:
        hub.read(HubCorpus(source="hub", path=path))
    except CorpusError as error:
        said.append(str(error))
print(json.dumps(said))
"""


def ask(paths: list[str], home: Path, **variables: str) -> list[str]:
    """What `hub.read` says of these ids in a process with these variables."""
    env = {**os.environ, "HF_HOME": str(home), "PYTHONPATH": os.pathsep.join(sys.path), **variables}
    done = subprocess.run([sys.executable, "-c", ASK, *paths], env=env, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def test_missing_gated_and_cut_off(endpoint: str, tmp_path: Path) -> None:
    names = ["some/thing", "some/consent", "some/unreachable"]
    missing, gated, cut_off = ask(names, tmp_path, HF_ENDPOINT=endpoint, HF_HUB_OFFLINE="0")
    assert missing.startswith("no data set 'some/thing' on the hub, no such local folder")
    assert gated.startswith("data set 'some/consent' is gated; ask for access on its page")
    assert cut_off.startswith("data set 'some/unreachable': the hub cannot be reached")


def test_no_network(tmp_path: Path) -> None:
    (answer,) = ask(["some/thing"], tmp_path, HF_ENDPOINT="http://127.0.0.1:1", HF_HUB_OFFLINE="1")
    assert answer.startswith("data set 'some/thing': the hub cannot be reached")
    assert "local folder" in answer


def test_subset_and_revision_are_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    requests = []

    def missing(path: str, subset: str | None, revision: str | None) -> None:
        requests.append((path, subset, revision))
        raise DatasetNotFoundError("no such data set")

    monkeypatch.setattr("datasets.load_dataset_builder", missing)
    with pytest.raises(CorpusError, match="no data set 'owner/name' at revision 'v2'"):
        hub.read(HubCorpus(source="hub", path="owner/name", subset="medical", revision="v2"))
    assert requests == [("owner/name", "medical", "v2")]
