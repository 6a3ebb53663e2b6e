"""Exposure of canaries against their copies: planted against left out, by rank and extrapolated."""

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from matplotlib.figure import SubFigure

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
    not_shown,
    note,
    plain,
    under_legend,
)

if TYPE_CHECKING:
    from byrote.tables import Tables

KINDS = {"exposure_rank": "by rank", "exposure_extrapolated": "extrapolated"}
UNKNOWN = {
    "exposure_rank": "No exposure by rank is known.",
    "exposure_extrapolated": "No extrapolated exposure is known.",
}
MOST_TRIALS = 6
ASIDE = 0.16  # log2 copies between a canary that was planted and one that was left out


@as_figure
def exposure_by_copies(tables: "Tables", options: Options = DEFAULTS, ax: Axes | None = None) -> Drawing | SubFigure:  # noqa: ARG001
    """A line of means per trial, a dot per canary, and the references' ceiling. NotDrawnError without an exposure.

    >>> figure = exposure_by_copies(tables)
    """
    rows = tables.canaries
    kinds = [kind for kind in KINDS if np.isfinite(rows[kind].to_numpy(float)).any()]
    if not kinds:
        raise NotDrawnError("no canary has an exposure: none was scored, or no references were (canaries.references)")
    trials = list(dict.fromkeys(rows["trial"]))
    labels = dict(zip(tables.trials["trial"], tables.trials["label"], strict=True))
    figure, places = drawing(3.6, len(kinds), ax=ax)
    handles = []
    for axes, kind in zip(places, kinds, strict=True):
        for place, trial in enumerate(trials[:MOST_TRIALS]):
            look = {"color": colour_of(place), "marker": MARKERS[place]}
            _trial(axes, rows[rows["trial"] == trial], kind, look)
            if axes is places[0]:
                handles.append(handle(f"planted, {labels.get(trial, trial)}", **look))
        _finish(axes, rows, KINDS[kind])
    hollow = {"linestyle": "", "marker": "o", "markerfacecolor": "white"}
    handles.append(handle("left out (mean)", GREY, **hollow))
    handles.append(handle("the most that the references can show by rank, log₂ R", "#555555", linestyle=(0, (4, 3))))
    under_legend(figure, handles, 2)
    places[0].set_ylabel("exposure, bits")
    text = ["Dots: single canaries.", not_shown(len(trials), "trials", MOST_TRIALS)]
    text += [UNKNOWN[kind] for kind in KINDS if kind not in kinds]
    note(figure, " ".join(filter(None, text)))
    return figure


def _trial(axes: Axes, rows: pd.DataFrame, kind: str, look: dict[str, Any]) -> None:
    for role, shift in (("canary_in", 0.0), ("canary_out", ASIDE)):
        part = rows[(rows["role"] == role) & np.isfinite(rows[kind].to_numpy(float)) & (rows["copies"] > 0)]
        planted = role == "canary_in"
        x, y = np.log2(part["copies"].to_numpy(float)) + shift, part[kind].to_numpy(float)
        colour = look["color"] if planted else GREY
        axes.plot(x, y, ".", color=colour, markersize=4, alpha=0.4, markeredgewidth=0, zorder=2)
        means = pd.Series(y).groupby(x).mean()
        how: dict[str, Any] = (
            look if planted else {"color": GREY, "marker": "o", "markerfacecolor": "white", "linestyle": ""}
        )
        axes.plot(means.index, means, zorder=4 if planted else 3, **how)


def _finish(axes: Axes, rows: pd.DataFrame, title: str) -> None:
    copies = sorted(set(rows["copies"].astype(int)) - {0})
    ceiling = float(np.log2(rows["references"].max() + 1))
    axes.axhline(ceiling, color="#555555", linewidth=0.9, linestyle=(0, (4, 3)), zorder=1)
    axes.set_xticks([float(np.log2(c)) for c in copies], [str(c) for c in copies])
    axes.set_xlabel("copies in the training records")
    axes.set_title(plain(title))
    axes.set_ylim(bottom=-0.3)
    axes.grid(axis="y")
