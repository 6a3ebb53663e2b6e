"""Whether the AUCs can mean memorization at all: what the controls and the blind baseline say, and warnings.

A control asks the same question where nothing was learned, so it belongs near 0.5. How near a sample of this size can
be asked to come is part of the answer.
"""

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pandas as pd
from scipy.stats import norm

from byrote.report.page import labels_of, stratum_words
from byrote.report.words import count, listing, number, spread

if TYPE_CHECKING:
    from byrote.tables import Tables

FAR = 0.05  # from 0.5: a control beyond this would explain a good part of most AUCs
LEVEL = 0.01  # how often chance alone may put a control outside what is called chance
CONTROLS = {
    "base model": "On the base model, which never saw the members,",
    "null trial": "Under the null trial, tuned on other documents,",
}


def chance_width(members: float, nonmembers: float, tests: int = 1) -> float:
    """How far from 0.5 an AUC of independent records strays by chance, at LEVEL over `tests`; NaN for an empty side.

    The normal limit of Mann and Whitney's statistic under equal distributions. Records of one document would stray
    further, so what is called more than chance is so for records that are nearly independent.
    """
    if not members or not nonmembers:
        return math.nan
    sd = math.sqrt((members + nonmembers + 1) / (12 * members * nonmembers))
    return float(norm.isf(LEVEL / max(tests, 1) / 2)) * sd


def near_half(value: float, width: float) -> str:
    """The end of a sentence about a control of this value, where chance strays so far as `width`."""
    away = abs(value - 0.5)
    if away >= FAR and not away <= width:
        return ": members and non-members differ before any fine-tuning, and part of every AUC here may be that"
    if away >= FAR:
        return f", not told from guessing by so small a sample, which chance moves by up to {number(width)}"
    if away > width:
        return ", a small difference, but more than chance gives"
    return ", close to guessing"


def control_sentences(tables: "Tables", primary: str) -> list[str]:
    """What the attacks reach where nothing was learned, and what a classifier that never saw a model reaches."""
    rows = tables.membership
    rows = rows[(rows["stratum"] == "records") & rows["auc"].notna()]
    if rows.empty:
        return []
    width = chance_width(rows["n_members"].min(), rows["n_nonmembers"].min())
    controlled = rows.dropna(subset=["auc_control"])
    under_null = controlled["control"] == "null trial"
    told = [
        f"{CONTROLS[name]} {_attacks(part)}{near_half(_furthest(part['auc_control']), width)}."
        for name, part in (("base model", controlled[~under_null]), ("null trial", controlled[under_null]))
        if len(part)
    ]
    if primary not in set(controlled["attack"]):
        told.append(
            f"The primary attack ({primary}) compares with the base model, so the base model is no control for it; "
            "a null trial on other documents would be one, and there is none."
        )
    return told + _blind_sentence(rows, width)


def _attacks(part: pd.DataFrame) -> str:
    names = list(dict.fromkeys(part["attack"]))
    verb = "reaches" if len(names) == 1 else "reach"
    said = f"the attack {names[0]}" if len(names) == 1 else f"{count(len(names), 'attack')} ({listing(names)})"
    return f"{said} {verb} {spread(part['auc_control'])}"


def _furthest(values: pd.Series) -> float:
    return float(values.iloc[int(values.sub(0.5).abs().to_numpy().argmax())])


def _blind_sentence(rows: pd.DataFrame, width: float) -> list[str]:
    blind = rows["auc_blind"].dropna()
    if blind.empty:
        return [
            "No classifier without a model was tried on the texts, so it is not known whether the sides look alike."
        ]
    return [
        f"A bag-of-words classifier that never saw any model tells members from non-members with AUC {spread(blind)}"
        f"{near_half(_furthest(blind), width)}."
    ]


def warning_sentences(tables: "Tables") -> list[str]:
    """One sentence a stratum and control that is FAR from 0.5 by more than chance: what to read the AUCs there with.

    The chance is shared over all controls that are looked at, so that a large grid does not warn by itself.
    """
    told = []
    kinds = (("base model", "auc_control"), ("null trial", "auc_control"), ("blind", "auc_blind"))
    for stratum, rows in tables.membership.groupby("stratum", sort=False):
        for kind, column in kinds:
            part = rows[rows[column].notna()]
            if kind != "blind":
                part = part[(part["control"] == "null trial") == (kind == "null trial")]
            bad = list(_bad(part, column))
            if bad:
                told.append(_warning(tables, stratum, kind, bad, column))
    return told


def _bad(rows: pd.DataFrame, column: str) -> Iterator[dict[Any, Any]]:
    tests = int(rows[["trial", "attack"]].drop_duplicates().shape[0]) if column == "auc_control" else 1
    for row in rows.to_dict("records"):
        away = abs(row[column] - 0.5)
        if away >= FAR and away > chance_width(row["n_members"], row["n_nonmembers"], tests):
            yield row


def _warning(tables: "Tables", stratum: Any, kind: str, bad: list[dict[Any, Any]], column: str) -> str:
    values, where = spread(pd.Series([row[column] for row in bad])), stratum_words(stratum)
    trials = list(dict.fromkeys(row["trial"] for row in bad))
    of = labels_of(tables).get(trials[0], trials[0]) if len(trials) == 1 else count(len(trials), "trial")
    end = (
        "The two sides differ as texts, before any fine-tuning, so an AUC on them is no measure of memorization until "
        "the difference is taken out: compare the AUCs among records of like length and like perplexity, or split anew."
    )
    if kind == "blind":
        return f"On {where} ({of}), a classifier that never saw a model reaches AUC {values} where 0.5 is due. {end}"
    attacks = listing(list(dict.fromkeys(row["attack"] for row in bad)))
    name = "the base model" if kind == "base model" else "the null trial, which never saw the members,"
    return f"On {where} ({of}), the same attacks on {name} reach AUC {values} ({attacks}) where 0.5 is due. {end}"
