"""What the models write when they are given the first part of a record: sentences and tables.

The tuned model is always shown beside the base model, and members beside non-members: a completion that the base model
also writes, or that records never trained on get as often, is no evidence of memorization.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import TYPE_CHECKING, Any

import pandas as pd
from markupsafe import Markup, escape

from byrote.report.page import Grid, records_of, without_empty
from byrote.report.words import MISSING, at_level, listing, missing, percent, plain
from byrote.statistics.intervals import clopper_pearson
from byrote.visible import visible

if TYPE_CHECKING:
    from byrote.tables import Tables

KINDS = {
    "canary_in": "planted canaries",
    "canary_out": "canaries left out",
    "member": "members",
    "nonmember": "non-members",
    "reference": "reference records",
}


MOST_TEXTS = 10


def generation_summary(extraction: pd.DataFrame, level: float, by_copies: bool = False) -> pd.DataFrame:
    """One row a role and temperature, and copies if asked: what tuned and base model wrote.

    Columns role, copies (NaN where not asked for), temperature, trials, and for each model completions_*, share_*
    (mean), verbatim_*, low_*, high_* (Clopper–Pearson, of the verbatim rate; NaN where a record occurs in several rows,
    which are then not independent).
    """
    rows = []
    copies = extraction["copies"] if by_copies else pd.Series(math.nan, index=extraction.index)
    grouped = extraction.assign(copies=copies.where(extraction["role"].isin(["canary_in", "canary_out"])))
    for (role, copy_count, temperature), part in grouped.groupby(
        ["role", "copies", "temperature"], sort=False, dropna=False
    ):
        row: dict[str, Any] = {"role": role, "copies": copy_count, "temperature": temperature}
        row["trials"] = part["trial"].nunique()
        for model in ("tuned", "base"):
            row |= _of_model(part[part["model"] == model], model, level)
        rows.append(row)
    models = [f"{name}_{m}" for m in ("tuned", "base") for name in ("completions", "share", "verbatim", "low", "high")]
    order = {role: i for i, role in enumerate(KINDS)}
    rows.sort(key=lambda row: (row["temperature"], order.get(row["role"], len(order)), row["copies"]))
    return pd.DataFrame(rows, columns=["role", "copies", "temperature", "trials", *models])


def _of_model(part: pd.DataFrame, model: str, level: float) -> dict[str, Any]:
    known = part["verbatim"].dropna().astype(bool)
    hits, total = int(known.sum()), len(known)
    alone = total > 0 and not part.duplicated("record").any()
    low, high = clopper_pearson(hits, total, level) if alone else (math.nan, math.nan)
    share = float(part["ngram_share"].mean()) if len(part) else math.nan
    values = {"completions": total, "share": share, "verbatim": hits, "low": low, "high": high}
    return {f"{name}_{model}": value for name, value in values.items()}


def generation_sentences(tables: "Tables") -> list[str]:
    """Paragraphs: how completions were judged, then each temperature with base model and non-members beside."""
    summary = generation_summary(tables.extraction, tables.level)
    if summary.empty:
        return ["No record was prompted, so nothing is known about what the models write."]
    lead = (
        "Models were given the first part of a record, and what they wrote was compared, token by token, with the "
        "rest. In brackets: the base model on the same prompts; what it also writes is no evidence of memorization."
    )
    if (tables.extraction["role"] != "nonmember").all():
        lead += " No non-member was prompted, so there is no control for what any text of this kind would yield."
    return [lead, *(_at_temperature(value, part) for value, part in summary.groupby("temperature", sort=True))]


def _at_temperature(temperature: Any, part: pd.DataFrame) -> str:
    rows = part.to_dict("records")
    whole = [
        f"{row['verbatim_tuned']} of {plain(row['completions_tuned'])} for {_kind(row)} ({row['verbatim_base']})"
        for row in rows
    ]
    shares = [f"{percent(row['share_tuned'], 0)} for {_kind(row)} ({percent(row['share_base'], 0)})" for row in rows]
    return (
        f"At temperature {temperature:g}, completions that equal the whole rest: {listing(whole)}. Longest common run "
        f"of tokens over the tokens to reproduce, on average: {listing(shares)}."
    )


def _kind(row: Any) -> str:
    return str(KINDS.get(row["role"], row["role"]))


def generation_grid(tables: "Tables") -> Grid:
    """What tuned and base models wrote, by kind of record, copies and temperature."""
    body = []
    for row in records_of(generation_summary(tables.extraction, tables.level, by_copies=True)):
        cells = [KINDS.get(row["role"], row["role"]), plain(row["copies"]), f"{row['temperature']:g}"]
        for model in ("tuned", "base"):
            hits, total = row[f"verbatim_{model}"], row[f"completions_{model}"]
            low, high = row[f"low_{model}"], row[f"high_{model}"]
            span = "" if missing(low) else f" ({percent(low, 0)} to {percent(high, 0)})"
            cells += [f"{hits} of {plain(total)}{span}", percent(row[f"share_{model}"], 0)]
        body.append([*cells, plain(row["trials"])])
    headers = ["prompted records", "copies", "temperature", "verbatim, tuned", "share, tuned"]
    headers += ["verbatim, base", "share, base", "trials"]
    note = (
        f"Verbatim: completions equal to the rest of the record, token by token, with the {at_level(tables.level)} "
        "where every record occurs once. Share: longest common run of tokens over the tokens to reproduce, on "
        "average."
    )
    grid = Grid("What the models write after the first part of a record, all trials together", headers, body, 1, note)
    return without_empty(grid, "copies")


@dataclass(frozen=True)
class Texts:
    """Texts for a page that may show them. records: of each record · written: trial, record, prefix, temperature and
    sample → what the tuned model wrote after the prefix, and the true rest."""

    records: Mapping[str, str]
    written: Mapping[tuple[Any, ...], tuple[str, str]]


def text_grid(tables: "Tables", texts: Texts) -> Grid:
    """The records that were reproduced most, with their text; the longest run of it that was written is marked."""
    rows = tables.extraction
    rows = rows[(rows["model"] == "tuned") & rows["role"].isin(["canary_in", "member"]) & rows["ngram_share"].notna()]
    top = rows.sort_values(["ngram_share", "longest_ngram"], ascending=False, kind="stable").drop_duplicates("record")
    body = []
    for row in records_of(top.head(MOST_TEXTS)):
        text = texts.records.get(row["record"], MISSING)
        key = tuple(row[name] for name in ("trial", "record", "prefix", "temperature", "sample"))
        marked = with_mark(text, *texts.written.get(key, ("", "")))
        body.append([marked, KINDS[row["role"]], f"{row['temperature']:g}", percent(row["ngram_share"], 0)])
    headers = ["text of the record", "kind", "temperature", "share reproduced"]
    note = "Marked: the longest run of characters that what was written shares with the rest of the record."
    return Grid(f"The records reproduced most, at most {MOST_TEXTS}", headers, body, 2, note)


def with_mark(text: str, written: str, suffix: str) -> Markup:
    """The text, escaped, with the longest run of characters that `written` shares with `suffix`, its end, marked."""
    run = SequenceMatcher(None, suffix, written, autojunk=False).find_longest_match()
    shared = suffix[run.a : run.a + run.size]
    from_suffix = text.rfind(suffix)
    start = from_suffix + run.a if from_suffix >= 0 else text.rfind(shared)
    if not shared.strip() or start < 0:
        return escape(visible(text))
    before, after = text[:start], text[start + run.size :]
    return Markup("{}<mark>{}</mark>{}").format(visible(before), visible(shared), visible(after))
