"""The error zone: tokens that the tuned model still gets wrong."""

import numpy as np

from byrote.attacks._evidence import Evidence
from byrote.ragged import owners, where_known


def ez(evidence: Evidence) -> np.ndarray:
    """ΣΔ⁺ / ΣΔ⁻ with Δ = ℓ tuned − ℓ base on tokens that are not the tuned model's argmax (arXiv 2601.12104), (N,).

    Higher = member. No part below zero is the strongest member: +inf. Where nothing moved the two parts are equal: 1.
    A record whose every token is the argmax has no such token and is missing, as is one without scored tokens.
    """
    change, lengths = evidence.change, evidence.tuned.lengths
    wrong = ~evidence.tuned.top1
    owner = owners(lengths)[wrong]
    up, down = (np.bincount(owner, np.maximum(sign * change[wrong], 0), len(lengths)) for sign in (1, -1))
    with np.errstate(divide="ignore", invalid="ignore"):
        score = np.where((up == 0) & (down == 0), 1.0, up / down)
    score[np.bincount(owner, minlength=len(lengths)) == 0] = np.nan
    return where_known(score, change, lengths)
