"""What the report says of trials that collapsed, of null trials, and of a base model that may have seen the members."""

import dataclasses
import math

import pandas as pd
import pytest

from byrote.report import conditions, controls, findings, null_trials, sections, tabulate
from byrote.report.comparisons import claim_sentences, placement_sentences
from byrote.tables import Tables
from fake_report import study_of
from fake_tables import empty_tables, fake_tables


def with_condition(*names: str) -> Tables:
    tables = fake_tables(("q", "v", "o")[: len(names)], (1,), canaries=0)
    collapsed = [name == "collapsed" for name in names]
    changed = {"condition": list(names), "perplexity_tuned": [63_654.0 if c else 40.0 for c in collapsed]}
    return dataclasses.replace(tables, trials=tables.trials.assign(**changed))


def test_a_collapsed_trial_heads_the_page_before_every_other_warning():
    tables = with_condition("collapsed")
    tables.membership.loc[tables.membership["stratum"] == "records", ["auc_blind", "blind_p_value"]] = [0.9, 0.002]
    warnings = sections._warnings(tables, [])
    assert len(warnings) == 2
    assert warnings[0].startswith(
        "The trial q · rank 1 · seed 13 collapsed: its perplexity rose from 113.2 to 63654.0 on "
    )
    assert "claims that rest on it are undecided" in warnings[0]
    tables.membership[["auc", "auc_low", "auc_high"]] = [0.5, 0.48, 0.52]
    strongest = " ".join(findings.strongest_sentences(tables, "ratio"))
    assert "That trial collapsed" in strongest
    assert "guessing." not in strongest
    assert conditions.collapsed_warnings(with_condition("", "overfitted")) == []
    assert conditions.collapsed_warnings(empty_tables()) == []


def test_matrices_of_collapsed_trials_are_not_said_to_leak_most():
    assert placement_sentences(with_condition("", "", ""), "ratio")[0].startswith("At rank 1, v leaks most")
    assert placement_sentences(with_condition("", "collapsed", ""), "ratio")[0].startswith("At rank 1, o leaks most")
    assert placement_sentences(with_condition("collapsed", "collapsed", ""), "ratio") == []


def test_claims_that_a_collapsed_trial_leaves_undecided_are_told_apart():
    tables = with_condition("", "collapsed")
    rows = tables.configurations
    rows.loc[rows["verdict"].notna(), "reason"] = "the trial of v · rank 1 collapsed; one seed"
    assert "The only pair is undecided: in 1 a trial collapsed." in claim_sentences(tables, study_of())


def test_an_overfitted_trial_is_named_so_and_is_no_warning():
    tables = with_condition("overfitted", "")
    (sentence,) = conditions.overfitted_sentences(tables)
    assert sentence.startswith(
        "The trial q · rank 1 · seed 13 is overfitted: fine-tuning lowered the perplexity of members"
    )
    assert any(sentence in paragraph for paragraph in findings.summary_sentences(tables, "ratio"))
    grid = tabulate.utility_grid(tables)
    assert [row[grid.headers.index("condition")] for row in grid.rows] == ["overfitted", "–"]
    assert "condition" not in tabulate.utility_grid(with_condition("", "")).headers


def beside_null(matched: bool, another: bool = False) -> Tables:
    tables = fake_tables(("q",), (1,), canaries=0)
    rows, note = tables.membership.astype({"control_matched": object}), "" if matched else "unmatched: its held-out …"
    numbers = {"auc_control": 0.525, "auc_control_low": 0.5, "auc_control_high": 0.55, "above_control": 0.04}
    numbers |= {"above_control_low": 0.01, "above_control_high": 0.07, "above_control_p": 0.009}
    for name, value in {**numbers, "control": "null trial", "control_matched": matched, "control_note": note}.items():
        rows.loc[rows["attack"] == "ratio", name] = value
    row = {"trial": tables.trials["trial"][0], "kind": "null trial", "null_trial": "n"}
    row |= {"another_configuration": another, "matched": matched}
    row |= {"epochs": 3, "steps": 138, "perplexity": 32.9, "null_epochs": 6, "null_steps": 96, "note": note}
    return dataclasses.replace(
        tables, membership=rows, null_trials=pd.DataFrame([{**row, "null_perplexity": 33.0 if matched else 54.2}])
    )


def test_a_trial_is_told_from_its_null_trial_by_the_paired_test():
    text = " ".join(null_trials.null_trial_sentences(beside_null(True), "ratio"))
    assert "the attack ratio differs from it by 0.040 (0.010 to 0.070, p 0.009)" in text
    assert "unmatched" not in text
    assert null_trials.null_trial_sentences(empty_tables(), "ratio") == []
    assert null_trials.null_trial_sentences(fake_tables(("q",), (1,), canaries=0), "ratio") == []


def test_an_unmatched_null_trial_is_called_so_and_its_auc_is_shown():
    tables = beside_null(False)
    text = " ".join(null_trials.null_trial_sentences(tables, "ratio"))
    assert "The null trial is unmatched: its perplexity on non-members is 54.2, the trial's 32.9" in text
    grid = tabulate.primary_grid(tables, "ratio", None)
    cells = dict(zip(grid.headers, grid.rows[0], strict=True))
    assert cells["control"] == "0.525"
    assert cells["95% interval of the control"] == "0.500 to 0.550"
    assert cells["control on"] == "null trial, unmatched"
    assert null_trials.null_trials_grid(tables).rows[0][2] == "unmatched"


def test_a_null_trial_of_another_configuration_is_called_so():
    text = " ".join(null_trials.null_trial_sentences(beside_null(True, another=True), "ratio"))
    assert "for 1 trial it is of another configuration" in text


@pytest.mark.parametrize("matched", [True, False])
def test_no_share_of_an_auc_is_called_memorization(matched: bool):
    tables = beside_null(matched)
    sentences = [*findings.summary_sentences(tables, "ratio"), null_trials.null_trials_grid(tables).note]
    assert not any("share that is" in text or "no memorization" in text or "% of the AUC" in text for text in sentences)


@pytest.mark.parametrize(
    ("blind", "words"),
    [
        (0.5, "here it does not, which speaks for the second"),
        (math.nan, "none was tried here"),
        (0.88, "The two sides differ as texts"),
    ],
)
@pytest.mark.parametrize("control", ["base model", "null trial"])
def test_a_far_control_beside_a_near_blind_one_has_two_readings(blind: float, words: str, control: str):
    tables = fake_tables(("q",), (1,), canaries=0)
    rows = tables.membership
    rows.loc[rows["stratum"] == "records", ["auc_control", "control", "auc_blind"]] = [0.88, control, blind]
    rows.loc[rows["stratum"] != "records", "auc_control"] = math.nan
    rows["auc_control_se"], rows["blind_p_value"] = 0.01, {0.5: 0.8, 0.88: 0.002}.get(blind, math.nan)
    (warning, *_) = controls.warning_sentences(tables)
    summary = " ".join(controls.control_sentences(tables, "ratio"))
    assert words in warning
    two = "the base model itself has seen the members"
    assert (two in warning) == (two in summary) == (blind != 0.88)
    assert ("differ before any fine-tuning" in summary) == (blind == 0.88)
