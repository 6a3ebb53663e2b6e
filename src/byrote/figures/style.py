"""How every figure looks: size for paper, colours that colour-blind readers tell apart, plain words."""

import re
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import pandas as pd
from matplotlib import colormaps, rc_context, rcParams
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure as Drawing
from matplotlib.figure import SubFigure
from matplotlib.lines import Line2D

from byrote.errors import ByroteError
from byrote.visible import visible

# Okabe & Ito 2008, without yellow (too light on white) and black (kept for text).
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
MARKERS = ("o", "s", "^", "D", "v", "P")
LINES = ("-", "--", ":", "-.")
GREY = "#8a8a8a"
WIDTH = 174  # mm: two columns of a journal
NARROW = 130  # mm, below which panels stand below each other, and the legend in fewer columns
LETTERS = 17  # of small print in an inch
MARGIN = 8  # letters, of a legend's line and the space around it
LINE = 0.16  # inches, of small print
MOST = 20
STYLE: Any = {
    "svg.hashsalt": "byrote",
    "svg.fonttype": "path",
    "pdf.fonttype": 42,  # TrueType, embedded: journals refuse Type 3
    "text.usetex": False,
    "font.family": "DejaVu Sans",
    "font.size": 8.5,
    "axes.titlesize": 9,
    "axes.titlelocation": "left",
    "axes.labelsize": 8.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#555555",
    "axes.linewidth": 0.8,
    "axes.axisbelow": True,
    "axes.unicode_minus": True,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "xtick.color": "#333333",
    "ytick.color": "#333333",
    "grid.color": "#e6e6e6",
    "grid.linewidth": 0.7,
    "legend.frameon": False,
    "legend.fontsize": 7.5,
    "legend.title_fontsize": 7.5,
    "legend.handlelength": 1.8,
    "lines.linewidth": 1.4,
    "lines.markersize": 4.5,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
}


class NotDrawnError(ByroteError):
    """A figure has nothing to show; carries the reason in plain words."""


@dataclass(frozen=True)
class Options:
    """What a figure is given besides the tables.

    primary: the attack on which claims rest · published: columns matrices, rank, auc, or None ·
    published_label: their name in the legend · width: of a figure of its own, in mm.
    """

    primary: str = "ratio"
    published: pd.DataFrame | None = None
    published_label: str = "published"
    width: float = WIDTH


DEFAULTS = Options()
Arguments = ParamSpec("Arguments")
Made = TypeVar("Made")


def as_figure(function: Callable[Arguments, Made]) -> Callable[Arguments, Made]:
    """The function, drawing in byrote's style, as wide as its options say; matplotlib's own settings stay as they
    are."""

    @wraps(function)
    def styled(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Made:
        given = [value for value in (*args, *kwargs.values()) if isinstance(value, Options)]
        width = (given[0] if given else DEFAULTS).width / 25.4
        with rc_context({**STYLE, "figure.figsize": (width, width)}):
            made = function(*args, **kwargs)
            if isinstance(made, Drawing) and _is_narrow(made):
                for axes in made.axes:
                    axes.set_xlabel(textwrap.fill(axes.get_xlabel(), _letters(made, 12)))
            return made

    return styled


def drawing(
    height: float, columns: int = 1, ratios: Sequence[float] | None = None, *, ax: Axes | None = None
) -> tuple[Drawing | SubFigure, list[Axes]]:
    """An empty figure of the options' width and `height` inches with `columns` panels, free of pyplot's state. In a
    narrow one the panels stand below each other.

    Where `ax` is given, the panels take its place in its own figure. NotDrawnError for an `ax` outside a grid.
    """
    if narrow(ax):
        figure = _canvas(height * columns, ax)
        return figure, list(figure.subplots(columns, 1, squeeze=False)[:, 0])
    figure = _canvas(height, ax)
    side_by_side = figure.subplots(1, columns, squeeze=False, width_ratios=ratios)
    return figure, list(side_by_side[0])


def panels(height: float, across: int, down: int, *, ax: Axes | None = None) -> tuple[Drawing | SubFigure, list[Axes]]:
    """As `drawing`, with rows of panels; they come row by row."""
    figure = _canvas(height, ax)
    return figure, list(figure.subplots(down, across, squeeze=False).ravel())


def narrow(ax: Axes | None) -> bool:
    """Whether a figure of its own, now being drawn, has no room for panels beside each other."""
    return ax is None and rcParams["figure.figsize"][0] < NARROW / 25.4


def _canvas(height: float, ax: Axes | None) -> Drawing | SubFigure:
    if ax is None:
        figure = Drawing(figsize=(rcParams["figure.figsize"][0], height), layout="constrained")
        FigureCanvasAgg(figure)
        return figure
    place, whole = ax.get_subplotspec(), ax.figure
    if place is None:
        raise NotDrawnError("ax has no place in a grid: make it with plt.subplots or figure.add_subplot")
    if isinstance(whole, Drawing):
        whole.set_layout_engine("constrained")
    ax.remove()
    return whole.add_subfigure(place)


def note(figure: Drawing | SubFigure, text: str) -> None:
    """Small print under the figure, in as many lines as its width needs."""
    if text:
        lines = textwrap.wrap(text, _letters(figure))
        _heighten(figure, len(lines) - 1)
        figure.supxlabel("\n".join(lines), x=0.01, ha="left", fontsize=7, color="#555555")


def outside_legend(figure: Drawing | SubFigure, handles: Sequence[Any], title: str | None = None) -> None:
    """A legend to the right of the panels, never over the data; above the panels of a narrow figure."""
    if _is_narrow(figure):
        longest = max((len(handle.get_label()) for handle in handles), default=1)
        _legend_above(figure, handles, max(1, _letters(figure) // (longest + MARGIN)), title)
    else:
        figure.legend(handles=list(handles), loc="outside right upper", title=title, alignment="left")


def under_legend(figure: Drawing | SubFigure, handles: Sequence[Any], columns: int) -> None:
    """A legend above the panels, for long entries."""
    _legend_above(figure, handles, 1 if _is_narrow(figure) else columns)


def _legend_above(figure: Drawing | SubFigure, handles: Sequence[Any], columns: int, title: str | None = None) -> None:
    if _is_narrow(figure):
        for handle in handles:
            handle.set_label(textwrap.fill(handle.get_label(), _letters(figure) // columns - MARGIN))
        _heighten(figure, -(-sum(1 + handle.get_label().count("\n") for handle in handles) // columns))
    figure.legend(handles=list(handles), loc="outside upper left", ncols=columns, title=title, alignment="left")


def _letters(figure: Drawing | SubFigure, an_inch: int = LETTERS) -> int:
    """How many letters a line of the figure's width holds."""
    return max(20, int(figure.bbox.width / figure.dpi * an_inch))


def _is_narrow(figure: Drawing | SubFigure) -> bool:
    """Of a figure of its own; one in the place of axes is as wide as these are."""
    return isinstance(figure, Drawing) and figure.get_figwidth() < NARROW / 25.4


def _heighten(figure: Drawing | SubFigure, lines: int) -> None:
    """Room for so many lines of small print, where the figure is one of its own."""
    if isinstance(figure, Drawing):
        figure.set_figheight(figure.get_figheight() + LINE * lines)


TIP = "tip: "


def tip(artist: Any, text: str) -> None:
    """What a reader sees who points at the artist in a vector image; `with_tips` makes it so."""
    artist.set_gid(f"{TIP}{visible(text)}")


def tip_at(axes: Axes, x: float, y: float, text: str) -> None:
    """A tip for a point of a line: a round place of 9 points that is not seen."""
    (place,) = axes.plot([x], [y], "o", markersize=9, alpha=0, zorder=9)
    tip(place, text)


def with_tips(svg: str) -> str:
    """The drawn image with an element `title` in each group that has a tip, which every browser shows, without any
    script."""
    return re.sub(rf'<g id="{TIP}([^"]*)">', r"<g><title>\1</title>", svg)


def handle(label: str, color: Any, **how: Any) -> Line2D:
    """A legend entry."""
    return Line2D([], [], color=color, label=plain(label), **how)


def plain(label: str) -> str:
    """A label with nothing that matplotlib would read as mathematics, or that has no shape."""
    return re.sub("[\u2400-\u2421]", "\ufffd", visible(str(label))).replace("$", r"\$")


def shades(count: int) -> list[Any]:
    """Colours of an ordered quantity, dark to light, from a map that colour-blind readers see as rising."""
    if count == 1:
        return [COLOURS[0]]
    return [colormaps["viridis"](0.08 + 0.72 * i / (count - 1)) for i in range(count)]


def colour_of(index: int) -> str:
    """The colour of the index-th name; colours repeat after six, so marker and line must tell further names apart."""
    return COLOURS[index % len(COLOURS)]


def with_ends(value: float, low: float, high: float) -> str:
    """`0.873 (0.817 to 0.914)`; the value alone where there is no interval."""
    return f"{value:.3f}" + ("" if pd.isna(low) or pd.isna(high) else f" ({low:.3f} to {high:.3f})")


def not_shown(total: int, what: str, shown: int = MOST) -> str:
    """The small print where there are more things than a reader can tell apart; '' where all are shown."""
    if total <= shown:
        return ""
    return (
        f"The first {shown} of {total} {what} are drawn, in the study's order; {total - shown} are in the tables only."
    )
