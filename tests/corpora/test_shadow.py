"""The cut of the calibration documents between a shadow and the thresholds."""

from byrote.corpora.shadow import shadow_documents
from byrote.records import CALIBRATION, MEMBERS, Record


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
