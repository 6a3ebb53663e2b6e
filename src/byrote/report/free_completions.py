"""Untargeted extraction in the report: sentences and a table. Every function is pure: tables in, text out."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pandas as pd

from byrote.report.page import Grid
from byrote.report.words import MISSING, at_level, count, listing, missing, number, percent, plain
from byrote.statistics.intervals import clopper_pearson

if TYPE_CHECKING:
    from byrote.tables import Tables

SIDES = {"matched": "a training record", "nonmember": "a non-member"}


def sentences(tables: "Tables") -> list[str]:
    """One paragraph: how many texts hold a run of a training record, with both controls, and the longest such run."""
    rows = tables.untargeted
    if rows.empty:
        return [
            "No text written from an empty prompt is stored, so nothing is known about what the models write "
            "unprompted."
        ]
    tuned, base = (rows[rows["model"] == model] for model in ("tuned", "base"))
    paragraph = [
        f"Each model wrote {_per_trial(tuned)} from an empty prompt, and these texts were compared with the records.",
        f"A run of tokens long enough to count (extraction.untargeted.least) is shared {_shares(tuned)}.",
        f"In texts of the base model it is shared {_shares(base)}. What the base model also writes, and what also "
        "occurs in records that were never trained on, is no evidence of memorization.",
    ]
    longest = tuned["matched_tokens"].max()
    if not missing(longest):
        paragraph.append(f"The longest run shared with a training record has {count(int(longest), 'token')}.")
    return [" ".join(paragraph)]


def _per_trial(rows: pd.DataFrame) -> str:
    sizes = sorted(set(rows.groupby("trial").size()))
    return listing([count(int(size), "text") for size in sizes], "or")


def _shares(rows: pd.DataFrame) -> str:
    """`with a training record in 0 to 3 of 100 texts a trial and with a non-member in none`, lowest and highest."""
    parts = []
    for column, words in SIDES.items():
        hits = rows.groupby("trial")[column].count()
        low, high = int(hits.min()), int(hits.max())
        parts.append(f"with {words} in {low if low == high else f'{low} to {high}'}")
    return f"{listing(parts)} of them" + (" (lowest and highest trial)" if rows["trial"].nunique() > 1 else "")


def grid(tables: "Tables") -> Grid:
    """One row a trial: matches of all its texts, then of those that each attack ranks first; controls beside."""
    labels = dict(zip(tables.trials["trial"], tables.trials["label"], strict=True))
    rates = tables.untargeted_rates
    attacks = list(dict.fromkeys(rates["attack"]))
    body = []
    for trial, texts in tables.untargeted.groupby("trial", sort=False):
        ranked = rates[rates["trial"] == trial]
        firsts = [_first(ranked[ranked["attack"] == attack]) for attack in attacks]
        body.append([str(labels.get(trial, trial)), *_overall(texts, tables.level), *firsts])
    headers = ["trial", "texts with a match", at_level(tables.level), "with a non-member", "base model", "longest run"]
    headers += [f"first by {attack}" for attack in attacks]
    note = (
        "Match: a run of tokens shared with a training record. First by: matches among the texts that the attack "
        "ranks highest; in brackets among the base model's own texts, ranked by the same attack unless it compares "
        "with the base model. Intervals: Clopper and Pearson."
    )
    return Grid("Texts written from an empty prompt", headers, body, 1, note)


def _overall(texts: pd.DataFrame, level: float) -> list[str]:
    """Matches of all texts of a trial, their interval, matches with non-members, those of the base model, longest."""
    tuned, base = (texts[texts["model"] == model] for model in ("tuned", "base"))
    hits, total = int(tuned["matched"].count()), len(tuned)
    low, high = clopper_pearson(hits, total, level)
    cells = [f"{hits} of {plain(total)}", f"{percent(low, 0)} to {percent(high, 0)}"]
    cells += [plain(int(tuned["nonmember"].count())), f"{int(base['matched'].count())} of {plain(len(base))}"]
    return [*cells, plain(tuned["matched_tokens"].max())]


def _first(rates: pd.DataFrame) -> str:
    """`3 of 10 (0)`: matches among the fewest top-ranked texts that are looked at; in brackets, the base model's."""
    by_model = {row["model"]: row for row in rates[rates["first"] == rates["first"].min()].to_dict("records")}
    tuned, base = by_model.get("tuned"), by_model.get("base")
    if tuned is None or missing(tuned["matches"]):
        return MISSING
    return f"{_matches(tuned)} of {plain(tuned['first'])} ({MISSING if base is None else _matches(base)})"


def _matches(row: Mapping[str, Any]) -> str:
    """A whole number, or with one decimal where ties make it a mean."""
    value = row["matches"]
    return plain(value) if missing(value) or float(value).is_integer() else number(value, 1)
