"""The reference study's attack as its text defines it."""

import numpy as np

from byrote.attacks._ragged import mean_by_record, same_tokens
from byrote.records import TokenScores


def difference(tuned: TokenScores, base: TokenScores) -> np.ndarray:
    """Σ(ℓ tuned − ℓ base) over the record's tokens: log of Pr_tuned(x) / Pr_ref(x), in nats, (N,).

    Savine et al. 2024 define Pr_ref / Pr_tuned with members small; turned round here so that higher = member. Also
    Carlini et al. 2022. A record without scored tokens is missing.
    """
    same_tokens(tuned, base)
    change = tuned.logprob.astype(np.float64) - base.logprob
    return mean_by_record(change, tuned) * np.where(tuned.lengths > 0, tuned.lengths, np.nan)
