"""Tests, claims, rates, draws, canaries, audits and single records in the report: every grid and every sentence."""

import dataclasses
import math
import re

import pytest

from byrote.report import canaries, comparisons, controls, findings, rates, single_records, tabulate
from byrote.report.generation import Texts
from byrote.report.page import Grid, capped, reasons_note, without_empty
from fake_report import report, study_of, text_of
from fake_tables import empty_tables, fake_tables

TABLES = fake_tables(("q", "v"), (1, 4), canaries=16)
GRIDS = {
    "means": comparisons.means_grid,
    "claims": comparisons.claims_grid,
    "attack tests": comparisons.attack_tests_grid,
    "trial tests": comparisons.trial_tests_grid,
    "detectable": comparisons.detectable_grid,
    "intervals": tabulate.intervals_grid,
    "attacks": tabulate.attacks_grid,
    "rates": rates.all_rates_grid,
    "rates of records": lambda tables: rates.open_rates_grid(tables, canaries=False),
    "rates of canaries": lambda tables: rates.open_rates_grid(tables, canaries=True),
    "draws": rates.draws_grid,
    "exposure": canaries.exposure_grid,
    "audits": canaries.audits_grid,
    "exposed": single_records.exposed_grid,
    "lists": single_records.lists_grid,
    "agreement": single_records.agreement_grid,
    "counterfactual": single_records.counterfactual_grid,
}
SENTENCES = {
    "claims": lambda tables: comparisons.claim_sentences(tables, study_of()),
    "tests": lambda tables: comparisons.test_sentences(tables, "ratio"),
    "detectable": comparisons.detectable_sentences,
    "rates": rates.rate_sentences,
    "draws": rates.draw_sentences,
    "exposed": single_records.exposed_sentences,
    "agreement": single_records.agreement_sentences,
    "counterfactual": single_records.counterfactual_sentences,
}


KEYS = ("prefix", "temperature", "threshold", "target_fpr", "chance", "delta", "level")


def changed(table, tables=TABLES, **columns):
    return dataclasses.replace(tables, **{table: getattr(tables, table).assign(**columns)})


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """The report on TABLES."""
    return report(TABLES, tmp_path_factory.mktemp("report"), study=study_of(canaries={"design": "many"}))


@pytest.mark.parametrize("name", GRIDS)
def test_every_grid_is_rectangular_and_on_the_page(name, page):
    grid = GRIDS[name](TABLES)
    assert grid.rows
    assert {len(row) for row in grid.rows} == {len(grid.headers)}
    assert all(isinstance(cell, str) and "nan" not in cell for row in grid.rows for cell in row)
    assert f"<caption><span>{grid.caption}</span></caption>" in page
    assert GRIDS[name](empty_tables()).rows == []


@pytest.mark.parametrize("name", SENTENCES)
def test_every_sentence_is_on_the_page_and_silent_without_rows(name, page):
    sentences = SENTENCES[name](TABLES)
    assert sentences
    for sentence in (part for text in sentences for part in re.split(r"(?<=[.?])\s+(?=[A-Z“‘])", text)):
        assert sentence.replace("'", "&#39;") in page
    assert SENTENCES[name](empty_tables()) == []


def test_missing_numbers_are_dashes_and_never_nan(tmp_path):
    gone = TABLES
    for table in ("configurations", "comparisons", "detectable", "draws", "extraction_rates", "canaries", "audits"):
        frame = getattr(gone, table)
        numbers = [c for c in frame.columns if frame[c].dtype == float and c not in KEYS]
        gone = changed(table, gone, **dict.fromkeys(numbers, math.nan))
    gone = changed("records", gone, percentile=math.nan, attacks_above=None)
    gone = changed("agreement", gone, spearman=math.nan)
    page = text_of(report(gone, tmp_path, study=study_of(canaries={"design": "many"})))
    assert "nan" not in page
    assert "<td>–</td>" in page


def test_reasons_stand_beside_what_is_missing():
    assert {row[-1] for row in comparisons.means_grid(TABLES).rows} == {"one seed shows no spread"}
    assert "a claim about configurations takes at least 5" in comparisons.claims_grid(TABLES).rows[0][3]
    assert "968 records cannot resolve a rate of 0.001" in {row[-1] for row in comparisons.detectable_grid(TABLES).rows}
    assert "needs at least one of each" in single_records.counterfactual_grid(TABLES).rows[-1][-1]
    assert "No control: ratio and difference (needs a null trial)." in tabulate.attacks_grid(TABLES).note


def test_claims_tell_their_rule_and_their_verdicts():
    text = " ".join(comparisons.claim_sentences(TABLES, study_of(claims={"margin": 0.03})))
    assert "a margin of 0.03 AUC" in text
    assert "All 6 pairs are undecided: too few seeds (1)." in text
    rows = TABLES.configurations.assign(seeds=5)
    is_pair = rows["verdict"].notna()
    rows.loc[is_pair, ["difference_low", "difference_high"]] = [0.04, 0.06]
    rows.loc[is_pair, "verdict"] = ["more", "equivalent", "undecided", "undecided", "undecided", "undecided"]
    decided = dataclasses.replace(TABLES, configurations=rows)
    text = " ".join(comparisons.claim_sentences(decided, study_of()))
    assert "q · rank 1 leaks more than q · rank 4, by 0.050 (0.040 to 0.060)." in text
    assert "q · rank 1 and v · rank 1 leak alike" in text
    assert "Of 6 pairs, 4 are undecided: in 4 the interval" in text


def test_tests_are_counted_after_holm():
    text = " ".join(comparisons.test_sentences(TABLES, "ratio"))
    assert "The attack with the highest AUC is ratio." in text
    assert "differs from them in 8 of 8 tests" in text
    assert "0 of 6 pairs of trials differ" in text


def test_rates_stand_beside_the_base_model_and_non_members():
    (sentence,) = rates.rate_sentences(TABLES)
    assert "12 of 30 (40%, 95% interval 23% to 59%) prompted members, the most of 4 trials" in sentence
    assert "2 of 30 under the base model and 1 of 30 non-members" in sentence
    none = changed("extraction_rates", hits=0, rate=0.0, low=0.0, high=0.12)
    assert "still compatible with up to 12% of the members" in rates.rate_sentences(none)[0]
    row = rates.open_rates_grid(TABLES, canaries=False).rows[0]
    assert row[1:4] == ["members", "50% in one run", "0"]
    assert row[4:] == ["12 of 30 (23–59%)", "2 of 30 (1–22%)", "1 of 30 (0–17%)", "0 of 30 (0–12%)"]
    canary = rates.open_rates_grid(TABLES, canaries=True).rows
    assert {row[1] for row in canary} == {"canaries, 1×", "canaries, 8×"}


def test_draws_are_medians_of_suffixes_with_both_controls():
    text = " ".join(rates.draw_sentences(TABLES))
    assert "about 10\u202f000 draws until half of the members' suffixes have appeared with a chance of 50%" in text
    assert "the base model 10¹¹" in text
    assert "for non-members 10¹⁰" in text
    assert "Within 10\u202f000 draws, 12 of 30" in text
    row = rates.draws_grid(TABLES).rows[0]
    assert row[1:5] == ["members", "1", "50%", "6"]
    assert row[5:9] == ["10\u202f000", "10¹¹", "10¹⁰", "10¹⁷"]
    assert "beyond 10³⁰⁰" in rates.draws_grid(changed("draws", draws_for_chance=math.inf)).rows[0]


def test_canaries_have_a_section_only_where_many_were_planted(tmp_path):
    many, none = study_of(canaries={"design": "many"}), study_of()
    assert '<h2 id="canaries">' in report(TABLES, tmp_path, study=many)
    assert '<h2 id="canaries">' not in report(TABLES, tmp_path, study=none)
    assert "No canary was scored" in report(empty_tables(), tmp_path, study=many)


def test_exposure_is_told_with_its_ceiling_and_the_left_out():
    text = " ".join(canaries.exposure_sentences(TABLES))
    assert "among 39 references" in text
    assert "5.3 bits for the first" in text
    assert "1.4 bits on average" in text
    assert "at 8 copies (" in text
    assert "is not rejected" in text
    assert "do not quote those" in " ".join(canaries.exposure_sentences(changed("canaries", fit_p=0.001)))
    bare = changed("canaries", exposure_extrapolated=math.nan, note="39 references; a fit needs at least 50")
    assert "not extrapolated: 39 references" in " ".join(canaries.exposure_sentences(bare))
    assert canaries.exposure_grid(TABLES).rows[0][1:3] == ["1", "2 (2)"]


def test_audits_tell_what_their_bound_rests_on():
    text = " ".join(canaries.audit_sentences(TABLES))
    assert "ε is at least 0.31, after q · rank 1 · seed 13, the largest of 4 trials: 71 of 100 guesses on 100" in text
    assert "could have shown at most 3.40 (0.00 for the control" in text
    assert "If the training were a Gaussian mechanism: at least 0.62." in text
    assert "the largest of 4 trials each, ε is at least 1.90 for 8 copies." in text
    assert canaries.NOT_COMPARABLE in text
    assert canaries.NOT_COMPARABLE in canaries.audits_grid(TABLES).note
    row = canaries.audits_grid(TABLES).rows[0]
    assert row[1:7] == ["record", "ratio", "100", "100", "71", "0.31"]
    assert row[7:] == ["3.40", "0.00", "0.62", "0.00", "1e-05", "95%", "2 bounds"]
    without = changed("audits", epsilon_low=math.nan, note="no bound: canaries.inclusion is 0.3, not 0.5")
    assert "not bounded: no bound: canaries.inclusion" in " ".join(canaries.audit_sentences(without))
    assert canaries.audits_grid(without).rows[0][-1].startswith("no bound: canaries.inclusion")
    assert "No lower bound" in canaries.record_bound_sentences(without)[0]


def test_an_audit_whose_control_finds_something_is_a_warning(tmp_path):
    assert canaries.audit_warnings(TABLES) == []
    bad = changed("audits", null_epsilon=0.4)
    (warning,) = canaries.audit_warnings(bad)
    assert "In 8 of 8 audits" in warning
    assert '<p class="warning">' in report(bad, tmp_path)


def test_single_records_are_told_by_id_with_the_attacks_that_agree(tmp_path):
    text = " ".join(single_records.exposed_sentences(TABLES))
    assert "The most exposed of all is canary_in-0" in text
    assert "3 of 3 attacks name it a member" in text
    assert "3 records are on the lists of all 4 trials" in text
    grid = single_records.exposed_grid(TABLES)
    assert grid.rows[0] == ["canary_in-0", "planted canary", "ratio", "1", "4", "1", "99.0%", "3"]
    spread = changed("records", seeds_sd=0.25)
    assert single_records.exposed_grid(spread).headers[-1] == "spread over seeds"
    assert "must stay" not in report(TABLES, tmp_path, texts=None)
    texts = dict.fromkeys(set(TABLES.records["record"]) - set(TABLES.extraction["record"]), "must stay inside")
    assert texts
    assert "must stay" not in report(TABLES, tmp_path, texts=Texts(texts, {}))


def test_counterfactual_counts_what_is_unknown():
    text = " ".join(single_records.counterfactual_sentences(TABLES))
    assert "For 1 canary no difference is known." in text
    unknown = changed("counterfactual", memorization=math.nan)
    assert "could be computed for no canary" in single_records.counterfactual_sentences(unknown)[0]


@pytest.mark.parametrize(
    ("auc", "error", "end"),
    [
        (0.503, 0.01, "close to guessing"),
        (0.53, 0.01, "more than chance gives"),
        (0.6, 0.01, "differ before any fine-tuning"),
        (0.6, 0.09, "which chance alone may give"),
        (0.4, 0.01, "differ before any fine-tuning"),
        (1.0, 0.0, "differ before any fine-tuning"),
        (0.6, math.nan, "which chance alone may give"),
    ],
)
def test_a_control_is_judged_by_its_error_by_document(auc, error, end):
    assert end in controls.near_half(auc, controls.beyond_chance(auc, error))


def test_the_chance_of_a_control_is_shared_over_all_that_are_looked_at():
    assert controls.beyond_chance(0.56, 0.02)
    assert not controls.beyond_chance(0.56, 0.02, tests=20)


def test_several_blind_tests_of_one_question_are_judged_together():
    assert controls.all_alike([math.nan])
    assert not controls.all_alike([0.01])
    assert controls.all_alike([0.01, 0.01])
    assert not controls.all_alike([0.002] * 10)
    assert controls.all_alike([0.002, 0.002, 0.9])


def test_a_blind_auc_that_permuted_labels_reach_heads_no_page():
    tables = fake_tables(("v",), (1,), canaries=0)
    tables.membership[["auc_blind", "blind_p_value"]] = [0.62, 0.02]
    assert controls.warning_sentences(tables) == []
    tables.membership["blind_p_value"] = 0.002
    (warning,) = controls.warning_sentences(tables)[:1]
    assert "a classifier that never saw a model reaches AUC 0.62" in warning
    (sentence,) = [s for s in controls.control_sentences(tables, "loss") if "bag-of-words" in s]
    assert "(p 0.002, 499 permutations of documents): members and non-members differ" in sentence


@pytest.mark.parametrize("column", ["auc_control", "auc_blind"])
@pytest.mark.parametrize(("value", "warns"), [(0.5, 0), (0.62, 1), (0.38, 1), (math.nan, 0)])
def test_a_control_far_from_half_heads_the_page_with_a_warning(column, value, warns, tmp_path):
    tables = fake_tables(("v",), (1,), canaries=0)
    rows = tables.membership
    rows.loc[rows["stratum"] == "records", column] = value
    rows[["auc_control_se", "blind_p_value"]] = [0.01, 0.002]
    rows.loc[rows["stratum"] != "records", ["auc_control", "auc_blind"]] = math.nan
    warnings = controls.warning_sentences(tables)
    assert len(warnings) == warns
    page = report(tables, tmp_path)
    assert page.count('<p class="warning">') == warns
    assert all(f"AUC {value:.2f}" in sentence and "v · rank 1 · seed 13" in sentence for sentence in warnings)


def test_a_null_trial_is_named_in_its_warning():
    tables = fake_tables(("v",), (1,), canaries=0)
    tables.membership[["auc_control", "control", "auc_control_se"]] = [0.7, "null trial", 0.01]
    assert all(
        "on the null trial, which never saw the members, reach AUC 0.70" in w for w in told_of(tables, "records")
    )
    tables.membership["auc_control_se"] = 0.1
    assert controls.warning_sentences(tables) == []


def told_of(tables, stratum):
    warnings = [warning for warning in controls.warning_sentences(tables) if f"On {stratum}" in warning]
    assert warnings
    return warnings


def test_the_strongest_of_all_attacks_and_the_auditor_are_told():
    assert findings.any_attack_sentences(TABLES, "ratio") == []
    stronger = " ".join(findings.any_attack_sentences(TABLES, "loss"))
    assert "Of all 3 attacks the strongest, ratio, reaches 0.8" in stronger
    top = TABLES.membership.query("stratum == 'records'").sort_values("auc").iloc[-1]
    assert f"interval {top['simultaneous_low']:.2f} to {top['simultaneous_high']:.2f}" in stronger
    rows = TABLES.membership.assign(attack=TABLES.membership["attack"].replace("difference", "auditor"))
    text = " ".join(findings.any_attack_sentences(dataclasses.replace(TABLES, membership=rows), "ratio"))
    assert "An auditor who knows the members" in text


def test_long_tables_are_cut_and_say_where_the_rest_is():
    grid = Grid("x", ["a"], [["1"]] * 5, note="Note.")
    assert capped(grid, "draws", 5) is grid
    cut = capped(grid, "draws", 3)
    assert len(cut.rows) == 3
    assert cut.note == "The first 3 of 5 rows; all of them are in tables/draws.csv. Note."


def test_empty_columns_fall_away_from_either_end():
    grid = Grid("x", ["a", "b", "c", "d"], [["1", "–", "2", "–"]], words=2, tail=1)
    kept = without_empty(grid, "b", "d")
    assert (kept.headers, kept.rows, kept.words, kept.tail) == (["a", "c"], [["1", "2"]], 1, 0)
    assert reasons_note("No control", {}) == ""
