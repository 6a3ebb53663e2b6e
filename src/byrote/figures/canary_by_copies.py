"""What more copies of a canary do: its perplexity, and how much of it is reproduced, with controls."""

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from matplotlib.figure import SubFigure
from matplotlib.ticker import FuncFormatter

from byrote.figures.cells import per_record
from byrote.figures.share_against_perplexity import planted
from byrote.figures.style import (
    DEFAULTS,
    GREY,
    MARKERS,
    NotDrawnError,
    Options,
    as_figure,
    colour_of,
    drawing,
    handle,
    note,
    shades,
    under_legend,
)

if TYPE_CHECKING:
    from byrote.tables import Tables

CONTROLS = {"nonmember": "non-\nmembers", "canary_out": "left-out\ncanaries"}
GAP = 1.5  # log2 copies between a control and its neighbour


@as_figure
def canary_by_copies(tables: "Tables", options: Options = DEFAULTS, ax: Axes | None = None) -> Drawing | SubFigure:  # noqa: ARG001
    """Two panels over log2 copies; controls are on the left. NotDrawnError where no canary was prompted.

    >>> figure = canary_by_copies(tables)
    """
    rows = tables.extraction
    numbers = planted(rows)[["ngram_share", "perplexity_base", "perplexity_tuned"]]
    if not np.isfinite(numbers.to_numpy(float)).any():
        raise NotDrawnError("no planted canary has a share or a perplexity")
    rows = per_record(rows[rows["role"].isin(["canary_in", *CONTROLS])])
    rows, ticks = _positions(rows)
    temperatures = sorted(set(rows["temperature"]))
    figure, (left, right) = drawing(3.9, 2, ax=ax)
    once = rows[(rows["model"] == "tuned") & (rows["temperature"] == temperatures[0])]
    handles = [
        _line(left, once, "perplexity_base", "perplexity, base model", {"color": GREY, "marker": "s"}),
        _line(left, once, "perplexity_tuned", "perplexity, tuned model", {"color": colour_of(0), "marker": "o"}),
    ]
    for place, temperature in enumerate(temperatures):
        look = {"color": shades(len(temperatures))[place], "marker": MARKERS[place % len(MARKERS)]}
        for model, line in (("base", ":"), ("tuned", "-")):
            part = rows[(rows["temperature"] == temperature) & (rows["model"] == model)]
            words = f"temperature {temperature:g}, {model} model"
            faint = {**look, "alpha": 0.7, "markerfacecolor": "none"} if model == "base" else look
            if not part.empty:
                handles.append(_line(right, part, "ngram_share", words, {**faint, "linestyle": line}))
    _finish(left, right, ticks)
    under_legend(figure, _in_columns(handles), 2)
    trials = rows["trial"].nunique()
    note(
        figure,
        "Lines: means (left: geometric). Dots: single canaries." + (f" {trials} trials together." * (trials > 1)),
    )
    return figure


def _positions(rows: pd.DataFrame) -> tuple[pd.DataFrame, dict[float, str]]:
    copies = sorted(set(rows.loc[rows["role"] == "canary_in", "copies"].astype(int)))
    ticks = {float(np.log2(c)): str(c) for c in copies}
    present = [role for role in CONTROLS if (rows["role"] == role).any()]
    at = {role: min(ticks) - GAP * (1 + i) for i, role in enumerate(reversed(present))}
    x = [at[role] if role in at else float(np.log2(c)) for role, c in rows[["role", "copies"]].itertuples(index=False)]
    return rows.assign(x=x), {**{at[role]: CONTROLS[role] for role in present}, **ticks}


def _in_columns(handles: list[Any]) -> list[Any]:
    """Base models in the first column of the legend, tuned models in the second."""
    return [*(h for h in handles if "base" in h.get_label()), *(h for h in handles if "base" not in h.get_label())]


def _line(axes: Axes, rows: pd.DataFrame, column: str, label: str, look: dict[str, Any]):
    rows = rows[np.isfinite(rows[column])]
    geometric = column.startswith("perplexity")
    values = rows[column].map(math.log) if geometric else rows[column]
    means = values.groupby(rows["x"]).mean()
    means = means.map(math.exp) if geometric else means
    control = rows[rows["role"] != "canary_in"]["x"].unique()
    dots = {"color": look["color"], "markersize": 2.5, "alpha": 0.22, "markeredgewidth": 0}
    canaries = rows[rows["role"] == "canary_in"]
    axes.plot(canaries["x"], canaries[column], ".", zorder=1, **dots)
    joined = means[~means.index.isin(control)]
    axes.plot(joined.index, joined, zorder=3, **look)
    apart = means[means.index.isin(control)]
    axes.plot(apart.index, apart, zorder=3, **{**look, "linestyle": ""})
    return handle(label, **look)


def _finish(left: Axes, right: Axes, ticks: dict[float, str]) -> None:
    order = sorted(ticks)
    for axes in (left, right):
        axes.set_xticks(order, [ticks[x] for x in order], fontsize=7)
        axes.set_xlim(order[0] - 0.8, order[-1] + 0.5)
        axes.set_xlabel("copies in the training records")
        axes.grid(axis="y")
    if any(np.size(line.get_ydata()) for line in left.lines):
        left.set_yscale("log")
    left.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    left.minorticks_off()
    left.set_title("perplexity of the record")
    right.set_title("share of the rest reproduced")
    right.set_ylim(-0.03, 1.04)
