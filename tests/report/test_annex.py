"""The annex: what is asked for against what tables hold."""

from dataclasses import replace

from byrote.report.annex import MEASURED, NOT_MEASURED, OUT_OF_SCOPE, annex_section
from byrote.tables.build import Tables
from fake_tables import empty_tables, fake_tables


def standing(tables: Tables) -> dict[str, tuple[str, str]]:
    (grid,) = annex_section(tables).folded
    return {row[1]: (row[2], row[3]) for row in grid.rows}


def test_what_was_measured_is_said_with_its_place() -> None:
    rows = standing(fake_tables(ranks=(1,)))
    assert rows["55 (i): membership inference"] == (MEASURED, "3 attacks on 5 trials: section Membership inference.")
    assert rows["55 (iii): regurgitation of training data"][0] == MEASURED
    assert rows["differential privacy, empirically"][0] == MEASURED
    assert rows["55 (i): attribute inference"][0] == NOT_MEASURED
    assert rows["55 (iv): model inversion"][0] == OUT_OF_SCOPE


def test_an_empty_run_measured_nothing() -> None:
    rows = standing(empty_tables())
    kept = {words for words, (where, _) in rows.items() if where == MEASURED}
    assert kept == {"58: documentation of tests and their results"}


def test_equivalence_gives_the_verdicts() -> None:
    tables = fake_tables(ranks=(1,))
    rules = tables.rules.head(0).copy()
    rules.loc[0, ["rule", "verdict"]] = ["equivalent_within", "undecided"]
    key = "11.2.5: inference no better than guessing, within a margin"
    assert standing(replace(tables, rules=rules))[key] == (MEASURED, "By AUC, not by balanced accuracy: undecided.")
    assert standing(replace(tables, rules=rules.head(0)))[key][0] == NOT_MEASURED


def test_no_promise_is_made() -> None:
    (grid,) = annex_section(fake_tables(ranks=(1,))).folded
    words = " ".join(" ".join(row) for row in grid.rows)
    assert not any(word in words.lower() for word in ("compliant", "anonymous", "safe"))
