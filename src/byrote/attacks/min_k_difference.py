"""The tokens that tuning helped least."""

import numpy as np

from byrote.attacks._evidence import Evidence
from byrote.ragged import lowest_mean_by_record


def min_k_difference(evidence: Evidence) -> np.ndarray:
    """Mean of the lowest 20% of ℓ tuned − ℓ base, in nats, (N,). Own variant of Shi et al. 2024, without a paper.

    Where tuning helped least, it helps members more than non-members. Of T tokens the ⌊T/5⌋ lowest, at least one.
    Higher = member. Without scored tokens: missing.
    """
    return lowest_mean_by_record(evidence.change, evidence.tuned.lengths)
