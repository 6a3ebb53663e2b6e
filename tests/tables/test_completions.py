"""Completions beside their suffixes, and the rates of extraction, against counting by hand."""

import math

import pytest

from byrote.extraction import METRICS
from byrote.records import Assignment, Completion, Record, Role
from byrote.statistics.intervals import clopper_pearson
from byrote.tables.completions import SHARES, Judged, draw_rates, extraction_rates, extraction_rows

RECORDS = {f"r{i}": Record(f"r{i}", "members", f"d{i}", "a mild rash", (), (1, 2, 3, 4)) for i in range(3)}
RECORDS["n"] = Record("n", "nonmembers", "e", "a common cough", (), (1, 2, 5, 6))
ROLES = [*(Assignment(f"r{i}", Role.MEMBER, 1) for i in range(3)), Assignment("n", Role.NONMEMBER, 0)]


def completion(record: str, ids: tuple[int, ...], sample: int = 0, text: str = "mild rash") -> Completion:
    return Completion(record, 0.5, 1.0, sample, 2, 2, ids, (-1.0,) * len(ids), text, "mild rash")


def row(record: str, share: float | None, verbatim: bool = False, **head: object) -> dict:
    defaults = {"trial": "t", "model": "tuned", "role": "member", "copies": 1, "prefix": 0.5, "temperature": 1.0}
    return {**defaults, **head, "record": record, "ngram_share": share, "verbatim": verbatim}


def rate_of(rows: list[dict], metric: str, threshold: float) -> dict:
    (rate,) = (
        r for r in extraction_rates(rows, (0.5, 1.0), 0.95) if (r["metric"], r["threshold"]) == (metric, threshold)
    )
    return rate


def test_every_prompted_completion_has_every_metric_and_the_base_models_stand_first():
    base = [completion("r0", (9, 9)), completion("n", (5, 6)), completion("r2", (3, 4))]
    rows = list(extraction_rows(ROLES, Judged(RECORDS), {}, base, [completion("r0", (3, 4)), completion("n", ())]))
    assert [(r["model"], r["record"]) for r in rows] == [("base", "r0"), ("base", "n"), ("tuned", "r0"), ("tuned", "n")]
    assert [r["verbatim"] for r in rows] == [False, True, True, False]
    assert set(METRICS) <= set(rows[0])
    assert rows[0]["tfidf_cosine"] == pytest.approx(1)
    assert (rows[0]["keyword_recall"], rows[3]["output_perplexity"]) == (None, None)
    assert rows[0]["output_perplexity"] == pytest.approx(math.e)


def test_the_same_completion_is_measured_once_and_another_text_is_not_the_same():
    judged = Judged(RECORDS)
    same = [completion("r0", (3, 4)), completion("r0", (3, 4), sample=1), completion("r0", (3, 4), text="else")]
    first, second, other = judged.metrics(same, ["a common cough"])
    assert first is second
    assert (first["edit_similarity"], other["edit_similarity"]) == (1.0, pytest.approx(other["edit_similarity"]))
    assert other["edit_similarity"] < 0.5
    assert len(judged.measured) == 2


def test_without_texts_rare_words_are_unknown_not_absent():
    assert Judged(RECORDS).metrics([completion("r0", (3, 4))], ["", ""])[0]["tfidf_cosine"] is None


def test_a_record_counts_once_by_its_best_sample():
    rows = [row("a", 0.2), row("a", 0.7), row("b", 0.4), row("c", 1.0, verbatim=True), row("d", None)]
    half, whole = rate_of(rows, "ngram_share", 0.5), rate_of(rows, "ngram_share", 1.0)
    assert (half["hits"], half["of"], half["rate"]) == (2, 3, pytest.approx(2 / 3))
    assert (half["low"], half["high"]) == clopper_pearson(2, 3, 0.95)
    assert (whole["hits"], whole["of"]) == (1, 3)
    assert (rate_of(rows, "verbatim", 1.0)["hits"], rate_of(rows, "verbatim", 1.0)["of"]) == (1, 4)
    with pytest.raises(ValueError, match="not enough values"):
        rate_of(rows, "verbatim", 0.5)


def test_what_nothing_can_be_measured_on_has_no_rate():
    rate = rate_of([row("a", None)], "ngram_share", 0.5)
    assert (rate["hits"], rate["of"], rate["rate"], rate["low"]) == (0, 0, None, None)


def test_models_roles_copies_and_temperatures_are_apart():
    heads = [{}, {"model": "base"}, {"role": "nonmember"}, {"copies": 8}, {"temperature": 0.0}, {"prefix": 50.0}]
    rows = list(extraction_rates([row("a", 1.0, **head) for head in heads], (1.0,), 0.95))
    assert len(rows) == len(heads) * len(SHARES)
    assert all(r["of"] == 1 for r in rows if r["metric"] == "ngram_share")


def test_draws_count_the_suffixes_that_come_in_time():
    log_p = {"a": math.log(0.6), "b": math.log(0.01), "c": -math.inf}
    rows = [
        {**row(record, None), "log_probability": value, "chance": chance}
        for chance in (0.5, 0.9)
        for record, value in log_p.items()
    ]
    by_draws = list(draw_rates(rows, (1, 100, 10_000), 0.95))
    surer = {r["threshold"]: r["hits"] for r in by_draws if r["chance"] == 0.9}
    assert surer == {n: sum(1 - (1 - p) ** n >= 0.9 for p in (0.6, 0.01, 0)) for n in (1, 100, 10_000)}
    rates = {r["threshold"]: (r["hits"], r["of"]) for r in by_draws if r["chance"] == 0.5}
    by_hand = {n: sum(1 - (1 - p) ** n >= 0.5 for p in (0.6, 0.01, 0)) for n in (1, 100, 10_000)}
    assert rates == {n: (hits, 3) for n, hits in by_hand.items()} == {1: (1, 3), 100: (2, 3), 10_000: (2, 3)}
    assert next(iter(draw_rates(rows, (7,), 0.95)))["metric"] == "draws<=7"
