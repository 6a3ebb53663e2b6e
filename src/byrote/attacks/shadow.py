"""Attacks whose reference is a shadow: it has learned the manner of the corpus, but none of the records compared.

Each is an attack on the base model with the shadow in the base model's place.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from byrote.attacks._evidence import Evidence
from byrote.attacks.difference import difference
from byrote.attacks.ez import ez
from byrote.attacks.min_k_difference import min_k_difference
from byrote.attacks.ratio import ratio
from byrote.attacks.rmia import rmia


def difference_shadow(evidence: Evidence) -> np.ndarray:
    """Σ(ℓ tuned − ℓ shadow) over the record's tokens, in nats, (N,); higher = member (SPV-MIA, arXiv 2311.06062).

    All are missing where there is no shadow.
    """
    return _against_shadow(difference, evidence)


def ratio_shadow(evidence: Evidence) -> np.ndarray:
    """NLL under the shadow over NLL under the tuned model, (N,); higher = member (`ratio`, with another reference).

    All are missing where there is no shadow.
    """
    return _against_shadow(ratio, evidence)


def ez_shadow(evidence: Evidence) -> np.ndarray:
    """`ez` with Δ = ℓ tuned − ℓ shadow, (N,); higher = member: the tuned reference of arXiv 2601.12104 (`sft`).

    All are missing where there is no shadow.
    """
    return _against_shadow(ez, evidence)


def min_k_difference_shadow(evidence: Evidence) -> np.ndarray:
    """Mean of the lowest 20% of ℓ tuned − ℓ shadow, in nats, (N,); higher = member (`min_k_difference`).

    All are missing where there is no shadow.
    """
    return _against_shadow(min_k_difference, evidence)


def rmia_shadow(evidence: Evidence) -> np.ndarray:
    """`rmia` (a = 1) whose out model is the shadow, a share of the population, (N,); higher = member (Zarifzadeh et
    al. 2024).

    The population was learned by no model compared. All are missing without it, and where there is no shadow.
    """
    return _against_shadow(rmia, evidence)


def _against_shadow(attack: Callable[[Evidence], np.ndarray], evidence: Evidence) -> np.ndarray:
    if evidence.shadow is None:
        return np.full(len(evidence), np.nan)
    population, of_shadow = evidence.population, evidence.shadow_population
    others = None if population is None or of_shadow is None else (population[0], of_shadow)
    return attack(replace(evidence, base=evidence.shadow, population=others))
