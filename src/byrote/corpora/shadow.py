"""Which calibration documents a shadow learns, and which are left to set thresholds."""

from collections.abc import Iterable

import numpy as np

from byrote.records import CALIBRATION, Record


def shadow_documents(records: Iterable[Record], seed: int) -> frozenset[str]:
    """The documents (`group`) of the calibration records that a shadow is tuned on: half of them, rounded down, drawn
    by `seed`. No document is on both sides, and the order of the records does not matter. Empty where there are fewer
    than two documents."""
    documents = sorted({record.group for record in records if record.split == CALIBRATION})
    shuffled: list[int] = np.random.default_rng(seed).permutation(len(documents)).tolist()
    return frozenset(documents[i] for i in shuffled[: len(documents) // 2])
