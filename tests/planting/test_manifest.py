"""A manifest is read as it was written or not at all, and data that does not hold its canaries is refused."""

import json
import random
from collections import Counter
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from byrote.errors import CorpusError
from byrote.planting.manifest import (
    Manifest,
    ManifestCanary,
    canary_records,
    check_planted,
    deal,
    read_manifest,
    without_canaries,
)
from byrote.planting.roles import assign, training_records
from byrote.records import CANARIES, MEMBERS, NONMEMBERS, Record, Role
from byrote.study import ManifestCanaries

NAMES = [f"canary{i}" for i in range(8)]
SEED = 4


def manifest() -> Manifest:
    """Eight canaries, half of them of two copies, and two references."""
    dealt = deal(NAMES, [1] * 4 + [2] * 4, 0.5, SEED)
    canaries = [ManifestCanary(a.record, a.role, a.copies, {"text": f"text of {a.record}"}) for a in dealt]
    references = [ManifestCanary(f"ref{i}", Role.REFERENCE, 0, {"text": f"text of ref{i}"}) for i in range(2)]
    return Manifest(
        kind="synthetic",
        seed=SEED,
        temperature=1.2,
        model={"name": "tiny"},
        columns={"text": "text"},
        data={"name": "train.jsonl", "sha256": "a", "rows": 3},
        planted={"name": "with.jsonl", "sha256": "b", "rows": 9},
        canaries=(*canaries, *references),
    )


def canaries_of(plan: Manifest) -> list[Record]:
    return canary_records(plan, [Record("", CANARIES, "", str(c.content["text"])) for c in plan.canaries])


def planted(plan: Manifest) -> list[Record]:
    """Three members, with the planted canaries between them, and two non-members."""
    copies = [c.content["text"] for c in plan.canaries if c.role is Role.CANARY_IN for _ in range(c.copies)]
    texts = ["one", *copies[:2], "two", *copies[2:], "three"]
    members = [Record(f"m{i}", MEMBERS, f"g{i}", text) for i, text in enumerate(texts)]
    return [*members, Record("n0", NONMEMBERS, "h0", "four"), Record("n1", NONMEMBERS, "h1", "five")]


def write(plan: Manifest, folder: Path) -> Path:
    path = folder / "manifest.json"
    path.write_text(plan.dump())
    return path


def resealed(raw: dict[str, Any]) -> str:
    """A manifest's text with the digest that belongs to it, as somebody who knows the rule would write it."""
    content = {name: value for name, value in raw.items() if name != "digest"}
    line = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return json.dumps({**content, "digest": sha256(line.encode()).hexdigest()})


def test_copies_are_dealt_before_the_coin_and_know_nothing_of_it() -> None:
    """Twin: the two draws one after the other, from generators of their own."""
    copies = [1] * 300 + [4] * 300
    dealt = deal([str(i) for i in range(600)], copies, 0.5, 9)
    expected = list(copies)
    random.Random("copies 9").shuffle(expected)
    assert [a.copies for a in dealt] == expected
    coin = random.Random("coin 9")
    assert [a.role is Role.CANARY_IN for a in dealt] == [coin.random() < 0.5 for _ in range(600)]
    in_by_copies = Counter(a.copies for a in dealt if a.role is Role.CANARY_IN)
    assert all(120 < in_by_copies[times] < 180 for times in (1, 4))  # 3.5 standard deviations of a fair coin
    other = deal([str(i) for i in range(600)], [2] * 600, 0.5, 9)
    assert [a.role for a in other] == [a.role for a in dealt]


def test_a_manifest_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = write(manifest(), tmp_path)
    found, digest = read_manifest(path)
    assert found == manifest()
    assert digest == sha256(path.read_bytes()).hexdigest()
    assert read_manifest(path, digest) == (found, digest)
    assert found.of_copies == {1: 4, 2: 4}


def edit_role(raw: dict[str, Any]) -> None:
    raw["canaries"][0]["role"] = "canary_out" if raw["canaries"][0]["role"] == "canary_in" else "canary_in"


def edit_copies(raw: dict[str, Any]) -> None:
    raw["canaries"][0]["copies"] += 1


def edit_text(raw: dict[str, Any]) -> None:
    raw["canaries"][1]["content"]["text"] += "!"


def drop_a_canary(raw: dict[str, Any]) -> None:
    del raw["canaries"][2]


def edit_seed(raw: dict[str, Any]) -> None:
    raw["seed"] += 1


def drop_a_part(raw: dict[str, Any]) -> None:
    del raw["columns"]


EDITS = [edit_role, edit_copies, edit_text, drop_a_canary, edit_seed, drop_a_part]


@pytest.mark.parametrize("edit", EDITS)
def test_an_edited_manifest_is_refused(edit: Any, tmp_path: Path) -> None:
    path = write(manifest(), tmp_path)
    raw = json.loads(path.read_text())
    edit(raw)
    path.write_text(json.dumps(raw))
    with pytest.raises(CorpusError, match=r"manifest\.json was edited: its digest does not fit"):
        read_manifest(path)
    path.write_text(resealed(raw))
    with pytest.raises(CorpusError, match=r"was edited: (the hash of|its roles and copies|a part of it is missing)"):
        read_manifest(path)


def test_what_is_no_manifest_is_refused(tmp_path: Path) -> None:
    path = write(manifest(), tmp_path)
    whole = path.read_text()
    with pytest.raises(CorpusError, match=r"no whole manifest: not valid JSON"):
        read_manifest(_with(path, whole[: len(whole) // 2]))
    with pytest.raises(CorpusError, match="is no manifest of canaries"):
        read_manifest(_with(path, '{"text": "a record"}'))
    with pytest.raises(CorpusError, match="is no manifest of canaries"):
        read_manifest(_with(path, "[]"))
    with pytest.raises(CorpusError, match="is of version 9"):
        read_manifest(_with(path, resealed({**json.loads(whole), "version": 9})))
    with pytest.raises(CorpusError, match=r"not 00000000.*canaries\.sha256"):
        read_manifest(_with(path, whole), "0" * 64)
    with pytest.raises(CorpusError, match=r"cannot read the manifest .*nowhere\.json: No such file"):
        read_manifest(tmp_path / "nowhere.json")


def _with(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_canaries_are_taken_out_of_the_members_and_each_stands_once() -> None:
    plan = manifest()
    records, canaries = planted(plan), canaries_of(plan)
    check_planted(plan, canaries, records, "with.jsonl")
    kept = without_canaries(records, canaries)
    assert [r.text for r in kept] == ["one", "two", "three", "four", "five"]
    settings = ManifestCanaries(design="manifest", path="manifest.json", sha256="a")
    roles = assign([*kept, *canaries], settings, plan)
    assert {a.record: (a.role, a.copies) for a in roles[5:]} == {c.name: (c.role, c.copies) for c in plan.canaries}
    assert [a.role for a in roles[:5]] == [Role.MEMBER] * 3 + [Role.NONMEMBER] * 2
    trained = training_records([*kept, *canaries], roles, settings)
    assert Counter(r.text for r in trained) == Counter(r.text for r in records if r.split == MEMBERS)


def test_a_file_that_lost_a_canary_is_refused() -> None:
    plan = manifest()
    records, canaries = planted(plan), canaries_of(plan)
    lost = next(c for c in plan.canaries if c.role is Role.CANARY_IN and c.copies == 2)
    place = next(i for i, r in enumerate(records) if r.text == lost.content["text"])
    with pytest.raises(CorpusError, match=rf"does not hold 1 of the planted .*{lost.name} \(1 of 2\).*corpus\.limit"):
        check_planted(plan, canaries, [*records[:place], *records[place + 1 :]], "with.jsonl")
    with pytest.raises(CorpusError, match=rf"{lost.name} \(3 of 2\)"):
        check_planted(plan, canaries, [*records, replace(records[place], record="again")], "with.jsonl")


@pytest.mark.parametrize("role", [Role.CANARY_OUT, Role.REFERENCE])
def test_a_canary_that_should_be_out_is_refused(role: Role) -> None:
    plan = manifest()
    out = next(c for c in plan.canaries if c.role is role)
    more = Record("x", MEMBERS, "x", str(out.content["text"]))
    with pytest.raises(CorpusError, match=rf"has 1 canaries that the manifest left out: {out.name};"):
        check_planted(plan, canaries_of(plan), [*planted(plan), more], "with.jsonl")


def test_canaries_outside_the_members_are_refused() -> None:
    plan = manifest()
    canary = plan.canaries[0]
    more = Record("x", NONMEMBERS, "x", str(canary.content["text"]))
    with pytest.raises(CorpusError, match=rf"nothing is trained on: {canary.name} \(nonmembers\)"):
        check_planted(plan, canaries_of(plan), [*planted(plan), more], "with.jsonl")


def test_a_record_with_the_name_of_a_canary_is_refused() -> None:
    plan = manifest()
    records = [*planted(plan), Record("canary1", MEMBERS, "x", "six")]
    with pytest.raises(CorpusError, match=r"1 records have the name of a canary: canary1; set corpus\.id to null"):
        without_canaries(records, canaries_of(plan))
