"""The strongest attack, against a look at all rows."""

import math

import pandas as pd

from byrote.tables.strongest import strongest_rows

ROWS = pd.DataFrame(
    [
        ("a", "records", "loss", 0.7),
        ("a", "records", "ratio", 0.7),
        ("a", "records", "auditor", 0.9),
        ("a", "canaries@8", "loss", 0.55),
        ("b", "records", "loss", math.nan),
        ("b", "records", "ratio", 0.6),
        ("c", "records", "loss", math.nan),
    ],
    columns=["trial", "stratum", "attack", "auc"],
    index=range(10, 17),
)


def test_the_first_of_the_highest_counts_and_the_auditor_takes_no_part():
    assert list(strongest_rows(ROWS).index) == [10]
    assert list(strongest_rows(ROWS, ("trial", "stratum")).index) == [10, 15, 13]


def test_without_an_auc_there_is_none():
    assert strongest_rows(ROWS[ROWS["trial"] == "c"]).empty
    assert strongest_rows(ROWS[ROWS["trial"] == "c"], ["trial"]).empty
