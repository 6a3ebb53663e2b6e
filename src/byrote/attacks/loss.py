"""The loss attack."""

import numpy as np

from byrote.attacks._evidence import Evidence
from byrote.ragged import mean_by_record


def loss(evidence: Evidence) -> np.ndarray:
    """Mean log-probability of the record's tokens under the tuned model (Yeom et al. 2018), in nats, (N,).

    Higher = member. Needs no base model. A record without scored tokens is missing.
    """
    return mean_by_record(evidence.tuned.logprob, evidence.tuned.lengths)
