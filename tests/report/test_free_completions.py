"""Untargeted extraction in the report: sentences and cells that follow from the tables."""

import pytest

from byrote.report import free_completions
from byrote.tables import Tables
from fake_tables import empty_tables, from_rows

LABELS = {"a": "q · rank 1 · seed 13", "b": "v · rank 1 · seed 13"}


def made(matches: dict[str, tuple[int, int, int]], texts: int = 20, ties: bool = False) -> Tables:
    """By trial the texts that match a record trained on, those that match a non-member, and the base model's."""
    rows: dict[str, list[dict]] = {name: [] for name in Tables.__dataclass_fields__}
    for trial, (ours, theirs, base) in matches.items():
        rows["trials"].append({"trial": trial, "label": LABELS[trial]})
        for model, hits in (("base", base), ("tuned", ours)):
            for n in range(texts):
                row = {"trial": trial, "model": model, "sample": n, "tokens": 64}
                row |= {"matched": "r", "matched_tokens": 10 + n} if n < hits else {}
                rows["untargeted"].append(row | ({"nonmember": "n"} if model == "tuned" and n < theirs else {}))
            for attack in ("loss", "ratio"):
                known = model == "tuned" or attack == "loss"
                for k in (10, texts):
                    hits_first = {"matches": min(hits, k) - (0.5 if ties and k == 10 else 0)} if known else {}
                    head = {"trial": trial, "model": model, "attack": attack, "first": k, "left_out": 0}
                    rows["untargeted_rates"].append({**head, **hits_first})
    return from_rows(rows)


def test_the_paragraph_names_the_controls_and_the_longest_run():
    (sentence,) = free_completions.sentences(made({"a": (3, 1, 0)}))
    assert "Each model wrote 20 texts from an empty prompt" in sentence
    assert "shared with a training record in 3 and with a non-member in 1 of them." in sentence
    assert "In texts of the base model it is shared with a training record in 0 and with a non-member in 0" in sentence
    assert sentence.endswith("The longest run shared with a training record has 12 tokens.")


def test_several_trials_are_told_by_lowest_and_highest_and_no_match_has_no_length():
    (sentence,) = free_completions.sentences(made({"a": (3, 1, 0), "b": (7, 1, 2)}))
    assert "in 3 to 7 and with a non-member in 1 of them (lowest and highest trial)" in sentence
    assert "The longest run" not in free_completions.sentences(made({"a": (0, 0, 0)}))[0]


def test_a_row_of_the_grid_by_hand():
    grid = free_completions.grid(made({"a": (3, 1, 0), "b": (12, 0, 1)}))
    assert grid.headers[-2:] == ["first by loss", "first by ratio"]
    assert list(grid.rows[0]) == [
        LABELS["a"], "3 of 20", "3% to 38%", "1", "0 of 20", "12", "3 of 10 (0)", "3 of 10 (–)",
    ]  # fmt: skip
    assert list(grid.rows[1])[1:3] + list(grid.rows[1])[4:] == [
        "12 of 20", "36% to 81%", "1 of 20", "21", "10 of 10 (1)", "10 of 10 (–)",
    ]  # fmt: skip
    assert all(len(row) == len(grid.headers) for row in grid.rows)


def test_a_mean_over_ties_shows_its_decimal():
    assert free_completions.grid(made({"a": (3, 1, 1)}, ties=True)).rows[0][-2] == "2.5 of 10 (0.5)"


@pytest.mark.parametrize("tables", [empty_tables(), made({})])
def test_nothing_written_is_said_and_has_no_rows(tables: Tables):
    assert free_completions.sentences(tables)[0].startswith("No text written from an empty prompt is stored")
    assert free_completions.grid(tables).rows == []
