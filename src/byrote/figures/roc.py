"""ROC curves of the primary attack: linear axes beside logarithmic ones, where the low false-positive rates show."""

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from matplotlib.figure import SubFigure

from byrote.figures.cells import variants
from byrote.figures.style import (
    DEFAULTS,
    LINES,
    MOST,
    NotDrawnError,
    Options,
    as_figure,
    colour_of,
    drawing,
    handle,
    not_shown,
    note,
    outside_legend,
    tip,
)
from byrote.study.labels import joined

if TYPE_CHECKING:
    from byrote.tables import Tables


@as_figure
def roc(tables: "Tables", options: Options = DEFAULTS, ax: Axes | None = None) -> Drawing | SubFigure:
    """A curve per trial on the stratum records, primary attack. NotDrawnError where no curve exists.

    >>> figure = roc(tables, Options(primary="loss"))
    """
    points = tables.roc
    points = points[(points["attack"] == options.primary) & (points["stratum"] == "records")]
    points = points.dropna(subset=["fpr", "tpr"])
    if points.empty:
        raise NotDrawnError(f"no ROC curve of the primary attack {options.primary!r} on the stratum records")
    looks = _looks(tables.trials, list(dict.fromkeys(points["trial"])))
    entries = {label: handle(label, **look) for label, look in looks.values()}
    figure, (linear, logarithmic) = drawing(max(2.7, 0.4 + 0.16 * len(entries)), 2, ax=ax)
    for trial, (label, look) in looks.items():
        curve = points[points["trial"] == trial].sort_values(["fpr", "tpr"])
        for axes in (linear, logarithmic):
            (line,) = axes.step(curve["fpr"], curve["tpr"], where="post", linewidth=1.1, **look)
            tip(line, label)
    _finish(linear, logarithmic, points)
    outside_legend(figure, [*entries.values(), handle("guessing", "#555555", linestyle=(0, (4, 3)), linewidth=0.9)])
    note(figure, not_shown(points["trial"].nunique(), "trials"))
    return figure


def _looks(trials: pd.DataFrame, drawn: list[str]) -> dict[str, tuple[str, dict[str, Any]]]:
    words = variants(trials)
    known = trials.set_index("trial")
    names = list(dict.fromkeys(known["matrices"]))
    kinds = [(known["rank"].get(t), words.get(t, "")) for t in drawn]
    dashes = {kind: LINES[i % len(LINES)] for i, kind in enumerate(sorted(set(kinds), key=str))}
    looks = {}
    for trial, (rank, variant) in list(zip(drawn, kinds, strict=True))[:MOST]:
        matrices = known["matrices"].get(trial, trial)
        label = joined([str(matrices), "" if pd.isna(rank) else f"rank {rank:g}", variant])
        colour = colour_of(names.index(matrices) if matrices in names else len(names))
        looks[trial] = (label, {"color": colour, "linestyle": dashes[rank, variant]})
    return looks


def _finish(linear: Axes, logarithmic: Axes, points: pd.DataFrame) -> None:
    positive = points["fpr"][points["fpr"] > 0]
    smallest = float(min(positive.min(), 0.1)) if len(positive) else 1e-3
    grid = np.geomspace(smallest, 1, 50)
    linear.plot([0, 1], [0, 1], color="#555555", linewidth=0.9, linestyle=(0, (4, 3)))
    logarithmic.plot(grid, grid, color="#555555", linewidth=0.9, linestyle=(0, (4, 3)))
    logarithmic.set(xscale="log", yscale="log", xlim=(smallest, 1), ylim=(smallest, 1.05))
    linear.set(xlim=(-0.01, 1), ylim=(0, 1.01), title="linear")
    logarithmic.set_title("logarithmic")
    for axes in (linear, logarithmic):
        axes.set_xlabel("false-positive rate")
        axes.grid()
    linear.set_ylabel("true-positive rate")
