"""What canaries show, where a study plants many: exposure, reproduction and the bound on epsilon, by copies.

Planted canaries are always shown beside those that a coin left out, which the model never saw.
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from byrote.report.page import Grid, capped, copies_words, labels_of, records_of, text_or_dash, without_empty
from byrote.report.words import MISSING, count, listing, missing, number, percent, plain, spread

if TYPE_CHECKING:
    from byrote.tables import Tables

UNSEEN = 1 / math.log(2)  # bits: the mean of −log₂ of a uniform rank, the exposure of a record that was never seen
DOUBTFUL = 0.05  # p of the skew-normal fit below which extrapolated exposures are not to be quoted
NOT_COMPARABLE = (
    "A bound for groups of c copies is about c copies of a record taken together, and is not comparable to a "
    "record-level ε: only canaries with one copy bound single records."
)


# --- sentences --------------------------------------------------------------------------------------------------


def exposure_sentences(tables: "Tables") -> list[str]:
    """Mean exposure by rank of planted and left-out canaries, for each number of copies, and what limits it."""
    rows = tables.canaries
    known = rows[rows["exposure_rank"].notna()]
    if known.empty:
        return [_why_no_exposure(rows)]
    trials, references = known["trial"].nunique(), known["references"]
    sentences = [
        f"Exposure measures how high a canary ranks by perplexity among {spread(references, 0)} references that were "
        f"never planted: 0 bits for the last place and {ceiling_words(references)} for the first, the most that a "
        f"rank can show. A record that was never seen has {number(UNSEEN, 1)} bits on average."
    ]
    each = [_means(copies, part) for copies, part in known.groupby("copies", sort=True)]
    many = f" (means over {count(trials, 'trial')})" if trials > 1 else ""
    sentences.append(
        f"The mean exposure of planted canaries, with that of left-out ones in brackets, is {listing(each)}{many}."
    )
    return sentences + _fit_sentence(rows)


def ceiling_words(references: pd.Series) -> str:
    """The largest exposure that so many references can show, in bits."""
    return f"{spread(np.log2(references.astype(float) + 1), 1)} bits"


def _means(copies: Any, part: pd.DataFrame) -> str:
    sides = [part[part["role"] == role]["exposure_rank"] for role in ("canary_in", "canary_out")]
    planted, left = (number(side.mean(), 1) if len(side) else "none" for side in sides)
    return f"{planted} bits at {copies_words(copies)} ({left})"


def _why_no_exposure(rows: pd.DataFrame) -> str:
    if rows.empty:
        return "No canary was scored, so no exposure is known."
    return "No exposure is known: no reference record was scored (canaries.references)."


def _fit_sentence(rows: pd.DataFrame) -> list[str]:
    notes = [note for note in dict.fromkeys(rows["note"].dropna()) if note]
    if rows["exposure_extrapolated"].isna().all():
        why = f": {'; '.join(notes)}" if notes else ""
        return [f"Exposure beyond the references was not extrapolated{why}."]
    fits = rows.dropna(subset=["fit_p"]).drop_duplicates("trial")["fit_p"]
    bad = int((fits < DOUBTFUL).sum())
    if bad:
        return [
            f"In {bad} of {count(len(fits), 'trial')} the skew-normal fit behind the extrapolated exposures is "
            f"rejected (p {spread(fits, 3)}): do not quote those."
        ]
    return [f"The skew-normal fit behind the extrapolated exposures is not rejected (p {spread(fits)})."]


def audit_sentences(tables: "Tables") -> list[str]:
    """The bound on epsilon for each unit, beside what the canaries could have shown and the null control."""
    rows = tables.audits
    if rows.empty:
        return ["No audit was made, so there is no lower bound on ε."]
    first, labels = records_of(rows)[0], labels_of(tables)
    sentences = [
        f"The audit uses the attack {first['attack']} to guess which canaries were planted, and derives from its "
        f"guesses a lower bound on the ε of (ε, δ)-differential privacy, δ = {first['delta']:g}, with "
        f"{_confidence(first)} (Steinke et al. 2023). A bound of 0 shows nothing: it does not prove privacy."
    ]
    single, groups = rows[rows["copies"] == 1], rows[rows["copies"] > 1]
    unbound = "No canary has just one copy, so there is no bound for single records."
    sentences.append(_bound(single, labels) if len(single) else unbound)
    if len(groups):
        each = [f"{_best(part)} for {copies_words(c)}" for c, part in groups.groupby("copies", sort=True)]
        trials = groups["trial"].nunique()
        most = f", the largest of {trials} trials each," if trials > 1 else ""
        sentences.append(f"For groups of several copies{most} ε is at least {listing(each)}. {NOT_COMPARABLE}")
    return sentences


def _confidence(row: Mapping[str, Any]) -> str:
    """`95% confidence`, or that of a family of bounds, each of which has its share of the level."""
    confidence = f"{percent(1 - row['level'], 0)} confidence"
    return (
        confidence if missing(row["family"]) or row["family"] == "1 bound" else f"{confidence} in all {row['family']}"
    )


def _best(rows: pd.DataFrame) -> str:
    return number(rows["epsilon_low"].max()) if rows["epsilon_low"].notna().any() else "unknown"


def record_bound_sentences(tables: "Tables") -> list[str]:
    """The bound for single records in one sentence, or that there is none."""
    rows = tables.audits
    rows = rows[(rows["copies"] == 1) & rows["epsilon_low"].notna()]
    if rows.empty:
        return [
            "No lower bound on a record-level ε could be computed: it takes canaries with one copy that have scores."
        ]
    top = records_of(rows.sort_values("epsilon_low", ascending=False, kind="stable"))[0]
    most = f", the largest of {len(rows)} trials" if len(rows) > 1 else ""
    return [
        f"Canaries with one copy show that the ε of single records is at least {number(top['epsilon_low'])}{most}, "
        f"with {_confidence(top)}; this many canaries could have shown at most {number(top['largest'])}."
    ]


def _bound(rows: pd.DataFrame, labels: Mapping[Any, str]) -> str:
    known = rows[rows["epsilon_low"].notna()]
    if known.empty:
        return f"Single records are not bounded: {text_or_dash(records_of(rows)[0]['note'])}."
    row = records_of(known.sort_values("epsilon_low", ascending=False, kind="stable"))[0]
    most = f", after {labels.get(row['trial'], row['trial'])}, the largest of {len(rows)} trials" * (len(rows) > 1)
    null = "without a control" if missing(row["null_epsilon"]) else f"{number(row['null_epsilon'])} for the control"
    gaussian = number(row["epsilon_gaussian"])
    alike = (
        "" if missing(row["epsilon_gaussian"]) else f" If the training were a Gaussian mechanism: at least {gaussian}."
    )
    return (
        f"For single records ε is at least {number(row['epsilon_low'])}{most}: {plain(row['right'])} of "
        f"{plain(row['guesses'])} guesses on {plain(row['canaries'])} canaries were right, which could have shown at "
        f"most {number(row['largest'])} ({null}, the same audit of references that were never planted).{alike}"
    )


def audit_warnings(tables: "Tables") -> list[str]:
    """A warning where the same audit of records that were never planted bounds epsilon above 0."""
    rows = tables.audits
    bad = rows[rows["null_epsilon"] > 0]
    if bad.empty:
        return []
    return [
        f"In {len(bad)} of {count(len(rows), 'audit')} the control, an audit of references that were never planted, "
        f"puts ε at {spread(bad['null_epsilon'])} or more where 0 is expected. By chance, that happens to any of them "
        f"in only one run in {_once(rows)}: the bounds here cannot be trusted."
    ]


def _once(rows: pd.DataFrame) -> str:
    return plain(round(1 / float(rows["level"].max())))


# --- tables -----------------------------------------------------------------------------------------------------


def exposure_grid(tables: "Tables") -> Grid:
    """Canaries by trial and copies: exposure, perplexity and share reproduced, planted beside left out."""
    labels = labels_of(tables)
    body = [
        [labels.get(trial, str(trial)), plain(copies), *_sides(part), _notes(part)]
        for (trial, copies), part in tables.canaries.groupby(["trial", "copies"], sort=False)
    ]
    order = list(labels.values())
    body.sort(
        key=lambda row: (order.index(row[0]) if row[0] in order else len(order), int(row[1].replace("\u202f", "")))
    )
    headers = [
        "trial",
        "copies",
        "canaries",
        "exposure",
        "extrapolated",
        "base perplexity",
        "tuned perplexity",
        "share",
    ]
    note = (
        "Planted canaries, with those left out in brackets. Exposure: mean, in bits; extrapolated: beyond the "
        "references, by a skew-normal fit. Perplexity: geometric mean. Share: longest common run over the tokens to "
        "reproduce, from each canary's best completion, on average."
    )
    grid = Grid("Canaries by number of copies", [*headers, "why missing"], body, 1, note, tail=1)
    return capped(without_empty(grid, "why missing"), "canaries")


def _sides(part: pd.DataFrame) -> Iterator[str]:
    """Cells that show planted canaries, and in brackets those left out."""
    sides = [part[part["role"] == role] for role in ("canary_in", "canary_out")]
    yield _pair(plain(len(side)) for side in sides)
    for column in ("exposure_rank", "exposure_extrapolated"):
        yield _pair(number(side[column].mean(), 1) for side in sides)
    for column in ("perplexity_base", "perplexity_tuned"):
        yield _pair(number(_geometric(side[column]), 1) for side in sides)
    yield _pair(percent(side["ngram_share"].mean(), 0) for side in sides)


def _pair(cells: Iterable[str]) -> str:
    planted, left = cells
    return MISSING if planted == left == MISSING else f"{planted} ({left})"


def _geometric(values: pd.Series) -> float:
    known = values.dropna().to_numpy(float)
    return float(np.exp(np.log(known).mean())) if len(known) else math.nan


def _notes(part: pd.DataFrame) -> str:
    return text_or_dash("; ".join(note for note in dict.fromkeys(part["note"].dropna()) if note))


def audits_grid(tables: "Tables") -> Grid:
    """Every audit with everything that its bound rests on."""
    labels = labels_of(tables)
    body = [
        [
            *(labels.get(row["trial"], row["trial"]), str(row["unit"]), row["attack"], plain(row["canaries"])),
            *(plain(row["guesses"]), plain(row["right"]), number(row["epsilon_low"]), number(row["largest"])),
            *(number(row["null_epsilon"]), number(row["epsilon_gaussian"]), number(row["null_gaussian"])),
            *(f"{row['delta']:g}", percent(1 - row["level"], 0), row["family"]),
            text_or_dash(row["note"]) if missing(row["epsilon_low"]) else MISSING,
        ]
        for row in records_of(tables.audits)
    ]
    headers = ["trial", "unit", "attack", "canaries", "guesses", "right", "ε at least", "could show at most"]
    headers += ["null control", "if Gaussian", "its control", "δ", "confidence", "family", "why missing"]
    note = (
        "Guesses, δ, level and attack were fixed in the study. The confidence is that all bounds of the family hold, "
        "each at its share of the level (Bonferroni). Could show: the bound if every guess were right; few canaries "
        "can show little. If Gaussian: the bound from the same guesses that holds only if the training is a Gaussian "
        "mechanism (Mahloujifar et al. 2024), never in the place of the other. Null control: the same audit of "
        "references that were never planted; 0 is expected. "
        f"{NOT_COMPARABLE}"
    )
    grid = Grid("Lower bounds on ε from one run", headers, body, 3, note, tail=1)
    return without_empty(grid, "why missing")
