"""Metrics on completions: naive twins, cases worked by hand, and a contract that every entry of the table keeps."""

import math
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from byrote.extraction import METRICS, Pair, keywords_in, tfidf_cosine
from byrote.records import Span

ids = st.lists(st.integers(0, 3), max_size=9).map(tuple)
suffixes = st.lists(st.integers(0, 3), min_size=1, max_size=9).map(tuple)
texts = st.lists(st.sampled_from(["a", "B", "b,", "cd", "Cd.", "é", "-"]), max_size=7).map(" ".join)
keywords = st.lists(st.sampled_from(["a", "b cd", "CD", "cd é", "z"]), max_size=4).map(tuple)
pairs = st.builds(Pair, ids, suffixes, texts, texts, keywords)


def of_ids(completion: Iterable[int], suffix: Iterable[int]) -> Pair:
    return Pair(tuple(completion), tuple(suffix), "", "")


def of_texts(completion: str, suffix: str, *wanted: str) -> Pair:
    return Pair((1,), (2,), completion, suffix, wanted)


def score(name: str, pair: Pair) -> float | int | bool:
    return METRICS[name].score(pair)


# --- twins ------------------------------------------------------------------------------------------------------


def split(text: str) -> list[str]:
    """Words, letter by letter."""
    kept = "".join(c if c.isalnum() or c == "_" else " " for c in unicodedata.normalize("NFC", text).casefold())
    return kept.split()


def runs(tokens: Sequence) -> set[tuple]:
    return {tuple(tokens[i:j]) for i in range(len(tokens)) for j in range(i + 1, len(tokens) + 1)}


def common_run(a: Sequence, b: Sequence) -> int:
    return max(map(len, runs(a) & runs(b)), default=0)


def edits(written: str, suffix: str) -> int:
    """Levenshtein's recursion, row by row."""
    row = list(range(len(suffix) + 1))
    for i, a in enumerate(written, 1):
        new = [i]
        for j, b in enumerate(suffix, 1):
            new.append(min(row[j] + 1, new[-1] + 1, row[j - 1] + (a != b)))
        row = new
    return row[-1]


def subsequence(a: Sequence, b: Sequence) -> int:
    if not a or not b:
        return 0
    if a[0] == b[0]:
        return 1 + subsequence(a[1:], b[1:])
    return max(subsequence(a[1:], b), subsequence(a, b[1:]))


def thirteen_a(text: str) -> list[str]:
    """sacrebleu's tokenizer for the signs used here: a comma or full stop after a letter is a word."""
    return text.replace(",", " , ").replace(".", " . ").split()


def sentence_bleu(completion: Sequence[str], suffix: Sequence[str]) -> float:
    """Papineni et al. 2002, with exponential smoothing (NIST) and effective order."""
    logs, smooth = [], 1.0
    for n in range(1, min(4, len(completion)) + 1):
        mine, theirs = (Counter(tuple(w[i : i + n]) for i in range(len(w) - n + 1)) for w in (completion, suffix))
        hits, of = sum((mine & theirs).values()), sum(mine.values())
        if n == 1 and not hits:
            return 0.0
        smooth *= 1 if hits else 2
        logs.append(math.log(hits / of if hits else 1 / (smooth * of)))
    if not logs:
        return 0.0
    return min(1, math.exp(1 - len(suffix) / len(completion))) * math.exp(sum(logs) / len(logs))


def recalled(pair: Pair) -> float:
    wanted = {tuple(split(k)) for k in pair.keywords if split(k)}
    return sum(k in runs(split(pair.completion_text)) for k in wanted) / len(wanted) if wanted else math.nan


def f_measure(written: list[str], true: list[str]) -> float:
    if not subsequence(written, true):
        return 0.0
    precision, recall = subsequence(written, true) / len(written), subsequence(written, true) / len(true)
    return 2 * precision * recall / (precision + recall)


def likeness(pair: Pair) -> float:
    most = max(len(pair.completion_text), len(pair.suffix_text))
    return 1 - edits(pair.completion_text, pair.suffix_text) / most


TWINS: dict[str, Callable[[Pair], float]] = {
    "longest_ngram": lambda p: common_run(p.completion_ids, p.suffix_ids),
    "ngram_share": lambda p: common_run(p.completion_ids, p.suffix_ids) / len(p.suffix_ids),
    "verbatim": lambda p: len(p.completion_ids) == len(p.suffix_ids) == common_run(p.completion_ids, p.suffix_ids),
    "common_substring": lambda p: common_run(p.completion_text, p.suffix_text) / len(p.suffix_text),
    "edit_similarity": likeness,
    "bleu": lambda p: sentence_bleu(thirteen_a(p.completion_text), thirteen_a(p.suffix_text)),
    "rouge_l": lambda p: f_measure(split(p.completion_text), split(p.suffix_text)),
    "keyword_recall": recalled,
}
NEEDS: dict[str, Callable[[Pair], object]] = {
    "longest_ngram": lambda _: True,
    "ngram_share": lambda p: p.suffix_ids,
    "verbatim": lambda _: True,
    "common_substring": lambda p: p.suffix_text,
    "edit_similarity": lambda p: p.suffix_text,
    "bleu": lambda p: p.suffix_text.strip(),
    "rouge_l": lambda p: split(p.suffix_text),
    "keyword_recall": lambda p: p.keywords,
}


def test_every_metric_has_a_twin():
    assert set(TWINS) == set(NEEDS) == set(METRICS)


@pytest.mark.parametrize("name", METRICS)
@given(pair=pairs)
def test_a_metric_equals_its_naive_twin(name: str, pair: Pair):
    if NEEDS[name](pair):
        assert score(name, pair) == pytest.approx(TWINS[name](pair), abs=1e-12)
    else:
        assert math.isnan(score(name, pair))


# --- the contract of the table ----------------------------------------------------------------------------------

SENTENCE = "severe hepatitis after the second dose of rifampicin"
WHOLE = Pair((4, 5, 6, 7), (4, 5, 6, 7), SENTENCE, SENTENCE, ("hepatitis", "rifampicin"))
PART = Pair((4, 5, 9), (4, 5, 6, 7), "severe rash after a second dose of rifampicin", SENTENCE, WHOLE.keywords)
NOTHING = Pair((9, 9, 9, 9), (4, 5, 6, 7), "####", SENTENCE, WHOLE.keywords)
EMPTY = Pair((), (4, 5, 6, 7), "", SENTENCE, WHOLE.keywords)


@pytest.mark.parametrize("name", METRICS)
def test_more_alike_is_higher_within_the_bounds(name: str):
    least, most = METRICS[name].bounds
    whole, part, nothing, empty = (score(name, pair) for pair in (WHOLE, PART, NOTHING, EMPTY))
    assert nothing == empty == least
    assert whole == (4 if name == "longest_ngram" else most)
    assert (part == 0) if name == "verbatim" else (nothing < part < whole)
    assert METRICS[name].unit
    assert METRICS[name].source


@pytest.mark.parametrize("name", METRICS)
@given(pair=pairs)
def test_values_stay_in_their_bounds_and_come_as_plain_numbers(name: str, pair: Pair):
    value = score(name, pair)
    assert type(value) in (bool, int, float)
    least, most = METRICS[name].bounds
    assert math.isnan(value) or least <= value <= most


@pytest.mark.parametrize("name", METRICS)
def test_a_suffix_without_anything_to_compare_is_missing(name: str):
    void = Pair((1, 2), (), "some words", "", ())
    expected = {"longest_ngram": 0, "verbatim": False}
    assert score(name, void) == pytest.approx(expected.get(name, math.nan), nan_ok=True)
    assert not score("verbatim", Pair((), (), "", ""))


@given(pair=pairs, shift=st.integers(1, 10**12))
def test_token_metrics_know_only_which_ids_are_equal(pair: Pair, shift: int):
    moved = Pair(tuple(i * shift for i in pair.completion_ids), tuple(i * shift for i in pair.suffix_ids), "", "")
    for name in ("longest_ngram", "ngram_share", "verbatim"):
        assert score(name, moved) == score(name, pair)


@given(pair=pairs)
def test_runs_and_edits_are_the_same_both_ways(pair: Pair):
    back = Pair(pair.suffix_ids, pair.completion_ids, pair.suffix_text, pair.completion_text)
    assert score("longest_ngram", back) == score("longest_ngram", pair)
    for name in ("edit_similarity", "rouge_l"):
        if NEEDS[name](pair) and NEEDS[name](back):
            assert score(name, back) == pytest.approx(score(name, pair))


# --- by hand ----------------------------------------------------------------------------------------------------


def test_one_token_short_of_verbatim():
    assert score("ngram_share", of_ids([1, 2, 3], [1, 2, 3, 4])) == 0.75
    assert score("longest_ngram", of_ids([9, 1, 2, 9], [1, 2])) == 2
    assert not score("verbatim", of_ids([1, 2, 3], [1, 2, 3, 4]))


def test_tokens_are_no_digits():
    assert score("longest_ngram", of_ids([1, 23], [12, 3])) == 0


def test_characters_by_hand():
    pair = of_texts("kitten", "sitting")
    assert score("edit_similarity", pair) == pytest.approx(1 - 3 / 7)
    assert score("common_substring", pair) == pytest.approx(3 / 7)  # itt
    assert score("common_substring", of_texts("Kitten", "kit")) == pytest.approx(2 / 3)


def test_bleu_is_a_share_and_uses_only_the_orders_there_are():
    assert score("bleu", of_texts("rash", "rash")) == 1
    assert score("bleu", of_texts("a b c d", "a b c e")) == pytest.approx((3 / 4 * 2 / 3 * 1 / 2 * 1 / 2) ** 0.25)
    assert score("bleu", of_texts("a b", "a b c d")) == pytest.approx(math.exp(1 - 4 / 2))


def test_rouge_by_hand():
    """Lin 2004, section 3.1: LCS of `police killed the gunman` and the three sentences is 3, 2, 2."""
    true = "police killed the gunman"
    assert score("rouge_l", of_texts("Police kill the gunman.", true)) == pytest.approx(3 / 4)
    assert score("rouge_l", of_texts("the gunman kill police", true)) == pytest.approx(2 / 4)
    assert score("rouge_l", of_texts("The gunman", true)) == pytest.approx(2 / 3)


def test_keywords_are_whole_words_in_any_case():
    recall = lambda text, *wanted: score("keyword_recall", of_texts(text, "", *wanted))  # noqa: E731
    assert recall("given LEAD, then a rash", "lead", "skin rash") == 0.5
    assert recall("a placebo", "ace") == 0
    assert recall("ifn alpha", "IFN-alpha") == 1
    assert recall("lead", "lead", "Lead", "gold") == 0.5
    assert recall("nai\u0308f", "naïf") == 1
    assert math.isnan(recall("lead"))
    assert math.isnan(recall("+ +", "+"))


def test_keywords_of_a_record_that_lie_in_the_suffix():
    spans = [
        Span("drug", 0, "Lead"),
        Span("effect", 30, "skin rash"),
        Span("drug", 9, "lead"),
        Span("drug", 3, "ace"),
        Span("trigger", 40, "after"),
        Span("subject", 50, "a woman"),
        Span("drug", 60, "gold"),
        Span("drug", 70, "+"),
    ]
    assert keywords_in(spans, "developed a SKIN  rash after lead + in a woman; placebo") == (
        "Lead",
        "skin rash",
        "a woman",
    )
    assert keywords_in(spans, "") == keywords_in([], "lead") == ()


# --- TF-IDF -----------------------------------------------------------------------------------------------------

CORPUS = ("a b", "a cd", "A, z")


def cosine_twin(pair: Pair, corpus: Sequence[str]) -> float:
    def vector(text: str) -> dict[str, float]:
        counts = Counter(split(text))
        documents = {w: sum(w in split(document) for document in corpus) for w in counts}
        return {w: n * (math.log((1 + len(corpus)) / (1 + documents[w])) + 1) for w, n in counts.items()}

    completion, suffix = vector(pair.completion_text), vector(pair.suffix_text)
    if not suffix:
        return math.nan
    lengths = math.sqrt(sum(x * x for x in completion.values()) * sum(x * x for x in suffix.values()))
    return sum(completion[w] * suffix.get(w, 0) for w in completion) / lengths if completion else 0.0


@given(st.lists(pairs, max_size=5))
def test_tfidf_equals_its_twin_and_scores_a_pair_by_itself(some: list[Pair]):
    cosines = tfidf_cosine(some, CORPUS)
    assert cosines.dtype == np.float64
    assert cosines == pytest.approx([cosine_twin(pair, CORPUS) for pair in some], nan_ok=True)
    assert tfidf_cosine(some[::-1], CORPUS)[::-1] == pytest.approx(cosines, nan_ok=True)
    assert all(
        tfidf_cosine([pair], CORPUS) == pytest.approx(x, nan_ok=True) for pair, x in zip(some, cosines, strict=True)
    )


def test_a_word_of_no_corpus_text_counts_most():
    rare, usual = of_texts("q b", "q y"), of_texts("a b", "a y")
    (high, low) = tfidf_cosine([rare, usual], CORPUS)
    assert high > low > 0
    assert tfidf_cosine([WHOLE, EMPTY, NOTHING], CORPUS) == pytest.approx([1, 0, 0])


@pytest.mark.parametrize("corpus", [(), ("", "  ", "-")])
def test_tfidf_without_a_corpus_is_refused(corpus: tuple[str, ...]):
    with pytest.raises(ValueError, match=f"corpus_texts must hold a word, got {len(corpus)} texts"):
        tfidf_cosine([WHOLE], corpus)
