"""AUC of each choice of matrices, grouped by rank (the reference study's table 3.1, drawn)."""

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from matplotlib.figure import SubFigure

from byrote.figures.cells import auc_cells, same_matrices
from byrote.figures.style import (
    DEFAULTS,
    MARKERS,
    MOST,
    NotDrawnError,
    Options,
    as_figure,
    drawing,
    handle,
    not_shown,
    note,
    outside_legend,
    plain,
    shades,
    tip_at,
    with_ends,
)
from byrote.study.labels import joined

if TYPE_CHECKING:
    from byrote.tables import Tables

SERIES = 8


@as_figure
def auc_by_placement(tables: "Tables", options: Options = DEFAULTS, ax: Axes | None = None) -> Drawing | SubFigure:
    """Points with interval bars by matrices; a series for each rank and variant. NotDrawnError where no AUC exists.

    >>> figure = auc_by_placement(tables)
    """
    cells = auc_cells(tables, options.primary)
    if cells.empty:
        raise NotDrawnError(f"no AUC of the primary attack {options.primary!r} on the stratum records")
    series = list(dict.fromkeys(cells[["rank", "variant"]].sort_values(["rank", "variant"]).itertuples(index=False)))
    names = list(dict.fromkeys(cells["matrices"]))
    figure, (axes,) = drawing(3.4, ax=ax)
    colours = shades(min(len(series), SERIES))
    handles = []
    for place, (rank, variant) in enumerate(series[:SERIES]):
        shift = (place - (min(len(series), SERIES) - 1) / 2) * 0.72 / min(len(series), SERIES)
        rows = cells[(cells["rank"] == rank) & (cells["variant"] == variant) & cells["matrices"].isin(names[:MOST])]
        x = np.array([names.index(name) for name in rows["matrices"]]) + shift
        look = {"color": colours[place], "marker": MARKERS[place % len(MARKERS)]}
        draw_cells(axes, x, rows, look)
        published_cells(axes, names[:MOST], shift, rank, options, look)
        label = joined([f"rank {rank}", variant])
        handles.append(handle(label, linestyle="", **look))
    finish(axes, [plain(name) for name in names[:MOST]])
    outside_legend(figure, [*handles, *extra_handles(cells, options)])
    print_small = [
        not_shown(len(series), "series", SERIES),
        not_shown(len(names), "placements"),
        bars_note(cells, tables.level),
    ]
    note(figure, "  ".join(text for text in print_small if text))
    return figure


def draw_cells(axes: Axes, x: np.ndarray, rows: pd.DataFrame, look: dict[str, Any], line: str = "") -> None:
    """Means with their bars at positions `x` (C,), and every seed's own point where there are several."""
    mean = rows["auc"].to_numpy(float)
    bars = np.vstack([mean - rows["low"].to_numpy(float), rows["high"].to_numpy(float) - mean])
    heights = np.nan_to_num(np.clip(bars, 0, None))
    axes.errorbar(x, mean, yerr=heights, linestyle=line, capsize=2, elinewidth=1, linewidth=1.2, zorder=3, **look)
    for place, cell in zip(x, rows.to_dict("records"), strict=True):
        kind = joined([plain(cell["matrices"]), f"rank {cell['rank']:g}", cell["variant"]])
        tip_at(axes, place, cell["auc"], f"{kind}: AUC {with_ends(cell['auc'], cell['low'], cell['high'])}")
    for place, aucs in zip(x, rows["aucs"], strict=True):
        if len(aucs) > 1:
            aside = place + 0.07 if not line else place * 1.03
            axes.plot([aside] * len(aucs), aucs, ".", color=look["color"], alpha=0.45, markersize=4, zorder=2)


def published_cells(
    axes: Axes, names: list[str], shift: float, rank: int, options: Options, look: dict[str, Any]
) -> None:
    """Hollow markers of the published AUCs of this rank, beside those of the run."""
    if options.published is None:
        return
    of_rank = options.published[options.published["rank"] == rank]
    for matrices, auc in of_rank[["matrices", "auc"]].itertuples(index=False):
        for x in (i for i, name in enumerate(names) if same_matrices(name, matrices)):
            axes.plot(
                x + shift, auc, linestyle="", marker=look["marker"], mfc="white", mec=look["color"], mew=1, zorder=4
            )


def extra_handles(cells: pd.DataFrame, options: Options) -> list[Any]:
    """Legend entries for single seeds and published values, where either is drawn."""
    extra = []
    if (cells["seeds"] > 1).any():
        extra.append(handle("one seed", "#555555", linestyle="", marker=".", alpha=0.5))
    if options.published is not None and _matches(cells, options.published):
        hollow = {"linestyle": "", "marker": "o", "markerfacecolor": "white"}
        extra.append(handle(options.published_label, "#555555", **hollow))
    return extra


def _matches(cells: pd.DataFrame, published: pd.DataFrame) -> bool:
    pairs = list(published[["matrices", "rank"]].itertuples(index=False))
    return any(
        rank == other_rank and same_matrices(name, other)
        for name, rank in cells[["matrices", "rank"]].itertuples(index=False)
        for other, other_rank in pairs
    )


def bars_note(cells: pd.DataFrame, level: float) -> str:
    """What the bars stand for, in this data."""
    meanings = {
        "records": f"Bars: {100 * level:.3g}% interval over records, one trained model each.",
        "seeds": f"Bars on means: {100 * level:.3g}% t interval over seeds.",
        "": "No bar where two to four seeds were run, or no interval could be computed.",
    }
    return " ".join(text for basis, text in meanings.items() if (cells["basis"] == basis).any())


def finish(axes: Axes, names: list[str]) -> None:
    """Axes, names and the line of guessing."""
    axes.axhline(0.5, color="#555555", linewidth=0.9, linestyle=(0, (4, 3)), zorder=1)
    axes.set_xticks(range(len(names)), names, rotation=0 if max(map(len, names)) * len(names) < 60 else 30)
    axes.set_xlim(-0.6, len(names) - 0.4)
    axes.set_xlabel("adapted matrices")
    axes.set_ylabel("AUC (dashed: guessing)")
    axes.grid(axis="y")
