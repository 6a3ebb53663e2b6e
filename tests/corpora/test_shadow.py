"""The cut of the calibration documents between a shadow and the thresholds."""

import pytest

from byrote.corpora.shadow import shadow_documents, shadow_roles
from byrote.errors import CorpusError
from byrote.records import CALIBRATION, MEMBERS, Assignment, Record, Role


def records(split: str, documents: int, each: int = 3) -> list[Record]:
    return [Record(f"{split}-{d}-{i}", split, f"{split}-{d:02}", "text") for d in range(documents) for i in range(each)]


def test_half_of_the_calibration_documents_and_none_of_another_split() -> None:
    drawn = shadow_documents([*records(MEMBERS, 9), *records(CALIBRATION, 9)], 5)
    assert len(drawn) == 9 // 2
    assert drawn < {record.group for record in records(CALIBRATION, 9)}


def test_the_seed_decides_and_the_order_does_not() -> None:
    calibration = records(CALIBRATION, 20)
    assert shadow_documents(calibration, 1) == shadow_documents(calibration[::-1], 1)
    assert shadow_documents(calibration, 1) != shadow_documents(calibration, 2)


def test_one_document_is_not_cut() -> None:
    assert shadow_documents(records(CALIBRATION, 1, each=8), 0) == frozenset()


def roles(of: list[Record]) -> list[Assignment]:
    return [Assignment(r.record, Role.CALIBRATION if r.split == CALIBRATION else Role.MEMBER, 0) for r in of]


def test_calibration_records_of_those_documents_alone_change_their_role() -> None:
    every = [*records(MEMBERS, 3), *records(CALIBRATION, 6)]
    every += [Record("twice", MEMBERS, every[-1].group, "text")]  # of a calibration document, but a member
    documents = shadow_documents(every, 4)
    for record, before, after in zip(every, roles(every), shadow_roles(roles(every), every, 4), strict=True):
        learned = record.split == CALIBRATION and record.group in documents
        assert after == (Assignment(record.record, Role.SHADOW, 0) if learned else before)


@pytest.mark.parametrize("documents", [0, 1])
def test_what_cannot_be_parted_is_refused(documents: int) -> None:
    every = [*records(MEMBERS, 3), *records(CALIBRATION, documents)]
    with pytest.raises(CorpusError, match=f"are of {documents} document.*set controls.shadow to false"):
        shadow_roles(roles(every), every, 0)
