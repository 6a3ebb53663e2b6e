"""Half of the non-members' documents become calibration records."""

import random

import pytest

from byrote.corpora import calibrate_on_half
from byrote.errors import CorpusError
from byrote.records import CALIBRATION, MEMBERS, NONMEMBERS, Record

RECORDS = [Record(f"m{i}", MEMBERS, f"M{i}", "text") for i in range(3)]
RECORDS += [Record(f"n{i}", NONMEMBERS, f"N{i // 2}", "text") for i in range(14)]


def drawn(records: list[Record], seed: int) -> set[str]:
    return {r.group for r in calibrate_on_half(records, seed) if r.split == CALIBRATION}


def test_whole_documents_are_drawn_by_the_seed_alone():
    halved = calibrate_on_half(RECORDS, 0)
    assert {r.record for r in halved} == {r.record for r in RECORDS}
    assert [r for r in halved if r.split == MEMBERS] == RECORDS[:3]
    sides = ({r.group for r in halved if r.split == split} for split in (NONMEMBERS, CALIBRATION))
    kept, taken = sides
    assert (len(kept), len(taken), kept & taken) == (4, 3, set())
    shuffled = random.Random(1).sample(RECORDS, len(RECORDS))
    assert drawn(shuffled, 0) == taken
    assert len({frozenset(drawn(RECORDS, seed)) for seed in range(10)}) > 3


def test_one_document_cannot_be_halved():
    with pytest.raises(CorpusError, match="of 1 document"):
        calibrate_on_half(RECORDS[:5], 0)
