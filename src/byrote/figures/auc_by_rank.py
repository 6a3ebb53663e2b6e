"""AUC against LoRA rank, a line for each choice of matrices (the reference study's figure 3.6)."""

from typing import TYPE_CHECKING

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from matplotlib.figure import SubFigure

from byrote.figures.auc_by_placement import bars_note, draw_cells, extra_handles
from byrote.figures.cells import auc_cells, same_matrices
from byrote.figures.style import (
    DEFAULTS,
    LINES,
    MARKERS,
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
)
from byrote.study.labels import joined

if TYPE_CHECKING:
    from byrote.tables import Tables


@as_figure
def auc_by_rank(tables: "Tables", options: Options = DEFAULTS, ax: Axes | None = None) -> Drawing | SubFigure:
    """Means and bars against rank on a log2 axis. NotDrawnError where fewer than two ranks have an AUC.

    >>> figure = auc_by_rank(tables)
    """
    cells = auc_cells(tables, options.primary)
    ranks = sorted(set(cells["rank"]))
    if len(ranks) < 2:
        raise NotDrawnError(
            f"an AUC of {options.primary!r} exists at {len(ranks) or 'no'} rank{'' if ranks else 's'} only"
        )
    figure, (axes,) = drawing(3.4, ax=ax)
    names = list(dict.fromkeys(cells["matrices"]))
    styles = list(dict.fromkeys(cells["variant"]))
    series = list(dict.fromkeys(cells[["matrices", "variant"]].itertuples(index=False)))
    handles = []
    for matrices, variant in series[:MOST]:
        rows = cells[(cells["matrices"] == matrices) & (cells["variant"] == variant)].sort_values("rank")
        place = names.index(matrices)
        look = {"color": colour_of(place), "marker": MARKERS[place // len(MARKERS) % len(MARKERS)]}
        line = LINES[styles.index(variant) % len(LINES)]
        draw_cells(axes, rows["rank"].to_numpy(float), rows, look, line)
        handles.append(handle(joined([matrices, variant]), linestyle=line, **look))
        if options.published is not None:
            near = [same_matrices(name, matrices) for name in options.published["matrices"]]
            published = options.published[near]
            axes.plot(
                published["rank"], published["auc"], linestyle="", marker="o", mfc="none", mec=look["color"], zorder=2
            )
    axes.axhline(0.5, color="#555555", linewidth=0.9, linestyle=(0, (4, 3)), zorder=1)
    axes.set_xscale("log", base=2)
    ticks = [2**power for power in range(11) if ranks[0] <= 2**power <= ranks[-1]] if len(ranks) > 10 else ranks
    axes.set_xticks(ticks, [str(rank) for rank in ticks])
    axes.minorticks_off()
    axes.set_xlabel("LoRA rank")
    axes.set_ylabel("AUC (dashed: guessing)")
    axes.grid(axis="y")
    outside_legend(figure, [*handles, *extra_handles(cells, options)])
    note(figure, "  ".join(filter(None, [not_shown(len(series), "lines"), bars_note(cells, tables.level)])))
    return figure
