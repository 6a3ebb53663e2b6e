"""Membership inference attacks: from token scores to one number a record, higher = member.

To add one: a file with a function of this signature, and a line in ATTACKS. A record on which an attack has no value
gets NaN; it is counted as left out, never dropped.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from byrote.attacks.difference import difference
from byrote.attacks.loss import loss
from byrote.attacks.ratio import ratio
from byrote.errors import StudyError
from byrote.records import TokenScores


@dataclass(frozen=True)
class Attack:
    """`score(tuned, base)` → float64 (N,), higher for members. `needs_base`: it compares with the base model, so the
    base model's own AUC is no control for it."""

    score: Callable[[TokenScores, TokenScores], np.ndarray]
    needs_base: bool
    source: str


ATTACKS: dict[str, Attack] = {
    "loss": Attack(loss, False, "Yeom et al. 2018"),
    "ratio": Attack(ratio, True, "released code of Savine et al. 2024"),
    "difference": Attack(difference, True, "Savine et al. 2024; Carlini et al. 2022"),
}


def find_attacks(names: Sequence[str]) -> dict[str, Attack]:
    """The attacks of these names. StudyError lists the names there are."""
    for name in names:
        if name not in ATTACKS:
            raise StudyError(f"membership.attacks: no attack {name!r}; there are {', '.join(ATTACKS)}")
    return {name: ATTACKS[name] for name in names}
