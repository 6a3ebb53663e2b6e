"""AUC among records alike in a covariate, such as length or base perplexity: what a shift of the splits cannot explain.

Axes: P members · Q non-members.
"""

import math
from typing import NamedTuple

import numpy as np

from byrote.statistics.roc import auc


class MatchedArea(NamedTuple):
    """The area, the records of each side it rests on, and how many of both sides were left out."""

    auc: float
    n_members: int
    n_nonmembers: int
    left_out: int


def matched_auc(
    member_scores: np.ndarray,
    nonmember_scores: np.ndarray,
    member_covariate: np.ndarray,
    nonmember_covariate: np.ndarray,
    bins: int = 10,
) -> MatchedArea:
    """Mean of the AUCs within strata of the covariate, weighted by each stratum's share of members.

    The covariate-adjusted AUC with the members' distribution as weights (Janes & Pepe 2009), on strata. Strata are cut
    at the pooled quantiles, at observed values, so equal covariates share a stratum and there may be fewer than `bins`.
    A stratum with one side empty is left out, and so is a record whose covariate is NaN; both are counted. Wide strata
    leave some of the covariate's effect in: more bins take more of it out. Scores without NaN. NaN area where no
    stratum has both sides. Raises ValueError for lengths that differ or bins below 1.

    >>> lengths = np.array([1.0, 1.0, 9.0, 9.0])
    >>> scores = np.array([0.4, 0.6, 8.4, 8.6])  # they follow the length
    >>> matched_auc(scores, scores, lengths, lengths, bins=2).auc
    0.5
    """
    if bins < 1:
        raise ValueError(f"bins must be at least 1, got {bins}")
    sides = (
        _known("member", member_scores, member_covariate),
        _known("non-member", nonmember_scores, nonmember_covariate),
    )
    (scores_P, covariate_P), (scores_Q, covariate_Q) = sides
    cuts = _cuts(np.concatenate([covariate_P, covariate_Q]), bins)
    stratum_P, stratum_Q = np.searchsorted(cuts, covariate_P), np.searchsorted(cuts, covariate_Q)
    strata = np.intersect1d(stratum_P, stratum_Q)
    areas = [auc(scores_P[stratum_P == s], scores_Q[stratum_Q == s]) for s in strata]
    weights = [int((stratum_P == s).sum()) for s in strata]
    members, nonmembers = sum(weights), int(np.isin(stratum_Q, strata).sum())
    left_out = len(member_scores) + len(nonmember_scores) - members - nonmembers
    area = float(np.average(areas, weights=weights)) if areas else math.nan
    return MatchedArea(area, members, nonmembers, left_out)


def _known(name: str, scores: np.ndarray, covariate: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    scores, covariate = np.asarray(scores, dtype=float), np.asarray(covariate, dtype=float)
    if scores.shape != covariate.shape:
        raise ValueError(f"{len(scores)} {name} scores but {len(covariate)} covariates; give one a record")
    known = ~np.isnan(covariate)
    return scores[known], covariate[known]


def _cuts(covariate: np.ndarray, bins: int) -> np.ndarray:
    """Upper edges of all strata but the last; observed values, for infinite perplexities cannot be averaged."""
    if len(covariate) == 0:
        return covariate
    return np.quantile(covariate, np.arange(1, bins) / bins, method="inverted_cdf")
