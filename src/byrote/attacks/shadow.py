"""Attacks whose reference is a shadow: it has learned the manner of the corpus, but none of the records compared."""

from dataclasses import replace

import numpy as np

from byrote.attacks._evidence import Evidence
from byrote.attacks.difference import difference
from byrote.attacks.ratio import ratio


def difference_shadow(evidence: Evidence) -> np.ndarray:
    """Σ(ℓ tuned − ℓ shadow) over the record's tokens, in nats, (N,); higher = member (SPV-MIA, arXiv 2311.06062).

    All are missing where there is no shadow.
    """
    return _missing(evidence) if evidence.shadow is None else difference(replace(evidence, base=evidence.shadow))


def ratio_shadow(evidence: Evidence) -> np.ndarray:
    """NLL under the shadow over NLL under the tuned model, (N,); higher = member (`ratio`, with another reference).

    All are missing where there is no shadow.
    """
    return _missing(evidence) if evidence.shadow is None else ratio(replace(evidence, base=evidence.shadow))


def _missing(evidence: Evidence) -> np.ndarray:
    return np.full(len(evidence), np.nan)
