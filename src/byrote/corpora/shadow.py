"""Which calibration documents a shadow learns, and which are left to set thresholds."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from byrote.errors import CorpusError
from byrote.records import CALIBRATION, Assignment, Record, Role


def shadow_documents(records: Iterable[Record], seed: int) -> frozenset[str]:
    """The documents (`group`) of the calibration records that a shadow is tuned on: half of them, rounded down, drawn
    by `seed`. No document is on both sides, and the order of the records does not matter. Empty where there are fewer
    than two documents."""
    documents = sorted({record.group for record in records if record.split == CALIBRATION})
    shuffled: list[int] = np.random.default_rng(seed).permutation(len(documents)).tolist()
    return frozenset(documents[i] for i in shuffled[: len(documents) // 2])


def shadow_roles(roles: Sequence[Assignment], records: Sequence[Record], seed: int) -> tuple[Assignment, ...]:
    """The roles, with Role.SHADOW for the calibration records that a shadow learns, by `shadow_documents`.

    Raises CorpusError where there are not two documents to part.
    """
    documents = shadow_documents(records, seed)
    if not documents:
        count = len({record.group for record in records if record.split == CALIBRATION})
        raise CorpusError(
            f"the calibration records are of {count} document{'' if count == 1 else 's'}, and a shadow learns half of "
            "them; give more (corpus.calibration; --calibration of an audit), or set controls.shadow to false"
        )
    learned = {r.record for r in records if r.split == CALIBRATION and r.group in documents}
    return tuple(
        replace(a, role=Role.SHADOW) if a.role is Role.CALIBRATION and a.record in learned else a for a in roles
    )
