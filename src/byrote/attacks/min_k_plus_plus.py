"""The tokens a model finds hardest, each against what the model expected there."""

import numpy as np

from byrote.attacks._evidence import Evidence
from byrote.ragged import lowest_mean_by_record, owners


def min_k_plus_plus(evidence: Evidence) -> np.ndarray:
    """Mean of the lowest 20% of (ℓ_t − μ_t)/σ_t under the tuned model (Zhang et al. 2024), (N,).

    μ, σ: mean and standard deviation of the log-probability over the vocabulary, weighted by probability. Of T tokens
    the ⌊T/5⌋ lowest, at least one. Higher = member. Needs no base model.

    A token with σ = 0 (one certain token, or all equally likely) has no standard score: it takes no part, and T counts
    the tokens left. A record without any is missing.
    """
    tuned = evidence.tuned
    spread = tuned.std != 0
    standard = (tuned.logprob[spread].astype(np.float64) - tuned.mean[spread]) / tuned.std[spread]
    return lowest_mean_by_record(standard, np.bincount(owners(tuned.lengths)[spread], minlength=len(tuned)))
