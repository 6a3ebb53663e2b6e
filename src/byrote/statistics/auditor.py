# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
"""The auditor's attack: all signals weighed by someone who knows who is a member, reported apart from the others.

Axes: N records, K features (attacks' scores, higher = member). A record's score never depends on its own label: it
comes from a fit without its document, and documents are assigned to folds without looking at labels. Stratified folds
would break that, because a record's label would move records between folds.
"""

from collections.abc import Sequence

import numpy as np
from scipy.special import ndtri
from scipy.stats import rankdata


def cross_fitted(
    features_NK: np.ndarray, is_member_N: np.ndarray, groups: Sequence[str], *, seed: int, folds: int = 5
) -> np.ndarray:
    """Out-of-fold log-odds of membership by logistic regression on all features, float64 (N,), higher = member.

    groups: the document of each record; one document is in one fold. Features enter by `normal_scores`, both classes
    weigh the same in every fit, so folds of unequal shares compare. NaN for a record without any feature, for all
    where `why_not` says so, and for a fold whose fit would see one class only (few documents on a side). Raises
    ValueError where lengths differ or folds is below 2.

    >>> is_member = np.arange(40) < 20
    >>> features = np.random.default_rng(0).normal(is_member[:, None], 1, (40, 2))
    >>> odds = cross_fitted(features, is_member, [f"document {i}" for i in range(40)], seed=0)
    >>> bool(odds[is_member].mean() > odds[~is_member].mean())
    True
    """
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits

    features_NK, labels_N = np.asarray(features_NK, dtype=np.float64), np.asarray(is_member_N, dtype=bool)
    if features_NK.ndim != 2 or not len(features_NK) == len(labels_N) == len(groups):
        shape = f"features {features_NK.shape}, labels {labels_N.shape}, {len(groups)} groups"
        raise ValueError(f"features (N, K), labels (N,) and groups (N) must be of the same records, got {shape}")
    if folds < 2:
        raise ValueError(f"folds must be at least 2, got {folds}")
    scores_N = np.full(len(labels_N), np.nan)
    if why_not(labels_N, groups):
        return scores_N
    signals_NK, fold_N = normal_scores(features_NK), deal(groups, folds, seed)
    known_N = ~np.isnan(features_NK).all(axis=1)
    with threadpool_limits(1):  # threads cost more than they save on K by K, and their number moves last digits
        for fold in range(fold_N.max() + 1):
            train, test = known_N & (fold_N != fold), known_N & (fold_N == fold)
            if test.any() and len(set(labels_N[train])) == 2:
                model = LogisticRegression(class_weight="balanced", max_iter=1000)
                scores_N[test] = model.fit(signals_NK[train], labels_N[train]).decision_function(signals_NK[test])
    return scores_N


def why_not(is_member_N: np.ndarray, groups: Sequence[str]) -> str:
    """Why nothing can be cross-fitted, in words; empty where it can.

    >>> why_not(np.array([True, False, False]), ["a", "b", "c"])
    'documents: 1 of members, 2 of non-members; needs at least two of each'
    """
    sides = [
        len({group for group, member in zip(groups, is_member_N, strict=True) if bool(member) is side})
        for side in (True, False)
    ]
    if min(sides) >= 2:
        return ""
    return f"documents: {sides[0]} of members, {sides[1]} of non-members; needs at least two of each"


def normal_scores(features_NK: np.ndarray) -> np.ndarray:
    """Each feature as normal quantiles of its mid-ranks, Φ⁻¹(rank/(n + 1)), float64 (N, K); no infinity is left.

    n counts the records that have the feature; ±inf rank highest and lowest. A missing value takes the middle, 0, so
    it votes for neither side; a feature missing throughout is 0 throughout. Labels play no part.

    >>> normal_scores(np.array([[3.0], [np.inf], [np.nan], [1.0]])).round(2).tolist()
    [[0.0], [0.67], [0.0], [-0.67]]
    """
    scores_NK = np.zeros(features_NK.shape)
    for column, scores in zip(features_NK.T, scores_NK.T, strict=True):
        known = ~np.isnan(column)
        scores[known] = ndtri(rankdata(column[known]) / (known.sum() + 1))
    return scores_NK


def deal(groups: Sequence[str], folds: int, seed: int) -> np.ndarray:
    """The fold (0 to folds − 1) of each record, int64 (N,): documents shuffled by the seed and dealt in turn.

    As many folds as documents where there are fewer. Neither labels nor the order of records play a part.

    >>> fold = deal(["a", "a", "b", "c"], folds=2, seed=0)
    >>> bool(fold[0] == fold[1]), sorted(set(fold.tolist()))
    (True, [0, 1])
    """
    documents, document_N = np.unique(np.asarray(groups, dtype=str), return_inverse=True)
    shuffled = np.random.default_rng(seed).permutation(len(documents))
    return shuffled[document_N] % min(folds, len(documents))
