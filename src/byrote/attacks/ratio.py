"""The reference study's attack as its released code has it."""

import numpy as np

from byrote.attacks._ragged import mean_by_record, same_tokens
from byrote.records import TokenScores


def ratio(tuned: TokenScores, base: TokenScores) -> np.ndarray:
    """NLL under the base model over NLL under the tuned model (released code of Savine et al. 2024), (N,).

    Higher = member. Records without scored tokens are missing. A tuned NLL of exactly 0 is the strongest member: +inf.
    """
    same_tokens(tuned, base)
    nll_base, nll_tuned = -mean_by_record(base.logprob, base), -mean_by_record(tuned.logprob, tuned)
    with np.errstate(divide="ignore"):
        return np.divide(nll_base, nll_tuned, out=np.full(len(tuned), np.inf), where=nll_tuned != 0)
