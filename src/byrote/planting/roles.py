"""Records + plan + seed → a role and copies for every record, and the records a trial trains on. Pure.

Canaries that the base model writes, and those of a manifest, come as records of a split of their own (written.py,
manifest.py).

Both designs draw from Python's `random` (a generator of their own, never the global one).
"""

import random
from collections import Counter
from collections.abc import Sequence

from byrote.errors import StudyError
from byrote.planting.manifest import Manifest, deal
from byrote.records import CALIBRATION, CANARIES, MEMBERS, NONMEMBERS, Assignment, Record, Role
from byrote.study import Canaries, ManifestCanaries, ManyCanaries, SingleCanary

TEMPLATE_WORDS = 12  # fewer leave too little to redraw
_ROLE_OF_SPLIT = {MEMBERS: Role.MEMBER, NONMEMBERS: Role.NONMEMBER, CALIBRATION: Role.CALIBRATION}


def assign(records: Sequence[Record], plan: Canaries, manifest: Manifest | None = None) -> list[Assignment]:
    """The role and copies of every record under a canary plan, in the records' order; `manifest`: where the plan is to
    follow one.

    Raises StudyError where the members cannot hold the plan.
    """
    return list(assign_all(records, [plan], manifest)[plan])


def assign_all(
    records: Sequence[Record], plans: Sequence[Canaries], manifest: Manifest | None = None
) -> dict[Canaries, tuple[Assignment, ...]]:
    """`assign` under each of several plans; a plan that is there twice is settled once, and a record that no plan names
    has one Assignment for all of them."""
    members = [r for r in records if r.split == MEMBERS]
    unplanted = {
        r.record: Assignment(r.record, _ROLE_OF_SPLIT[r.split], int(r.split == MEMBERS))
        for r in records
        if r.split in _ROLE_OF_SPLIT
    }
    roles: dict[Canaries, tuple[Assignment, ...]] = {}
    for plan in plans:
        if plan not in roles:
            planted = _planted(records, members, plan, manifest)
            roles[plan] = tuple(planted.get(r.record) or unplanted[r.record] for r in records)
    return roles


def _planted(
    records: Sequence[Record], members: Sequence[Record], plan: Canaries, manifest: Manifest | None
) -> dict[str, Assignment]:
    """The assignments that a plan makes itself."""
    if isinstance(plan, SingleCanary):
        return _single(members, plan)
    if isinstance(plan, ManyCanaries):
        return _many(records, members, plan)
    if isinstance(plan, ManifestCanaries):
        if manifest is None:
            raise ValueError("the roles of a manifest's canaries need the manifest")
        return {a.record: a for a in manifest.assignments()}
    return {}


def single_rows(members: int, copies: int, seed: int) -> tuple[int, list[int]]:
    """The canary's row and the rows its text overwrites, as the reference study draws them.

    `random.seed(seed)`, `row = random.randint(0, members - 1)`, `rows = random.sample(range(members), copies - 1)`
    (Savine et al. 2024, released code). The rows may contain the canary's own.
    """
    generator = random.Random(seed)
    row = generator.randint(0, members - 1)
    return row, generator.sample(range(members), copies - 1)


def _single(members: Sequence[Record], plan: SingleCanary) -> dict[str, Assignment]:
    if plan.copies > len(members):
        raise StudyError(
            f"canaries.copies is {plan.copies}, but there are {len(members)} members to overwrite; lower it"
        )
    row, rows = single_rows(len(members), plan.copies, _seed(plan.seed))
    overwritten = [members[i].record for i in rows if i != row]
    canary = Assignment(members[row].record, Role.CANARY_IN, 1 + len(overwritten))
    return {canary.record: canary, **{r: Assignment(r, Role.OVERWRITTEN, 0) for r in overwritten}}


def _many(records: Sequence[Record], members: Sequence[Record], plan: ManyCanaries) -> dict[str, Assignment]:
    """Copies are assigned before the coin is tossed, and independently of it. Records of the canaries' documents that
    are not canaries themselves are left out like overwritten records."""
    pool, left_out = _reserved(members, plan) if plan.texts == "reserve" else _invented(records, members, plan)
    planted = {record: Assignment(record, Role.OVERWRITTEN, 0) for record in left_out}
    dealt = [plan.copies[i % len(plan.copies)] for i in range(plan.count)]
    planted |= {a.record: a for a in deal(pool[: plan.count], dealt, plan.inclusion, _seed(plan.seed))}
    for record in pool[plan.count :]:
        planted[record] = Assignment(record, Role.REFERENCE, 0)
    return planted


def _reserved(members: Sequence[Record], plan: ManyCanaries) -> tuple[list[str], list[str]]:
    """Whole documents are reserved by the reserve's seed; one record of each enters the pool, its siblings do not."""
    groups: dict[str, list[str]] = {}
    for r in members:
        groups.setdefault(r.group, []).append(r.record)
    needed = plan.count + plan.references
    if needed >= len(groups):
        raise StudyError(
            f"canaries.count + canaries.references = {needed} needs more than {needed} documents among the members, "
            f"but there are only {len(groups)}; lower them, or set canaries.texts to synthetic"
        )
    reserve = random.Random(f"reserve {plan.reserve_seed}")
    drawn = reserve.sample(sorted(groups), needed)
    pool = [reserve.choice(groups[group]) for group in drawn]
    chosen = set(pool)
    return pool, [record for group in drawn for record in groups[group] if record not in chosen]


def _invented(records: Sequence[Record], members: Sequence[Record], plan: ManyCanaries) -> tuple[list[str], list[str]]:
    """Written texts, alike in kind, so the first are canaries; the document of a reformulated record is left out."""
    pool = [r.record for r in records if r.split == CANARIES]
    if len(pool) != plan.count + plan.references:
        raise ValueError(f"{plan.count} canaries and {plan.references} references are planned, {len(pool)} written")
    if plan.texts == "synthetic":
        return pool, []
    source = template(members, plan)
    return pool, [r.record for r in members if r.group == source.group]


def template(members: Sequence[Record], plan: ManyCanaries) -> Record:
    """The record that is reformulated: by the reserve's seed, one of at least TEMPLATE_WORDS words.

    StudyError where no member is as long.
    """
    long = [r for r in members if len(r.text.split()) >= TEMPLATE_WORDS]
    if not long:
        raise StudyError(
            f"canaries.texts is reformulated, but no member has {TEMPLATE_WORDS} words; set it to synthetic"
        )
    return random.Random(f"template {plan.reserve_seed}").choice(long)


def _seed(seed: int | None) -> int:
    if seed is None:
        raise ValueError("a trial's canary seed is always set")
    return seed


def training_records(records: Sequence[Record], assignments: Sequence[Assignment], plan: Canaries) -> list[Record]:
    """The records a trial trains on, before shuffling: members in their order, canaries as often as planted.

    `single` keeps the rows: an overwritten row holds the canary. The others append the copies.
    """
    of = {a.record: a for a in assignments}
    members = [r for r in records if r.split == MEMBERS]
    canaries = [r for r in records if of[r.record].role is Role.CANARY_IN]
    if isinstance(plan, SingleCanary):
        return [canaries[0] if of[r.record].role is Role.OVERWRITTEN else r for r in members]
    kept = [r for r in members if of[r.record].role is Role.MEMBER]
    return kept + [r for r in canaries for _ in range(of[r.record].copies)]


def count_roles(assignments: Sequence[Assignment]) -> dict[str, int]:
    """How many records have each role."""
    return dict(Counter(a.role.value for a in assignments))
