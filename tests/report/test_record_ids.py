"""Records in a report under hashes or numbers, and texts with the reproduced run marked."""

import dataclasses
import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from byrote.report.generation import Texts, text_grid, with_mark
from byrote.report.record_ids import SHORTEST, hashed, numbered, reworded, with_names
from fake_tables import fake_tables

TABLES = fake_tables(("q", "v"), (1,), canaries=8)
IDS = sorted({record for name in ("records", "extraction", "canaries") for record in getattr(TABLES, name)["record"]})


@given(st.sets(st.text(max_size=6), max_size=40), st.binary(min_size=1, max_size=40))
def test_hashes_are_the_shortest_digits_that_tell_ids_apart(names: set[str], salt: bytes):
    hashes = hashed(names, salt)
    for name, digest in hashes.items():
        whole = hmac.digest(salt, name.encode("utf-8", "surrogatepass"), hashlib.sha256).hex()
        assert whole.startswith(digest)
    assert len(set(hashes.values())) == len(names)
    assert all(len(digest) >= SHORTEST for digest in hashes.values())


def test_ids_that_collide_get_longer_hashes(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("byrote.report.record_ids.SHORTEST", 1)
    lengths = {len(digest) for digest in hashed([str(i) for i in range(40)], b"salt").values()}
    assert len(lengths) == 1
    assert lengths.pop() > 1


def test_numbers_follow_exposure_and_then_nothing_that_the_corpus_shows():
    names = numbered(TABLES, IDS)
    exposed = list(dict.fromkeys(TABLES.records["record"]))
    assert [names[record] for record in exposed] == [f"#{i + 1}" for i in range(len(exposed))]
    assert len(set(names.values())) == len(IDS)
    others = [record for record in IDS if record not in exposed]
    assert [*others] != sorted(others, key=lambda record: int(names[record][1:]))


def test_every_table_has_the_new_names_and_nothing_else_changes():
    names = numbered(TABLES, {*IDS, *TABLES.draws["record"], *TABLES.counterfactual["record"]})
    renamed = with_names(TABLES, names)
    for field in dataclasses.fields(TABLES):
        before, after = getattr(TABLES, field.name), getattr(renamed, field.name)
        if field.name == "level" or "record" not in before:
            assert after is before
        else:
            assert list(after["record"]) == [names[record] for record in before["record"]]
            assert after.drop(columns="record").equals(before.drop(columns="record"))


@pytest.mark.parametrize(
    ("said", "old", "new"),
    [
        ("2 records were left out because their text is empty or white space: a-1, b", ": a-1, b", ": X, Y"),
        ("12 records are longer than 256 tokens (the longest has 300): 12, 7 and 10 more", ": 12, 7", ": Z, W"),
        ("ab-1 and a-1b and cab are no ids", "", ""),
        ("'b' stands twice", "b", "Y"),
    ],
)
def test_ids_in_sentences_are_replaced_as_words(said: str, old: str, new: str):
    names = {"a-1": "X", "b": "Y", "12": "Z", "7": "W"}
    (row,) = reworded([{"kind": "k", "message": said}], "message", names)
    assert row == {"kind": "k", "message": said.replace(old, new, 1)}


def test_the_run_that_was_written_is_marked_and_the_rest_is_escaped():
    text = "The <patient> took 5 mg of aspirin daily."
    marked = with_mark(text, " took 5 mg of ibuprofen", " took 5 mg of aspirin daily.")
    assert marked == "The &lt;patient&gt;<mark> took 5 mg of </mark>aspirin daily."
    assert "<script>" not in with_mark(text, "<script>", "daily.")
    assert with_mark(text, "", "") == "The &lt;patient&gt; took 5 mg of aspirin daily."
    assert "\x1b" not in with_mark("nothing of it\x1b", "nothing", "of it\x1b")


def test_the_table_of_texts_marks_what_its_own_row_wrote():
    row = TABLES.extraction[(TABLES.extraction["model"] == "tuned") & (TABLES.extraction["role"] == "canary_in")]
    row = row.sort_values(["ngram_share", "longest_ngram"], ascending=False, kind="stable").iloc[0]
    key = tuple(row[name] for name in ("trial", "record", "prefix", "temperature", "sample"))
    grid = text_grid(TABLES, Texts({row["record"]: "one two three"}, {key: (" two four", " two three")}))
    assert grid.rows[0][0] == "one<mark> two </mark>three"
