"""Scores that tie at the top, for rules on low false-positive rates: ties are broken by chance, as an attacker may.

Where more non-members share the highest score than a false-positive rate allows, no threshold keeps the rate. The most
powerful test then calls a part of those that tie, drawn by chance (Neyman and Pearson 1933). Here a hash of the
record's id draws, which knows nothing of who is a member.
"""

from collections.abc import Sequence
from dataclasses import replace
from hashlib import sha256

import numpy as np

from byrote.statistics.roc import threshold_at_most
from byrote.tables.compared import Compared, Scored


def ties_at_top(scored: Scored, rate: float) -> bool:
    """Whether enough calibration records have a score, and so many share the highest that none resolves the rate."""
    known = scored.calibration[~np.isnan(scored.calibration)]
    if int(rate * len(known) + 1e-9) < 1:
        return False
    try:
        threshold_at_most(known, rate)
    except ValueError:
        return True
    return False


def ties_broken(compared: Compared, scored: Scored) -> Scored:
    """The same attack without ties: each score's place among all of them, records that tie in the order of their
    hashes; NaN where there is no score."""
    stratum = compared.stratum
    ids = stratum.members, stratum.nonmembers, stratum.calibration
    scores = np.concatenate([scored.members, scored.nonmembers, scored.calibration])
    chance = np.concatenate([_chances(side) for side in ids])
    known = np.flatnonzero(~np.isnan(scores))
    places = np.full(len(scores), np.nan)
    places[known[np.lexsort((chance[known], scores[known]))]] = np.arange(len(known))
    members, nonmembers, calibration = np.split(places, np.cumsum([len(side) for side in ids])[:-1])
    return replace(scored, members=members, nonmembers=nonmembers, calibration=calibration)


def _chances(ids: Sequence[str]) -> np.ndarray:
    """A number for each record, uint64 (N,), as if drawn."""
    digests = (sha256(f"tie:{record}".encode()).digest()[:8] for record in ids)
    return np.array([int.from_bytes(digest, "big") for digest in digests], dtype=np.uint64)
