"""The count of members over documents that were drawn whole, against simulated draws."""

import numpy as np
import pytest

from byrote.records import Record
from byrote.statistics.verdicts import count_bounds
from byrote.tables.rule_documents import Documents

SIZES = [1, 1, 2, 5, 1, 3, 1, 1, 2, 4] * 3


def records_of(sizes: list[int]) -> dict[str, Record]:
    return {
        f"{d}.{i}": Record(record=f"{d}.{i}", group=str(d), split="members", text=f"{d} {i}")
        for d, size in enumerate(sizes)
        for i in range(size)
    }


def test_documents_of_one_member_are_a_sample_of_members() -> None:
    records = records_of([1] * 40)
    drawn = {f"{d}.0" for d in range(15)}
    of = Documents.of(drawn, set(records) - drawn, {"3.0"}, records, whole=True)
    assert of.bounds(1, 25, 0.025) == count_bounds(40, 15, 1, 0.025)


@pytest.mark.parametrize("hit_documents", [range(0), range(3), range(0, 30, 3), range(30)])
def test_the_bounds_err_no_more_than_promised(hit_documents: range) -> None:
    records = records_of(SIZES)
    counted = {name for name, record in records.items() if int(record.group) in hit_documents}
    rng, wrong = np.random.default_rng(1), np.zeros(2)
    for _ in range(400):
        groups = {str(d) for d in rng.choice(len(SIZES), 12, replace=False)}
        drawn = {name for name, record in records.items() if record.group in groups}
        left = set(records) - drawn
        of = Documents.of(drawn, left, counted & drawn, records, whole=True)
        low, high = of.bounds(len(counted & drawn), len(left), 0.05)
        wrong += [low > len(counted), high < len(counted)]
    assert (wrong <= 400 * 0.05 + 3 * np.sqrt(400 * 0.05 * 0.95)).all()


def test_members_that_were_drawn_and_not_computed_may_all_count() -> None:
    records = records_of([2] * 10)
    drawn = {name for name in records if int(records[name].group) < 5}
    of = Documents.of(drawn, set(records) - drawn, {"0.0"}, records, whole=False)
    assert of.bounds(1, 13, 0.05)[1] == 14
