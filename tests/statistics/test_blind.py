"""The blind classifier: equal to scikit-learn's, fast, and no false alarm by documents."""

import math

import numpy as np
import pytest
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.naive_bayes import MultinomialNB

from byrote.statistics.auditor import deal
from byrote.statistics.blind import FOLDS, blind_test, permuted
from byrote.statistics.roc import auc

WORDS = [f"w{i}" for i in range(40)]


def corpus(documents: int, size: int, seed: int, shift: float = 0.0) -> tuple[list[str], list[str], list[str]]:
    """Texts of members and of non-members and their documents; each document likes some words, members some more."""
    generator, texts, groups = np.random.default_rng(seed), [], []
    for document in range(2 * documents):
        likes = generator.dirichlet(np.full(40, 0.3))
        likes[:5] += shift * (document < documents)
        for _ in range(size):
            texts.append(" ".join(generator.choice(WORDS, 9, p=likes / likes.sum())))
            groups.append(f"d{document}")
    return texts[: documents * size], texts[documents * size :], groups


def by_scikit(members: list[str], others: list[str], groups: list[str], seed: int) -> float:
    labels, fold = np.array([1] * len(members) + [0] * len(others)), deal(groups, FOLDS, seed)
    counts = CountVectorizer(token_pattern=r"(?u)\b\w+\b").fit_transform([*members, *others])
    areas, weights = [], []
    for held in range(FOLDS):
        train, test = np.flatnonzero(fold != held), np.flatnonzero(fold == held)
        if len(set(labels[train])) < 2 or len(set(labels[test])) < 2:
            continue
        odds = MultinomialNB().fit(counts[train], labels[train]).predict_log_proba(counts[test])
        score = np.round(odds[:, 1] - odds[:, 0], 9)
        areas.append(auc(score[labels[test] == 1], score[labels[test] == 0]))
        weights.append(len(test))
    return float(np.average(areas, weights=weights)) if areas else math.nan


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("documents", "size"), [(30, 2), (4, 3), (3, 1)])
def test_it_equals_scikit_learns_naive_bayes_on_the_same_folds(documents: int, size: int, seed: int):
    members, others, groups = corpus(documents, size, seed, shift=0.02)
    result = blind_test(members, others, groups, seed=seed, permutations=9)
    assert result.auc == pytest.approx(by_scikit(members, others, groups, seed), abs=1e-12, nan_ok=True)
    assert math.isnan(result.auc) == bool(result.reason)


def test_the_p_value_counts_labellings_that_give_as_much():
    members, others, groups = corpus(8, 2, 3)
    result = blind_test(members, others, groups, permutations=19)
    texts, labels = np.array([*members, *others]), np.array([True] * len(members) + [False] * len(others))
    as_far = 0
    for row in permuted(labels, np.array(groups), 19, 0):
        order = np.argsort(~row, kind="stable")
        cut = int(row.sum())
        shuffled = list(texts[order][:cut]), list(texts[order][cut:]), list(np.array(groups)[order])
        as_far += abs(by_scikit(*shuffled, 0) - 0.5) >= abs(result.auc - 0.5) - 1e-12
    assert result.p_value == (1 + as_far) / 20


def test_whole_documents_exchange_sides_and_a_mixed_one_exchanges_within():
    labels = np.array([True, True, True, False, False, True, False])
    groups = np.array(["a", "a", "b", "c", "d", "m", "m"])
    rows = permuted(labels, groups, 200, 5)
    assert rows.shape == (200, 7)
    assert (rows[:, 0] == rows[:, 1]).all()
    assert (rows[:, [0, 2, 3, 4]].sum(axis=1) == 2).all()
    assert (rows[:, 5] != rows[:, 6]).all()
    assert len({tuple(row) for row in rows}) == 6 * 2


def test_a_word_of_one_side_is_seen_and_a_word_of_a_document_is_not():
    members, others, groups = corpus(30, 3, 0)
    result = blind_test([f"{t} before" for t in members], [f"{t} after" for t in others], groups)
    assert result.auc > 0.99
    assert result.p_value == 1 / 500
    own = [f"word{g} {t}" for g, t in zip(groups, [*members, *others], strict=True)]
    assert blind_test(own[:90], own[90:], groups).p_value > 0.01


def test_too_little_to_learn_from_is_missing_with_a_reason():
    few = blind_test(["a"], ["b", "c"], ["g", "h", "i"])
    assert math.isnan(few.auc)
    assert (few.permutations, few.reason[:44]) == (0, "documents: 1 of members, 2 of non-members; n")
    assert blind_test(["", "!"], ["?", "."], list("abcd")).reason == "no text has a word"
