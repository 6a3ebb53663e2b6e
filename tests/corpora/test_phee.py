"""PHEE as published (marked `phee`), and small folders in its form."""

import json
import threading
from collections.abc import Iterator
from functools import partial
from hashlib import sha256
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from byrote.corpora import LoadedCorpus, load_corpus, phee
from byrote.errors import CorpusError
from byrote.records import CALIBRATION, MEMBERS, NONMEMBERS, Record, Span
from byrote.study import PheeCorpus


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


def serve(folder: Path) -> ThreadingHTTPServer:
    """A running server of a folder on a free port."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    return server


def line(record: str, context: str, events: list[dict] | None = None) -> str:
    """One line in PHEE's form."""
    return json.dumps({"id": record, "context": context, "annotations": [{"events": events or []}]})


def marked(text: str, start: int, **inner: object) -> dict:
    """An argument of an event in PHEE's form."""
    return {"text": [[text]], "start": [[start]], **inner}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A tiny corpus in PHEE's form."""
    drug = marked("lead", 0, Drug=marked("lead", 0))
    twice = [
        {"event_id": "E1", "Treatment": drug, "Effect": marked("colic", 12)},
        {"event_id": "E2", "Treatment": drug},
    ]
    (tmp_path / "train.json").write_text(f"{line('1_1', 'lead caused colic', twice)}\n{line('1_2', 'then it went')}\n")
    (tmp_path / "test.json").write_text(f"{line('2_1', 'a rash came')}\n{line('2_2', 'and did stay')}\n")
    (tmp_path / "dev.json").write_text(f"{line('3_1', 'no harm done')}\n")
    return tmp_path


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ThreadingHTTPServer]:
    (tmp_path / "served").mkdir()
    server = serve(tmp_path / "served")
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def published(published_phee: Path) -> LoadedCorpus:
    return load_corpus(PheeCorpus(source="phee", path=str(published_phee)))


def split_of(loaded: LoadedCorpus, split: str) -> list[Record]:
    return [r for r in loaded.records if r.split == split]


@pytest.mark.phee
@pytest.mark.parametrize(
    ("split", "records", "groups", "exact_repeats"),
    [(MEMBERS, 2898, 1108, 1), (CALIBRATION, 961, 371, 1), (NONMEMBERS, 968, 359, 0)],
)
def test_published_splits(published: LoadedCorpus, split: str, records: int, groups: int, exact_repeats: int) -> None:
    rows = split_of(published, split)
    assert len(rows) == records
    assert len({r.group for r in rows}) == groups
    assert len(rows) - len({r.text for r in rows}) == exact_repeats


@pytest.mark.phee
def test_published_splits_share_no_document(published: LoadedCorpus) -> None:
    groups = [{r.group for r in split_of(published, split)} for split in (MEMBERS, NONMEMBERS, CALIBRATION)]
    assert len(set.union(*groups)) == sum(map(len, groups))


@pytest.mark.phee
def test_published_order_and_findings(published: LoadedCorpus) -> None:
    assert [r.record for r in published.records[:2]] == ["8908396_3", "10891991_1"]
    # Two, not one: a pair of members differs in nothing but white space.
    assert {f.kind: f.count for f in published.findings} == {
        "repeated_texts.members": 2,
        "repeated_texts.calibration": 1,
    }


@pytest.mark.phee
def test_published_spans_stand_in_their_texts(published: LoadedCorpus) -> None:
    spans = [(r, s) for r in published.records for s in r.spans]
    assert len(spans) > 25_000
    assert all(r.text[s.start : s.start + len(s.text)] == s.text for r, s in spans)
    assert {"drug", "effect", "subject", "treatment", "age", "dosage", "disorder"} <= {s.kind for _, s in spans}


@pytest.mark.phee
def test_published_lengths(published: LoadedCorpus) -> None:
    words = [len(r.text.split()) for r in published.records]
    assert sum(words) / len(words) == pytest.approx(18.5, abs=0.5)


def test_spans_once_each_however_many_events(folder: Path) -> None:
    first = phee.read(PheeCorpus(source="phee", path=str(folder)))[0]
    assert first.spans == (Span("drug", 0, "lead"), Span("treatment", 0, "lead"), Span("effect", 12, "colic"))
    assert (first.record, first.group, first.split) == ("1_1", "1", MEMBERS)


def test_discontinuous_and_combined_spans(folder: Path) -> None:
    pieces = {"text": [["lead", "salts"]], "start": [[0, 11]]}
    event = {"Treatment": {**pieces, "Combination": [{"event_type": "Combination", "Drug": marked("tin", 5)}]}}
    (folder / "train.json").write_text(line("1_1", "lead (tin) salts hurt", [event]))
    first = phee.read(PheeCorpus(source="phee", path=str(folder)))[0]
    assert first.spans == (Span("treatment", 0, "lead"), Span("drug", 5, "tin"), Span("treatment", 11, "salts"))


def test_misplaced_span_is_left_out_and_counted(folder: Path) -> None:
    (folder / "train.json").write_text(line("1_1", "lead caused colic", [{"Effect": marked("colic", 11)}]))
    loaded = load_corpus(PheeCorpus(source="phee", path=str(folder)))
    assert loaded.records[0].spans == ()
    assert [f.count for f in loaded.findings if f.kind == "misplaced_spans"] == [1]


def test_changed_files_are_findings(folder: Path) -> None:
    loaded = load_corpus(PheeCorpus(source="phee", path=str(folder)))
    modified = [f.message for f in loaded.findings if f.kind == "modified"]
    assert len(modified) == 3
    assert str(folder / "train.json") in modified[0]


def test_folder_from_the_environment(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BYROTE_PHEE", str(folder))
    assert len(phee.read(PheeCorpus(source="phee"))) == 5
    with pytest.raises(CorpusError, match=r"nowhere/train\.json \(corpus\.path\)"):
        phee.read(PheeCorpus(source="phee", path="nowhere"))


def test_splits_are_chosen_by_name_and_limited(folder: Path) -> None:
    corpus = PheeCorpus(source="phee", path=str(folder), members="test", nonmembers="train", calibration=None, limit=1)
    assert [(r.record, r.split) for r in phee.read(corpus)] == [("2_1", MEMBERS), ("1_1", NONMEMBERS)]


def test_unknown_split_lists_the_splits(folder: Path) -> None:
    with pytest.raises(CorpusError, match=r"no split 'tests'; it has train, dev, test; did you mean 'test'"):
        phee.read(PheeCorpus(source="phee", path=str(folder), nonmembers="tests"))


def test_same_id_in_two_splits_stays_unique(folder: Path) -> None:
    (folder / "dev.json").write_text(line("1_1", "quite another text"))
    records = phee.read(PheeCorpus(source="phee", path=str(folder)))
    assert len({r.record for r in records}) == len(records) == 5
    assert records[0].record == "members:1_1"
    assert (records[-1].record, records[-1].group) == ("calibration:1_1", "1")


def test_unpublished_form_of_annotations(folder: Path) -> None:
    (folder / "dev.json").write_text('{"id": "3_1", "context": "x y", "annotations": [{"event": 1}]}')
    with pytest.raises(CorpusError, match="PHEE record 3_1: annotations are not in the published form"):
        phee.read(PheeCorpus(source="phee", path=str(folder)))


@pytest.mark.phee
def test_download_checks_keeps_and_reuses(tmp_path: Path, server: ThreadingHTTPServer, published_phee: Path) -> None:
    (tmp_path / "served" / "dev.json").write_bytes((published_phee / "dev.json").read_bytes())
    url, cache = f"http://127.0.0.1:{server.server_port}", tmp_path / "cache"
    path = phee.download("dev", cache, url)
    assert sha256(path.read_bytes()).hexdigest() == phee.SHA256["dev"]
    assert [p.name for p in cache.iterdir()] == ["dev.json"]
    (tmp_path / "served" / "dev.json").unlink()
    assert phee.download("dev", cache, url) == path


def test_download_of_another_file_is_refused(tmp_path: Path, server: ThreadingHTTPServer) -> None:
    (tmp_path / "served" / "dev.json").write_text(line("1_1", "forged"))
    with pytest.raises(CorpusError, match=r"has sha256 [0-9a-f]{64}, published was e1e24c.*BYROTE_PHEE"):
        phee.download("dev", tmp_path / "cache", f"http://127.0.0.1:{server.server_port}")
    assert not (tmp_path / "cache").exists()


def test_download_without_an_answer_gives_the_way_out(tmp_path: Path, server: ThreadingHTTPServer) -> None:
    with pytest.raises(CorpusError, match=r"cannot download PHEE from .*404.*; set corpus\.path or BYROTE_PHEE"):
        phee.download("test", tmp_path, f"http://127.0.0.1:{server.server_port}")
    with pytest.raises(CorpusError, match=r"cannot download PHEE .*set corpus\.path or BYROTE_PHEE"):
        phee.download("test", tmp_path, "http://127.0.0.1:1")


def test_what_is_fetched_is_kept_in_byrotes_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BYROTE_CACHE", str(tmp_path))
    monkeypatch.delenv("BYROTE_PHEE", raising=False)
    monkeypatch.setattr(phee, "download", lambda name, folder: folder / name)
    assert phee._file(PheeCorpus(source="phee"), "dev") == tmp_path / "phee" / "dev"
