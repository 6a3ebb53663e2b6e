"""Near-duplicates across splits: against the exact quadratic search, and what the finding says of them."""

from itertools import combinations
from pathlib import Path
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from byrote.corpora import load_corpus
from byrote.corpora.near_duplicates import (
    LOWEST,
    PERMUTATIONS,
    WORDS,
    NearDuplicate,
    incidence,
    near_duplicates,
    near_duplicates_finding,
    signatures,
    words_of,
)
from byrote.records import CALIBRATION, MEMBERS, NONMEMBERS, SPLITS, Record
from byrote.study import FilesCorpus

TEXT = " ".join(f"w{i}" for i in range(22))


def record(name: str, split: str, text: str) -> Record:
    return Record(name, split, name, text)


def shingles_of(text: str) -> frozenset[tuple[str, ...]]:
    """The slow twin of `incidence`: the shingles of one text as words."""
    words = words_of(text)
    return frozenset(tuple(words[i : i + WORDS]) for i in range(max(1, len(words) - WORDS + 1)))


def altered(text: str, *places: int) -> str:
    """The text with other words at these places."""
    return " ".join(f"x{i}" if i in places else word for i, word in enumerate(text.split()))


def exact(records: list[Record]) -> dict[frozenset[str], float]:
    """Jaccard index of every pair of different splits, by counting."""
    similarity = {}
    for a, b in combinations(records, 2):
        if a.split == b.split:
            continue
        shingles_a, shingles_b = (list(shingles_of(r.text)) for r in (a, b))
        shared = sum(shingle in shingles_b for shingle in shingles_a)
        similarity[frozenset((a.record, b.record))] = shared / len(set(shingles_a + shingles_b))
    return similarity


def damaged(seed: int, count: int) -> list[Record]:
    """Texts and copies of them in any split with up to three words replaced, in any order."""
    rng = Random(seed)
    originals = [" ".join(f"v{rng.randrange(400)}" for _ in range(rng.randrange(1, 40))) for _ in range(count)]
    texts = originals + [altered(t, *rng.sample(range(40), rng.randrange(4))) for t in originals for _ in range(2)]
    rng.shuffle(texts)
    return [record(f"r{i}", rng.choice(SPLITS), text) for i, text in enumerate(texts)]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("threshold", [0.8, 0.9, 1.0])
def test_pairs_are_those_of_the_quadratic_search(seed: int, threshold: float):
    records = damaged(seed, 40)
    truth = {pair: alike for pair, alike in exact(records).items() if alike >= threshold}
    similarity = {frozenset(p.records): p.jaccard for p in near_duplicates(records, threshold)}
    assert len(truth) > 5
    assert similarity == pytest.approx(truth)


def test_order_splits_and_jaccard_of_a_pair():
    """One of 20 shingles is another where the last word is; three are where a word amid the text is."""
    records = [
        record("c", CALIBRATION, altered(TEXT, 21)),
        record("n", NONMEMBERS, altered(TEXT, 10)),
        record("m", MEMBERS, TEXT),
        record("twin", MEMBERS, TEXT),
    ]
    pairs = near_duplicates(records, 0.7)
    assert [(p.records, p.splits) for p in pairs] == [
        (("m", "c"), (MEMBERS, CALIBRATION)),
        (("twin", "c"), (MEMBERS, CALIBRATION)),
        (("m", "n"), (MEMBERS, NONMEMBERS)),
        (("twin", "n"), (MEMBERS, NONMEMBERS)),
    ]
    assert [p.jaccard for p in pairs] == pytest.approx([19 / 21, 19 / 21, 17 / 23, 17 / 23])


def test_case_punctuation_and_space_make_no_other_text():
    records = [record("m", MEMBERS, "A rash, after lead."), record("n", NONMEMBERS, "a  RASH after lead")]
    assert near_duplicates(records) == [NearDuplicate(("m", "n"), (MEMBERS, NONMEMBERS), 1.0)]


@pytest.mark.parametrize(
    ("text", "shingles"),
    [
        ("A b-c d", {("a", "b", "c"), ("b", "c", "d")}),
        ("a a a a", {("a", "a", "a")}),
        ("Two words.", {("two", "words")}),
        ("+ !", {("+ !",)}),
        ("", {("",)}),
    ],
)
def test_shingles_by_hand(text: str, shingles: set):
    assert shingles_of(text) == shingles


@given(st.lists(st.text("ab +", max_size=9), max_size=8))
def test_texts_hold_the_shingles_that_are_told_one_by_one(texts: list[str]):
    held, sets = incidence(texts).toarray(), [shingles_of(text) for text in texts]
    assert held.shape == (len(texts), len(frozenset().union(*sets)))
    shared = [[len(a & b) for b in sets] for a in sets]
    assert (held @ held.T).tolist() == shared
    assert set(held.flat) <= {0, 1}


@given(st.lists(st.tuples(st.sampled_from(SPLITS), st.text("ab +", max_size=9)), max_size=8))
def test_any_texts_and_no_texts(rows: list[tuple[str, str]]):
    records = [record(f"r{i}", split, text) for i, (split, text) in enumerate(rows)]
    truth = {pair for pair, alike in exact(records).items() if alike >= 0.9}
    assert {frozenset(p.records) for p in near_duplicates(records, 0.9)} == truth


def test_columns_agree_as_often_as_the_jaccard_index_says():
    """Broder 1997; standard error of the share of 128 columns, averaged over 40 pairs."""
    pairs = [(f"{i} {TEXT}", f"{i} {altered(TEXT, 3, 12)}") for i in range(40)]
    pairs = [tuple(" ".join(f"{i}{word}" for word in text.split()) for text in pair) for i, pair in enumerate(pairs)]
    sets = [shingles_of(text) for pair in pairs for text in pair]
    rows = signatures(incidence([text for pair in pairs for text in pair]))
    assert rows.shape == (80, PERMUTATIONS)
    truth = len(sets[0] & sets[1]) / len(sets[0] | sets[1])
    share = float(np.mean(rows[::2] == rows[1::2]))
    assert share == pytest.approx(truth, abs=4 * np.sqrt(truth * (1 - truth) / (40 * PERMUTATIONS)))


def test_the_same_records_give_the_same_pairs_in_any_order():
    records = damaged(9, 30)
    pairs = near_duplicates(records, 0.7)
    assert near_duplicates(list(records), 0.7) == pairs
    assert {frozenset(p.records) for p in near_duplicates(records[::-1], 0.7)} == {frozenset(p.records) for p in pairs}


def test_records_of_one_template_end_soon_and_are_told_apart():
    """Every record shares shingles with every other; only those with the same name are near, and more than a block."""
    body = [f"t{i}" for i in range(20)]
    texts = [" ".join([*body[:9], f"n{i % 450}", *body[9:], "one" if i < 450 else "two"]) for i in range(900)]
    records = [record(f"r{i}", MEMBERS if i < 450 else NONMEMBERS, text) for i, text in enumerate(texts)]
    assert {p.records for p in near_duplicates(records)} == {(f"r{i}", f"r{i + 450}") for i in range(450)}


@pytest.mark.parametrize("threshold", [0.0, 0.69, 1.01, float("nan")])
def test_thresholds_at_which_pairs_would_be_missed_are_refused(threshold: float):
    with pytest.raises(ValueError, match=rf"threshold must lie in \[{LOWEST}, 1\], got {threshold}"):
        near_duplicates([], threshold)


# --- the finding ------------------------------------------------------------------------------------------------


def test_the_finding_counts_pairs_and_names_records_not_texts():
    records = [
        record("m", MEMBERS, TEXT),
        record("m2", MEMBERS, altered(TEXT, 0)),
        record("n", NONMEMBERS, altered(TEXT, 21)),
        record("c", CALIBRATION, "something else altogether"),
    ]
    finding = near_duplicates_finding(records)
    assert finding is not None
    assert (finding.kind, finding.count) == ("near_duplicates", 2)
    assert "m (members) and n (nonmembers), m2 (members) and n (nonmembers)" in finding.message
    assert "1 records outside the members were nearly trained on" in finding.message
    assert "w1" not in finding.message


def test_nothing_to_say_without_near_duplicates_and_of_equal_texts():
    assert near_duplicates_finding([]) is None
    far = [record("m", MEMBERS, TEXT), record("n", NONMEMBERS, altered(TEXT, 3, 9, 15))]
    assert near_duplicates_finding(far) is None
    within = [record("m", MEMBERS, TEXT), record("m2", MEMBERS, altered(TEXT, 21))]
    assert near_duplicates_finding(within) is None
    equal = [record("n", NONMEMBERS, TEXT), record("c", CALIBRATION, f"{TEXT} \n")]
    assert near_duplicates_finding(equal) is None


def test_pairs_without_members_are_told_apart():
    finding = near_duplicates_finding([record("n", NONMEMBERS, TEXT), record("c", CALIBRATION, altered(TEXT, 0))])
    assert finding is not None
    assert "none involve members" in finding.message
    assert "trained on" not in finding.message


def test_load_corpus_says_it(tmp_path: Path):
    for name, text in (("in", TEXT), ("out", altered(TEXT, 21)), ("cal", "quite another text here")):
        (tmp_path / f"{name}.txt").write_text(f"{text}\n")
    fields = {"source": "files", "path": str(tmp_path), "members": "in.txt", "nonmembers": "out.txt"}
    loaded = load_corpus(FilesCorpus.model_validate({**fields, "calibration": "cal.txt"}))
    assert [f.count for f in loaded.findings if f.kind == "near_duplicates"] == [1]
