"""What share of the true suffixes appears within how many draws: tuned against base, in against out."""

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from matplotlib.figure import SubFigure

from byrote.figures.style import (
    DEFAULTS,
    GREY,
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

FEWEST, MOST = 1.0, 1e30  # draws on the axis; no attacker makes more
MODELS = {"tuned": "-", "base": ":"}


@as_figure
def share_by_draws(tables: "Tables", options: Options = DEFAULTS, ax: Axes | None = None) -> Drawing | SubFigure:  # noqa: ARG001
    """Step curves of suffixes that appear with the study's chance; canaries separately. NotDrawnError without a
    probability.

    >>> figure = share_by_draws(tables)
    """
    rows = tables.draws[tables.draws["draws_for_chance"].notna()]
    if rows.empty:
        raise NotDrawnError("no suffix has a probability of being drawn (extraction.temperatures above 0)")
    temperature = min(set(rows["temperature"]), key=lambda value: (abs(value - 1), value))
    rows = rows[rows["temperature"] == temperature]
    chance = min(set(rows["chance"]), key=lambda value: (abs(value - 0.5), value))
    others, rows = set(rows["chance"]) - {chance}, rows[rows["chance"] == chance]
    canary = rows["role"].str.startswith("canary")
    parts = {"records": rows[~canary], "canaries": rows[canary]}
    parts = {title: part for title, part in parts.items() if len(part)}
    figure, places = drawing(3.6, len(parts), ax=ax)
    handles = []
    for axes, (title, part) in zip(places, parts.items(), strict=True):
        for look, words, suffixes in _series(part):
            _step(axes, suffixes["draws_for_chance"].to_numpy(float), look)
            handles.append(handle(words, **look))
        axes.set_title(title)
    _finish(places, chance)
    under_legend(figure, handles, 3)
    elsewhere = " Other chances are in the table `draws`." if others else ""
    note(figure, _small_print(rows, temperature) + elsewhere)
    return figure


def _series(rows: pd.DataFrame) -> list[tuple[dict[str, Any], str, pd.DataFrame]]:
    """Look, words and rows of each line; planted canaries by copies, which the base model knows nothing of."""
    lines = [
        ({"color": colour, "linestyle": line}, f"{words}, {model} model", _of(rows, role, model))
        for role, words, colour in (("member", "members", colour_of(0)), ("nonmember", "non-members", colour_of(1)))
        for model, line in MODELS.items()
    ]
    planted = _of(rows, "canary_in", "tuned")
    copies = sorted(set(planted["copies"].astype(int)))
    for place, many in enumerate(copies):
        words = f"planted, {many} {'copy' if many == 1 else 'copies'}"
        lines.append(({"color": shades(len(copies))[place]}, words, planted[planted["copies"] == many]))
    lines.append(({"color": GREY}, "canaries left out", _of(rows, "canary_out", "tuned")))
    canaries = rows[rows["role"].str.startswith("canary") & (rows["model"] == "base")]
    lines.append(({"color": GREY, "linestyle": ":"}, "all canaries, base model", canaries))
    return [line for line in lines if len(line[2])]


def _of(rows: pd.DataFrame, role: str, model: str) -> pd.DataFrame:
    return rows[(rows["role"] == role) & (rows["model"] == model)]


def _step(axes: Axes, needed: np.ndarray, look: dict[str, Any]) -> None:
    """The share of all suffixes that have appeared by each number of draws; those that need more keep it below 1."""
    come = np.sort(needed[needed <= MOST])
    x = np.concatenate([[FEWEST], come, [MOST]])
    y = np.concatenate([[0], np.arange(1, len(come) + 1), [len(come)]]) / len(needed)
    axes.step(x, y, where="post", linewidth=1.3, **look)


def _finish(places: list[Axes], chance: float) -> None:
    for axes in places:
        axes.set(xscale="log", xlim=(FEWEST, MOST), ylim=(-0.02, 1.02))
        axes.set_xlabel(f"draws, for a chance of {100 * chance:g}%")
        axes.minorticks_off()
        axes.grid()
    places[0].set_ylabel("share of suffixes that have appeared")


def _small_print(rows: pd.DataFrame, temperature: float) -> str:
    text = [f"Temperature {temperature:g}."]
    trials, prefixes = rows["trial"].nunique(), rows["prefix"].nunique()
    text += [f"{trials} trials together."] if trials > 1 else []
    text += [f"{prefixes} prefixes together."] if prefixes > 1 else []
    beyond = int((rows["draws_for_chance"] > MOST).sum())
    text += [f"{beyond} of {len(rows)} suffixes take more than 10³⁰ draws."] if beyond else []
    return " ".join(text)
