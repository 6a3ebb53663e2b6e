"""Every attack of each trial with an interval over all attacks, its control and the blind baseline: a panel each."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from matplotlib.figure import SubFigure

from byrote.figures.cells import label_parts_of
from byrote.figures.style import (
    COLOURS,
    DEFAULTS,
    GREY,
    NotDrawnError,
    Options,
    as_figure,
    handle,
    narrow,
    not_shown,
    note,
    panels,
    plain,
    tip_at,
    under_legend,
    with_ends,
)
from byrote.study.labels import joined

if TYPE_CHECKING:
    from byrote.tables import Tables

ACROSS, ACROSS_NARROW, MOST_TRIALS = 4, 2, 12
CONTROLS = {"base model": "s", "null trial": "^", "second shadow": "v"}
OWN, OTHER = COLOURS[1], COLOURS[0]  # the primary attack, every other one


@as_figure
def forest(tables: "Tables", options: Options = DEFAULTS, ax: Axes | None = None) -> Drawing | SubFigure:
    """Attacks by mean AUC, the strongest on top, on the stratum records. NotDrawnError where no AUC exists.

    >>> figure = forest(tables)  # the tables of byrote.load(run)
    >>> figure.savefig("forest.pdf")
    """
    rows = tables.membership
    rows = rows[(rows["stratum"] == "records") & rows["auc"].notna()]
    if rows.empty:
        raise NotDrawnError("no attack has an AUC on the stratum records")
    names = list(rows.groupby("attack", sort=False)["auc"].mean().sort_values(kind="stable").index)
    trials = list(dict.fromkeys(rows["trial"]))
    shown, parts_of = trials[:MOST_TRIALS], label_parts_of(tables.trials)
    across = min(len(shown), ACROSS_NARROW if narrow(ax) else ACROSS)
    down = -(-len(shown) // across)
    figure, places = panels(down * (0.55 + 0.17 * len(names)) + 0.6, across, down, ax=ax)
    for axes, trial in zip(places, shown, strict=False):
        _panel(axes, rows[rows["trial"] == trial], names, options.primary)
        axes.set_title(_title(parts_of.get(trial, [str(trial)])), fontsize=7.5)
    for axes in places[len(shown) :]:
        axes.remove()
    _finish(places[: len(shown)], names, rows, across)
    under_legend(figure, _handles(rows, options.primary, tables.level), 3)
    note(figure, not_shown(len(trials), "trials", MOST_TRIALS))
    return figure


def _panel(axes: Axes, rows: pd.DataFrame, names: list[str], primary: str) -> None:
    for row in rows.to_dict("records"):
        y, colour = names.index(row["attack"]), OWN if row["attack"] == primary else OTHER
        ends = [row["simultaneous_low"], row["simultaneous_high"]]
        if np.isfinite(ends).all():
            axes.plot(ends, [y, y], color=colour, linewidth=1.1, zorder=2)
        axes.plot(row["auc"], y, "o", color=colour, markersize=4, zorder=4)
        if not pd.isna(row["auc_control"]):
            marker = CONTROLS.get(row["control"], CONTROLS["base model"])
            axes.plot(row["auc_control"], y, marker, color="#333333", markerfacecolor="white", markersize=4, zorder=3)
            tip_at(axes, row["auc_control"], y, f"{row['attack']}, {row['control']}: AUC {row['auc_control']:.3f}")
        tip_at(axes, row["auc"], y, f"{row['attack']}: AUC {with_ends(row['auc'], *ends)}")
    blind = rows["auc_blind"].dropna()
    if len(blind):
        axes.axvline(blind.iloc[0], color=GREY, linewidth=1.1, linestyle=":", zorder=1)
    axes.axvline(0.5, color="#555555", linewidth=0.9, linestyle=(0, (4, 3)), zorder=1)


def _title(parts: Iterable[str]) -> str:
    """The parts of a trial's label in lines of at most about twenty characters."""
    lines = [""]
    for part in parts:
        if lines[-1] and len(lines[-1]) + len(part) > 18:
            lines.append(part)
        else:
            lines[-1] = joined([lines[-1], part])
    return plain("\n".join(lines))


def _finish(places: list[Axes], names: list[str], rows: pd.DataFrame, across: int) -> None:
    ends = rows[["auc", "simultaneous_low", "simultaneous_high", "auc_control", "auc_blind"]].to_numpy(float)
    low, high = min(0.45, float(np.nanmin(ends)) - 0.02), max(0.55, float(np.nanmax(ends)) + 0.02)
    for i, axes in enumerate(places):
        axes.set(xlim=(low, high), ylim=(-0.6, len(names) - 0.4))
        axes.set_yticks(range(len(names)), [plain(name) for name in names] if i % across == 0 else [""] * len(names))
        axes.set_xlabel("AUC" if i + across >= len(places) else "")
        axes.set_xticks([tick for tick in (0, 0.25, 0.5, 0.75, 1) if low <= tick <= high])
        axes.grid(axis="x")
        axes.tick_params(axis="y", length=0)


def _handles(rows: pd.DataFrame, primary: str, level: float) -> list:
    handles = [handle(f"attack, {100 * level:.3g}% intervals, valid for all attacks together", OTHER, marker="o")]
    if primary in set(rows["attack"]):
        handles.append(handle(f"the primary attack, {primary}", OWN, marker="o"))
    hollow = {"linestyle": "", "markerfacecolor": "white"}
    kinds = rows[rows["auc_control"].notna()]["control"]
    controlled, second = kinds == "null trial", kinds == "second shadow"
    if (~controlled & ~second).any():
        handles.append(handle("the same on the base model", "#333333", marker="s", **hollow))
    if controlled.any():
        unmatched = rows["control_matched"].eq(False).fillna(False).any()
        words = "the same under the null trial" + (", in part unmatched" if unmatched else "")
        handles.append(handle(words, "#333333", marker="^", **hollow))
    if second.any():
        handles.append(handle("the same under the second shadow", "#333333", marker="v", **hollow))
    if rows["auc_blind"].notna().any():
        handles.append(handle("blind: without any model", GREY, linestyle=":"))
    return [*handles, handle("guessing", "#555555", linestyle=(0, (4, 3)), linewidth=0.9)]
