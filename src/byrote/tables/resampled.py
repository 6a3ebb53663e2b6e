"""The AUCs of all attacks on the same resamples of documents: bootstrap intervals, and widths over all attacks."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from byrote.statistics.bootstrap import auc_draws, percentile
from byrote.statistics.simultaneous import (
    adjusted_p,
    as_normal,
    as_student,
    critical_value,
    largest,
    largest_difference,
    level_of,
)
from byrote.tables.compared import Compared, Scored


@dataclass(frozen=True, eq=False)
class Resampled:
    """areas (B, K): AUCs in B resamples of documents, a column an attack in the order of `attacks`."""

    attacks: tuple[str, ...]
    areas: np.ndarray
    level: float
    documents: int  # of the side that has fewer

    def percentiles(self, attack: str) -> tuple[float, float]:
        """Bootstrap interval of an attack's AUC alone."""
        return percentile(self.areas[:, self.attacks.index(attack)], self.level)

    @cached_property
    def simultaneous_level(self) -> float:
        """The level at which one interval must be taken for all of the attacks' to hold together; NaN without draws."""
        return level_of(critical_value(largest(self.areas), self.level))

    @cached_property
    def difference_level(self) -> float:
        """The same for the differences of all pairs of attacks."""
        return level_of(as_student(critical_value(self._differences, self.level), self.documents))

    def adjusted_p(self, statistic: float) -> float:
        """p of a difference between two attacks, corrected over all pairs of them."""
        return adjusted_p(as_normal(statistic, self.documents), self._differences)

    @cached_property
    def _differences(self) -> np.ndarray | None:
        return largest_difference(self.areas)

    @property
    def family(self) -> str:
        """What the corrections cover, in words."""
        return f"all pairs of {len(self.attacks)} attacks, {len(self.areas)} resamples"


def resample(compared: Compared, scores: Mapping[str, Scored], resamples: int, seed: int, level: float) -> Resampled:
    """AUCs of the attacks on documents drawn with replacement, once for all of them."""
    members_KP = [scored.members for scored in scores.values()]
    nonmembers_KQ = [scored.nonmembers for scored in scores.values()]
    documents = min(len(set(groups)) for groups in compared.groups)
    if not scores:
        return Resampled((), np.full((resamples, 0), math.nan), level, documents)
    areas_BK = auc_draws(members_KP, nonmembers_KQ, *compared.groups, resamples, seed)
    return Resampled(tuple(scores), areas_BK, level, documents)
