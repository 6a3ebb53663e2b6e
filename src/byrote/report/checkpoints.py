"""Checkpoints of a training: which one may be kept, by the rules, and what it costs."""

import math
from typing import TYPE_CHECKING, Any

import pandas as pd

from byrote.report.page import Grid, records_of, text_or_dash
from byrote.report.words import count, listing, number, percent, plain, rate_words, with_ends
from byrote.tables.checkpoints import left_out

if TYPE_CHECKING:
    from byrote.tables import Tables


def sentences(tables: "Tables") -> list[str]:
    """For each training the last checkpoint at which every rule is held and what it gives up, or the trade-off where
    no rule is set; and the subjects that stand in no order."""
    table = tables.checkpoints
    if table.empty:
        return []
    several = table["series"].nunique() > 1
    of_series = [_of_series(rows, several) for _, rows in table.groupby("series", sort=False)]
    return [*of_series, *_left_out(tables)]


def _of_series(rows: pd.DataFrame, several: bool) -> str:
    of = f" of {rows['series'].iloc[0]}" if several else ""
    best = _lowest(rows, "loss_nonmembers")
    if not rows["verdict"].astype(bool).any():
        return f"No rule was set, so no checkpoint{of} is picked here.{_trade_off(rows, best)}"
    held = rows[rows["last_held"]]
    if held.empty:
        return f"At none of {count(len(rows), 'checkpoint')}{of} is every rule held.{_best(best)}"
    last = held.iloc[0]
    sentence = f"The last checkpoint{of} at which every rule is held is that of step {plain(last['steps'])}"
    return f"{sentence}{_not_all(rows, last)}.{_cost(last, best)}"


def _lowest(rows: pd.DataFrame, column: str) -> pd.Series | None:
    known = rows.dropna(subset=[column]).sort_values(column, kind="stable")
    return None if known.empty else known.iloc[0]


def _perplexity(row: pd.Series) -> str:
    return number(math.exp(row["loss_nonmembers"]), 2)


def _best(best: pd.Series | None) -> str:
    if best is None:
        return ""
    base = "" if pd.isna(best["loss_base"]) else f"; the base model's is {number(math.exp(best['loss_base']), 2)}"
    return (
        f" The perplexity of non-members is lowest after {plain(best['steps'])} steps: {_perplexity(best)}"
        f" ({number(best['loss_nonmembers'], 3)} nats a token){base}."
    )


def _trade_off(rows: pd.DataFrame, best: pd.Series | None) -> str:
    """What the least leaky checkpoint gives up, and what the best one leaks."""
    least = _lowest(rows, "auc")
    if best is None or least is None:
        return _best(best)
    if best["steps"] == least["steps"]:
        return f"{_best(best)} There the AUC of {best['attack']} is lowest too: {number(best['auc'], 3)}."
    return (
        f"{_best(best)} There the AUC of {best['attack']} is {number(best['auc'], 3)}; it is lowest after "
        f"{plain(least['steps'])} steps, {number(least['auc'], 3)} at a perplexity of {_perplexity(least)}."
    )


def _not_all(rows: pd.DataFrame, last: pd.Series) -> str:
    """Earlier checkpoints at which a rule is not held: leakage need not grow with the steps."""
    earlier = rows[(rows["steps"] < last["steps"]) & (rows["verdict"] != "held")]
    return f"; at {count(len(earlier), 'earlier checkpoint')} some rule is not" if len(earlier) else ""


def _cost(last: pd.Series, best: pd.Series | None) -> str:
    """Perplexity given up against the best checkpoint."""
    if best is None or pd.isna(last["loss_nonmembers"]):
        return ""
    if best["steps"] == last["steps"]:
        return f"{_best(best)} Nothing is given up."
    more = math.exp(last["loss_nonmembers"] - best["loss_nonmembers"]) - 1
    return f"{_best(best)} That of step {plain(last['steps'])} is {_perplexity(last)}, {percent(more)} higher."


def _left_out(tables: "Tables") -> list[str]:
    others = left_out(tables.trials, tables.checkpoints)
    if not others:
        return []
    reasons = [f"{name} ({why})" for name, why in others.items()]
    stand = "stands" if len(others) == 1 else "stand"
    return [f"{count(len(others), 'subject')} {stand} in no order of steps: {listing(reasons)}."]


def checkpoints_grid(tables: "Tables") -> Grid:
    """Every checkpoint with its losses, AUCs, rate and verdicts."""
    table = tables.checkpoints
    several = table["series"].nunique() > 1
    body = [
        [
            *([str(row["series"])] if several else []),
            *(str(row["label"]), plain(row["steps"])),
            *(number(row[name], 3) for name in ("loss_nonmembers", "loss_members", "loss_base")),
            *(_with_ends(row, "auc", "auc_"), _with_ends(row, "auc_control", "auc_control_")),
            *(_with_ends(row, "strongest_auc", "strongest_"), str(row["strongest"]), rate_words(row)),
            text_or_dash(row["rules"]),
        ]
        for row in records_of(table)
    ]
    attack = table["attack"].iloc[0] if body else ""
    headers = ["training"] if several else []
    headers += ["checkpoint", "steps", "loss, non-members", "loss, members", "loss, base model"]
    headers += [f"AUC of {attack}", "AUC of its control", "AUC of the strongest attack", "which"]
    headers += [f"TPR of {attack} at an FPR", "rules"]
    note = (
        "Losses in nats a token; that of the base model is on non-members. The intervals hold for all subjects "
        "together, those of the strongest attack for all attacks too; those of controls by themselves."
    )
    return Grid("Checkpoints by steps", headers, body, 2 if several else 1, note, tail=1)


def _with_ends(row: Any, name: str, prefix: str) -> str:
    return with_ends(row[name], row[f"{prefix}low"], row[f"{prefix}high"])
