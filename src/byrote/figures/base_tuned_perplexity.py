"""Perplexity of canaries under the base and the tuned model, coloured by share (the reference study's figure 3.3)."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from matplotlib.figure import SubFigure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from byrote.figures.cells import per_record
from byrote.figures.share_against_perplexity import planted
from byrote.figures.style import DEFAULTS, NotDrawnError, Options, as_figure, drawing, handle, note, under_legend

if TYPE_CHECKING:
    from byrote.tables import Tables


@as_figure
def base_tuned_perplexity(tables: "Tables", options: Options = DEFAULTS, ax: Axes | None = None) -> Drawing | SubFigure:  # noqa: ARG001
    """Log-log scatter at the lowest temperature; non-members hollow. NotDrawnError where no canary has both values.

    >>> figure = base_tuned_perplexity(tables)
    """
    coldest = tables.extraction["temperature"].min()
    rows = planted(tables.extraction)
    canaries = _drawable(rows[(rows["model"] == "tuned") & (rows["temperature"] == coldest)])
    if canaries.empty:
        raise NotDrawnError("no planted canary has a perplexity under both models")
    others = tables.extraction
    others = others[(others["role"] == "nonmember") & (others["model"] == "tuned")]
    others = _drawable(per_record(others[others["temperature"] == coldest]))
    figure, (axes,) = drawing(3.6, ax=ax)
    axes.scatter(
        others["perplexity_base"],
        others["perplexity_tuned"],
        s=10,
        facecolor="none",
        edgecolor="#b5b5b5",
        linewidth=0.7,
    )
    shown = axes.scatter(
        canaries["perplexity_base"],
        canaries["perplexity_tuned"],
        c=canaries["ngram_share"],
        cmap="cividis_r",
        vmin=0,
        vmax=1,
        s=22,
        linewidths=0.4,
        edgecolors="#333333",
        zorder=3,
    )
    figure.colorbar(shown, ax=axes, label=f"share reproduced at temperature {coldest:g}", pad=0.02)
    _finish(axes, pd.concat([canaries, others]))
    handles = [handle("planted canary", "#555555", marker="o", linestyle="")]
    if not others.empty:
        handles.append(handle("non-member", "#b5b5b5", marker="o", markerfacecolor="none", linestyle=""))
    handles.append(handle("unchanged by fine-tuning", "#555555", linestyle=(0, (4, 3)), linewidth=0.9))
    under_legend(figure, handles, 3)
    trials = canaries["trial"].nunique()
    note(figure, f"{trials} trials together." if trials > 1 else "")
    return figure


def _drawable(rows: pd.DataFrame) -> pd.DataFrame:
    good = (rows["perplexity_base"] > 0) & (rows["perplexity_tuned"] > 0)
    return rows[good & np.isfinite(rows["perplexity_base"]) & np.isfinite(rows["perplexity_tuned"])]


def _finish(axes: Axes, rows: pd.DataFrame) -> None:
    axes.set(xscale="log", yscale="log")
    low, high = (bound(rows["perplexity_base"]) for bound in (min, max))
    axes.plot([low, high], [low, high], color="#555555", linewidth=0.9, linestyle=(0, (4, 3)), zorder=1)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.set_minor_formatter(NullFormatter())
    axes.minorticks_off()
    axes.set_xlabel("perplexity under the base model")
    axes.set_ylabel("perplexity under the tuned model")
    axes.grid()
