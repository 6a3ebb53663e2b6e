"""Trials that fine-tuning left broken, or overfitted: what a reader must know before any other number about them."""

from typing import TYPE_CHECKING

import pandas as pd

from byrote.report.words import count, listing, spread

if TYPE_CHECKING:
    from byrote.tables import Tables

MOST_NAMED = 4


def trials_of(tables: "Tables", condition: str) -> pd.DataFrame:
    """The rows of `trials` that are in a condition, `collapsed` or `overfitted`."""
    return tables.trials[tables.trials["condition"] == condition]


def collapsed_warnings(tables: "Tables") -> list[str]:
    """A sentence on the trials whose model is worse than the base model on every side, where there are any."""
    rows = trials_of(tables, "collapsed")
    if rows.empty:
        return []
    broken, their, them = "it is a broken model", "its", "it"
    if len(rows) > 1:
        broken, their, them = "they are broken models", "their", "them"
    return [
        f"{_named(rows)} collapsed: {their} perplexity rose {_change(rows, '')} on non-members and "
        f"{_change(rows, '_members')} on members, above the base model's on both. What is measured on {them} says "
        f"nothing about what these settings memorize, because {broken}, and claims that rest on {them} are undecided. "
        "Train with a lower training.learning_rate."
    ]


def overfitted_sentences(tables: "Tables") -> list[str]:
    """A sentence on the trials that became better on members and worse on non-members, where there are any."""
    rows = trials_of(tables, "overfitted")
    if rows.empty:
        return []
    return [
        f"{_named(rows)} {'is' if len(rows) == 1 else 'are'} overfitted: fine-tuning lowered the perplexity of members "
        f"({_change(rows, '_members')}) and raised that of non-members ({_change(rows, '')})."
    ]


def _named(rows: pd.DataFrame) -> str:
    labels = [str(label) for label in rows["label"]]
    if len(labels) == 1:
        return f"The trial {labels[0]}"
    more = [count(len(labels) - MOST_NAMED, "more trial")] if len(labels) > MOST_NAMED else []
    return f"{count(len(labels), 'trial')} ({listing(labels[:MOST_NAMED] + more)})"


def _change(rows: pd.DataFrame, side: str) -> str:
    return f"from {spread(rows[f'perplexity_base{side}'], 1)} to {spread(rows[f'perplexity_tuned{side}'], 1)}"
