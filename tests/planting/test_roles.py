"""Roles: the reference design to the row, and many canaries."""

import pytest

from byrote.errors import StudyError
from byrote.planting.roles import assign, count_roles, single_rows, template, training_records
from byrote.records import CALIBRATION, CANARIES, MEMBERS, NONMEMBERS, Record, Role
from byrote.study import ManyCanaries, NoCanaries, SingleCanary

# METHOD.md, section 1: seed → row of the canary among PHEE's 2898 training records.
ROWS = {13: 1060, 7: 1326, 81: 2072, 17: 2138, 75: 1846, 90: 834, 0: 1577, 10: 2340, 36: 1346, 99: 1654}


def corpus(members: int, per_group: int = 2) -> list[Record]:
    rows = [Record(f"m{i}", MEMBERS, f"g{i // per_group}", f"text {i}") for i in range(members)]
    rows += [Record(f"n{i}", NONMEMBERS, f"h{i}", f"other {i}") for i in range(5)]
    return rows + [Record(f"c{i}", CALIBRATION, f"k{i}", f"third {i}") for i in range(3)]


@pytest.mark.parametrize(("seed", "row"), ROWS.items())
def test_single_draws_the_reference_rows(seed: int, row: int):
    for copies in (1, 2, 8, 16, 32, 64, 128):
        drawn, overwritten = single_rows(2898, copies, seed)
        assert drawn == row
        assert len(overwritten) == len(set(overwritten)) == copies - 1
        assert row not in overwritten  # none of the ten collides up to 128 copies


@pytest.mark.parametrize("copies", [1, 4, 20])
def test_single_overwrites_rows_in_place(copies: int):
    records = corpus(20)
    plan = SingleCanary(design="single", copies=copies, seed=3)
    roles = assign(records, plan)
    canary = next(a for a in roles if a.role is Role.CANARY_IN)
    trained = training_records(records, roles, plan)
    assert len(trained) == 20
    assert [r.record for r in trained].count(canary.record) == canary.copies
    for row, (record, used) in enumerate(zip(records[:20], trained, strict=True)):
        role = roles[row].role
        assert used.record == (canary.record if role is Role.OVERWRITTEN else record.record)
    assert count_roles(roles)["overwritten" if copies > 1 else "member"] == (canary.copies - 1 if copies > 1 else 19)


def test_single_that_hits_its_own_row_says_the_copies_it_really_has():
    """With all rows overwritten, the sample holds the canary's own row once: one copy fewer."""
    plan = SingleCanary(design="single", copies=20, seed=3)
    row, rows = single_rows(20, 20, 3)
    canary = next(a for a in assign(corpus(20), plan) if a.role is Role.CANARY_IN)
    assert canary.copies == 1 + len(set(rows) - {row})


def test_more_copies_than_members_is_an_error():
    with pytest.raises(StudyError, match=r"canaries\.copies is 21, but there are 20 members"):
        assign(corpus(20), SingleCanary(design="single", copies=21, seed=0))


def test_none_plants_nothing():
    records = corpus(4)
    roles = assign(records, NoCanaries(design="none"))
    assert count_roles(roles) == {"member": 4, "nonmember": 5, "calibration": 3}
    assert training_records(records, roles, NoCanaries(design="none")) == records[:4]


def many(**changes: object) -> ManyCanaries:
    return ManyCanaries(**{"design": "many", "count": 40, "copies": (1, 4), "references": 10, "seed": 1, **changes})


def test_many_reserves_whole_documents_and_deals_copies_before_the_coin():
    records = corpus(300, per_group=3)
    roles = assign(records, many())
    by = {a.record: a for a in roles}
    assert [a.record for a in roles] == [r.record for r in records]
    canaries = [a for a in roles if a.role in (Role.CANARY_IN, Role.CANARY_OUT)]
    assert len(canaries) == 40
    assert sorted(a.copies for a in canaries) == [1] * 20 + [4] * 20
    groups: dict[str, list[Role]] = {}
    for r in records[:300]:
        groups.setdefault(r.group, []).append(by[r.record].role)
    reserved = [g for g in groups.values() if set(g) != {Role.MEMBER}]
    assert len(reserved) == 50
    assert all(g.count(Role.OVERWRITTEN) == 2 for g in reserved)
    trained = [r.record for r in training_records(records, roles, many())]
    assert len(trained) == 150 + sum(a.copies for a in canaries if a.role is Role.CANARY_IN)
    assert not {a.record for a in roles if a.role not in (Role.MEMBER, Role.CANARY_IN)} & set(trained)


def test_many_keeps_its_reserve_over_seeds_and_its_copies_over_the_coin():
    records = corpus(300)
    first, second = assign(records, many(seed=1)), assign(records, many(seed=2))
    planted = {Role.CANARY_IN, Role.CANARY_OUT}
    assert {a.record for a in first if a.role in planted} == {a.record for a in second if a.role in planted}
    assert [a for a in first if a.role is Role.MEMBER] == [a for a in second if a.role is Role.MEMBER]
    assert first != second
    always = {a.record: a.copies for a in assign(records, many(inclusion=1.0))}
    assert all(always[a.record] == a.copies for a in first if a.role in planted)


def test_the_coin_falls_both_ways_about_evenly():
    heads = [
        sum(a.role is Role.CANARY_IN for a in assign(corpus(300), many(count=100, references=0, seed=s)))
        for s in range(40)
    ]
    assert 45 < sum(heads) / len(heads) < 55


def test_too_few_documents_is_an_error_with_the_figures():
    with pytest.raises(StudyError, match=r"= 50 needs more than 50 documents .* but there are only 10"):
        assign(corpus(20), many())


def written(count: int = 50) -> list[Record]:
    return [Record(f"w{i}", CANARIES, f"w{i}", f"a text that was written, number {i}") for i in range(count)]


def test_written_canaries_leave_every_member_where_it_is():
    records = [*corpus(6), *written()]
    plan = many(texts="synthetic")
    roles = assign(records, plan)
    by = {a.record: a for a in roles}
    assert [a.record for a in roles] == [r.record for r in records]
    assert all(by[f"m{i}"].role is Role.MEMBER for i in range(6))
    assert all(by[f"w{i}"].role in (Role.CANARY_IN, Role.CANARY_OUT) for i in range(40))
    assert all(by[f"w{i}"].role is Role.REFERENCE for i in range(40, 50))
    trained = [r.record for r in training_records(records, roles, plan)]
    assert trained[:6] == [f"m{i}" for i in range(6)]
    assert {r: trained.count(r) for r in trained[6:]} == {a.record: a.copies for a in roles if a.role is Role.CANARY_IN}


def test_the_document_of_a_reformulated_record_is_left_out():
    long = "one two three four five six seven eight nine ten eleven twelve"
    members = [Record(f"m{i}", MEMBERS, f"g{i // 2}", long if i in (3, 8) else "short") for i in range(10)]
    plan = many(texts="reformulated")
    source = template(members, plan)
    assert source.record in ("m3", "m8")
    assert {template(members, many(texts="reformulated", reserve_seed=s)).record for s in range(9)} == {"m3", "m8"}
    roles = assign([*members, *written()], plan)
    assert {a.record for a in roles if a.role is Role.OVERWRITTEN} == {
        r.record for r in members if r.group == source.group
    }


def test_no_record_long_enough_to_reformulate_is_an_error():
    with pytest.raises(StudyError, match="no member has 12 words; set it to synthetic"):
        assign([*corpus(6), *written()], many(texts="reformulated"))
