"""Each check on the smallest corpus that shows it."""

from statistics import mean, stdev

import pytest
from hypothesis import given
from hypothesis import strategies as st

from byrote.corpora.checks import Finding, check, cut_long, drop_blank, drop_misplaced_spans, fold
from byrote.errors import CorpusError
from byrote.records import CALIBRATION, MEMBERS, NONMEMBERS, SPLITS, Record, Span
from byrote.study import FilesCorpus


def corpus(**fields: object) -> FilesCorpus:
    """Names of three splits; no file is read."""
    named = {"source": "files", "members": "in", "nonmembers": "out", "calibration": "cal"}
    return FilesCorpus.model_validate({**named, **fields})


def rows(split: str, *texts: str, group: str | None = None) -> list[Record]:
    """One record a text, each its own group unless one is given."""
    return [Record(f"{split}:{i}", split, group or f"{split}:{i}", text) for i, text in enumerate(texts)]


CALIBRATED = rows(CALIBRATION, "e e", "f f")


def sound() -> list[Record]:
    return [*rows(MEMBERS, "a a", "b b"), *rows(NONMEMBERS, "c c", "d d"), *CALIBRATED]


def kinds(records: list[Record], **fields: object) -> dict[str, int]:
    return {f.kind: f.count for f in check(records, corpus(**fields))}


def test_nothing_to_say_of_a_sound_corpus() -> None:
    assert check(sound(), corpus()) == ()


@pytest.mark.parametrize("split", SPLITS)
def test_empty_split(split: str) -> None:
    with pytest.raises(CorpusError, match=rf"no records in corpus\.{split}"):
        check([r for r in sound() if r.split != split], corpus())


def test_no_calibration_where_none_is_named() -> None:
    assert kinds([r for r in sound() if r.split != CALIBRATION], calibration=None) == {}


def test_repeated_id() -> None:
    with pytest.raises(CorpusError, match="1 ids occur more than once in the corpus: members:0"):
        check([*sound(), Record("members:0", CALIBRATION, "g", "h h")], corpus())


def test_blank_text_is_refused_and_dropped() -> None:
    records = [*sound(), Record("blank", MEMBERS, "g", " \n\u00a0")]
    with pytest.raises(CorpusError, match="1 records have an empty text: blank"):
        check(records, corpus())
    kept, finding = drop_blank(records)
    assert kept == sound()
    assert finding is not None
    assert (finding.kind, finding.count) == ("blank", 1)
    assert "blank" in finding.message
    assert drop_blank(sound()) == (sound(), None)


@pytest.mark.parametrize("split", [NONMEMBERS, CALIBRATION])
@pytest.mark.parametrize(("text", "repeat"), [("x y", "x y"), ("x  y\n", "x y"), ("e\u0301 y", "\u00e9 y")])
def test_text_in_members_and_outside_voids(split: str, text: str, repeat: str) -> None:
    records = [*sound(), Record("p", MEMBERS, "p", text), Record("q", split, "q", repeat)]
    with pytest.raises(CorpusError, match=rf"1 texts occur both .* p \(members\) and q \({split}\)"):
        check(records, corpus(shared_groups="allow"))


def test_other_case_is_another_text() -> None:
    assert kinds([*sound(), *[Record("p", MEMBERS, "p", "X y"), Record("q", NONMEMBERS, "q", "x y")]]) == {}


def test_text_in_nonmembers_and_calibration_is_a_finding() -> None:
    records = [*sound(), Record("p", NONMEMBERS, "p", "x y"), Record("q", CALIBRATION, "q", "x y")]
    assert kinds(records) == {"shared_texts": 1}


@pytest.mark.parametrize("split", [NONMEMBERS, CALIBRATION])
def test_shared_group(split: str) -> None:
    records = [*sound(), Record("p", MEMBERS, "doc", "x y"), Record("q", split, "doc", "z w")]
    with pytest.raises(CorpusError, match=r"1 groups .* p \(members\) and q .*corpus\.shared_groups to allow"):
        check(records, corpus())
    assert kinds(records, shared_groups="allow") == {"shared_groups": 1}


def test_group_shared_outside_members_is_a_finding() -> None:
    records = [*sound(), Record("p", NONMEMBERS, "doc", "x y"), Record("q", CALIBRATION, "doc", "z w")]
    assert kinds(records) == {"shared_groups": 1}


def test_repeats_within_a_split() -> None:
    records = [*rows(MEMBERS, "a b", "a  b", "a b ", "c d"), *rows(NONMEMBERS, "e f", "g h"), *rows(CALIBRATION, "i j")]
    (finding,) = check(records, corpus())
    assert (finding.kind, finding.count) == ("repeated_texts.members", 2)
    assert "members:0 = members:1 = members:2" in finding.message


def test_length_shift_with_figures() -> None:
    inside, outside = [3, 4, 5, 6], [2, 3, 4, 4]
    texts = lambda name, counts: [" ".join([f"{name}{i}"] * n) for i, n in enumerate(counts)]  # noqa: E731
    records = [*rows(MEMBERS, *texts("a", inside)), *rows(NONMEMBERS, *texts("b", outside)), *CALIBRATED]
    (finding,) = check(records, corpus())
    d = (mean(inside) - mean(outside)) / ((stdev(inside) ** 2 + stdev(outside) ** 2) / 2) ** 0.5
    assert finding.kind == "length_shift"
    assert f"4.5 words in members, 3.2 in nonmembers, d = {d:+.2f}" in finding.message


def test_length_shift_without_spread_or_with_one_record() -> None:
    constant = [*rows(MEMBERS, "a", "b"), *rows(NONMEMBERS, "c c", "d d"), *CALIBRATED]
    (finding,) = check(constant, corpus())
    assert "d = -inf" in finding.message
    (finding,) = check([*rows(MEMBERS, "a"), *rows(NONMEMBERS, "c c", "d d"), *CALIBRATED], corpus())
    assert "not compared" in finding.message


def test_messages_never_hold_a_text() -> None:
    secret = "verysecret sentence"
    records = [*sound(), Record("p", MEMBERS, "p", secret), Record("q", MEMBERS, "q", secret)]
    assert all("verysecret" not in f.message for f in check(records, corpus()))
    with pytest.raises(CorpusError) as raised:
        check([*records, Record("r", NONMEMBERS, "r", secret)], corpus())
    assert "verysecret" not in str(raised.value)


def test_misplaced_spans() -> None:
    record = Record("p", MEMBERS, "p", "lead hurt", (Span("drug", 0, "lead"), Span("effect", 4, "hurt")))
    (kept,), finding = drop_misplaced_spans([record])
    assert kept.spans == (Span("drug", 0, "lead"),)
    assert finding is not None
    assert (finding.kind, finding.count) == ("misplaced_spans", 1)
    assert drop_misplaced_spans([kept]) == ([kept], None)


LONG = [Record(f"r{n}", MEMBERS, f"r{n}", "t", token_ids=tuple(range(n))) for n in (3, 5, 4, 6)]


def test_cut_long_truncates_and_counts() -> None:
    cut, finding = cut_long(LONG, 4, "truncate")
    assert [r.token_ids for r in cut] == [(0, 1, 2), (0, 1, 2, 3), (0, 1, 2, 3), (0, 1, 2, 3)]
    assert [r.record for r in cut] == ["r3", "r5", "r4", "r6"]
    assert isinstance(finding, Finding)
    assert finding.count == 2
    assert "2 records are longer than 4 tokens (the longest has 6): r5, r6" in finding.message


def test_cut_long_refuses() -> None:
    with pytest.raises(CorpusError, match=r"2 records are longer than 4 tokens .*r5, r6; raise corpus\.max_tokens"):
        cut_long(LONG, 4, "refuse")
    assert cut_long(LONG, 6, "refuse") == (LONG, None)
    with pytest.raises(ValueError, match="policy must be truncate or refuse"):
        cut_long(LONG, 4, "drop")


@given(st.text())
def test_fold_is_idempotent_and_blind_to_outer_space(text: str) -> None:
    assert fold(fold(text)) == fold(text)
    assert fold(f" {text}\n") == fold(text)
