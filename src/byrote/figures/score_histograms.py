"""Scores of members and non-members under the primary attack, beside the same attack where nothing was learned."""

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from matplotlib.figure import SubFigure

from byrote.figures.cells import label_parts_of
from byrote.figures.style import (
    COLOURS,
    DEFAULTS,
    NotDrawnError,
    Options,
    as_figure,
    handle,
    not_shown,
    note,
    panels,
    plain,
    tip,
    under_legend,
)
from byrote.study.labels import joined

if TYPE_CHECKING:
    from byrote.tables import Tables

MOST_TRIALS = 6
SIDES = {"members": (COLOURS[1], "-"), "nonmembers": (COLOURS[0], "--")}
WORDS = {"members": "members", "nonmembers": "non-members"}


@as_figure
def score_histograms(tables: "Tables", options: Options = DEFAULTS, ax: Axes | None = None) -> Drawing | SubFigure:
    """A row for each trial on the stratum records: its scores on the left, those of its control on the right, where any
    trial has one. NotDrawnError where the primary attack has no score.

    >>> figure = score_histograms(tables)
    """
    bins = tables.histograms
    bins = bins[(bins["attack"] == options.primary) & (bins["stratum"] == "records")]
    if bins.empty:
        raise NotDrawnError(f"no score of the primary attack {options.primary!r} on the stratum records")
    trials = list(dict.fromkeys(bins["trial"]))
    shown, parts_of = trials[:MOST_TRIALS], label_parts_of(tables.trials)
    controls = _controls(tables, options.primary)
    across = 2 if any(trial in controls for trial in shown) else 1
    figure, places = panels(0.75 + 1.25 * len(shown), across, len(shown), ax=ax)
    thresholds = _thresholds(tables, options.primary)
    for row, trial in enumerate(shown):
        of_trial = bins[bins["trial"] == trial]
        left, *right = places[row * across : (row + 1) * across]
        _panel(left, of_trial, "", thresholds.get(trial))
        left.set_title(plain(joined(parts_of.get(trial, [str(trial)]))), fontsize=8)
        left.set_ylabel("share of side")
        for axes in right:
            if trial not in controls:
                axes.remove()
                continue
            _panel(axes, of_trial, "_control", None)
            axes.set(ylim=left.get_ylim(), title=controls[trial])
            axes.title.set_fontsize(8)
    for axes in figure.axes[-across:]:
        axes.set_xlabel(plain(f"score of {options.primary}"))
    entries = [handle(WORDS[side], colour, linestyle=line) for side, (colour, line) in SIDES.items()]
    if set(shown) & set(thresholds):
        entries.append(handle("threshold from calibration records", "#555555", linestyle=":"))
    under_legend(figure, entries, len(entries))
    note(figure, _small_print(thresholds, len(trials)))
    return figure


def _panel(axes: Axes, bins: pd.DataFrame, of: str, threshold: tuple[float, float] | None) -> None:
    """Both sides as outlines, each as shares of its own records."""
    edges = np.append(bins["low"].to_numpy(float), float(bins["high"].iloc[-1]))
    for side, (colour, line) in SIDES.items():
        counts = bins[f"{side}{of}"].to_numpy(float)
        look: dict[str, Any] = {"color": colour, "linestyle": line, "linewidth": 1.2}
        outline = axes.stairs(counts / max(counts.sum(), 1), edges, fill=False, **look)
        tip(outline, f"{WORDS[side]}, n = {counts.sum():,.0f}")
        axes.stairs(counts / max(counts.sum(), 1), edges, fill=True, color=colour, alpha=0.12)
    if threshold is not None:
        place, rate = threshold
        line = axes.axvline(place, color="#555555", linewidth=1, linestyle=":")
        tip(line, f"threshold {place:.4g}: {100 * rate:g}% of non-members, as calibration records say, lie above it")
    axes.set_xlim(edges[0], edges[-1])
    axes.set_ylim(bottom=0)
    axes.tick_params(labelsize=7)


def _controls(tables: "Tables", primary: str) -> dict[Any, str]:
    """Trial → what the control of the primary attack is, where there are scores under it."""
    bins = tables.histograms
    known = bins[(bins["attack"] == primary) & (bins["stratum"] == "records") & bins["members_control"].notna()]
    rows = tables.membership
    rows = rows[(rows["attack"] == primary) & (rows["stratum"] == "records")]
    kinds = dict(zip(rows["trial"], rows["control"], strict=True))
    return {trial: f"control: {kinds.get(trial, '')}" for trial in dict.fromkeys(known["trial"])}


def _thresholds(tables: "Tables", primary: str) -> dict[Any, tuple[float, float]]:
    """Trial → the threshold at the lowest false-positive rate that calibration records resolve, and that rate."""
    rows = tables.operating_points
    rows = rows[(rows["attack"] == primary) & (rows["stratum"] == "records")]
    rows = rows[(rows["threshold_source"] == "calibration") & rows["threshold"].notna()]
    lowest = rows.sort_values("target_fpr").drop_duplicates("trial")
    return {row["trial"]: (row["threshold"], row["target_fpr"]) for row in lowest.to_dict("records")}


def _small_print(thresholds: dict[Any, tuple[float, float]], trials: int) -> str:
    rates = " and ".join(f"{100 * rate:g}%" for rate in sorted({rate for _, rate in thresholds.values()}))
    dotted = f"Dotted: the threshold at {rates} false positives." if rates else ""
    outer = "The outer bins hold the 1% furthest out."
    return " ".join(filter(None, [dotted, outer, not_shown(trials, "trials", MOST_TRIALS)]))
