"""Figures of a run, drawn from its tables alone.

Each is a function `(tables, options, ax) → figure`, which the report calls too: `byrote.figures.forest(results.tables)`
makes a matplotlib figure of its own; with `ax=…` its panels, legend and small print take the place of those axes, and
the sub-figure is returned. `options` names the primary attack where it is not `ratio`. A figure without data raises
NotDrawnError with the reason; a report tells the reason instead.

To add one: a file with such a function, and a line in FIGURES.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from matplotlib import rc_context
from matplotlib.figure import Figure as Drawing
from matplotlib.figure import SubFigure

from byrote.figures.agreement import agreement
from byrote.figures.auc_by_placement import auc_by_placement
from byrote.figures.auc_by_rank import auc_by_rank
from byrote.figures.auc_heat_map import auc_heat_map
from byrote.figures.base_tuned_perplexity import base_tuned_perplexity
from byrote.figures.canary_by_copies import canary_by_copies
from byrote.figures.exposure_by_copies import exposure_by_copies
from byrote.figures.forest import forest
from byrote.figures.leakage_by_step import leakage_by_step
from byrote.figures.published import PUBLISHED, Published, find_published
from byrote.figures.roc import roc
from byrote.figures.score_histograms import score_histograms
from byrote.figures.share_against_perplexity import (
    linear_fit,
    share_against_base_perplexity,
    share_against_tuned_perplexity,
)
from byrote.figures.share_by_draws import share_by_draws
from byrote.figures.style import STYLE, WIDTH, NotDrawnError, Options, with_tips
from byrote.records import RECORDS_STRATUM

if TYPE_CHECKING:
    from byrote.tables import Tables

__all__ = [
    "FIGURES",
    "PUBLISHED",
    "Drawn",
    "Figure",
    "NotDrawnError",
    "Options",
    "Published",
    "agreement",
    "auc_by_placement",
    "auc_by_rank",
    "auc_heat_map",
    "base_tuned_perplexity",
    "canary_by_copies",
    "draw_all",
    "exposure_by_copies",
    "find_published",
    "forest",
    "leakage_by_step",
    "linear_fit",
    "roc",
    "score_histograms",
    "share_against_base_perplexity",
    "share_against_tuned_perplexity",
    "share_by_draws",
]

PNG_DPI = 200
KINDS = ("svg", "png", "pdf")


@dataclass(frozen=True)
class Figure:
    """`function(tables, options)` draws. `needs`: tables that must have rows · `caption`: how to read the figure."""

    title: str
    function: Callable[["Tables", Options], Drawing | SubFigure]
    needs: tuple[str, ...]
    caption: str


@dataclass(frozen=True)
class Drawn:
    """One figure as files, or the reason why there is none (then svg, png and pdf are None)."""

    name: str
    title: str
    svg: Path | None
    png: Path | None
    pdf: Path | None
    reason: str | None
    caption: str = ""


FIGURES: dict[str, Figure] = {
    "auc_by_placement": Figure(
        "Membership inference by adapted matrices",
        auc_by_placement,
        ("trials", "membership"),
        "AUC of the primary attack for each choice of adapted matrices, grouped by rank. Higher means that members are "
        "easier to tell from non-members; 0.5 is guessing.",
    ),
    "auc_by_rank": Figure(
        "Membership inference by rank",
        auc_by_rank,
        ("trials", "membership"),
        "AUC of the primary attack against the LoRA rank, one line for each choice of adapted matrices.",
    ),
    "auc_heat_map": Figure(
        "Membership inference over the grid",
        auc_heat_map,
        ("trials", "membership"),
        "AUC of the primary attack for each choice of matrices and each rank, its interval below. One seed: over "
        "records (sampling error). Five seeds or more: of the mean over seeds. Fewer: their range, in brackets.",
    ),
    "leakage_by_step": Figure(
        "Leakage and loss over training steps",
        leakage_by_step,
        ("checkpoints",),
        "Left: AUC of the primary and of the strongest attack at each checkpoint, with intervals that hold for all "
        "subjects together. Right: loss on non-members, which is what more steps are worth, and on members. Of several "
        "trainings: the primary attack and the loss on non-members, a line each.",
    ),
    "forest": Figure(
        "Every attack with its controls",
        forest,
        ("trials", "membership"),
        "AUC of each attack, members against non-members, the strongest on top. The intervals are widened so that "
        "those of all attacks on a trial hold together, whichever is picked. Hollow markers: the same attack where "
        "nothing was learned; dotted: a classifier that never saw a model. Both should be at 0.5; where they are not, "
        "the two sides differ even without training.",
    ),
    "roc": Figure(
        "ROC curves",
        roc,
        ("trials", "roc"),
        "Share of members found (true-positive rate) against share of non-members wrongly called members "
        "(false-positive rate), one curve per trial. The logarithmic panel shows the low false-positive rates that "
        "matter to a single person. Rates read off a curve follow the convention of published figures: threshold "
        "chosen on the evaluated records. The sentences of the report use thresholds from calibration records.",
    ),
    "score_histograms": Figure(
        "Scores of members and non-members",
        score_histograms,
        ("trials", "histograms", "membership"),
        "How the primary attack's scores lie, higher meaning more like a member: the further the two outlines are "
        "apart, the easier members are told. On the right the same attack where nothing was learned; there the two "
        "should lie on each other.",
    ),
    "share_against_tuned_perplexity": Figure(
        "Reproduction against perplexity under the tuned model",
        share_against_tuned_perplexity,
        ("extraction",),
        "Longest common run of tokens over the tokens to reproduce, for planted canaries, with a least-squares line "
        "for each temperature. Grey: what the base model wrote after the same prefixes.",
    ),
    "share_against_base_perplexity": Figure(
        "Reproduction against perplexity under the base model",
        share_against_base_perplexity,
        ("extraction",),
        "The same share against the perplexity that the canary had before fine-tuning.",
    ),
    "base_tuned_perplexity": Figure(
        "Perplexity before and after fine-tuning",
        base_tuned_perplexity,
        ("extraction",),
        "Each planted canary's perplexity under the base and the tuned model, coloured by the share reproduced. "
        "Points below the dashed line became more likely through fine-tuning.",
    ),
    "canary_by_copies": Figure(
        "Canaries by number of copies",
        canary_by_copies,
        ("extraction",),
        "Perplexity of canaries, and the share of them reproduced, against how often they occurred in the training "
        "records. Non-members and left-out canaries, on the left, are controls.",
    ),
    "exposure_by_copies": Figure(
        "Exposure by number of copies",
        exposure_by_copies,
        ("canaries",),
        "How high a canary ranks among references that were never planted, in bits. Left-out canaries, hollow, show "
        "the exposure of records that the model never saw. No exposure by rank can exceed the dashed line; "
        "extrapolated values rest on a fit to the references.",
    ),
    "share_by_draws": Figure(
        "Draws until suffixes appear",
        share_by_draws,
        ("draws",),
        "Share of the prompted records whose true rest appears within a given number of draws, computed from its "
        "probability without sampling. Dotted: the base model, which shows what any text of this kind gives.",
    ),
    "agreement": Figure(
        "How far attacks agree",
        agreement,
        ("agreement",),
        "Rank correlation (Spearman) of two attacks' scores over the members: 1 where they order members alike.",
    ),
}


def draw_all(
    tables: "Tables",
    folder: Path,
    *,
    study: str = "",
    primary: str = "ratio",
    compare_to: str | None = None,
    width: float = WIDTH,
    write: Callable[[Path, bytes], object] = Path.write_bytes,
) -> list[Drawn]:
    """Write every figure that has data to `folder` as svg, png and pdf, and `captions.md`, which says what each shows;
    one entry per figure of FIGURES, in its order.

    study: its name, for the captions · primary: its primary attack · compare_to: a name of PUBLISHED, drawn
    as hollow markers · width: of each figure, in mm · write: how a file is written. The same tables give the same
    bytes. The old files of a figure that is no longer drawn are deleted.
    StudyError for an unknown compare_to.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    options = Options(primary, width=width)
    if compare_to is not None:
        published = find_published(compare_to)
        options = replace(options, published=published.frame(), published_label=f"published,\n{published.model}")
    drawn = [_draw(name, figure, tables, folder, options, write) for name, figure in FIGURES.items()]
    captions = folder / "captions.md"
    if any(figure.reason is None for figure in drawn):
        write(captions, _captions(drawn, tables, study).encode())
    else:
        captions.unlink(missing_ok=True)
    return drawn


def _captions(drawn: list[Drawn], tables: "Tables", study: str) -> str:
    """Title, files and caption of every figure that was drawn; the reason of every other."""
    done = int((tables.trials["state"] == "done").sum())
    lines = [
        f"# Figures of {study}" if study else "# Figures",
        "",
        f"Made by byrote from {done} measured of {len(tables.trials)} trials.",
    ]
    lines += [f"Intervals are at the {100 * tables.level:.3g}% level unless a figure says otherwise.", ""]
    for figure in drawn:
        if figure.reason is None:
            files = ", ".join(f"{figure.name}.{kind}" for kind in KINDS)
            of = _amounts(tables, FIGURES[figure.name].needs)
            lines += [f"## {figure.title}", "", f"{figure.caption} {of}", "", f"Files: {files}", ""]
    missing = [f"- {figure.title}: {figure.reason}" for figure in drawn if figure.reason is not None]
    return "\n".join([*lines, *(["## Not drawn", "", *missing, ""] if missing else [])])


def _amounts(tables: "Tables", needs: Sequence[str]) -> str:
    """The members and non-members behind a figure on membership; of others, the rows of the tables that it reads."""
    if "membership" not in needs:
        return f"n = {' and '.join(f'{len(getattr(tables, need)):,} rows of {need}' for need in needs)}."
    sides = tables.membership[tables.membership["stratum"] == RECORDS_STRATUM]
    counts = [_spread(sides[f"n_{side}"]) for side in ("members", "nonmembers")]
    return f"n = {counts[0]} members and {counts[1]} non-members in {sides['trial'].nunique():,} trials."


def _spread(numbers: Any) -> str:
    """`120`, or `118 to 120` where trials differ."""
    low, high = int(numbers.min()), int(numbers.max())
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def _draw(
    name: str,
    figure: Figure,
    tables: "Tables",
    folder: Path,
    options: Options,
    write: Callable[[Path, bytes], object],
) -> Drawn:
    paths = {kind: folder / f"{name}.{kind}" for kind in KINDS}
    try:
        empty = [need for need in figure.needs if getattr(tables, need).empty]
        if empty:
            raise NotDrawnError(f"no rows in the table {' and in '.join(empty)}")
        with rc_context(STYLE):
            drawing = figure.function(tables, options)
            assert isinstance(drawing, Drawing)  # without axes, it is a figure of its own
            metadata = {"Date": None, "Creator": "byrote", "Title": figure.title}
            svg = _image(drawing, format="svg", metadata=metadata)
            write(paths["svg"], with_tips(svg.decode()).encode())
            drawing.set_layout_engine("none")  # it stays as laid out for the svg
            write(paths["png"], _image(drawing, format="png", dpi=PNG_DPI, metadata={"Software": "byrote"}))
            metadata = {"CreationDate": None, "Creator": "byrote", "Producer": "byrote", "Title": figure.title}
            write(paths["pdf"], _image(drawing, format="pdf", metadata=metadata))
    except NotDrawnError as missing:
        for path in paths.values():
            path.unlink(missing_ok=True)
        return Drawn(name, figure.title, None, None, None, reason=str(missing), caption=figure.caption)
    return Drawn(name, figure.title, **paths, reason=None, caption=figure.caption)


def _image(drawing: Drawing, **how: Any) -> bytes:
    image = BytesIO()
    drawing.savefig(image, **how)
    return image.getvalue()
