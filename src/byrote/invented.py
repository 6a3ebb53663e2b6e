"""Canaries and references that the base model writes, once a run: texts that no corpus holds, all drawn alike, so that
a coin may decide which of them are planted.

synthetic: sampled at a high temperature after a few members, in their manner (as Meeus et al. 2024, "Copyright Traps
for Large Language Models", sample traps from a reference model). reformulated: one record of which a share of the
tokens is drawn anew, each given what stands before it (fuzzy duplicates, Shilov et al., arXiv 2405.15523, who draw them
from a masked model).

Axes: B texts side by side, T tokens, V vocabulary.
"""

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from byrote.canaries import template
from byrote.config import Extraction, ManyCanaries
from byrote.errors import StudyError
from byrote.generation import Row, choose, write_all
from byrote.grid import Trial, canaries_key
from byrote.lm import Decoder, Tokenizer, decoding
from byrote.records import CANARIES, MEMBERS, Record

EXAMPLES = 3  # members that a synthetic text is written after
EXAMPLE_TOKENS = 128  # of each, the first ones
LEAST_TOKENS = 8  # of a text: fewer cannot be split into a prompt and a suffix worth the name
ROUNDS = 10  # of as many texts as are wanted, before it is said that too few can be used
BATCH = 100


@dataclass(frozen=True)
class Recipe:
    """What is written: `wanted` texts by `plan`, for members with token ids. key: of the texts that come of it."""

    plan: ManyCanaries
    members: tuple[Record, ...]
    texts: frozenset[str]
    key: str

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


Maker = Callable[[Recipe], Invented]


def recipe_of(trials: Sequence[Trial], records: Sequence[Record], base: str) -> Recipe | None:
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
            "the base model writes one set of canaries a run: with canaries.texts synthetic or reformulated, only "
            "canaries.copies, canaries.inclusion and canaries.seed may be axes"
        )
    members = tuple(r for r in records if r.split == MEMBERS)
    made_of = [[r.record, r.text] for r in members]
    settings = first.model_dump(mode="json", exclude=set(free))
    return Recipe(first, members, frozenset(r.text for r in records), canaries_key(base, made_of, settings))


def stand_ins(recipe: Recipe) -> Invented:
    """Members' texts in the place of what would be written: as long, which is all that a forecast needs."""
    texts = [r.text for r in recipe.members]
    return Invented(tuple(texts[i % len(texts)] for i in range(recipe.wanted)), 0)


@torch.inference_mode()
def invent(recipe: Recipe, model: Any, tokenizer: Tokenizer, context: int, on_text: Callable[[int], None]) -> Invented:
    """Write the texts; the model must be in eval mode. The same recipe and model give the same texts.

    context: the most token ids of one text · `on_text` hears how many more can be used. StudyError where most of what
    is drawn cannot be used.
    """
    kept: dict[str, None] = {}
    at_once = min(BATCH, recipe.wanted)
    for start in range(0, ROUNDS * recipe.wanted, at_once):
        drawn = _drawn(recipe, model, tokenizer, context, range(start, start + at_once))
        for number, text in enumerate(drawn):
            if text not in kept and text not in recipe.texts and _long_enough(tokenizer, text):
                kept[text] = None
                on_text(1)
            if len(kept) == recipe.wanted:
                return Invented(tuple(kept), start + number + 1 - recipe.wanted)
    raise StudyError(
        f"of {ROUNDS * recipe.wanted} texts that the base model wrote at canaries.temperature "
        f"{recipe.plan.temperature:g} only {len(kept)} of the {recipe.wanted} wanted can be used: new, and of at least "
        f"{LEAST_TOKENS} tokens; raise canaries.temperature or canaries.changed"
    )


def _drawn(recipe: Recipe, model: Any, tokenizer: Tokenizer, context: int, numbers: Sequence[int]) -> Iterator[str]:
    if recipe.plan.texts == "synthetic":
        yield from _synthetic(recipe, model, tokenizer, context, numbers)
    else:
        yield from _reformulated(recipe, model, tokenizer, numbers)


def _long_enough(tokenizer: Tokenizer, text: str) -> bool:
    return len(tokenizer.encode([text], append_eos=False)[0]) >= LEAST_TOKENS


def _synthetic(recipe: Recipe, model: Any, tokenizer: Tokenizer, context: int, numbers: Sequence[int]) -> Iterator[str]:
    """One line after EXAMPLES members, one a line, at most as long as another member."""
    plan, rows = recipe.plan, []
    for number in numbers:
        generator = random.Random(f"synthetic {plan.reserve_seed} {number}")
        examples = [generator.choice(recipe.members).token_ids[:EXAMPLE_TOKENS] for _ in range(EXAMPLES)]
        most = min(max(len(generator.choice(recipe.members).token_ids), LEAST_TOKENS), context // 2)
        lines = "".join(tokenizer.decode(ids).strip() + "\n" for ids in examples)
        start = tokenizer.encode([lines], append_eos=False)[0][-(context - most) :]
        rows.append(Row(start, most, plan.temperature, f"canary|{plan.temperature!r}|{number}"))
    decode_as = Extraction(top_k=0, top_p=1.0, seed=plan.reserve_seed)
    for ids, _ in write_all(model, rows, decode_as, tokenizer.eos_id, BATCH, lambda _: None):
        words = ids[:-1] if ids and ids[-1] == tokenizer.eos_id else ids
        yield tokenizer.decode(words).strip().split("\n")[0].strip()


def _reformulated(recipe: Recipe, model: Any, tokenizer: Tokenizer, numbers: Sequence[int]) -> Iterator[str]:
    """The template with a share of its tokens drawn from the model, never the one that stood there; the first token,
    which has nothing before it, stays."""
    plan, device = recipe.plan, next(model.parameters()).device
    ids_T = template(recipe.members, plan).token_ids
    free, count = len(ids_T) - 1, max(1, round(plan.changed * (len(ids_T) - 1)))
    generators = [np.random.default_rng([plan.reserve_seed, number]) for number in numbers]
    redrawn_BT = np.zeros((len(numbers), len(ids_T)), dtype=bool)
    for row_T, generator in zip(redrawn_BT, generators, strict=True):
        row_T[1 + generator.choice(free, count, replace=False)] = True
    uniforms_BT = torch.tensor(np.stack([generator.random(len(ids_T)) for generator in generators]), device=device)
    temperatures_B = torch.full((len(numbers),), plan.temperature, device=device)
    texts_BT = torch.tensor([ids_T] * len(numbers), device=device)
    with decoding(model):
        decoder = Decoder(model, [ids_T[:1]], len(ids_T), device)
        decoder.pick(torch.zeros(len(numbers), dtype=torch.long, device=device))
        for place in range(1, len(ids_T)):
            logits_BV = decoder.logits.clone()
            logits_BV[:, ids_T[place]] = -torch.inf
            drawn_B = choose(logits_BV, temperatures_B, uniforms_BT[:, place], 0, 1.0)
            redrawn_B = torch.from_numpy(redrawn_BT[:, place]).to(device)
            texts_BT[:, place] = torch.where(redrawn_B, drawn_B, texts_BT[:, place])
            decoder.feed(texts_BT[:, place])
    yield from (tokenizer.decode(ids).strip() for ids in texts_BT.tolist())
