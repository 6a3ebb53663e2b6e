"""The cards of the first page: what a reader asks, answered by the numbers of the tables."""

import dataclasses
import math
import re
from typing import Any

import numpy as np
import pandas as pd
import pytest

from byrote.report.cards import cards, scale_of
from byrote.report.page import Grid, Section
from byrote.tables import Tables
from fake_report import report
from fake_tables import empty_tables, fake_tables

TABLES = fake_tables(("q", "v"), (1, 2), canaries=8)
RULE = {
    **{
        "subject": TABLES.trials["trial"].iloc[0],
        "rule": "max_auc",
        "words": "each of 15 attacks reaches an AUC of 0.6",
    },
    **{"stratum": "records", "limit": 0.6, "set": "before results", "look": 1, "error": 0.025, "attack": "loss"},
    **{
        "value": 0.71,
        "low": 0.65,
        "high": 0.77,
        "control": "",
        "verdict": "exceeded",
        "reason": "",
        "would_decide": "",
    },
}


def with_rules(*rules: dict[str, Any]) -> Tables:
    frame = pd.DataFrame([{**RULE, **rule} for rule in rules]).reindex(columns=TABLES.rules.columns)
    return dataclasses.replace(TABLES, rules=frame)


def test_a_card_for_each_question_with_the_numbers_of_the_tables() -> None:
    worst, strongest, blind, written, exposed, least = cards(TABLES, "loss")
    rows = TABLES.membership[(TABLES.membership["stratum"] == "records") & (TABLES.membership["attack"] == "loss")]
    top = rows.loc[rows["auc"].idxmax()]
    assert worst.question == "Can members be told from non-members?"
    assert (worst.answer, worst.number) == ("yes", f"AUC {top['auc']:.2f}")
    assert f"{top['auc_low']:.2f} to {top['auc_high']:.2f}" in worst.sure
    assert worst.scale is not None
    assert worst.scale.value == pytest.approx(100 * (top["auc"] - 0.3) / 0.7)
    assert worst.scale.control == pytest.approx(100 * (0.503 - 0.3) / 0.7)
    assert [mark.word for mark in worst.scale.marks] == ["guessing"]
    assert strongest.answer == "ratio"
    assert (blind.answer, blind.number) == ("not shown", "AUC 0.49")
    assert "Where nothing was learned it is 0.50; the difference is" in worst.sure
    assert written.question == "Are members written back word for word?"
    highest = TABLES.records.loc[TABLES.records["percentile"].idxmax()]
    assert exposed.answer == highest["record"]
    assert exposed.number.startswith("above ")
    known = rows.merge(TABLES.trials[["trial", "label", "perplexity_tuned"]], on="trial")
    close = known[known["perplexity_tuned"] <= 1.1 * known["perplexity_tuned"].min()]
    assert least.answer == close.loc[close["auc"].idxmin(), "label"]


def test_what_to_do_next_follows_from_what_was_found() -> None:
    unsure = TABLES.membership.assign(auc=0.52, auc_low=0.45, auc_high=0.59, auc_control=math.nan)
    first = cards(dataclasses.replace(TABLES, membership=unsure), "loss")[0]
    assert first.answer == "not shown"
    assert "A null trial would be its control" in first.next
    assert "More members and non-members would narrow the interval" in first.next
    apart = TABLES.membership.assign(blind_p_value=np.where(TABLES.membership["auc_blind"].notna(), 0.002, np.nan))
    blind = next(c for c in cards(dataclasses.replace(TABLES, membership=apart), "loss") if "texts" in c.question)
    assert (blind.answer, blind.next[:18]) == ("yes", "Choose non-members")
    back = TABLES.extraction.assign(verbatim=TABLES.extraction["model"] == "tuned")
    written = next(c for c in cards(dataclasses.replace(TABLES, extraction=back), "loss") if "word" in c.question)
    assert written.answer == "yes"
    assert "Single records" in written.next


@pytest.mark.parametrize(
    ("rule", "number", "sure", "following"),
    [
        ({}, "AUC 0.71", "Between 0.650 and 0.770 (loss)", "Train with fewer epochs"),
        ({"verdict": "held"}, "AUC 0.71", "errs with a chance of 2.5%", ""),
        ({"verdict": "undecided", "would_decide": "more members"}, "AUC 0.71", "", "Needed for a decision: more"),
        ({"rule": "max_tpr_at_fpr 0.01", "limit": 0.05, "value": 0.2}, "20% of the members", "", "Train with"),
        ({"rule": "max_verbatim", "value": 3.0, "low": 3, "high": 3, "attack": ""}, "3 records", "3 and 3;", "Look up"),
        ({"rule": "max_epsilon", "value": 1.5, "high": None}, "ε at least 1.50", "", "Train with"),
        ({"value": None, "low": None, "high": None}, "no value", "No bounds (loss).", "Train with"),
    ],
)  # fmt: skip
def test_a_card_for_each_rule(rule: dict[str, Any], number: str, sure: str, following: str) -> None:
    (card,) = cards(with_rules(rule), "loss")
    assert (card.answer, card.number) == (rule.get("verdict", "exceeded"), number)
    assert sure in card.sure
    assert card.next.startswith(following)
    assert card.next or not following
    assert (card.scale is not None) == (
        rule.get("rule", "max_auc")[:7] in ("max_auc", "max_tpr") and number != "no value"
    )


def test_several_subjects_are_named_and_the_margin_is_marked() -> None:
    other = TABLES.trials["trial"].iloc[1]
    first, second = cards(with_rules({}, {"subject": other, "rule": "equivalent_within", "limit": 0.05}), "loss")
    assert first.question.startswith(TABLES.trials["label"].iloc[0])
    assert second.scale is not None
    assert [round(mark.place, 1) for mark in second.scale.marks] == [28.6, 21.4, 35.7]


def test_a_scale_keeps_what_lies_beyond_at_its_end() -> None:
    scale = scale_of([0.1, None, 1.2], None, [(0.5, "guessing")], 0.3, 1.0)
    assert scale is not None
    assert (scale.value, scale.low, scale.high, scale.control) == (0.0, None, 100.0, None)
    assert scale_of([None, 0.4, 0.6], None, [], 0.3, 1.0) is None


def test_readers_find_their_answers_on_the_first_screen(tmp_path) -> None:
    tables = dataclasses.replace(TABLES, membership=TABLES.membership.assign(auc_control=0.503, above_control=0.2))
    page = report(tables, tmp_path, not_tested=["Attackers who see the training."])
    first = page[page.index('id="verdict"') : page.index('id="summary"')]
    answers = {
        "worst figure and its interval": r"Can members be told from non-members\?.*?AUC 0\.\d\d.*?"
        r"interval 0\.\d\d to 0\.\d\d",
        "more than chance": r"Can members be told from non-members\?.*?<strong>yes</strong>",
        "more than the control": r"Where nothing was learned it is 0\.\d\d; the difference is 0\.\d\d",
        "which records": r"Which records stand out most\?</h3>\s*<p class=\"answer\"><strong>\S+</strong>",
        "which configuration at equal utility": r"leaks least at about equal utility\?.*?<strong>\w.*?"
        r"perplexity of non-members \d",
        "what was not measured": r"Attackers who see the training\.",
        "do the texts differ": r"Do their texts alone tell them apart\?",
        "what comes back": r"Are members written back word for word\?.*?\d+ of \d+ members",
    }
    assert [name for name, words in answers.items() if not re.search(words, first, re.DOTALL)] == []
    assert first.count('<article class="card') == 5 + ("any attack" in first)
    assert "Attackers who see the training." in first
    assert 'id="verdict-1"' in first
    assert cards(empty_tables(), "ratio") == []


def test_one_sentence_stands_above_the_tables_and_figures_of_a_section(tmp_path) -> None:
    page = report(TABLES, tmp_path)
    section = page[page.index('id="membership"') : page.index('id="generation"')]
    above = section[: section.index("<table>")]
    lead, folded = above.split('<details class="words">')
    (sentence,) = re.findall(r"<p>(.*?)</p>", lead)
    assert re.findall(r"[.?] [A-Z]", sentence) == []
    assert len(re.findall(r"<p>", folded)) >= 2
    words = ["One of 3 (Steinke et al. 2023). Two. Three.", "Four."]
    made = Section("a", "A", words, grids=[Grid("g", ["h"], [["1"]], 1)])
    assert (made.lead, made.words) == ("One of 3 (Steinke et al. 2023).", ["Two. Three.", "Four."])
    assert not made.is_prose
    assert Section("a", "A", ["One. Two."]).is_prose
    assert (Section("a", "A", []).lead, Section("a", "A", []).words) == ("", [])
