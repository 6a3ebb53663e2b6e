"""Which side each record is on under a canary plan, and what follows from it for every trial of the plan."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from byrote.corpora.shadow import shadow_roles
from byrote.passes.generation import Prompt
from byrote.planting.roles import training_records
from byrote.records import Assignment, Record, masks_of
from byrote.running.prompts import prompts_of
from byrote.study import Canaries, Study
from byrote.study.grid import Keys, digest_of


@dataclass(frozen=True, kw_only=True)
class Sides:
    """What trials of one canary plan have in common: roles, what they train on, and prompts."""

    roles: tuple[Assignment, ...]
    roles_key: str
    training_ids: tuple[tuple[int, ...], ...] = ()
    training_masks: tuple[tuple[bool, ...], ...] = ()
    prompts: tuple[Prompt, ...]
    training: tuple[Record, ...] = ()

    @cached_property
    def training_digest(self) -> str:
        """Of what they train on."""
        return digest_of(self.training)


def sides_of(
    study: Study, plan: Canaries, roles: tuple[Assignment, ...], records: Sequence[Record], keys: Keys
) -> Sides:
    """The sides of these records under a canary plan; roles: those of the plan, of which a shadow takes its part."""
    if study.controls.shadow:
        roles = shadow_roles(roles, records, study.seed)
    training = [] if study.subjects else training_records(records, roles, plan)
    return Sides(
        roles=roles,
        roles_key=keys.roles(plan, study.seed if study.controls.shadow else None),
        training_ids=tuple(r.token_ids for r in training),
        training_masks=masks_of(training),
        prompts=prompts_of(study, records, roles),
        training=tuple(training),
    )
