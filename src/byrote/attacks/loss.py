"""The loss attack."""

import numpy as np

from byrote.attacks._ragged import mean_by_record
from byrote.records import TokenScores


def loss(tuned: TokenScores, base: TokenScores) -> np.ndarray:  # noqa: ARG001 (the signature of every attack)
    """Mean log-probability of the record's tokens under the tuned model (Yeom et al. 2018), in nats, (N,).

    Higher = member. Needs no base model. A record without scored tokens is missing.
    """
    return mean_by_record(tuned.logprob, tuned)
