"""Canaries and references that the base model writes, once a run: texts that no corpus holds, all drawn alike, so that
a coin may decide which of them are planted.

synthetic: sampled at a high temperature after a few members, in their style (as Meeus et al. 2024, "Copyright Traps
for Large Language Models", sample traps from a reference model). reformulated: one record of which a share of the
tokens is drawn again, each given what stands before it (fuzzy duplicates, Shilov et al., arXiv 2405.15523, who draw
them from a masked model).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from byrote.errors import StudyError
from byrote.records import CANARIES, MEMBERS, Record
from byrote.study import ManyCanaries
from byrote.study.given import GivenTrial
from byrote.study.grid import Trial, canaries_key

LEAST_TOKENS = 8  # of a text: fewer cannot be split into a prompt and a suffix worth the name


@dataclass(frozen=True)
class Recipe:
    """What is written: `wanted` texts by `plan`, for members with token ids.

    texts: those that are not written again · key: of the texts that come of it · least: the fewest token ids of a
    text · printable: leave out characters that do not print, which files of other programs may not hold.
    """

    plan: ManyCanaries
    members: tuple[Record, ...]
    texts: frozenset[str]
    key: str
    least: int = LEAST_TOKENS
    printable: bool = False

    @property
    def stage(self) -> str:
        """Where the texts lie in a run folder."""
        return f"base/{self.key}"

    @property
    def wanted(self) -> int:
        """Canaries and references."""
        return self.plan.count + self.plan.references


@dataclass(frozen=True)
class Invented:
    """Texts, and how many others were drawn again: too short, or there already."""

    texts: tuple[str, ...]
    refused: int

    def records(self) -> list[Record]:
        """Each as a document of its own."""
        names = [f"canary{i:04d}" for i in range(len(self.texts))]
        return [Record(name, CANARIES, name, text) for name, text in zip(names, self.texts, strict=True)]


# Has the base model write in a number format.
Maker = Callable[[Recipe, str], Invented]


def recipe_of(trials: Sequence[Trial | GivenTrial], records: Sequence[Record], base: str) -> Recipe | None:
    """What the base model is to write for a study's trials; None where canaries come from the members or are none.

    base: its key. StudyError where trials want different texts: one set is written a run.
    """
    plans = [trial.canaries if isinstance(trial.canaries, ManyCanaries) else None for trial in trials]
    free = {"copies": (1,), "inclusion": 0.5, "seed": 0}  # what may differ between trials
    kinds = [plan and plan.model_copy(update=free) for plan in plans]
    if all(kind is None or kind.texts == "reserve" for kind in kinds):
        return None
    first = plans[0]
    if first is None or any(kind != kinds[0] for kind in kinds):
        raise StudyError(
            "the base model writes one set of canaries per run: with canaries.texts synthetic or reformulated, only "
            "canaries.copies, canaries.inclusion and canaries.seed may be axes"
        )
    members = tuple(r for r in records if r.split == MEMBERS)
    made_of = [[r.record, r.text] for r in members]
    settings = first.model_dump(mode="json", exclude=set(free))
    return Recipe(first, members, frozenset(r.text for r in records), canaries_key(base, made_of, settings))


def stand_ins(recipe: Recipe, _precision: str = "") -> Invented:
    """Members' texts in place of those to be written: they are as long, which is all that a forecast needs."""
    texts = [r.text for r in recipe.members]
    return Invented(tuple(texts[i % len(texts)] for i in range(recipe.wanted)), 0)
