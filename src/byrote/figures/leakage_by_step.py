"""What checkpoints of one training leak, and what they are worth, over its steps."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from matplotlib.figure import SubFigure

from byrote.figures.style import (
    COLOURS,
    DEFAULTS,
    GREY,
    MARKERS,
    NotDrawnError,
    Options,
    as_figure,
    drawing,
    handle,
    note,
    tip_at,
    under_legend,
    with_ends,
)

if TYPE_CHECKING:
    from byrote.tables import Tables


Look = dict[str, Any]


@as_figure
def leakage_by_step(tables: "Tables", options: Options = DEFAULTS, ax: Axes | None = None) -> Drawing | SubFigure:
    """AUC with intervals on the left, loss on the right; a line for each training where there are several.
    NotDrawnError where fewer than two steps have an AUC.

    >>> figure = leakage_by_step(tables)
    """
    rows = tables.checkpoints.dropna(subset=["auc"])
    if rows["steps"].nunique() < 2:
        raise NotDrawnError(f"an AUC of {options.primary!r} exists at {rows['steps'].nunique() or 'no'} step only")
    figure, panels = drawing(3.1, 2, ax=ax)
    series = {str(name): of for name, of in rows.groupby("series", sort=False)}
    entries = _one(panels, rows) if len(series) == 1 else _several(panels, series)
    leaked, lost = panels
    leaked.axhline(0.5, color="#555555", linewidth=0.9, linestyle=(0, (4, 3)))
    leaked.set_ylabel("AUC (dashed: guessing)")
    lost.set_ylabel("loss, nats a token")
    if rows["loss_base"].notna().any():
        lost.axhline(float(rows["loss_base"].mean()), color=GREY, linewidth=0.9)
        entries.append(handle("base model, non-members", GREY))
    for axes in panels:
        axes.set_xlabel("optimizer steps")
        axes.grid(axis="y")
    under_legend(figure, entries, 3)
    note(figure, "Dotted upright: the last step at which every rule is held." if rows["last_held"].any() else "")
    return figure


def _one(panels: Sequence[Axes], rows: pd.DataFrame) -> list[Any]:
    """Primary and strongest attack, non-members and members of one training."""
    leaked, lost = panels
    primary: Look = {"color": COLOURS[0], "marker": "o"}
    most: Look = {"color": COLOURS[1], "marker": "s", "linestyle": "--"}
    held_out: Look = {"color": COLOURS[2], "marker": "^"}
    members: Look = {"color": COLOURS[3], "marker": "v", "linestyle": ":"}
    _line(leaked, rows, ("auc", "auc_low", "auc_high"), primary)
    _line(leaked, rows, ("strongest_auc", "strongest_low", "strongest_high"), most)
    lost.plot(rows["steps"], rows["loss_nonmembers"], **held_out)
    lost.plot(rows["steps"], rows["loss_members"], **members)
    _upright(panels, rows, COLOURS[2])
    attack = rows["attack"].iloc[0]
    return [
        *(handle(f"{attack} (primary)", **primary), handle("the strongest attack", **most)),
        *(handle("loss of non-members", **held_out), handle("loss of members", **members)),
    ]


def _several(panels: Sequence[Axes], series: Mapping[str, pd.DataFrame]) -> list[Any]:
    """The primary attack and the loss of non-members of each training."""
    leaked, lost = panels
    entries: list[Any] = []
    for number, (name, rows) in enumerate(series.items()):
        look: Look = {"color": COLOURS[number % len(COLOURS)], "marker": MARKERS[number % len(MARKERS)]}
        _line(leaked, rows, ("auc", "auc_low", "auc_high"), look)
        lost.plot(rows["steps"], rows["loss_nonmembers"], **look)
        _upright(panels, rows, look["color"])
        entries.append(handle(name, **look))
    return entries


def _upright(panels: Sequence[Axes], rows: pd.DataFrame, colour: str) -> None:
    for steps in rows[rows["last_held"]]["steps"].unique():
        for axes in panels:
            axes.axvline(steps, color=colour, linewidth=0.8, linestyle=(0, (1, 2)), zorder=0)


def _line(axes: Axes, rows: pd.DataFrame, names: tuple[str, str, str], look: Look) -> None:
    """A line with bars where there is an interval."""
    value, low, high = (rows[name] for name in names)
    axes.plot(rows["steps"], value, **look)
    for step, *numbers in zip(rows["steps"], value, low, high, strict=True):
        if not pd.isna(numbers[0]):
            tip_at(axes, step, numbers[0], f"step {step}: AUC {with_ends(*numbers)}")
    axes.vlines(rows["steps"], low.fillna(value), high.fillna(value), color=look["color"], linewidth=1)
