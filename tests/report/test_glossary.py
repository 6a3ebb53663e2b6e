"""The glossary: terms where they are used, each explained once."""

import re

import pytest

from byrote.report.glossary import TERMS, anchor, explained, terms_in
from byrote.report.page import Grid, Section


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Members are told from non-members.", ["member", "non-member"]),
        ("A non-member.", ["non-member"]),
        ("An attacker remembers.", []),
        (
            "Three attacks reach an AUC of 0.7 (TPR 12% at 1% FPR).",
            ["AUC", "attack", "false-positive rate", "true-positive rate"],
        ),
        ("auc_low", []),
        ("ε is at least 0.3 from 40 canaries.", ["canary", "epsilon"]),
        ("Two strata.", ["stratum"]),
    ],
)
def test_terms_are_whole_words(text: str, words: list[str]) -> None:
    assert [term.word for term in terms_in([text])] == words


def test_every_section_names_its_terms_and_each_is_explained_once() -> None:
    user = Grid("Records", ["record"], [["AUC of a canary"]])  # cells are not byrote's words
    sections = [Section("a", "A", ["The AUC of a trial."]), Section("b", "B", ["The AUC again."], grids=[user])]
    first, second, glossary = explained(sections)
    assert [term.word for term in first.terms] == ["AUC", "trial"]
    assert [term.word for term in second.terms] == ["AUC"]
    assert [term.word for term in glossary.glossary] == ["AUC", "trial"]
    assert [section.name for section in explained([Section("a", "A", ["Nothing."])])] == ["a"]


def test_meanings_are_sentences_and_anchors_are_names() -> None:
    for word, meaning in TERMS.items():
        assert meaning[0].isupper() or meaning.startswith("ε")
        assert meaning.endswith(".")
        assert re.fullmatch(r"term-[A-Za-z-]+", anchor(word))
