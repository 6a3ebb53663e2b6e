"""What checkpoints of one training leak, and what they are worth, over its steps."""

from typing import TYPE_CHECKING, Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing

from byrote.figures.style import COLOURS, GREY, NotDrawnError, Options, drawing, handle, note, under_legend

if TYPE_CHECKING:
    from byrote.tables import Tables


Look = dict[str, Any]


def leakage_by_step(tables: "Tables", options: Options) -> Drawing:
    """AUC with intervals on the left, loss on the right. NotDrawnError where fewer than two steps have an AUC."""
    rows = tables.checkpoints.dropna(subset=["auc"])
    if rows["steps"].nunique() < 2:
        raise NotDrawnError(f"an AUC of {options.primary!r} exists at {rows['steps'].nunique() or 'no'} step only")
    figure, (leaked, lost) = drawing(3.1, 2)
    primary: Look = {"color": COLOURS[0], "marker": "o"}
    most: Look = {"color": COLOURS[1], "marker": "s", "linestyle": "--"}
    _line(leaked, rows, ("auc", "auc_low", "auc_high"), primary)
    _line(leaked, rows, ("strongest_auc", "strongest_low", "strongest_high"), most)
    leaked.axhline(0.5, color="#555555", linewidth=0.9, linestyle=(0, (4, 3)))
    leaked.set_ylabel("AUC (dashed: guessing)")
    held_out: Look = {"color": COLOURS[2], "marker": "^"}
    members: Look = {"color": COLOURS[3], "marker": "v", "linestyle": ":"}
    lost.plot(rows["steps"], rows["loss_nonmembers"], **held_out)
    lost.plot(rows["steps"], rows["loss_members"], **members)
    if rows["loss_base"].notna().any():
        lost.axhline(float(rows["loss_base"].mean()), color=GREY, linewidth=0.9)
    lost.set_ylabel("loss, nats a token")
    last = rows[rows["last_held"]]
    for axes in (leaked, lost):
        axes.set_xlabel("optimizer steps")
        axes.grid(axis="y")
        for steps in last["steps"]:
            axes.axvline(steps, color=COLOURS[2], linewidth=0.8, linestyle=(0, (1, 2)), zorder=0)
    entries = [handle(f"{rows['attack'].iloc[0]} (primary)", **primary), handle("the strongest attack", **most)]
    entries += [handle("loss of non-members", **held_out), handle("loss of members", **members)]
    if rows["loss_base"].notna().any():
        entries.append(handle("base model, non-members", GREY))
    under_legend(figure, entries, 3)
    note(figure, "Dotted upright: the last checkpoint at which every rule is held." if len(last) else "")
    return figure


def _line(axes: Axes, rows: pd.DataFrame, names: tuple[str, str, str], look: Look) -> None:
    """A line with bars where there is an interval."""
    value, low, high = (rows[name] for name in names)
    axes.plot(rows["steps"], value, **look)
    axes.vlines(rows["steps"], low.fillna(value), high.fillna(value), color=look["color"], linewidth=1)
