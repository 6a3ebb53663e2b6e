"""The reference study's attack as its released code has it."""

import numpy as np

from byrote.attacks._evidence import Evidence
from byrote.ragged import mean_by_record


def ratio(evidence: Evidence) -> np.ndarray:
    """NLL under the base model over NLL under the tuned model (released code of Savine et al. 2024), (N,).

    Higher = member. Records without scored tokens are missing. A tuned NLL of exactly 0 is the strongest member: +inf.
    """
    nll_base, nll_tuned = (-mean_by_record(s.logprob, s.lengths) for s in (evidence.base, evidence.tuned))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.divide(nll_base, nll_tuned, out=np.full(len(evidence), np.inf), where=nll_tuned != 0)
