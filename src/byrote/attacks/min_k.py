"""The tokens a model finds hardest."""

import numpy as np

from byrote.attacks._evidence import Evidence
from byrote.ragged import lowest_mean_by_record


def min_k(evidence: Evidence) -> np.ndarray:
    """Mean of the lowest 20% of the tuned model's log-probabilities (Shi et al. 2024), in nats, (N,).

    Of T tokens the ⌊T/5⌋ lowest, at least one. Higher = member. Needs no base model. Without scored tokens: missing.
    """
    return lowest_mean_by_record(evidence.tuned.logprob, evidence.tuned.lengths)
