"""Typed rows go through Arrow and come back the same."""

import numpy as np
import pyarrow as pa
import pytest

from byrote import records as r
from byrote.records import Assignment, Completion, Record, Role, Span, TokenScores


def some_scores() -> TokenScores:
    logprob = np.array([-1, -2, -3, -4, -5], dtype=np.float32)
    return TokenScores(("a", "b", "c"), np.array([0, 2, 2, 5]), logprob, logprob > -2.5, logprob - 1, np.abs(logprob))


def test_records_survive():
    rows = [
        Record("a", r.MEMBERS, "g", "naïve text", (Span("drug", 0, "naïve"),), (3, 1)),
        Record("b", r.NONMEMBERS, "h", "x"),
        Record("c", r.NONMEMBERS, "i", "y", (), (1, 2), answer_mask=(False, True)),
    ]
    table = r.records_to_table(rows)
    assert r.records_from_table(table) == rows
    older = table.drop_columns(["answer_mask"])
    assert r.records_from_table(older)[:2] == rows[:2]
    assert r.records_from_table(older)[2].answer_mask == ()


def test_a_mask_is_as_long_as_the_tokens():
    with pytest.raises(ValueError, match="2 token ids, a mask of 1"):
        Record("a", r.MEMBERS, "g", "x", (), (1, 2), answer_mask=(True,))


def test_a_text_is_parted_into_prompt_and_answers():
    spans = (Span(r.ANSWER_SPAN, 10, "two"), Span(r.ANSWER_SPAN, 3, "one"), Span("drug", 0, "a"))
    record = Record("a", r.MEMBERS, "g", "a: one b: two c", spans)
    assert record.text_of(answer=True) == "one\n\ntwo"
    assert record.text_of(answer=False) == "a:  b:  c"
    plain = Record("a", r.MEMBERS, "g", "whole")
    assert (plain.text_of(answer=True), plain.text_of(answer=False)) == ("whole", "")


def test_roles_survive():
    rows = [Assignment("a", Role.CANARY_IN, 8), Assignment("b", Role.OVERWRITTEN, 0)]
    assert r.roles_from_table(r.roles_to_table(rows)) == rows
    assert {role.value for role in Role} == {
        "member", "nonmember", "calibration", "shadow", "canary_in", "canary_out", "reference", "overwritten",
    }  # fmt: skip


def test_completions_survive():
    rows = [
        Completion("a", 0.5, 0.1, 2, 4, 5, (1, 2), (-0.5, -1.5), "ab", "abc"),
        Completion("b", 0.5, 0.0, 0, 1, 1, (), (), "", "c"),
    ]
    assert r.completions_from_table(r.completions_to_table(rows)) == rows


@pytest.mark.parametrize("chunks", [1, 2])
def test_scores_survive_in_one_piece_or_more(chunks: int):
    scores = some_scores()
    table = scores.to_table()
    if chunks == 2:
        table = pa.concat_tables([table.slice(0, 1), table.slice(1)])
    back = TokenScores.from_table(table)
    assert back.records == scores.records
    for name in ("offsets", "logprob", "top1", "mean", "std"):
        np.testing.assert_array_equal(getattr(back, name), getattr(scores, name))


def test_take_joins_by_id_in_the_order_asked():
    taken = some_scores().take(["c", "b", "a"])
    assert taken.logprob.tolist() == [-3, -4, -5, -1, -2]
    assert taken.lengths.tolist() == [3, 0, 2]
    with pytest.raises(KeyError):
        some_scores().take(["z"])


def test_keep_leaves_some_tokens_of_each_record():
    kept = some_scores().keep(np.array([False, True, True, False, True]))
    assert kept.records == ("a", "b", "c")
    assert [kept.logprob[span].tolist() for span in kept.spans()] == [[-2], [], [-3, -5]]
    assert kept.mean.tolist() == [-3, -4, -6]
    assert some_scores().keep(np.zeros(5, dtype=bool)).lengths.tolist() == [0, 0, 0]


def test_scored_tokens_are_of_the_answer_or_of_the_prompt():
    masked = Record("a", r.MEMBERS, "g", "", (), (1, 2, 3), answer_mask=(True, False, True))
    assert r.scored_tokens(masked, answer=True) == (False, True)
    assert r.scored_tokens(masked, answer=False) == (True, False)
    plain = Record("a", r.MEMBERS, "g", "", (), (1, 2, 3))
    assert r.scored_tokens(plain, answer=True) == (True, True)
    assert r.scored_tokens(plain, answer=False) == (False, False)


def test_columns_of_unequal_length_are_refused():
    with pytest.raises(ValueError, match="one entry a scored token"):
        TokenScores(("a",), np.array([0, 1]), np.zeros(1), np.zeros(2), np.zeros(1), np.zeros(1))
