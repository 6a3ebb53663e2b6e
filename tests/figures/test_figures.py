"""Figures draw what has data, give a reason for what has none, and are the same bytes each time."""

import dataclasses
import math
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib import rcParams
from scipy.stats import linregress

from byrote.errors import StudyError
from byrote.figures import FIGURES, PUBLISHED, draw_all, find_published
from byrote.figures.cells import auc_cells, per_record, same_matrices, seeds_interval, variants
from byrote.figures.share_against_perplexity import fit_label, linear_fit
from byrote.figures.style import MOST, NotDrawnError, Options, not_shown
from byrote.statistics.intervals import hanley_mcneil_se
from fake_tables import empty_tables, fake_tables

SMALL = fake_tables(("q", "v"), (1, 4), canaries=8, failed=(3,))


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    folder = tmp_path_factory.mktemp("figures")
    return draw_all(SMALL, folder, compare_to="table-3.1")


@pytest.mark.slow
def test_every_figure_of_the_table_is_drawn_from_full_tables(drawn):
    assert [figure.name for figure in drawn] == list(FIGURES)
    for figure in drawn:
        assert figure.reason is None
        assert figure.svg is not None
        assert figure.png is not None
        assert ElementTree.parse(figure.svg).getroot().tag.endswith("svg")
        assert figure.png.read_bytes().startswith(b"\x89PNG")
        assert figure.pdf.read_bytes().startswith(b"%PDF")


@pytest.mark.slow
def test_svg_is_the_same_bytes_each_time_and_holds_no_date(drawn, tmp_path):
    again = draw_all(SMALL, tmp_path, compare_to="table-3.1")
    for first, second in zip(drawn, again, strict=True):
        for kind in ("svg", "png", "pdf"):
            assert getattr(first, kind).read_bytes() == getattr(second, kind).read_bytes()
        assert b"/Type3" not in first.pdf.read_bytes()
        assert b"/CIDFontType2" in first.pdf.read_bytes()
        assert b"dc:date" not in first.svg.read_bytes()


@pytest.mark.slow
def test_drawing_leaves_matplotlibs_settings_alone(drawn):
    assert drawn
    assert rcParams["svg.hashsalt"] is None
    assert rcParams["axes.spines.top"]


def test_empty_tables_give_a_reason_for_every_figure(tmp_path):
    for figure in draw_all(empty_tables(), tmp_path):
        assert figure.svg is None
        assert figure.png is None
        assert figure.pdf is None
        assert "no rows" in figure.reason
    assert list(tmp_path.iterdir()) == []


def test_a_figure_that_lost_its_data_loses_its_files(tmp_path):
    old = [tmp_path / "roc.svg", tmp_path / "roc.png"]
    for path in old:
        path.write_text("of an earlier run")
    draw_all(empty_tables(), tmp_path)
    assert not any(path.exists() for path in old)


def reason_of(name, tables, primary="ratio"):
    with pytest.raises(NotDrawnError) as missing:
        FIGURES[name].function(tables, Options(primary))
    return str(missing.value)


CANARIES = [name for name, figure in FIGURES.items() if "extraction" in figure.needs]
AUCS = [name for name, figure in FIGURES.items() if {"membership", "roc"} & {*figure.needs} and name != "forest"]


def test_one_rank_is_no_line():
    assert "at 1 rank only" in reason_of("auc_by_rank", fake_tables(("v",), (2,), canaries=0))


@pytest.mark.parametrize("name", AUCS)
def test_an_attack_without_results_is_a_reason(name):
    assert "'zlib'" in reason_of(name, SMALL, "zlib")


@pytest.mark.parametrize("name", CANARIES)
def test_members_alone_are_no_canaries(name):
    only = SMALL.extraction[SMALL.extraction["role"].isin(["member", "nonmember"])]
    assert "no planted canary was prompted" in reason_of(name, dataclasses.replace(SMALL, extraction=only))


@pytest.mark.parametrize("name", list(FIGURES))
def test_numbers_that_are_all_missing_draw_nothing_and_say_so(name):
    blank = ["ngram_share", "perplexity_base", "perplexity_tuned"]
    tables = dataclasses.replace(
        SMALL,
        membership=SMALL.membership.assign(auc=math.nan),
        roc=SMALL.roc.assign(tpr=math.nan),
        histograms=SMALL.histograms.iloc[:0],
        extraction=SMALL.extraction.assign(**dict.fromkeys(blank, math.nan)),
        canaries=SMALL.canaries.assign(exposure_rank=math.nan, exposure_extrapolated=math.nan),
        draws=SMALL.draws.assign(draws_for_chance=math.nan),
        agreement=SMALL.agreement.assign(spearman=math.nan),
        checkpoints=SMALL.checkpoints.assign(auc=math.nan),
    )
    assert reason_of(name, tables)


@pytest.mark.parametrize("column", ["perplexity_base", "perplexity_tuned"])
def test_one_missing_column_leaves_the_rest_drawn(column, tmp_path):
    tables = dataclasses.replace(SMALL, extraction=SMALL.extraction.assign(**{column: math.nan}))
    FIGURES["canary_by_copies"].function(tables, Options()).savefig(tmp_path / "one.svg")
    assert column.replace("_", " ") in reason_of(f"share_against_{column.split('_')[1]}_perplexity", tables)


def bars_of(tables):
    """Heights of the error bars in the figure by placement."""
    figure = FIGURES["auc_by_placement"].function(tables, Options())
    figure.draw_without_rendering()
    return [np.ptp(bar[:, 1]) for bars in figure.axes[0].collections for bar in bars.get_segments()]


def test_missing_intervals_are_drawn_without_bars():
    missing = dataclasses.replace(SMALL, membership=SMALL.membership.assign(auc_low=math.nan, auc_high=math.nan))
    assert [height > 0.01 for height in bars_of(SMALL)] == [True] * 3
    assert not any(bars_of(missing))


def test_more_trials_than_a_reader_can_tell_apart_are_capped_and_said():
    assert not_shown(MOST, "trials") == ""
    tables = fake_tables(("v",), (1,), tuple(range(MOST + 3)), canaries=0)
    figure = FIGURES["roc"].function(tables, Options())
    assert len(figure.axes[0].lines) == MOST + 1
    assert f"first {MOST} of {MOST + 3} trials" in figure.get_supxlabel()
    assert "3 are in the tables only" in figure.get_supxlabel()


def test_cells_gather_seeds_and_keep_what_else_varies_apart():
    tables = fake_tables(matrices=("q", "v"), ranks=(1,), seeds=(1, 2, 3, 4, 5), canaries=0)
    cells = auc_cells(tables, "ratio")
    rows = tables.membership.query("attack == 'ratio' and stratum == 'records'")
    assert list(cells["matrices"]) == ["q", "v"]
    assert list(cells["seeds"]) == [5, 5]
    assert list(cells["basis"]) == ["seeds", "seeds"]
    assert cells["auc"][1] == pytest.approx(rows[rows["matrices"] == "v"]["auc"].mean())
    trials = tables.trials.assign(varied=[*tables.trials["varied"][:-1], '["alpha 32"]'])
    apart = auc_cells(dataclasses.replace(tables, trials=trials), "ratio")
    assert sorted(zip(apart["variant"], apart["seeds"], strict=True)) == [("", 4), ("", 5), ("alpha 32", 1)]


def test_variants_keep_a_canary_seed_that_is_not_the_trials_own():
    trials = fake_tables(("v",), (1,), (13,), 0).trials.assign(varied='["seed 7"]')
    assert list(variants(trials).values()) == ["seed 7"]


@given(st.lists(st.floats(0.5, 1), min_size=5, max_size=12))
def test_an_interval_over_seeds_holds_the_mean(values):
    low, high = seeds_interval(np.array(values), 0.95)
    assert low <= np.mean(values) + 1e-12
    assert high >= np.mean(values) - 1e-12


def test_fewer_than_five_seeds_have_no_interval():
    assert all(math.isnan(end) for end in seeds_interval(np.array([0.7, 0.71, 0.72, 0.73]), 0.95))


def test_linear_fit_equals_scipys_and_refuses_what_has_no_slope():
    rng = np.random.default_rng(0)
    x, noise = rng.normal(size=30), rng.normal(size=30)
    y = 0.4 * x + noise
    slope, intercept, r2 = linear_fit(x, y)
    expected = linregress(x, y)
    assert (slope, intercept, r2) == pytest.approx((expected.slope, expected.intercept, expected.rvalue**2))
    assert linear_fit(x[:2], y[:2]) is None
    assert linear_fit(np.ones(5), y[:5]) is None
    assert linear_fit(x[:5], np.ones(5)) is None
    assert "no line" in fit_label(0.5, None)
    assert "−0.5" in fit_label(0.5, (-0.5, 0.0, 0.25))


def test_samples_of_a_record_are_averaged():
    tables = fake_tables(("v",), (1,), (13,), 4)
    twice = tables.extraction.loc[tables.extraction.index.repeat(2)].assign(sample=[0, 1] * len(tables.extraction))
    twice.loc[twice["sample"] == 1, "ngram_share"] = 0.0
    once, mean = per_record(tables.extraction), per_record(twice)
    assert np.allclose(mean["ngram_share"], once["ngram_share"] / 2)


def test_matrices_are_a_set():
    assert same_matrices("q,k", "k,q")
    assert not same_matrices("q", "q,k")


def test_printed_half_widths_of_table_3_1_are_hanley_and_mcneils():
    for matrices, rank, auc, half in find_published("table-3.1").cells:
        expected = round(1.959964 * hanley_mcneil_se(auc, 2898, 968), 2)
        assert half == pytest.approx(expected), (matrices, rank)
    assert len(find_published("table-3.1").cells) == 15


def test_figure_3_6_rises_to_its_plateau():
    frame = find_published("figure-3.6").frame()
    assert frame["rank"].tolist() == [2**power for power in range(10)]
    assert frame["auc"].idxmax() == 7
    assert frame["half_width"].isna().all()


def test_an_unknown_publication_lists_the_names(tmp_path):
    with pytest.raises(StudyError, match=r"table-3\.1, figure-3\.6"):
        draw_all(empty_tables(), tmp_path, compare_to="table-9")
    assert set(PUBLISHED) == {"table-3.1", "figure-3.6"}


@pytest.mark.parametrize("name", ["roc", "forest", "share_against_tuned_perplexity", "auc_by_rank"])
def test_a_figure_of_one_column_stacks_its_panels_and_cuts_no_words(name):
    page, column = (FIGURES[name].function(SMALL, Options("ratio", width=width)) for width in (174, 85))
    assert page.get_figwidth() * 25.4 == pytest.approx(174)
    assert column.get_figwidth() * 25.4 == pytest.approx(85)
    assert len(column.axes) == len(page.axes)
    column.draw_without_rendering()
    first, second = (column.axes * 2)[:2]
    if name == "roc":
        assert first.get_position().y0 > second.get_position().y1
    words = [text for legend in column.legends for text in legend.get_texts()]
    words += [axes.xaxis.label for axes in column.axes]
    for text in words:
        place = text.get_window_extent()
        assert place.x0 >= 0, text.get_text()
        assert place.x1 <= column.bbox.width, text.get_text()
