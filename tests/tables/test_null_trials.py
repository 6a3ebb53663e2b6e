"""A null trial beside its trial: when the two are alike, and what is said where they are not."""

import math

import pytest

from byrote.tables.null_trials import why_unmatched, with_null_trial

TOLD = {"matched": False, "note": "unmatched: its held-out perplexity is 54.2, the trial's 32.9"}


@pytest.mark.parametrize(
    ("trial", "null", "unmatched"),
    [(40.0, 44.0, False), (40.0, 44.1, True), (40.0, 36.0, False), (40.0, 35.9, True), (40.0, math.nan, True)],
)
def test_a_null_trial_is_matched_within_a_tenth_of_the_trials_held_out_perplexity(trial, null, unmatched):
    assert bool(why_unmatched(trial, null)) == unmatched
    if unmatched and not math.isnan(null):
        assert why_unmatched(trial, null) == f"unmatched: its held-out perplexity is {null:g}, the trial's 40"


def test_only_a_control_under_the_null_trial_is_called_unmatched():
    row = {"control": "null trial", "control_note": "no test: every record is placed alike"}
    joined = with_null_trial(row, {"null trial": TOLD})
    assert joined["control_matched"] is False
    assert joined["control_note"] == f"{TOLD['note']}; no test: every record is placed alike"
    of_base = {"control": "base model", "control_note": ""}
    assert with_null_trial(of_base, {"null trial": TOLD}) == of_base
    assert with_null_trial(row, {}) == row
    second = {**TOLD, "note": "of the second", "matched": True}
    of_second = with_null_trial({**row, "control": "second shadow"}, {"null trial": TOLD, "second shadow": second})
    assert of_second["control_matched"] is True
    assert of_second["control_note"].startswith("of the second; ")
