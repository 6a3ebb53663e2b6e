"""The blind classifier's result is kept once for each two sides of texts, and read again."""

import dataclasses
import json
from pathlib import Path

import pytest

from byrote.errors import StoreError
from byrote.records import Assignment, Record, Role
from byrote.store import Run
from byrote.tables.blind import blind_columns, blind_of
from byrote.tables.compared import Compared, strata_of

RECORDS = {f"r{i}": Record(f"r{i}", "members", f"d{i // 2}", f"word{i % 5} and word{i % 3}") for i in range(40)}
ROLES = [Assignment(r, Role.MEMBER if i < 20 else Role.NONMEMBER, int(i < 20)) for i, r in enumerate(RECORDS)]
THIS = Compared(next(strata_of(ROLES)), (), ((), ()), None)  # type: ignore[arg-type]


def test_it_is_computed_once_kept_and_read_again(tmp_path: Path):
    run = Run(tmp_path)
    first = blind_of(run, THIS, RECORDS, 0, keep=False)
    assert not (tmp_path / "blind").exists()
    assert blind_of(run, THIS, RECORDS, 0, keep=True) == first
    (kept,) = (tmp_path / "blind").iterdir()
    row = json.loads(kept.read_text())
    kept.write_text(json.dumps({**row, "p_value": 0.123}))
    assert blind_of(run, THIS, RECORDS, 0, keep=True).p_value == 0.123
    columns = blind_columns(THIS, first)
    assert (columns["auc_blind"], columns["blind_p_value"]) == (first.auc, first.p_value)
    assert (columns["blind_permutations"], columns["blind_note"]) == (499, "labels permuted by document")


@pytest.mark.parametrize("change", ["text", "group", "seed", "sides"])
def test_another_text_document_seed_or_side_is_another_result(tmp_path: Path, change: str):
    run, records, compared = Run(tmp_path), dict(RECORDS), THIS
    blind_of(run, THIS, RECORDS, 0, keep=True)
    if change in ("text", "group"):
        records["r3"] = dataclasses.replace(records["r3"], **{change: "another"})
    if change == "sides":
        stratum = THIS.stratum
        swapped = dataclasses.replace(stratum, members=stratum.nonmembers, nonmembers=stratum.members)
        compared = dataclasses.replace(THIS, stratum=swapped)
    blind_of(run, compared, records, int(change == "seed"), keep=True)
    assert len(list((tmp_path / "blind").iterdir())) == 2


def test_a_missing_result_is_kept_with_its_reason_and_a_broken_one_is_named(tmp_path: Path):
    run, single = Run(tmp_path), {r: dataclasses.replace(record, group="one") for r, record in RECORDS.items()}
    first = blind_of(run, THIS, single, 0, keep=True)
    assert blind_of(run, THIS, single, 0, keep=True).reason == first.reason
    assert blind_columns(THIS, first) == {"blind_note": f"none: {first.reason}"}
    assert "needs at least two of each" in first.reason
    next((tmp_path / "blind").iterdir()).write_text("{")
    with pytest.raises(StoreError, match="cannot read"):
        blind_of(run, THIS, single, 0, keep=True)
