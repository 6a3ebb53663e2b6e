"""Membership inference attacks: from evidence to one number a record, higher = member.

To add one: a file with a function of this signature, a line in ATTACKS, and a twin in the tests (docs/own-attack.md
has an example). A record on which an attack has no value gets NaN; it is counted as left out, never dropped.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from byrote.attacks._evidence import Evidence
from byrote.attacks.difference import difference, difference_mean
from byrote.attacks.ez import ez, ez_released
from byrote.attacks.loss import loss
from byrote.attacks.min_k import min_k
from byrote.attacks.min_k_difference import min_k_difference
from byrote.attacks.min_k_plus_plus import min_k_plus_plus
from byrote.attacks.ratio import ratio
from byrote.attacks.rmia import rmia, rmia_a03
from byrote.attacks.shadow import (
    difference_shadow,
    ez_shadow,
    min_k_difference_shadow,
    ratio_shadow,
    rmia_shadow,
)
from byrote.attacks.wbc import wbc, wbc_released
from byrote.attacks.zlib import zlib, zlib_sum
from byrote.errors import StudyError

__all__ = ["ATTACKS", "Attack", "Evidence", "Need", "find_attacks"]

Need = Literal["base", "calibration", "shadow", "text"]

SUBJECT_ONLY, BASE_TOO, OWN_DOCUMENTS = "subject only", "base model too", "documents of their own too"


@dataclass(frozen=True)
class Attack:
    """`score(evidence)` → float64 (N,), higher for members.

    needs: what it looks at beside the tuned model's scores (base: the base model's, calibration: the population's,
    text: the records' texts, shadow: a shadow's scores) · source: its paper · short_records: which records are missing,
    and what the shortest get.
    """

    score: Callable[[Evidence], np.ndarray]
    needs: frozenset[Need]
    source: str
    short_records: str

    @property
    def needs_base(self) -> bool:
        """It compares with the base model, so the base model's own AUC is no control for it."""
        return "base" in self.needs

    @property
    def needs_shadow(self) -> bool:
        """It compares with a shadow, which only a study with `controls.shadow` has."""
        return "shadow" in self.needs

    @property
    def attacker(self) -> str:
        """What an outsider must have to run it: the subject only, the base model too, or documents of their own like
        the members too."""
        if self.needs & {"calibration", "shadow"}:
            return OWN_DOCUMENTS
        return BASE_TOO if self.needs_base else SUBJECT_ONLY


_ALONE: frozenset[Need] = frozenset()
_BASE: frozenset[Need] = frozenset({"base"})
_TEXT: frozenset[Need] = frozenset({"text"})
_POPULATION: frozenset[Need] = frozenset({"base", "calibration"})
_SHADOW: frozenset[Need] = frozenset({"shadow"})
_SHADOW_POPULATION: frozenset[Need] = frozenset({"shadow", "calibration"})

ATTACKS: dict[str, Attack] = {
    "loss": Attack(loss, _ALONE, "Yeom et al. 2018", "One token is enough."),
    "ratio": Attack(ratio, _BASE, "released code of Savine et al. 2024", "One token is enough."),
    "difference": Attack(difference, _BASE, "Savine et al. 2024; Carlini et al. 2022", "One token is enough."),
    "difference_mean": Attack(difference_mean, _BASE, "Carlini et al. 2022", "One token is enough."),
    "zlib": Attack(zlib, _TEXT, "Carlini et al. 2021", "One token is enough; missing where the text was removed."),
    "zlib_sum": Attack(zlib_sum, _TEXT, "Carlini et al. 2021", "One token is enough; missing without its text."),
    "min_k": Attack(min_k, _ALONE, "Shi et al. 2024", "Under ten tokens: the lowest one."),
    "min_k_plus_plus": Attack(min_k_plus_plus, _ALONE, "Zhang et al. 2024", "As min_k; missing where every std is 0."),
    "min_k_difference": Attack(min_k_difference, _BASE, "own; after Shi et al. 2024", "As min_k."),
    "ez": Attack(ez, _BASE, "arXiv 2601.12104", "Missing under five tokens where both models rank each first."),
    "ez_released": Attack(ez_released, _BASE, "released code of arXiv 2601.12104", "One token: 0."),
    "wbc": Attack(wbc, _BASE, "arXiv 2601.02751", "Only the widths that fit; missing under two tokens."),
    "wbc_released": Attack(
        wbc_released, _BASE, "released code of arXiv 2601.02751", "Windows wider than the record are cut to it."
    ),
    "rmia": Attack(rmia, _POPULATION, "Zarifzadeh et al. 2024", "All missing without calibration records."),
    "rmia_a03": Attack(rmia_a03, _POPULATION, "Zarifzadeh et al. 2024", "All missing without calibration records."),
    "difference_shadow": Attack(difference_shadow, _SHADOW, "SPV-MIA, arXiv 2311.06062", "One token is enough."),
    "ratio_shadow": Attack(ratio_shadow, _SHADOW, "own; after SPV-MIA, arXiv 2311.06062", "One token is enough."),
    "ez_shadow": Attack(
        ez_shadow, _SHADOW, "arXiv 2601.12104", "Missing under five tokens where both models rank each first."
    ),
    "min_k_difference_shadow": Attack(min_k_difference_shadow, _SHADOW, "own; after Shi et al. 2024", "As min_k."),
    "rmia_shadow": Attack(
        rmia_shadow, _SHADOW_POPULATION, "Zarifzadeh et al. 2024", "All missing without calibration records."
    ),
}


def find_attacks(
    names: Sequence[str], setting: str = "membership.attacks", *, shadow: bool = False
) -> dict[str, Attack]:
    """The attacks of these names; `all` is every one, of those that need a shadow only with `shadow`. StudyError names
    the setting and lists the names there are."""
    if "all" in names:
        return {name: attack for name, attack in ATTACKS.items() if shadow or not attack.needs_shadow}
    for name in names:
        if name not in ATTACKS:
            raise StudyError(f"{setting}: no attack {name!r}; there are all, {', '.join(ATTACKS)}")
    return {name: ATTACKS[name] for name in names}
