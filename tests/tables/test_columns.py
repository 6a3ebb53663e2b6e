"""Every column has a type and a meaning, and the page of tables is made from them."""

from dataclasses import fields
from pathlib import Path

from byrote.tables import Tables
from byrote.tables.columns import COLUMNS, TABLES
from byrote.tables.page import ABOUT, page

PAGE = Path(__file__).parents[2] / "docs" / "tables.md"


def test_the_page_is_current():
    assert PAGE.read_text() == page(), "run `make pages`"


def test_every_table_is_a_field_and_has_a_sentence():
    assert [field.name for field in fields(Tables)] == [*TABLES, "level"]
    assert list(ABOUT) == list(TABLES) == list(COLUMNS)


def test_no_column_stands_twice_and_each_says_what_it_means():
    for table, columns in TABLES.items():
        names = [column.name for column in columns]
        assert len(set(names)) == len(names), table
        assert all(len(column.meaning) > 5 and "|" not in column.meaning for column in columns), table
