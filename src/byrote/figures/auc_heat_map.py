"""AUC of the primary attack over the grid: matrices against rank, with its interval in each cell."""

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from matplotlib.figure import SubFigure
from matplotlib.patches import Rectangle

from byrote.figures.cells import auc_cells
from byrote.figures.style import DEFAULTS, NotDrawnError, Options, as_figure, drawing, not_shown, note, plain, tip
from byrote.study.labels import joined

if TYPE_CHECKING:
    from byrote.tables import Tables

MOST_ROWS = 24


@as_figure
def auc_heat_map(tables: "Tables", options: Options = DEFAULTS, ax: Axes | None = None) -> Drawing | SubFigure:
    """A row for each choice of matrices (and variant), a column for each rank; reads `trials` and `membership`.

    Each cell prints its mean AUC over seeds and, below, the interval that `auc_cells` gives. NotDrawnError where
    fewer than two choices of matrices or fewer than two ranks have an AUC.

    >>> from matplotlib.figure import Figure
    >>> left, right = Figure(figsize=(12, 4)).subplots(1, 2)
    >>> figure = auc_heat_map(tables, ax=left)
    """
    cells = auc_cells(tables, options.primary)
    ranks, matrices = sorted(set(cells["rank"])), set(cells["matrices"])
    if len(ranks) < 2 or len(matrices) < 2:
        raise NotDrawnError(
            f"the map needs AUCs of the primary attack {options.primary!r} for two choices of matrices and two ranks "
            f"(grid.matrices, grid.rank); there are {len(matrices)} and {len(ranks)}"
        )
    lines = list(dict.fromkeys(cells[["matrices", "variant"]].itertuples(index=False, name=None)))
    shown = lines[:MOST_ROWS]
    aucs_LR = np.full((len(shown), len(ranks)), np.nan)
    figure, (axes,) = drawing(max(2.1, 0.9 + 0.36 * len(shown)), ax=ax)
    for cell in cells.to_dict("records"):
        if (cell["matrices"], cell["variant"]) in shown:
            aucs_LR[shown.index((cell["matrices"], cell["variant"])), ranks.index(cell["rank"])] = cell["auc"]
    reach = max(0.05, float(np.nanmax(np.abs(aucs_LR - 0.5))))
    image = axes.imshow(aucs_LR, cmap="PuOr_r", vmin=0.5 - reach, vmax=0.5 + reach, aspect="auto")
    figure.colorbar(image, ax=axes, label="AUC (middle: guessing)", pad=0.02)
    for cell in cells.to_dict("records"):
        if (cell["matrices"], cell["variant"]) in shown:
            y, x = shown.index((cell["matrices"], cell["variant"])), ranks.index(cell["rank"])
            colour = "white" if abs(cell["auc"] - 0.5) > 0.6 * reach else "#222222"
            area = axes.add_patch(Rectangle((x - 0.5, y - 0.5), 1, 1, alpha=0))
            name = joined([*shown[y], f"rank {cell['rank']:g}"])
            tip(area, f"{name}: AUC {_words(cell)}, {cell['seeds']} seed(s)".replace("\n", ", "))
            axes.text(x, y, _words(cell), ha="center", va="center", fontsize=6.5, color=colour)
    axes.set_xticks(range(len(ranks)), [f"{rank:g}" for rank in ranks])
    axes.set_yticks(range(len(shown)), [plain(joined(line)) for line in shown])
    axes.set_xlabel("LoRA rank")
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    note(figure, " ".join(filter(None, [_small_print(cells, tables.level), not_shown(len(lines), "rows", MOST_ROWS)])))
    return figure


def _words(cell: dict[Any, Any]) -> str:
    """The AUC, and under it its interval or, for seeds too few for one, their range."""
    if cell["basis"]:
        return f"{cell['auc']:.3f}\n{cell['low']:.3f} to {cell['high']:.3f}"
    if cell["seeds"] > 1:
        return f"{cell['auc']:.3f}\n({min(cell['aucs']):.3f} to {max(cell['aucs']):.3f})"
    return f"{cell['auc']:.3f}"


def _small_print(cells: Any, level: float) -> str:
    kinds = {
        "records": f"One seed: {100 * level:.3g}% interval over records (sampling error).",
        "seeds": f"Five seeds or more: {100 * level:.3g}% interval of the mean over seeds.",
    }
    text = [words for basis, words in kinds.items() if (cells["basis"] == basis).any()]
    if ((cells["basis"] == "") & (cells["seeds"] > 1)).any():
        text.append("In brackets: lowest and highest of two to four seeds, no interval.")
    return " ".join(text)
