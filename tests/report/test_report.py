"""The report: sentences that follow from the tables, one file without network, and no text unless asked for."""

import dataclasses
import math
import re
from html.parser import HTMLParser

import numpy as np
import pytest

from byrote.figures import draw_all, find_published
from byrote.report import canaries, comparisons, controls, findings, generation, setting, tabulate, words
from byrote.report.comparisons import ONE_SEED, placement_sentences
from byrote.report.generation import Texts
from fake_report import report, study_of, text_of
from fake_tables import empty_tables, fake_tables

VOID = {"meta", "br", "hr", "img", "link", "input"}

FEW = {"kind": "few_records", "count": 4, "message": "there are only 4 members, fewer than 10"}


class Outline(HTMLParser):
    """Tags that are opened and closed in order, ids, and what an element points at."""

    def __init__(self, page):
        super().__init__()
        self.open, self.ids, self.links, self.tags = [], [], [], []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.ids += [value for name, value in attrs if name == "id"]
        self.links += [value for name, value in attrs if name in ("href", "src", "xlink:href")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_page_is_whole_self_contained_and_labelled(tmp_path):
    tables = fake_tables(("q", "v"), (1, 2), canaries=8, failed=(3,))
    page = report(tables, tmp_path, drawn=draw_all(tables, tmp_path / "figures"))
    outline = Outline(page)
    assert outline.open == []
    assert len(outline.ids) == len(set(outline.ids))
    outside = [link for link in outline.links if not link.startswith("data:image/png;base64,")]
    assert all(link.startswith("#") and link[1:] in outline.ids for link in outside)
    assert outline.tags.count("script") == 1  # which sorts tables; test_browser.py reads the page without it too
    assert not re.search(r"url\((?!#)|@import|https?://(?!www\.w3\.org)", page)
    assert page.count('role="img" aria-label="') == outline.tags.count("svg") == 17
    assert outline.tags.count("caption") == outline.tags.count("table")
    titles = re.findall(r"<h2[^>]*>(.*?)</h2>", page)
    assert titles == [
        *("Answers", "Summary", "What was measured, and for whom", "Membership inference"),
        *("Prompted generation", "Untargeted extraction", "Utility", "Checkpoints", "Single records"),
        *("What was not measured", "Data, machine and how to do it again", "Annex: what is asked for", "Glossary"),
    ]
    used = set(re.findall(r'href="#(term-[\w-]+)"', page))
    assert used == set(re.findall(r'<dt id="(term-[\w-]+)"', page))
    assert len(used) > 15


@pytest.mark.parametrize("matrices", [("v",), ("q", "v")])
def test_a_run_without_results_still_reports(matrices, tmp_path):
    failed = tuple(range(len(matrices)))
    failures = [{"trial": "000000000000", "stage": "trials/0123456789abcdef/adapter", "error": "StageError: <nan>"}]
    tables = fake_tables(matrices, (1,), failed=failed)
    page = report(tables, tmp_path, failures=failures, drawn=draw_all(tables, tmp_path / "figures"))
    assert f"0 of {words.count(len(matrices), 'trial')} finished" in page
    assert f"{matrices[0]} · rank 1 · seed 13, adapter: StageError: &lt;nan&gt;" in page
    assert "14 figures were not drawn" in page
    assert "nan" not in text_of(page).replace("&lt;nan&gt;", "")


def test_empty_tables_report_that_there_are_no_trials(tmp_path):
    page = report(empty_tables(), tmp_path)
    assert "The run holds no trials." in page
    assert Outline(page).open == []


def test_texts_are_shown_only_when_given_and_escaped(tmp_path):
    tables = fake_tables(("v",), (1,), canaries=8)
    texts = {record: f"<i>secret {record}</i>" for record in set(tables.extraction["record"])}
    assert "secret" not in report(tables, tmp_path)
    shown = report(tables, tmp_path, texts=Texts(texts, {}))
    assert "&lt;i&gt;secret" in shown
    assert "<i>" not in shown
    assert shown.count("secret") <= generation.MOST_TEXTS
    assert "secret other-" not in shown


def test_the_same_results_give_the_same_page(tmp_path):
    tables = fake_tables(("v",), (1, 2), canaries=8)
    first, second = (report(tables, tmp_path / name) for name in ("one", "two") if (tmp_path / name).mkdir() is None)
    assert first == second


def test_published_values_stand_beside_ones_own(tmp_path):
    study = study_of(report={"compare_to": "table-3.1"})
    page = report(fake_tables(canaries=0), tmp_path, study=study)
    assert "<td>0.80 ± 0.01</td>" in page
    assert "Llama-2-7B" in page
    plain = report(fake_tables(canaries=0), tmp_path)
    assert "Llama-2-7B" not in plain
    assert ">published<" not in plain


def test_primary_table_prints_published_digits():
    tables = fake_tables(("q,k,v,o",), (1, 128), canaries=0)
    grid = tabulate.primary_grid(tables, "ratio", find_published("figure-3.6"))
    assert [row[-1] for row in grid.rows] == ["0.909", "0.9455"]
    assert "published" not in tabulate.primary_grid(tables, "ratio", None).headers


@pytest.mark.parametrize(
    ("count", "failed", "sentence"),
    [
        (0, (), "The run holds no trials."),
        (1, (), "The one trial finished."),
        (2, (), "All 2 trials finished."),
        (2, (0,), "1 of 2 trials finished; 1 failed."),
        (3, (0, 1), "1 of 3 trials finished; 2 failed."),
        (1, (0,), "0 of 1 trial finished; 1 failed."),
    ],
)
def test_trials_are_counted_in_words(count, failed, sentence):
    tables = fake_tables(("v",), tuple(2**i for i in range(count)), canaries=0, failed=failed)
    assert findings.trial_sentences(tables) == [sentence]


def test_waiting_trials_are_named():
    tables = fake_tables(("v",), (1, 2, 4), canaries=0, failed=(2,))
    tables = dataclasses.replace(tables, trials=tables.trials.assign(state=["done", "waiting", "failed"]))
    (sentence,) = findings.trial_sentences(tables)
    assert "1 is waiting" in sentence
    assert "1 failed" in sentence


def membership_with(tables, **columns):
    return dataclasses.replace(tables, membership=tables.membership.assign(**columns))


def test_the_strongest_trial_is_called_a_maximum_with_its_interval():
    tables = fake_tables(canaries=0)
    text = " ".join(findings.strongest_sentences(tables, "ratio"))
    rows = tables.membership.query("attack == 'ratio' and stratum == 'records'")
    top = rows.loc[rows["auc"].idxmax()]
    assert f"{top['auc']:.2f} (95% interval {top['auc_low']:.2f} to {top['auc_high']:.2f}), of v · rank 4" in text
    assert "largest of 15 trials" in text
    alone = " ".join(findings.strongest_sentences(fake_tables(("v",), (1,), canaries=0), "ratio"))
    assert alone.startswith("The AUC")
    assert "largest" not in alone


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"auc": 0.51, "auc_low": 0.48, "auc_high": 0.54}, "does not tell it from guessing"),
        ({"auc": 0.3, "auc_low": 0.28, "auc_high": 0.32}, "below 0.5"),
        ({"auc": 0.8, "auc_low": math.nan, "auc_high": math.nan}, "Without an interval"),
        ({"auc": math.nan, "auc_low": math.nan, "auc_high": math.nan}, "has no result"),
    ],
)
def test_weak_results_are_not_sold(values, sentence):
    tables = membership_with(fake_tables(("v",), (1,), canaries=0), **values)
    assert sentence in " ".join(findings.strongest_sentences(tables, "ratio"))


def test_controls_are_reported_or_said_to_be_missing():
    tables = fake_tables(("v",), (1, 2), canaries=0)
    text = " ".join(controls.control_sentences(tables, "ratio"))
    assert "the attack loss reaches 0.50, close to guessing" in text
    assert "null trial" in text
    assert "null trial" not in " ".join(controls.control_sentences(tables, "loss"))
    uneven = membership_with(tables, auc_blind=0.7, blind_p_value=0.002)
    assert "differ before any fine-tuning" in " ".join(controls.control_sentences(uneven, "loss"))
    assert controls.control_sentences(empty_tables(), "ratio") == []


def test_one_seed_compares_trained_models():
    sentences = placement_sentences(fake_tables(canaries=0), "ratio")
    assert len(sentences) == 4
    assert sentences[-1] == ONE_SEED
    assert sentences[0].startswith("At rank 1, v leaks most")
    assert placement_sentences(fake_tables(("v",), canaries=0), "ratio") == []
    assert placement_sentences(empty_tables(), "ratio") == []


@pytest.mark.parametrize(("gap", "word"), [(0.5, "do not overlap"), (0.01, "intervals overlap")])
def test_overlap_of_intervals_is_told(gap, word):
    tables = fake_tables(("q", "v"), (1,), canaries=0)
    is_v = tables.membership["matrices"] == "v"
    auc = np.where(is_v, 0.4 + gap, 0.4)
    (first, _) = placement_sentences(membership_with(tables, auc=auc, auc_low=auc - 0.02, auc_high=auc + 0.02), "ratio")
    assert word in first


@pytest.mark.parametrize(("seeds", "word"), [((1, 2, 3), "needs 5"), ((1, 2, 3, 4, 5), "means over 5")])
def test_claims_about_matrices_need_five_seeds(seeds, word):
    (sentence,) = placement_sentences(fake_tables(("q", "v"), (1,), seeds, canaries=0), "ratio")
    assert word in sentence
    assert f"{len(seeds)} seeds each" in sentence


def test_strata_are_told_apart():
    first, *_, last = findings.membership_sentences(fake_tables(("v",), (1, 2), canaries=0), "ratio")
    assert first.startswith("Members against non-members: AUC")
    assert "8 copies" in last
    assert findings.membership_sentences(empty_tables(), "ratio") == ["The primary attack (ratio) has no AUC."]


def test_generation_counts_equal_the_rows():
    tables = fake_tables(("v",), (1, 2), canaries=12)
    rows = tables.extraction
    summary = generation.generation_summary(rows, 0.95)
    for row in summary.to_dict("records"):
        part = rows[(rows["role"] == row["role"]) & (rows["temperature"] == row["temperature"])]
        for model in ("tuned", "base"):
            of_model = part[part["model"] == model]
            assert row[f"verbatim_{model}"] == of_model["verbatim"].sum()
            assert row[f"completions_{model}"] == len(of_model)
            assert row[f"share_{model}"] == pytest.approx(of_model["ngram_share"].mean())
    assert summary["low_tuned"].isna().all()
    alone = generation.generation_summary(fake_tables(("v",), (1,), canaries=12).extraction, 0.95)
    assert alone["high_tuned"].between(0, 1).all()


def test_copies_split_canaries_only():
    split = generation.generation_summary(fake_tables(("v",), (1,), canaries=12).extraction, 0.95, by_copies=True)
    assert split[split["role"] == "canary_in"]["copies"].notna().all()
    assert split[split["role"] == "member"]["copies"].isna().all()


def test_generation_says_when_a_control_is_missing():
    tables = fake_tables(("v",), (1,), canaries=4)
    without = dataclasses.replace(tables, extraction=tables.extraction[tables.extraction["role"] != "nonmember"])
    assert "No non-member was prompted" in generation.generation_sentences(without)[0]
    assert "No non-member was prompted" not in generation.generation_sentences(tables)[0]
    assert len(generation.generation_sentences(tables)) == 4
    assert generation.generation_sentences(empty_tables()) == [
        "No record was prompted, so nothing is known about what the models write."
    ]


def test_utility_tells_direction_and_confounding():
    tables = fake_tables(("v",), (1, 2), canaries=0)
    assert len(findings.utility_sentences(tables)) == 2
    worse = dataclasses.replace(tables, trials=tables.trials.assign(perplexity_tuned=[200.0, 50.0]))
    assert "In 1 trial fine-tuning made it worse." in findings.utility_sentences(worse)
    assert findings.utility_sentences(empty_tables())[0].startswith("No trial")


def test_what_is_missing_is_counted():
    tables = fake_tables(("v",), (1,), canaries=0)
    text = " ".join(findings.missing_sentences(tables, undrawn=1, failures=2))
    assert "6 operating points were refused" in text
    assert "No control exists for difference and ratio." in text
    assert "up to 2 records were left out" in text
    assert "1 figure was not drawn" in text
    assert "2 stages failed" in text
    assert findings.missing_sentences(empty_tables(), 0, 0) == ["Nothing that the study asked for is missing."]


def test_operating_points_are_those_of_calibration():
    tables = fake_tables(("v",), (1,), canaries=0)
    assert [rate in sentence for rate, sentence in zip(("10%", "10%", "1%", "1%"), operating(tables), strict=True)] == [
        True
    ] * 4
    only = tables.operating_points.assign(threshold_source="published")
    assert operating(dataclasses.replace(tables, operating_points=only)) == []


def test_a_rate_stands_with_its_interval_or_why_none_and_beside_what_papers_print():
    tables = fake_tables(("v",), (1,), canaries=0)
    points = tables.operating_points
    row = points[(points["attack"] == "ratio") & (points["target_fpr"] == 0.1)].iloc[0]
    fixed, published, *_ = operating(tables)
    assert f"of the members (interval {100 * row['tpr_low']:.1f}% to {100 * row['tpr_high']:.1f}%)" in fixed
    assert published.startswith("Published figures take the largest share at a false-positive rate of at most 10%")
    why = "none: 1 calibration record is above the cut, and an interval takes at least 4"
    bare = points.assign(tpr_low=np.nan, tpr_high=np.nan, tpr_interval=why)
    sentence = operating(dataclasses.replace(tables, operating_points=bare))[0]
    assert "of the members (without an interval: 1 calibration record is above the cut" in sentence
    two = fake_tables(("v", "q"), (1,), canaries=0)
    assert "interval" not in operating(two)[0]


def test_families_are_said_where_claims_and_bounds_stand():
    tables = fake_tables(("v",), (1,), canaries=8)
    assert "with 95% confidence in all 2 bounds" in " ".join(canaries.audit_sentences(tables))
    assert "with 95% confidence in all 2 bounds" in canaries.record_bound_sentences(tables)[0]
    alone = dataclasses.replace(tables, audits=tables.audits.assign(family="1 bound"))
    assert "with 95% confidence;" in canaries.record_bound_sentences(alone)[0]
    assert canaries.audits_grid(tables).headers.count("family") == 1
    rows = tables.configurations
    study = study_of()
    assert "hold together" not in " ".join(comparisons.claim_sentences(fake_tables(("v", "q"), (1,)), study))
    judged = fake_tables(("v", "q", "k"), (1,)).configurations.assign(family="3 claims")
    sentences = comparisons.claim_sentences(dataclasses.replace(tables, configurations=judged), study)
    assert "The intervals of the 3 claims are widened so that all of them hold together." in sentences[0]
    assert rows["family"].isna().all()


def operating(tables):
    return findings.operating_sentences(tables, "ratio")


def test_grids_are_rectangular_and_hold_every_row():
    tables = fake_tables(("q", "v"), (1, 2), seeds=(1, 2), canaries=8)
    grids = [
        tabulate.primary_grid(tables, "ratio", None),
        comparisons.means_grid(tables),
        tabulate.attacks_grid(tables),
        tabulate.operating_grid(tables),
        tabulate.refused_grid(tables),
        generation.generation_grid(tables),
        tabulate.utility_grid(tables),
        tabulate.timings_grid(tables),
        setting.setting_grid(study_of()),
    ]
    for grid in grids:
        assert grid.rows
        assert {len(row) for row in grid.rows} == {len(grid.headers)}
        assert all(isinstance(cell, str) for row in grid.rows for cell in row)
    assert len(grids[0].rows) == 8
    assert len(grids[1].rows) == 4
    assert len(grids[2].rows) == len(tables.membership)
    refused = tables.operating_points["refused_because"].notna()
    assert len(grids[3].rows) + refused.sum() == len(tables.operating_points)


def test_no_page_says_95_where_the_level_is_another(tmp_path):
    parts = {"study": study_of(canaries={"design": "many"}), "findings": [FEW]}
    tables = fake_tables(("q", "v"), (1, 2), seeds=(1, 2), canaries=8)
    plain = text_of(report(tables, tmp_path, **parts))
    page = text_of(report(dataclasses.replace(tables, level=0.9), tmp_path, **parts))
    assert plain.count("95% interval") == page.count("90% interval") > 10
    assert not re.search(r"95% (t )?interval", page)


def test_too_few_records_head_the_page(tmp_path):
    page = report(fake_tables(canaries=0), tmp_path, findings=[FEW])
    assert "<strong>Warning.</strong> There are only 4 members, fewer than 10." in page
    assert page.index("There are only 4 members") < page.index('<h2 id="measured">')
    assert "There are only 4" not in report(fake_tables(canaries=0), tmp_path)


@pytest.mark.parametrize("design", ["none", "single", "many"])
def test_every_canary_design_is_told_in_words(design):
    text = " ".join(setting.setting_sentences(study_of(canaries={"design": design})))
    assert {"none": "No canary", "single": "overwrote", "many": "each planted with probability 50%"}[design] in text


def test_repeated_copies_are_named_once():
    text = " ".join(setting.setting_sentences(study_of(canaries={"design": "many", "copies": [1, 1, 4]})))
    assert "canaries of 1 or 4 copies" in text


@pytest.mark.parametrize(
    ("printed", "expected"),
    [
        (words.number(math.nan), "–"),
        (words.number(None), "–"),
        (words.number(-0.126, 2), "−0.13"),
        (words.plain(2898), "2\u202f898"),
        (words.plain(None), "–"),
        (words.percent(0.00004), "0.004%"),
        (words.percent(0.125), "12.5%"),
        (words.rate(0.001), "0.1%"),
        (words.count(0, "trial"), "no trials"),
        (words.count(1, "copy", "copies"), "1 copy"),
        (words.listing([]), ""),
        (words.listing(["a", "b", "c"]), "a, b and c"),
        (words.duration(7.25), "7.2 s"),
        (words.duration(3700), "1 h 1 min"),
        (words.memory(3 * 2**30), "3.0 GiB"),
        (words.p_value(0.0001), "< 0.001"),
        (words.p_value(math.nan), "–"),
        (words.spread([0.5, math.nan, 0.7]), "0.50 to 0.70"),
        (words.spread([]), "–"),
        (words.draws(12.0), "12"),
        (words.draws(3e47), "10⁴⁷"),
        (words.draws(None), "–"),
        (words.with_interval(0.8, math.nan, 0.9, 0.95), "0.80 (no interval)"),
        (words.with_interval(0.8, 0.7, 0.9, 0.9), "0.80 (90% interval 0.70 to 0.90)"),
        (words.at_level(0.995), "99.5% interval"),
    ],
)
def test_numbers_in_words(printed, expected):
    assert printed == expected


def test_a_control_under_the_null_trial_is_not_called_the_base_models():
    tables = fake_tables()
    rows = tables.membership
    rows.loc[rows.attack == "ratio", ["auc_control", "control"]] = [0.51, "null trial"]
    text = " ".join(controls.control_sentences(tables, "ratio"))
    assert "Under the null trial, tuned on other documents, the attack ratio reaches 0.51, close to guessing." in text
    assert "On the base model, which never saw the members, the attack loss reaches 0.50" in text
    assert "there is none" not in text
