"""The table of AUCs that a run and a report end with, as rows for programs and on a terminal."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

_COLUMNS = (
    "n_members",
    "n_nonmembers",
    "attack",
    "auc",
    "auc_low",
    "auc_high",
    "auc_control",
    "control_matched",
    "auc_blind",
)


def auc_rows(run_folder: Path, primary: str) -> list[dict[str, Any]]:
    """For each trial and stratum: the primary attack, and the outsider's attack with the highest AUC."""
    import pandas as pd

    from byrote.tables.strongest import strongest_rows

    tables = {n: pd.read_parquet(run_folder / "tables" / f"{n}.parquet") for n in ("trials", "membership")}
    labels = dict(zip(tables["trials"]["trial"], tables["trials"]["label"], strict=True))
    rows = tables["membership"]
    best = strongest_rows(rows, ("trial", "stratum")).index
    shown = rows[(rows["attack"] == primary) | rows.index.isin(best)]
    conditions = dict(zip(tables["trials"]["trial"], tables["trials"]["condition"], strict=True))
    return [
        {
            **{"trial": labels[row["trial"]], "condition": conditions[row["trial"]], "stratum": row["stratum"]},
            **{name: row[name] for name in _COLUMNS},
            **_own_interval(row, primary),
        }
        for row in shown.to_dict("records")
    ]


def _own_interval(row: Mapping[Any, Any], primary: str) -> dict[str, float]:
    """The interval of a row that is shown: an attack picked by its result has one that holds for all attacks together;
    the primary attack was fixed beforehand."""
    kind = "auc" if row["attack"] == primary else "simultaneous"
    return {"auc_low": row[f"{kind}_low"], "auc_high": row[f"{kind}_high"]}


def print_auc(console: Console, rows: Sequence[Mapping[str, Any]], level: float) -> None:
    """The rows of `auc_rows`, after the trials that went wrong and how."""
    area = f"AUC [{100 * level:.3g}% interval]"
    table = Table("trial", "compared", "attack", area, "control", "blind", box=None)
    for row in rows:
        missing = row["auc_low"] != row["auc_low"]
        interval = "" if missing else f" [{row['auc_low']:.3f}, {row['auc_high']:.3f}]"
        sizes = f"{row['stratum']} ({row['n_members']}/{row['n_nonmembers']})"
        numbers = [number(row["auc"]) + escape(interval), control_words(row), number(row["auc_blind"])]
        table.add_row(row["trial"], sizes, row["attack"], *numbers)
    for label, condition in dict.fromkeys((row["trial"], row["condition"]) for row in rows):
        if condition:
            console.print(f"{condition}: {label}", style="yellow", markup=False)
    console.print(table)


def control_words(row: Mapping[str, Any]) -> str:
    """The control's AUC, and whether it is unmatched."""
    unmatched = row["control_matched"] is not None and not row["control_matched"]
    return number(row["auc_control"]) + (" unmatched" if unmatched else "")


def number(value: Any) -> str:
    """Three digits after the point; a dash where it is missing."""
    return "–" if value != value or value is None else f"{value:.3f}"
