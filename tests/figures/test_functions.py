"""Figures as functions on axes of one's own, the map of the grid, and colours that colour-blind readers tell apart."""

import dataclasses
import itertools

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure, SubFigure

import byrote.figures
from byrote.errors import ByroteError
from byrote.figures import FIGURES, NotDrawnError, Options, auc_heat_map, forest
from byrote.figures.auc_heat_map import MOST_ROWS
from byrote.figures.cells import auc_cells
from byrote.figures.style import COLOURS, WIDTH
from fake_tables import empty_tables, fake_tables

TABLES = fake_tables(("q", "v"), (1, 4), canaries=8)

# Machado, Oliveira & Fernandes 2009, doi 10.1109/TVCG.2009.113, severity 1.0, on linear RGB.
BLIND = {
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]],
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
}
# IEC 61966-2-1: linear sRGB to XYZ, and its white D65.
TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
WHITE = TO_XYZ.sum(axis=1)


def lab(colour, seen_by):
    """CIE 1976 L*a*b* of a colour as a colour-blind reader sees it."""
    rgb = np.array(to_rgb(colour))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    seen = np.clip(np.array(BLIND[seen_by]) @ linear, 0, 1)
    t = TO_XYZ @ seen / WHITE
    x, y, z = np.where(t > (6 / 29) ** 3, np.cbrt(t), t / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("seen_by", list(BLIND))
def test_colour_blind_readers_tell_the_colours_apart(seen_by):
    labs = [lab(colour, seen_by) for colour in COLOURS]
    nearest = min(np.linalg.norm(a - b) for a, b in itertools.combinations(labs, 2))
    assert nearest > 10  # CIE76: 2.3 is just noticeable
    red_and_green = np.linalg.norm(lab("#ff0000", seen_by) - lab("#6b5d00", seen_by))
    assert red_and_green < 60  # far apart to others; the simulation does bring them nearer


@pytest.mark.parametrize("name", list(FIGURES))
def test_a_figure_takes_the_place_of_axes_and_leaves_the_others(name):
    whole = Figure()
    left, right = whole.subplots(1, 2)
    drawn = getattr(byrote.figures, name)(TABLES, ax=left)
    assert isinstance(drawn, SubFigure)
    assert drawn.axes
    assert left not in whole.axes
    assert right in whole.axes


def test_without_axes_a_figure_is_as_wide_as_two_columns_of_a_journal():
    drawn = forest(TABLES)
    assert isinstance(drawn, Figure)
    assert drawn.get_size_inches()[0] * 25.4 == pytest.approx(174)
    assert WIDTH == 174


def test_axes_outside_a_grid_are_refused_with_the_way_out():
    whole = Figure()
    with pytest.raises(NotDrawnError, match=r"plt\.subplots"):
        forest(TABLES, ax=whole.add_axes((0, 0, 1, 1)))
    assert issubclass(NotDrawnError, ByroteError)


def map_of(tables) -> tuple[Figure | SubFigure, Axes]:
    drawn = auc_heat_map(tables)
    return drawn, drawn.axes[0]


def test_the_map_prints_each_auc_with_its_interval():
    drawn, axes = map_of(TABLES)
    printed = [text.get_text() for text in axes.texts]
    cells = auc_cells(TABLES, "ratio")
    assert printed == [
        f"{auc:.3f}\n{low:.3f} to {high:.3f}" for auc, low, high in cells[["auc", "low", "high"]].to_numpy(float)
    ]
    assert np.asarray(axes.images[0].get_array())[1, 0] == pytest.approx(cells["auc"][2])
    assert "95% interval over records" in drawn.get_supxlabel()


def test_the_map_tells_few_seeds_from_sampling_error():
    drawn, axes = map_of(fake_tables(("q", "v"), (1, 4), (1, 2), canaries=0))
    assert all("(" in text.get_text() for text in axes.texts)
    assert "no interval" in drawn.get_supxlabel()
    assert "over records" not in drawn.get_supxlabel()


@pytest.mark.parametrize(("matrices", "ranks"), [(("q",), (1, 4)), (("q", "v"), (1,))])
def test_a_map_needs_two_of_each(matrices, ranks):
    with pytest.raises(NotDrawnError, match=r"grid\.matrices, grid\.rank"):
        auc_heat_map(fake_tables(matrices, ranks, canaries=0))


def test_a_long_map_is_capped_and_says_so():
    names = [f"m{i}" for i in range(MOST_ROWS + 2)]
    drawn, axes = map_of(fake_tables(names, (1, 4), canaries=0))
    assert len(axes.get_yticks()) == MOST_ROWS
    assert "2 are in the tables only" in drawn.get_supxlabel().replace("\n", " ")


def test_captions_name_what_is_drawn_and_what_is_not(tmp_path):
    byrote.figures.draw_all(
        dataclasses.replace(empty_tables(), trials=TABLES.trials, roc=TABLES.roc), tmp_path, study="mine"
    )
    captions = (tmp_path / "captions.md").read_text("utf-8")
    drawn, _, missing = captions.partition("## Not drawn")
    assert f"{FIGURES['roc'].caption} n = 4 rows of trials and " in drawn
    assert "roc.svg, roc.png, roc.pdf" in drawn
    assert captions.startswith("# Figures of mine\n")
    assert "4 measured of 4 trials" in drawn
    assert all(figure.title in missing for name, figure in FIGURES.items() if name != "roc")


def test_options_name_the_primary_attack():
    with pytest.raises(NotDrawnError, match="'zlib'"):
        byrote.figures.roc(TABLES, Options("zlib"))


@pytest.mark.slow
def test_captions_of_membership_give_members_and_nonmembers(tmp_path):
    byrote.figures.draw_all(
        dataclasses.replace(empty_tables(), trials=TABLES.trials, membership=TABLES.membership), tmp_path
    )
    text = (tmp_path / "captions.md").read_text("utf-8")
    assert f"{FIGURES['forest'].caption} n = 2,898 members and 968 non-members in 4 trials." in text
