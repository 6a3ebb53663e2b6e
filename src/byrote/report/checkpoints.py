"""Checkpoints of one training: which one may be kept, by the rules, and what it costs."""

from typing import TYPE_CHECKING

import pandas as pd

from byrote.report.page import Grid, records_of, text_or_dash
from byrote.report.words import count, interval, number, plain

if TYPE_CHECKING:
    from byrote.tables import Tables


def sentences(tables: "Tables") -> list[str]:
    """The last checkpoint at which every rule is held and what it gives up in loss; or why none is named."""
    rows = tables.checkpoints
    if rows.empty:
        return []
    by_loss = rows.dropna(subset=["loss_nonmembers"]).sort_values("loss_nonmembers", kind="stable")
    best = None if by_loss.empty else by_loss.iloc[0]
    lowest = (
        ""
        if best is None
        else f" The loss on non-members is lowest after {plain(best['steps'])} steps "
        f"({number(best['loss_nonmembers'], 3)} nats a token)."
    )
    if not rows["verdict"].astype(bool).any():
        return [f"No rule was set, so no checkpoint is picked here.{lowest}"]
    held = rows[rows["last_held"]]
    if held.empty:
        return [f"At none of {count(len(rows), 'checkpoint')} is every rule held.{lowest}"]
    last = held.iloc[0]
    cost = _cost(last, best)
    sentence = f"The last checkpoint at which every rule is held is that of step {plain(last['steps'])}"
    return [f"{sentence}{_not_all(rows, last)}.{cost}{lowest}"]


def _not_all(rows: pd.DataFrame, last: pd.Series) -> str:
    """Earlier checkpoints at which a rule is not held: leakage need not grow with the steps."""
    earlier = rows[(rows["steps"] < last["steps"]) & (rows["verdict"] != "held")]
    return f"; at {count(len(earlier), 'earlier checkpoint')} some rule is not" if len(earlier) else ""


def _cost(last: pd.Series, best: pd.Series | None) -> str:
    if best is None or pd.isna(last["loss_nonmembers"]):
        return ""
    return f" Its own loss on non-members is {number(last['loss_nonmembers'], 3)} nats a token."


def checkpoints_grid(tables: "Tables") -> Grid:
    """Every checkpoint with its losses, AUCs, rate and verdict."""
    body = [
        [
            *(str(row["label"]), plain(row["steps"])),
            *(number(row["loss_nonmembers"], 3), number(row["loss_members"], 3)),
            f"{number(row['auc'], 3)} {interval(row['auc_low'], row['auc_high'], 3)}",
            f"{number(row['strongest_auc'], 3)} {interval(row['strongest_low'], row['strongest_high'], 3)}",
            str(row["strongest"]),
            text_or_dash(row["verdict"]),
        ]
        for row in records_of(tables.checkpoints)
    ]
    attack = tables.checkpoints["attack"].iloc[0] if body else ""
    headers = ["checkpoint", "steps", "loss, non-members", "loss, members"]
    headers += [f"AUC of {attack}", "AUC of the strongest attack", "which", "rules"]
    note = (
        "Losses in nats a token. The intervals hold for all checkpoints together, those of the strongest attack for "
        "all attacks too; rules: the worst verdict on the checkpoint."
    )
    return Grid("Checkpoints by steps", headers, body, 1, note, tail=2)
