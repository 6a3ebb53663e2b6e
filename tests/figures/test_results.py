"""The figures of all attacks, of exposure, of draws and of agreement: what is drawn, and what is not."""

import dataclasses
import math
import re

import numpy as np
import pytest

from byrote.figures import FIGURES, draw_all
from byrote.figures.forest import MOST_TRIALS
from byrote.figures.share_by_draws import MOST
from byrote.figures.style import TIP, NotDrawnError, Options
from fake_tables import fake_tables

TABLES = fake_tables(("q", "v"), (1,), canaries=16)


def drawn(name, tables=TABLES, primary="ratio"):
    figure = FIGURES[name].function(tables, Options(primary))
    figure.draw_without_rendering()
    return figure


def words(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_the_forest_holds_every_attack_of_every_trial_with_intervals_and_controls():
    figure = drawn("forest")
    assert len(figure.axes) == 2
    left = figure.axes[0]
    attacks = [tick.get_text() for tick in left.get_yticklabels()]
    assert attacks == ["loss", "difference", "ratio"]
    seen = [line for line in left.lines if line.get_alpha() != 0]
    assert sum(line.get_marker() == "o" for line in seen) == 3
    assert sum(line.get_marker() == "s" for line in seen) == 1
    assert sum(len(line.get_xdata()) == 2 and np.ptp(line.get_ydata()) == 0 for line in left.lines) == 3
    verticals = {float(line.get_xdata()[0]) for line in left.lines if list(line.get_ydata()) == [0, 1]}
    assert verticals == {0.5, 0.495}
    assert "the same on the base model" in words(figure)
    assert "blind: without any model" in words(figure)


def test_the_forest_tells_a_null_trial_from_the_base_model():
    rows = TABLES.membership.assign(auc_control=0.51, control="null trial", auc_blind=math.nan)
    figure = drawn("forest", dataclasses.replace(TABLES, membership=rows))
    assert {line.get_marker() for line in figure.axes[0].lines} >= {"o", "^"}
    assert "the same under the null trial" in words(figure)
    assert "blind: without any model" not in words(figure)


def test_the_forest_caps_trials_and_says_so():
    figure = drawn("forest", fake_tables(("v",), (1,), tuple(range(MOST_TRIALS + 2)), canaries=0))
    assert len(figure.axes) == MOST_TRIALS
    assert "2 are in the tables only" in figure.get_supxlabel()


def test_exposure_has_planted_left_out_and_the_ceiling():
    figure = drawn("exposure_by_copies")
    assert [axes.get_title("left") for axes in figure.axes] == ["by rank", "extrapolated"]
    ceilings = [float(line.get_ydata()[0]) for line in figure.axes[0].lines if list(line.get_xdata()) == [0, 1]]
    assert ceilings == [pytest.approx(np.log2(40))]
    assert [tick.get_text() for tick in figure.axes[0].get_xticklabels()] == ["1", "2", "4", "8"]
    rows = TABLES.canaries
    line = next(line for line in figure.axes[0].lines if line.get_marker() == "o" and len(line.get_xdata()) == 4)
    first = rows[(rows["trial"] == rows["trial"].iloc[0]) & (rows["role"] == "canary_in") & (rows["copies"] == 1)]
    assert line.get_ydata()[0] == pytest.approx(first["exposure_rank"].mean())
    assert "left out (mean)" in words(figure)


def test_exposure_without_a_fit_says_so():
    rows = TABLES.canaries.assign(exposure_extrapolated=math.nan)
    figure = drawn("exposure_by_copies", dataclasses.replace(TABLES, canaries=rows))
    assert len(figure.axes) == 1
    assert "No extrapolated exposure is known." in figure.get_supxlabel()


def test_draws_are_a_step_curve_of_all_suffixes():
    figure = drawn("share_by_draws")
    assert words(figure)[:4] == [f"{who}, {m} model" for who in ("members", "non-members") for m in ("tuned", "base")]
    x, y = (np.asarray(values) for values in figure.axes[0].lines[0].get_data())
    assert (np.diff(x) >= 0).all()
    needed = TABLES.draws[(TABLES.draws["role"] == "member") & (TABLES.draws["model"] == "tuned")]["draws_for_chance"]
    for at in (1e3, 1e5):
        assert y[np.searchsorted(x, at, side="right") - 1] == pytest.approx((needed <= at).mean())


def test_suffixes_that_take_too_many_draws_hold_the_curve_down():
    rows = TABLES.draws.assign(draws_for_chance=np.where(TABLES.draws.index % 2, 1e9, 10 * MOST))
    figure = drawn("share_by_draws", dataclasses.replace(TABLES, draws=rows))
    x, y = figure.axes[0].lines[0].get_data()
    assert max(x) == MOST
    assert max(y) == 0.5
    assert "take more than 10³⁰ draws" in figure.get_supxlabel()


def test_canaries_have_their_own_panel_of_draws_only_where_there_are_any():
    assert len(drawn("share_by_draws").axes) == 2
    assert len(drawn("share_by_draws", fake_tables(("v",), (1,), canaries=0)).axes) == 1


def test_agreement_is_the_mean_over_trials():
    rows = TABLES.agreement.assign(spearman=np.where(TABLES.agreement["trial"] == "000000000000", 0.2, 0.6))
    figure = drawn("agreement", dataclasses.replace(TABLES, agreement=rows))
    assert {text.get_text() for text in figure.axes[0].texts} == {"0.40"}
    assert len(figure.axes[0].texts) == 3
    assert "Mean over 2 trials" in figure.get_supxlabel()


@pytest.mark.parametrize(
    ("name", "table", "column", "reason"),
    [
        ("forest", "membership", "auc", "no attack has an AUC"),
        ("exposure_by_copies", "canaries", ["exposure_rank", "exposure_extrapolated"], "no canary has an exposure"),
        ("share_by_draws", "draws", "draws_for_chance", "no suffix has a probability"),
        ("agreement", "agreement", "spearman", "no two attacks"),
    ],
)
def test_a_figure_without_numbers_gives_the_reason(name, table, column, reason):
    columns = [column] if isinstance(column, str) else column
    blank = getattr(TABLES, table).assign(**dict.fromkeys(columns, math.nan))
    with pytest.raises(NotDrawnError, match=reason):
        FIGURES[name].function(dataclasses.replace(TABLES, **{table: blank}), Options("ratio"))


@pytest.mark.slow
def test_a_figure_of_the_page_says_what_each_point_is(tmp_path):
    tables = fake_tables(("q", "v"), (1, 4), canaries=0)
    by_name = {figure.name: figure for figure in draw_all(tables, tmp_path)}
    images = {name: figure.svg.read_text() for name, figure in by_name.items() if figure.svg}
    tips = {name: re.findall("<title>(.*?)</title>", image) for name, image in images.items()}
    row = tables.membership[tables.membership["attack"] == "ratio"].iloc[0]
    ends = f"({row['simultaneous_low']:.3f} to {row['simultaneous_high']:.3f})"
    assert f"ratio: AUC {row['auc']:.3f} {ends}" in tips["forest"]
    bins = tables.histograms[(tables.histograms["attack"] == "ratio") & (tables.histograms["trial"] == row["trial"])]
    assert f"members, n = {bins['members'].sum():,.0f}" in tips["score_histograms"]
    assert "v · rank 1" in tips["roc"]
    for name in ("auc_by_placement", "auc_heat_map"):
        assert any(tip.startswith("v · rank 1: AUC 0.") for tip in tips[name])
    assert any(tip.startswith("step ") for tip in tips["leakage_by_step"])
    assert not any(TIP in image for image in images.values())


def test_histograms_show_shares_of_each_side_with_the_control_beside():
    figure = drawn("score_histograms", TABLES, "loss")
    assert len(figure.axes) == 2 * TABLES.trials["trial"].nunique()
    left, right = figure.axes[:2]
    of_loss = TABLES.histograms[TABLES.histograms["attack"] == "loss"]
    counts = of_loss[of_loss["trial"] == of_loss["trial"].iloc[0]]
    outline = left.patches[0].get_data()
    assert np.allclose(outline.values, counts["members"] / counts["members"].sum())
    assert list(outline.edges[:-1]) == list(counts["low"])
    assert "control: base model" in right.get_title(loc="left") + right.get_title()
    assert len(drawn("score_histograms").axes) == TABLES.trials["trial"].nunique()  # ratio has no control here
