"""A membership classifier that never saw the model: what texts alone give away (Das et al. 2024; Meeus et al. 2024)."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from byrote.statistics.roc import auc


def blind_auc(
    member_texts: Sequence[str], nonmember_texts: Sequence[str], groups: Sequence[str], folds: int = 5
) -> float:
    """Out-of-fold AUC of multinomial naive Bayes on word counts, folds by document; near 0.5 where splits are alike.

    groups: the document of each text, members first. Random folds would raise a false alarm, because sentences of one
    document share words. NaN where a side is empty or there are fewer than two documents a side.
    """
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.model_selection import StratifiedGroupKFold
    from sklearn.naive_bayes import MultinomialNB

    texts = [*member_texts, *nonmember_texts]
    labels = np.array([1] * len(member_texts) + [0] * len(nonmember_texts))
    sides = [len({g for g, y in zip(groups, labels, strict=True) if y == side}) for side in (0, 1)]
    if min(sides) < 2:
        return math.nan
    counts: Any = CountVectorizer(token_pattern=r"(?u)\b\w+\b").fit_transform(texts)
    splitter = StratifiedGroupKFold(min(folds, *sides), shuffle=True, random_state=0)
    areas, weights = [], []
    for train, test in splitter.split(texts, labels, groups):
        if len(set(labels[train])) < 2 or len(set(labels[test])) < 2:
            continue
        odds = MultinomialNB().fit(counts[train], labels[train]).predict_log_proba(counts[test])
        score = odds[:, 1] - odds[:, 0]
        areas.append(auc(score[labels[test] == 1], score[labels[test] == 0]))
        weights.append(len(test))
    return float(np.average(areas, weights=weights)) if areas else math.nan
