"""How much of a canary is reproduced, against its perplexity (the reference study's figures 3.4 and 3.5)."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from matplotlib.figure import SubFigure

from byrote.figures.cells import per_record
from byrote.figures.style import (
    DEFAULTS,
    GREY,
    MARKERS,
    NotDrawnError,
    Options,
    as_figure,
    drawing,
    handle,
    note,
    shades,
    under_legend,
)

if TYPE_CHECKING:
    from byrote.tables import Tables


@as_figure
def share_against_tuned_perplexity(
    tables: "Tables",
    options: Options = DEFAULTS,  # noqa: ARG001
    ax: Axes | None = None,
) -> Drawing | SubFigure:
    """Share against the canary's perplexity under the tuned model. NotDrawnError where no planted canary has both.

    >>> figure = share_against_tuned_perplexity(tables)
    """
    return _scatter(tables, ax, "perplexity_tuned", "perplexity of the canary under the tuned model")


@as_figure
def share_against_base_perplexity(
    tables: "Tables",
    options: Options = DEFAULTS,  # noqa: ARG001
    ax: Axes | None = None,
) -> Drawing | SubFigure:
    """Share against the canary's perplexity under the base model. NotDrawnError where no planted canary has both.

    >>> figure = share_against_base_perplexity(tables)
    """
    return _scatter(tables, ax, "perplexity_base", "perplexity of the canary under the base model")


def planted(extraction: pd.DataFrame) -> pd.DataFrame:
    """Completions of planted canaries, samples averaged. NotDrawnError where there are none."""
    rows = per_record(extraction[extraction["role"] == "canary_in"])
    if not (rows["model"] == "tuned").any():
        raise NotDrawnError("no planted canary was prompted (canaries.design, extraction.prompts.canaries)")
    return rows


def linear_fit(x: np.ndarray, y: np.ndarray) -> tuple[float, float, float] | None:
    """Slope, intercept and R² of y on x, both (P,), by least squares; None for under three points or no spread.

    >>> [round(number, 2) for number in linear_fit(np.array([1.0, 2.0, 3.0]), np.array([0.9, 0.7, 0.2])) or ()]
    [-0.35, 1.3, 0.94]
    """
    if len(x) < 3 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return None
    slope, intercept = np.polyfit(x, y, 1)
    return float(slope), float(intercept), float(np.corrcoef(x, y)[0, 1]) ** 2


def fit_label(temperature: float, fit: tuple[float, float, float] | None) -> str:
    """The legend entry of one temperature."""
    if fit is None:
        return f"temperature {temperature:g}: no line (too few points or no spread)"
    slope = f"{fit[0]:+.2g}".replace("-", "−")
    return f"temperature {temperature:g}: slope {slope} per unit of perplexity, R² = {fit[2]:.3f}"


def _scatter(tables: "Tables", ax: Axes | None, column: str, label: str) -> Drawing | SubFigure:
    rows = planted(tables.extraction)
    finite = rows[np.isfinite(rows[column]) & rows["ngram_share"].notna()]
    tuned = finite[finite["model"] == "tuned"]
    if tuned.empty:
        raise NotDrawnError(f"no planted canary has both a share and a {column.replace('_', ' ')}")
    figure, (axes,) = drawing(3.6, ax=ax)
    base = finite[finite["model"] == "base"].drop_duplicates(["record", "temperature", column, "ngram_share"])
    axes.scatter(base[column], base["ngram_share"], s=12, color=GREY, alpha=0.45, linewidths=0, zorder=2)
    temperatures = sorted(set(tuned["temperature"]))
    handles = []
    for place, temperature in enumerate(temperatures):
        look = {"color": shades(len(temperatures))[place], "marker": MARKERS[place % len(MARKERS)]}
        handles.append(_one_temperature(axes, tuned[tuned["temperature"] == temperature], column, temperature, look))
    if not base.empty:
        handles.append(handle("written by the base model", GREY, marker="o", linestyle=""))
    _finish(axes, label)
    under_legend(figure, handles, 1)
    left = len(rows) - len(finite)
    trials = tuned["trial"].nunique()
    together = f"{trials} trials together. " if trials > 1 else ""
    note(figure, together + (f"{left} points without a finite value are not drawn." if left else ""))
    return figure


def _one_temperature(axes: Axes, rows: pd.DataFrame, column: str, temperature: float, look: dict):
    x, y = rows[column].to_numpy(float), rows["ngram_share"].to_numpy(float)
    axes.scatter(x, y, s=14, alpha=0.7 if len(x) < 200 else 0.4, linewidths=0, zorder=3, **look)
    fit = linear_fit(x, y)
    if fit is not None:
        ends = np.array([x.min(), x.max()])
        axes.plot(ends, fit[1] + fit[0] * ends, color=look["color"], linewidth=1.3, zorder=4)
    return handle(fit_label(temperature, fit), linestyle="" if fit is None else "-", **look)


def _finish(axes: Axes, label: str) -> None:
    axes.set_ylim(-0.03, 1.04)
    axes.set_xlabel(label)
    axes.set_ylabel("longest common run /\ntokens to reproduce")
    axes.grid()
