"""Whether the AUCs can mean memorization at all: what the controls and the blind baseline say, and warnings.

A control asks the same question where nothing was learned, so it belongs near 0.5. How near a sample of this size
can be expected to come is part of the answer.
"""

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd
from scipy.stats import norm

from byrote.report.page import labels_of, stratum_words
from byrote.report.words import count, listing, spread
from byrote.tables.membership import AUDITORS_CONTROL, NO_BASE_MODEL, NO_SECOND_SHADOW, SECOND_SHADOW

if TYPE_CHECKING:
    from byrote.tables import Tables

FAR = 0.05  # from 0.5: a control beyond this would explain a good part of most AUCs
LEVEL = 0.01  # how often chance alone may put a control outside what is called chance
CONTROLS = {
    "base model": "On the base model, which never saw the members,",
    "null trial": "Under the null trial, tuned on other documents,",
    SECOND_SHADOW: "Under a second shadow, tuned on the documents of the first with another seed,",
}


def beyond_chance(value: float, error: float, tests: int = 1) -> bool:
    """Whether an AUC lies further from 0.5 than chance takes it at LEVEL, shared over `tests`.

    error: its standard error by document (Obuchowski 1997). Without one nothing is beyond chance.
    """
    return abs(value - 0.5) > float(norm.isf(LEVEL / max(tests, 1) / 2)) * error


def all_alike(p_values: Sequence[float]) -> bool:
    """Whether permutation tests of one question, on overlapping sets of records, leave it open at LEVEL.

    One test is judged by its p, several by twice their mean, which is a p-value however they depend (Vovk & Wang 2020).
    """
    known = [p for p in p_values if not math.isnan(p)]
    return not known or (1 if len(known) == 1 else 2) * sum(known) / len(known) > LEVEL


def near_half(value: float, beyond: bool) -> str:
    """The end of a sentence about a control of this value; beyond: further from 0.5 than chance takes it."""
    far = abs(value - 0.5) >= FAR
    if far and beyond:
        return ": members and non-members differ before any fine-tuning, and part of every AUC here may come from that"
    if far:
        return ", which chance alone may give in a sample of this size"
    if beyond:
        return ", a small difference, but more than chance gives"
    return ", close to guessing"


def control_sentences(tables: "Tables", primary: str) -> list[str]:
    """What the attacks reach where nothing was learned, and what a classifier that never saw a model reaches."""
    rows = tables.membership
    rows = rows[(rows["stratum"] == "records") & rows["auc"].notna()]
    if rows.empty:
        return []
    alarmed = blind_alarm(rows)
    controlled = rows.dropna(subset=["auc_control"])
    of_kind = {kind: controlled[_kinds(controlled) == kind] for kind in CONTROLS}
    sentences = [
        f"{CONTROLS[kind]} {_attacks(part)}{_judged(part, alarmed)}." for kind, part in of_kind.items() if len(part)
    ]
    if set(rows["control"]) <= {NO_BASE_MODEL, AUDITORS_CONTROL}:
        sentences.append("There is no base model, so no attack has a control in which nothing was learned.")
    elif NO_SECOND_SHADOW in set(rows[rows["attack"] == primary]["control"]):
        sentences.append(
            f"The primary attack ({primary}) compares with the shadow, so the shadow is no control for it; a second "
            "shadow would be one, and there is none (controls.second_shadow)."
        )
    elif primary not in set(controlled["attack"]):
        sentences.append(
            f"The primary attack ({primary}) compares with the base model, so the base model is no control for it; "
            "a null trial on other documents would be one, and there is none."
        )
    return sentences + _blind_sentence(rows)


def _kinds(controlled: pd.DataFrame) -> pd.Series:
    """What each control is, as CONTROLS names it; the base model where nothing else is said."""
    kinds = controlled["control"]
    return kinds.where(kinds.isin(list(CONTROLS)), "base model")


def blind_alarm(rows: pd.DataFrame) -> bool | None:
    """Whether the classifier that never saw a model tells the sides of a stratum apart; None where none was tried."""
    blind = rows[rows["auc_blind"].notna()]
    return None if blind.empty else any(True for _ in _bad(blind, "auc_blind"))


def control_end(value: float, beyond: bool, alarmed: bool | None) -> str:
    """The end of a sentence about a control with a model in it: one far from 0.5 has two readings, unless the blind
    classifier, which has no model, raises an alarm too."""
    far = abs(value - 0.5) >= FAR and beyond
    return f". {readings(alarmed)[:-1]}" if far and not alarmed else near_half(value, beyond)


def readings(alarmed: bool | None) -> str:
    """The two readings of a control with a model that is far from 0.5, and what tells them apart."""
    both = (
        "There are two readings: the sides differ as texts, or the base model itself has seen the members, for "
        "instance because a model that was already fine-tuned on them was given as the base"
    )
    if alarmed is None:
        return (
            f"{both}. A classifier that never saw a model would show which of them holds, but none was tried here; "
            "either way an AUC here does not measure what this fine-tuning memorized."
        )
    return (
        f"{both}. A classifier that never saw a model shows which of them holds: it raises an alarm where the texts "
        "differ, and here it does not, which speaks for the second. In that case records were memorized before this "
        "fine-tuning, and an AUC here does not measure what it added: use a base model that cannot have seen the "
        "members."
    )


def _attacks(part: pd.DataFrame) -> str:
    names = list(dict.fromkeys(part["attack"]))
    verb = "reaches" if len(names) == 1 else "reach"
    attacks = f"the attack {names[0]}" if len(names) == 1 else f"{count(len(names), 'attack')} ({listing(names)})"
    return f"{attacks} {verb} {spread(part['auc_control'])}"


def _judged(part: pd.DataFrame, alarmed: bool | None) -> str:
    """What to make of the control furthest from 0.5."""
    furthest = part.iloc[int(part["auc_control"].sub(0.5).abs().to_numpy().argmax())]
    beyond = beyond_chance(furthest["auc_control"], furthest["auc_control_se"], _tests(part))
    return control_end(float(furthest["auc_control"]), beyond, alarmed)


def _tests(rows: pd.DataFrame) -> int:
    return int(rows[["trial", "attack"]].drop_duplicates().shape[0])


def _blind_sentence(rows: pd.DataFrame) -> list[str]:
    sets = rows.dropna(subset=["auc_blind"]).drop_duplicates(["auc_blind", "blind_p_value"])
    if sets.empty:
        return ["No classifier was tried on the texts alone, so it is not known whether the two sides look alike."]
    blind, beyond = sets["auc_blind"], not all_alike(list(sets["blind_p_value"]))
    furthest = float(blind.iloc[int(blind.sub(0.5).abs().to_numpy().argmax())])
    p = spread(sets["blind_p_value"], 3)
    return [
        f"A bag-of-words classifier that never saw any model tells members from non-members with AUC {spread(blind)} "
        f"(p {p}, {count(int(sets['blind_permutations'].max()), 'permutation')} of documents)"
        f"{near_half(furthest, beyond)}."
    ]


def warning_sentences(tables: "Tables") -> list[str]:
    """One sentence for each stratum and control that is FAR from 0.5 by more than chance: how to read the AUCs there.

    The chance, by document, is shared over all controls that are looked at, so that a large grid does not raise
    warnings just by being large. That of the blind classifier comes from permuted labels (`blind_test`).
    """
    sentences = []
    kinds = (*((kind, "auc_control") for kind in CONTROLS), ("blind", "auc_blind"))
    for stratum, rows in tables.membership.groupby("stratum", sort=False):
        alarmed = blind_alarm(rows)
        for kind, column in kinds:
            part = rows[rows[column].notna()]
            if kind != "blind":
                part = part[_kinds(part) == kind]
            bad = list(_bad(part, column))
            if bad:
                sentences.append(_warning(tables, stratum, kind, bad, column, alarmed))
    return sentences


def _bad(rows: pd.DataFrame, column: str) -> Iterator[dict[Any, Any]]:
    far, tests = rows[rows[column].sub(0.5).abs() >= FAR], _tests(rows)
    if column == "auc_blind":
        sets = rows.drop_duplicates(["auc_blind", "blind_p_value"])
        yield from () if all_alike(list(sets["blind_p_value"])) else far.to_dict("records")
        return
    for row in far.to_dict("records"):
        if beyond_chance(row[column], row["auc_control_se"], tests):
            yield row


def _warning(
    tables: "Tables", stratum: Any, kind: str, bad: list[dict[Any, Any]], column: str, alarmed: bool | None
) -> str:
    values, where = spread(pd.Series([row[column] for row in bad])), stratum_words(stratum)
    trials = list(dict.fromkeys(row["trial"] for row in bad))
    whose = labels_of(tables).get(trials[0], trials[0]) if len(trials) == 1 else count(len(trials), "trial")
    end = (
        "The two sides differ as texts, before any fine-tuning, so an AUC on them does not measure memorization "
        "until the difference is removed: compare the AUCs among records of similar length and similar perplexity, "
        "or split the corpus again."
    )
    if kind == "blind":
        blind = f"a classifier that never saw a model reaches AUC {values} where 0.5 is expected"
        return f"On {where} ({whose}), {blind}. {end}"
    attacks, end = listing(list(dict.fromkeys(row["attack"] for row in bad))), end if alarmed else readings(alarmed)
    name = "the base model" if kind == "base model" else f"the {kind}, which never saw the members,"
    return (
        f"On {where} ({whose}), the same attacks on {name} reach AUC {values} ({attacks}) where 0.5 is expected. {end}"
    )
