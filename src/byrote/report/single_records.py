"""Single records: which stand out most, how far attacks and seeds agree, and what planting a record did to it.

Ids only; no record's text appears here.
"""

from typing import TYPE_CHECKING, Any

import pandas as pd

from byrote.report.page import Grid, capped, labels_of, records_of, text_or_dash, without_empty
from byrote.report.words import count, missing, number, percent, plain, spread
from byrote.tables.compared import AUDITOR

if TYPE_CHECKING:
    from byrote.tables import Tables

MOST_OPEN = 15
MIXED = "in several ways"
ROLES = {"member": "member", "canary_in": "planted canary"}


# --- sentences --------------------------------------------------------------------------------------------------


def exposed_sentences(tables: "Tables") -> list[str]:
    """How clearly the most exposed records stand out, and how many stand out in every trial."""
    rows = tables.records
    if rows.empty:
        return []
    trials, attacks = rows["trial"].nunique(), _attacks(tables)
    sentences = [
        "A record is exposed to the extent that attacks place it above records that the model never saw. The "
        f"{int(rows.groupby('trial').size().max())} most exposed members and planted canaries of each trial are kept, "
        f"by the mean over {count(attacks, 'attack')}."
    ]
    first = records_of(rows.sort_values("percentile", ascending=False, kind="stable"))[0]
    label = labels_of(tables).get(first["trial"], first["trial"])
    sentences.append(
        f"The most exposed of all is {first['record']}, after {label}: {percent(first['percentile'])} of non-members "
        f"lie below it on average{_agree(first, attacks)}."
    )
    if trials > 1:
        always = int((rows.groupby("record")["trial"].nunique() == trials).sum())
        sentences.append(f"{count(always, 'record')} {_are(always)} on the lists of all {trials} trials.")
    sentences.append(
        "Records at the top of such a list are partly there by luck: measured again, they would tend to look less "
        "exposed."
    )
    return sentences


def _are(amount: int) -> str:
    return "is" if amount == 1 else "are"


def _agree(row: dict[str, Any], attacks: int) -> str:
    if missing(row["attacks_above"]):
        return ""
    return f", and {plain(row['attacks_above'])} of {attacks} attacks name it a member at a false-positive rate of 1%"


def _attacks(tables: "Tables") -> int:
    """How many attacks took part: those of an outsider, without the auditor's combination of them."""
    names = set(tables.membership["attack"]) - {AUDITOR}
    return len(names)


def agreement_sentences(tables: "Tables") -> list[str]:
    """How far attacks order members alike."""
    known = tables.agreement["spearman"].dropna()
    if known.empty:
        return []
    return [
        f"The orders in which two attacks put the members have a median rank correlation of {number(known.median())} "
        f"({spread(known)}); where attacks disagree, so do their lists."
    ]


def counterfactual_sentences(tables: "Tables") -> list[str]:
    """What training on a canary did to it, over trials that drew their canaries by a coin."""
    rows = tables.counterfactual
    if rows.empty:
        return []
    known = rows[rows["memorization"].notna()]
    if known.empty:
        return ["Counterfactual memorization could be computed for no canary: each was in every trial, or in none."]
    above = int((known["memorization"] > 0).sum())
    sentences = [
        "Trials of one configuration drew their canaries by a coin, so trials that had a canary can be compared with "
        "those that did not: where it was trained on, its log-probability per token is higher by "
        f"{number(known['memorization'].mean())} nats on average ({spread(known['memorization'])}), and it is higher "
        f"for {above} of {count(len(known), 'canary', 'canaries')}."
    ]
    missed = len(rows) - len(known)
    return sentences + ([f"For {count(missed, 'canary', 'canaries')} no difference is known."] if missed else [])


# --- tables -----------------------------------------------------------------------------------------------------


def exposed_grid(tables: "Tables") -> Grid:
    """The records that head the lists of most trials, one row per record."""
    rows, attacks = tables.records, _attacks(tables)
    body = []
    if len(rows):
        grouped = rows.groupby("record", sort=False)
        order = pd.DataFrame(
            {"trials": grouped["trial"].nunique(), "percentile": grouped["percentile"].mean()}
        ).sort_values(["trials", "percentile"], ascending=False, kind="stable")
        body = [_record(str(name), grouped.get_group(name)) for name in order.index]
    headers = ["record", "role", "strongest attack", "copies", "trials", "best place", "above non-members"]
    headers += ["attacks that agree", "spread over seeds"]
    note = (
        "Trials: how many lists include the record. Above non-members: share of non-members below it, mean over "
        f"attacks and those trials. Attacks that agree: of {attacks}, how many name it a member at a false-positive "
        "rate of 1%."
    )
    if rows["seeds_sd"].notna().any():
        note += " Spread over seeds: standard deviation of the primary attack's score, in its own unit."
    grid = Grid("The most exposed records over all trials", headers, body, 3, note)
    return capped(without_empty(grid, "spread over seeds"), "records", MOST_OPEN)


def _record(name: str, part: pd.DataFrame) -> list[str]:
    strongest = part["strongest_attack"].value_counts().index
    roles = list(dict.fromkeys(ROLES.get(str(role), str(role)) for role in part["role"]))
    return [
        *(name, roles[0] if len(roles) == 1 else MIXED, str(strongest[0]), spread(part["copies"], 0)),
        *(plain(part["trial"].nunique()), plain(part["exposed_rank"].min()), percent(part["percentile"].mean())),
        *(spread(part["attacks_above"], 0), spread(part["seeds_sd"], 3)),
    ]


def lists_grid(tables: "Tables") -> Grid:
    """Every trial's list."""
    labels = labels_of(tables)
    body = [
        [
            *(
                labels.get(row["trial"], row["trial"]),
                row["record"],
                ROLES.get(row["role"], row["role"]),
            ),
            *(text_or_dash(row["strongest_attack"]), plain(row["exposed_rank"]), plain(row["copies"])),
            *(percent(row["percentile"]), plain(row["attacks_above"]), number(row["seeds_sd"], 3)),
            text_or_dash(row["note"]),
        ]
        for row in records_of(tables.records)
    ]
    headers = ["trial", "record", "role", "strongest attack", "place", "copies", "above non-members"]
    headers += ["attacks that agree", "spread over seeds", "remark"]
    grid = Grid("The most exposed records of each trial", headers, body, 4, tail=1)
    return capped(without_empty(grid, "spread over seeds", "remark"), "records")


def agreement_grid(tables: "Tables") -> Grid:
    """How far two attacks order members alike, over the trials."""
    body = []
    for (first, second), part in tables.agreement.groupby(["attack_a", "attack_b"], sort=False):
        rho, overlap = part["spearman"].dropna(), part["jaccard_top"].dropna()
        notes = [note for note in dict.fromkeys(part["note"].dropna()) if note]
        body.append(
            [
                *(str(first), str(second), number(rho.mean()), spread(rho), number(overlap.mean()), plain(len(part))),
                text_or_dash("; ".join(notes)),
            ]
        )
    headers = ["attack", "and", "rank correlation", "lowest to highest", "overlap of the top", "trials", "why missing"]
    note = (
        "Over members, mean of the trials. Overlap of the top: of the fifty records that either attack puts "
        "highest, the share that both do."
    )
    grid = Grid("How far attacks agree on the members", headers, body, 2, note, tail=1)
    return without_empty(grid, "why missing")


def counterfactual_grid(tables: "Tables") -> Grid:
    """Canaries that training changed most, highest first; those without a number last, with the reason."""
    rows = tables.counterfactual.sort_values("memorization", ascending=False, kind="stable", na_position="last")
    body = [
        [
            *(text_or_dash(row["label"]), row["record"], plain(row["n_in"]), plain(row["n_out"])),
            *(number(row[name], 2) for name in ("memorization", "lira_online", "lira_offline")),
            text_or_dash(row["reason"]),
        ]
        for row in records_of(rows)
    ]
    headers = ["configuration", "canary", "trials in", "trials out", "memorization", "LiRA online", "LiRA offline"]
    note = (
        "Memorization: mean log-probability per token over the trials that had the canary minus that over those that "
        "did not, in nats (Zhang et al. 2023). LiRA: mean score over the trials that had it (Carlini et al. 2022)."
    )
    grid = Grid("What training on a canary did to it", [*headers, "remark"], body, 2, note, tail=1)
    return capped(without_empty(grid, "remark"), "counterfactual", 100)
