# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
"""A membership classifier that never saw the model: what texts alone give away (Das et al. 2024; Meeus et al. 2024).

Axes: N records, members first · V words · B labellings of the records, the true one first.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from scipy.stats import rankdata

from byrote.statistics.auditor import deal

METHOD_VERSION = 1  # of what `blind_test` computes; a kept result of another version is computed anew
PERMUTATIONS, FOLDS = 499, 5
BATCH = 1 << 16  # numbers in an array of one batch of labellings, so that it stays in the processor's cache


@dataclass(frozen=True)
class BlindTest:
    """AUC of the classifier, and how often labels permuted by document give one as far from 0.5 (two-sided).

    auc and p_value are NaN where `reason` says why.
    """

    auc: float
    p_value: float
    permutations: int
    reason: str = ""


def blind_test(
    member_texts: Sequence[str],
    nonmember_texts: Sequence[str],
    groups: Sequence[str],
    *,
    seed: int = 0,
    permutations: int = PERMUTATIONS,
) -> BlindTest:
    """Cross-validated AUC of multinomial naive Bayes on word counts, and its p-value by permuted labels.

    groups: the document of each text, members first. Documents are assigned to folds without looking at labels, and the
    AUC is the mean of the folds', weighted by records. A cross-validated AUC spreads about twice as far as a plain one,
    so its chance comes from the same computation on `permuted` labels: p = (1 + #{|auc* − ½| ≥ |auc − ½|})/(1 + B).

    >>> members = [f"the rash came back on day {i}" for i in range(10)]
    >>> others = [f"no change was seen on day {i}" for i in range(10)]
    >>> test = blind_test(members, others, [str(i) for i in range(20)], permutations=19)
    >>> round(test.auc, 2), round(test.p_value, 2)  # the two sides differ as texts
    (1.0, 0.05)
    """
    labels_N = np.array([True] * len(member_texts) + [False] * len(nonmember_texts))
    names = np.asarray(groups, dtype=str)
    documents = [len(set(names[labels_N == side])) for side in (True, False)]
    if min(documents) < 2:
        of = f"documents: {documents[0]} of members, {documents[1]} of non-members"
        return BlindTest(math.nan, math.nan, 0, f"{of}; needs at least two of each")
    counts_NV, fold_N = _counts([*member_texts, *nonmember_texts]), deal(groups, FOLDS, seed)
    if counts_NV is None:
        return BlindTest(math.nan, math.nan, 0, "no text has a word")
    labels_BN = np.vstack([labels_N, permuted(labels_N, names, permutations, seed)])
    areas_B = cross_validated(counts_NV, labels_BN, fold_N)
    if math.isnan(areas_B[0]):
        return BlindTest(math.nan, math.nan, 0, "no fold holds both sides and leaves both to learn from")
    away_B = np.abs(np.nan_to_num(areas_B, nan=0.5) - 0.5)
    return BlindTest(
        float(areas_B[0]), float((1 + (away_B[1:] >= away_B[0] - 1e-12).sum()) / (1 + permutations)), permutations
    )


def permuted(labels_N: np.ndarray, groups_N: np.ndarray, permutations: int, seed: int) -> np.ndarray:
    """Labels under which members and non-members are alike, bool (B, N): whole documents exchange their sides.

    A document that holds both keeps its numbers of members and non-members, and its records exchange labels within.

    >>> permuted(np.array([True, True, False, False]), np.array(["a", "a", "b", "b"]), 3, seed=0).astype(int).tolist()
    [[1, 1, 0, 0], [0, 0, 1, 1], [0, 0, 1, 1]]
    """
    generator = np.random.default_rng([seed, METHOD_VERSION])
    _, of_N = np.unique(groups_N, return_inverse=True)
    held_G = np.bincount(of_N, labels_N) / np.bincount(of_N)
    mixed_G = (held_G > 0) & (held_G < 1)
    pure, inside = np.flatnonzero(~mixed_G), [np.flatnonzero(of_N == g) for g in np.flatnonzero(mixed_G)]
    side_BG = np.tile(held_G, (permutations, 1))
    side_BG[:, pure] = generator.permuted(side_BG[:, pure], axis=1)
    labels_BN = side_BG[:, of_N] == 1
    for records in inside:
        labels_BN[:, records] = generator.permuted(np.tile(labels_N[records], (permutations, 1)), axis=1)
    return labels_BN


def cross_validated(counts_NV: Any, labels_BN: np.ndarray, fold_N: np.ndarray) -> np.ndarray:
    """AUC (B,) of naive Bayes, add-one smoothing, each fold scored by a fit on the others; mean over folds by records.

    counts_NV: sparse word counts. Equal to scikit-learn's MultinomialNB on the same folds (a test holds it), but words
    are counted once for all labellings, each fold's counts taken from the total. Log-odds are rounded to 1e-9, so that
    records of the same words tie whatever the order of summation. A fold that holds one side only, or leaves one
    to learn from, takes no part; NaN where none does.

    >>> from scipy.sparse import csr_matrix
    >>> counts = csr_matrix(np.array([[2.0, 0], [0, 2], [1, 0], [0, 1]]))  # four texts, two words
    >>> cross_validated(counts, np.array([[True, False, True, False]]), np.array([0, 0, 1, 1])).tolist()
    [1.0]
    """
    parts = [np.flatnonzero(fold_N == fold) for fold in range(int(fold_N.max()) + 1)]
    counts = [(counts_NV[part], counts_NV[part].T.tocsr()) for part in parts]
    all_V = np.asarray(counts_NV.sum(axis=0), dtype=float).ravel()
    areas: list[np.ndarray] = []
    size = max(1, BATCH // max(counts_NV.shape))
    for start in range(0, len(labels_BN), size):
        labels_NB = labels_BN[start : start + size].T.astype(float)
        inside = [transposed @ labels_NB[part] for part, (_, transposed) in zip(parts, counts, strict=True)]
        members_VB, won_B, weight_B = sum(inside), np.zeros(labels_NB.shape[1]), np.zeros(labels_NB.shape[1])
        for part, (own, transposed), own_VB in zip(parts, counts, inside, strict=True):
            train_V = all_V - np.asarray(transposed.sum(axis=1), dtype=float).ravel()
            odds_VB = _log_odds(members_VB - own_VB, train_V)
            scores_NB: np.ndarray = own @ odds_VB
            area_B = _areas(np.round(scores_NB, 9), labels_NB[part] == 1)
            rest_B = labels_NB.sum(axis=0) - labels_NB[part].sum(axis=0)
            used_B = ~np.isnan(area_B) & (rest_B > 0) & (rest_B < len(fold_N) - len(part))
            won_B += np.where(used_B, area_B * len(part), 0)
            weight_B += used_B * len(part)
        areas.append(np.divide(won_B, weight_B, out=np.full(len(won_B), math.nan), where=weight_B > 0))
    return np.concatenate(areas)


def _log_odds(members_VB: np.ndarray, all_V: np.ndarray) -> np.ndarray:
    """log p(word | member) − log p(word | non-member), counts plus one (V, B)."""
    others_VB, words = all_V[:, None] - members_VB, len(all_V)
    sizes_B = np.log(members_VB.sum(axis=0) + words) - np.log(others_VB.sum(axis=0) + words)
    return np.log((members_VB + 1) / (others_VB + 1)) - sizes_B


def _areas(scores_NB: np.ndarray, members_NB: np.ndarray) -> np.ndarray:
    """AUC of each labelling of the same records (B,), ties half; NaN where it leaves a side empty."""
    p_B = members_NB.sum(axis=0)
    q_B = len(members_NB) - p_B
    won_B = (rankdata(scores_NB, axis=0) * members_NB).sum(axis=0) - p_B * (p_B + 1) / 2
    return np.divide(won_B, p_B * q_B, out=np.full(len(p_B), math.nan), where=p_B * q_B > 0)


def _counts(texts: Sequence[str]) -> Any:
    """Word counts, sparse float64 (N, V); None where no text has a word."""
    from sklearn.feature_extraction.text import CountVectorizer

    try:
        counts = cast(Any, CountVectorizer(token_pattern=r"(?u)\b\w+\b").fit_transform(texts))
    except ValueError as error:
        if "empty vocabulary" not in str(error):
            raise
        return None
    return counts.astype(np.float64)
