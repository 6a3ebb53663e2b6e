"""The reference study's attack as its text defines it, and the same per token."""

import numpy as np

from byrote.attacks._evidence import Evidence
from byrote.ragged import mean_by_record, sum_by_record


def difference(evidence: Evidence) -> np.ndarray:
    """Σ(ℓ tuned − ℓ base) over the record's tokens: log of Pr_tuned(x) / Pr_ref(x), in nats, (N,).

    Savine et al. 2024 define Pr_ref / Pr_tuned with members low; the sign is reversed here so that higher = member.
    Also Carlini et al. 2022. A record without scored tokens is missing.
    """
    return sum_by_record(evidence.change, evidence.tuned.lengths)


def difference_mean(evidence: Evidence) -> np.ndarray:
    """Mean of ℓ tuned − ℓ base over the record's tokens, in nats a token, (N,) (Carlini et al. 2022).

    Higher = member. Unlike the sum it does not grow with the record's length. Without scored tokens: missing.
    """
    return mean_by_record(evidence.change, evidence.tuned.lengths)
