"""The synthetic corpus: what it promises of any seed, its likeness to PHEE, and one frozen instance."""

import json
import re
from collections import Counter
from hashlib import sha256
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
from scipy.stats import chi2_contingency, ks_2samp

from byrote.corpora import adverse_events
from byrote.corpora._vocabulary import DIED, DRUG_CLASSES, FRAMES, SURVIVED, SYSTEMS
from byrote.corpora.adverse_events import LARGEST_SIZE, compile_frame, distinct, read, render
from byrote.errors import CorpusError
from byrote.records import CALIBRATION, MEMBERS, NONMEMBERS, SPLITS, Record
from byrote.study import AdverseEventsCorpus

GOLDEN = "5818063d5f05388bc8b877e50bd7336880647fad1583be6400adf06a676c8d68"
ALL_FRAMES = [*(frame for _, frames in FRAMES.values() for frame in frames), *SURVIVED, *DIED]


def corpus(size: int, seed: int = 0, limit: int | None = None) -> list[Record]:
    return read(AdverseEventsCorpus(source="adverse_events", size=size, seed=seed, limit=limit))


def words(records: list[Record], split: str | None = None) -> np.ndarray:
    return np.array([len(r.text.split()) for r in records if split in (None, r.split)])


@pytest.fixture(scope="module")
def large() -> list[Record]:
    return corpus(5000, seed=7)


@pytest.fixture(scope="module")
def huge() -> list[Record]:
    """Large enough for a drug that is half as frequent in one split to be seen."""
    return corpus(20_000, seed=1)


def main_drug(record: Record) -> str:
    return next(span.text.lower() for span in record.spans if span.kind == "drug")


@pytest.fixture(scope="module")
def phee_texts(published_phee: Path) -> list[str]:
    files = [published_phee / f"{name}.json" for name in ("train", "dev", "test")]
    return [json.loads(line)["context"] for file in files for line in file.read_text("utf-8").splitlines() if line]


def test_same_seed_same_records_other_seed_other_records():
    first, again, other = corpus(200, seed=3), corpus(200, seed=3), corpus(200, seed=4)
    assert first == again
    assert len({r.text for r in first} & {r.text for r in other}) < 0.02 * len(first)


def test_golden_texts():
    """A change of the words, the frames or the draws changes every stored study on this corpus: do it knowingly."""
    texts = "\n".join(r.text for r in corpus(50, seed=0))
    assert sha256(texts.encode()).hexdigest() == GOLDEN


def test_splits_in_order_and_of_equal_size(large):
    assert [r.split for r in large] == [split for split in SPLITS for _ in range(5000)]


def test_no_text_and_no_id_twice(large):
    assert len({r.text for r in large}) == len({r.record for r in large}) == len(large) == 15_000


def test_spans_are_exact(large):
    kinds: Counter[str] = Counter()
    for record in large:
        for span in record.spans:
            assert record.text[span.start : span.start + len(span.text)] == span.text
            assert span.text == span.text.strip() != ""
            kinds[span.kind] += 1
    assert set(kinds) == {"drug", "effect", "subject", "dose", "disorder"}
    assert min(kinds.values()) > 2000


def test_every_record_names_a_drug_and_an_effect(large):
    assert all({"drug", "effect"} <= {span.kind for span in record.spans} for record in large)


def test_groups_lie_in_one_split_and_are_sized_as_documents(large):
    splits: dict[str, set[str]] = {}
    for record in large:
        splits.setdefault(record.group, set()).add(record.split)
        assert re.fullmatch(rf"{record.group}_[1-6]", record.record)
        assert re.fullmatch(r"case\d{5,}", record.group)
    assert all(len(s) == 1 for s in splits.values())
    sizes = Counter(Counter(r.group for r in large).values())
    assert set(sizes) == {1, 2, 3, 4, 5, 6}
    assert len(large) / len(splits) == pytest.approx(2898 / 1108, abs=0.1)


def test_sentences_of_a_group_share_the_case(large):
    drugs: dict[str, list[set[str]]] = {}
    for record in large:
        names = {s.text.lower() for s in record.spans if s.kind == "drug"}
        drugs.setdefault(record.group, []).append(names)
    assert all(set.intersection(*sentences) for sentences in drugs.values())


@pytest.mark.phee
def test_lengths_are_those_of_phee(large, phee_texts):
    ours = words(large)
    real = np.array([len(text.split()) for text in phee_texts])
    assert ours.mean() == pytest.approx(real.mean(), abs=1.0)
    assert ours.std() == pytest.approx(real.std(), abs=1.5)
    assert 3 <= ours.min() <= 5
    assert ours.max() <= 60
    levels = [0.1, 0.25, 0.5, 0.75, 0.9]
    assert np.abs(np.quantile(ours, levels) - np.quantile(real, levels)).max() <= 4


@pytest.mark.parametrize("other", [NONMEMBERS, CALIBRATION])
def test_splits_come_from_one_distribution(huge, other):
    """One sentence a case: sentences of one case share its drug, so only cases are independent draws."""
    pair = [[r for r in huge if r.split == split and r.record.endswith("_1")] for split in (MEMBERS, other)]
    lengths: Any = ks_2samp(words(pair[0]), words(pair[1]))
    counts = [Counter(main_drug(r) for r in records) for records in pair]
    drugs: Any = chi2_contingency([[count[name] for name in sorted(counts[0] | counts[1])] for count in counts])
    assert lengths.pvalue > 0.001
    assert drugs.pvalue > 0.001


def test_lengths_do_not_drift_along_a_split_that_uses_up_short_titles(huge):
    """Members are not written before non-members: where titles run out, they run out for all splits alike."""
    short = [np.mean(words(huge, split) <= 6) for split in SPLITS]
    assert max(short) - min(short) < 5 * np.sqrt(2 * 0.06 / 20_000)


def test_limit_keeps_the_first_of_each_split():
    full, cut, none_cut = corpus(60, seed=2), corpus(60, seed=2, limit=25), corpus(60, seed=2, limit=100)
    for split in SPLITS:
        assert [r for r in cut if r.split == split] == [r for r in full if r.split == split][:25]
    assert none_cut == full


@pytest.mark.parametrize("size", [2, 3, 7])
def test_small_sizes_are_exact(size):
    assert Counter(r.split for r in corpus(size, seed=5)) == dict.fromkeys(SPLITS, size)


def test_impossible_size_is_named():
    with pytest.raises(CorpusError, match=rf"corpus\.size must be at most {LARGEST_SIZE}, got {LARGEST_SIZE + 1}"):
        corpus(LARGEST_SIZE + 1)


def test_draws_that_give_nothing_new_end_in_an_error():
    seen: set[str] = set()
    assert distinct(lambda: ("Same.", ()), seen)[0] == "Same."
    with pytest.raises(CorpusError, match=r"no new sentence in 20 draws after 1 sentences; lower corpus\.size"):
        distinct(lambda: ("Same.", ()), seen, tries=20)


@pytest.mark.phee
def test_no_sentence_of_phee(large, phee_texts):
    theirs = {text.strip().lower() for text in phee_texts}
    assert len(theirs) > 4000
    assert not theirs & {r.text.lower() for r in large}


def test_sentences_are_written_as_sentences(large):
    for record in large:
        text = record.text
        assert text[0].isupper() or text[0].isdigit(), text
        assert re.search(r"[^.]\.$", text), text
        assert not re.search(r"[{}<>|\[\]]|  | [.,;:]|[a-z]{2}[A-Z]", text), text
        assert not re.search(r"\ba (8|11-|18-|[aeio]|un[^i])|\ban (?!8|11-|18-|[aeiouHX])", text), text


def test_every_frame_renders_for_every_kind_of_case():
    rng = Random(0)
    for frame in ALL_FRAMES:
        for _ in range(20):
            facts, _ = adverse_events._case(rng)
            text, spans = render(compile_frame(frame), facts, rng)
            assert "drug" in {span.kind for span in spans}, text
            assert len(text.split()) >= 3, text


def test_words_that_are_also_names_stay_words():
    assert render(compile_frame("he developed <it|it>"), {}, Random(0)) == ("He developed it", ())


@pytest.mark.parametrize("frame", ["<a|b", "a]", "[drug:{drug}", "a>"])
def test_broken_frames_are_refused(frame):
    with pytest.raises(ValueError, match="frame"):
        compile_frame(frame)


def test_vocabulary_is_wide():
    drugs = {entry.split(" ")[0] for family in DRUG_CLASSES for entry in family.drugs}
    disorders = {name for family in DRUG_CLASSES for name in family.disorders}
    reactions = [name for system in SYSTEMS for name in (*system.reactions, *system.plural)]
    assert len(drugs) >= 120
    assert len(disorders) >= 60
    assert len(set(reactions)) == len(reactions) >= 120
    assert len(set(ALL_FRAMES)) == len(ALL_FRAMES) >= 40
