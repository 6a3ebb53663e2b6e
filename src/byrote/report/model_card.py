"""The first page as a section of a model card, in Markdown: numbers and names, never the text of a record."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from byrote.report.cards import cards
from byrote.report.words import count
from byrote.study import Study
from byrote.visible import visible

if TYPE_CHECKING:
    from byrote.tables import Tables


def model_card_section(
    study: Study, tables: "Tables", not_tested: Sequence[str], versions: Mapping[str, str], created: str
) -> str:
    """What was measured, a row for each card, what was not tested, and how to do it again; ends with a newline."""
    asked = "Each rule was set before any score." if _set_before(tables) else ""
    members = tables.trials["members"].dropna()
    sample = f" {count(int(members.max()), 'member')} of the training data were compared." if len(members) else ""
    lines = [
        "## What the model has learned by rote",
        "",
        f"Measured with byrote {versions.get('byrote', '')} on {created[:10]}: {count(len(tables.trials), 'model')}, "
        f"study `{study.name}`.{sample} {asked}".rstrip(),
        "",
        "| question | answer | number | how sure |",
        "|---|---|---|---|",
        *(
            f"| {_cell(card.question)} | **{_cell(card.answer)}** | {_cell(card.number)} | {_cell(card.sure)} |"
            for card in cards(tables, study.membership.primary)
        ),
    ]
    if not_tested:
        lines += ["", "Not tested:", "", *(f"- {_cell(line)}" for line in not_tested)]
    lines += [
        "",
        "A figure speaks of the attacks that were run and of the records that were compared; it does not say that the "
        "model can be released.",
    ]
    return "\n".join(lines) + "\n"


def _set_before(tables: "Tables") -> bool:
    return len(tables.rules) > 0 and bool((tables.rules["set"] == "before results").all())


def _cell(words: str) -> str:
    """Words that Markdown neither ends a cell at nor reads as markup."""
    return " ".join("".join(f"\\{c}" if c in "\\|<>*_`[]" else c for c in visible(words)).split())
