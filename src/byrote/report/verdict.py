"""The verdict on every rule, on the first page."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from byrote.report.cards import cards
from byrote.report.page import Grid, Section, filled, labels_of, records_of, text_or_dash
from byrote.report.words import MISSING, count, listing, number, plain
from byrote.statistics.verdicts import EXCEEDED, HELD, UNDECIDED
from byrote.study.rules import MAX_VERBATIM

if TYPE_CHECKING:
    from byrote.tables import Tables


def verdict_section(tables: "Tables", primary: str, not_tested: Sequence[str], warnings: Sequence[str]) -> Section:
    """The first page: a card a rule, or a question; a sentence on all rules together; what was not tested."""
    return Section(
        "verdict",
        "Verdict" if len(tables.rules) else "Answers",
        sentences(tables),
        warnings=warnings,
        cards=cards(tables, primary),
        folded=filled(verdict_grid(tables)),
        lists=[("What was not tested", not_tested)] if not_tested else [],
    )


def sentences(tables: "Tables") -> list[str]:
    """How many rules are exceeded, undecided and held, and at which look; or that nothing was asked."""
    rows = tables.rules
    if rows.empty:
        return ["No rule was set (decide), so nothing was asked and nothing is decided."]
    verdicts = list(rows["verdict"])
    told = listing([f"{verdicts.count(name)} {name}" for name in (EXCEEDED, UNDECIDED, HELD) if name in verdicts])
    look = int(rows["look"].iloc[0])
    sentence = f"{count(len(rows), 'verdict')} on rules: {told}."
    spent = f"This is look {look} at new results, and each look spends half as much error as the one before."
    after = int((rows["set"] == "after results").sum())
    late = f" Rules set after results cannot be held ({after} of these verdicts)." if after else ""
    return [f"{sentence} {spent}{late} A rule that is held speaks of these attacks and these records alone."]


def verdict_grid(tables: "Tables") -> Grid:
    """Rule in words, verdict, value with its bounds, controls, reason and what would decide it."""
    labels = labels_of(tables)
    rows = [
        [
            text_or_dash(labels.get(row["subject"], row["subject"])),
            f"{row['words']} ({row['set']})",
            str(row["verdict"]),
            _value(row),
            text_or_dash(row["control"]),
            str(row["reason"]),
            text_or_dash(row["would_decide"]),
        ]
        for row in records_of(tables.rules)
    ]
    headers = ["subject", "rule", "verdict", "value", "controls", "reason", "would decide"]
    note = (
        "Beside the value stand the bounds that the verdict is read from: the lower one holds with those of all "
        "attacks and rules of the subject, the upper one by itself. docs/verdicts.md says how."
    )
    return Grid("Rules", headers, rows, len(headers), note)


def _value(row: dict[str, Any]) -> str:
    ends = [plain(row[end]) if row["rule"] == MAX_VERBATIM else number(row[end], 3) for end in ("value", "low", "high")]
    if ends[1] == ends[2] == MISSING:
        return ends[0]
    return f"{ends[0]} ({ends[1]} to {ends[2]})"
