"""How far attacks order the members alike: a map of rank correlations, mean over trials."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from matplotlib.figure import SubFigure

from byrote.figures.style import DEFAULTS, NotDrawnError, Options, as_figure, drawing, note, plain

if TYPE_CHECKING:
    from byrote.tables import Tables


@as_figure
def agreement(tables: "Tables", options: Options = DEFAULTS, ax: Axes | None = None) -> Drawing | SubFigure:  # noqa: ARG001
    """The lower triangle of Spearman's correlations. NotDrawnError where no two attacks have one.

    >>> figure = agreement(tables)
    """
    rows = tables.agreement[tables.agreement["spearman"].notna()]
    if rows.empty:
        raise NotDrawnError("no two attacks have a rank correlation on the members")
    means = rows.groupby(["attack_a", "attack_b"], sort=False)["spearman"].mean()
    names = list(dict.fromkeys([*tables.agreement["attack_a"], *tables.agreement["attack_b"]]))
    table_AA = np.full((len(names), len(names)), np.nan)
    for (first, second), value in means.items():  # pyright: ignore[reportGeneralTypeIssues]
        i, j = sorted((names.index(first), names.index(second)))
        table_AA[j, i] = value
    figure, (axes,) = drawing(1.2 + 0.27 * len(names), ax=ax)
    shown = axes.imshow(table_AA[1:, :-1], cmap="PuOr_r", vmin=-1, vmax=1, aspect="auto")
    figure.colorbar(shown, ax=axes, label="rank correlation", pad=0.02)
    for j, i in np.argwhere(np.isfinite(table_AA)):
        dark = abs(table_AA[j, i]) > 0.6
        text = f"{table_AA[j, i]:.2f}".replace("-", "−")
        axes.text(i, j - 1, text, ha="center", va="center", fontsize=6.5, color="white" if dark else "#222222")
    labels = [plain(name) for name in names]
    axes.set_xticks(range(len(names) - 1), labels[:-1], rotation=40, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(names) - 1), labels[1:])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    trials = rows["trial"].nunique()
    note(figure, _small_print(rows, trials))
    return figure


def _small_print(rows: pd.DataFrame, trials: int) -> str:
    low, high = rows["spearman"].min(), rows["spearman"].max()
    over = f"Mean over {trials} trials; " if trials > 1 else ""
    return f"{over}lowest {low:.2f}, highest {high:.2f}.".replace("-", "−")
