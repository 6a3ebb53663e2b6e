"""The base model writes canaries and references by a recipe (planting/written.py).

Axes: B texts side by side, T tokens, V vocabulary.
"""

import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch

from byrote.errors import StudyError
from byrote.lm import Decoder, Tokenizer, decoding
from byrote.passes.generation import Row, choose, write_all
from byrote.planting.roles import template
from byrote.planting.written import Invented, Recipe
from byrote.study import Extraction

EXAMPLES = 3  # members that a synthetic text is written after
EXAMPLE_TOKENS = 128  # of each, the first ones
LEAST_TOKENS = 8  # of a text: fewer cannot be split into a prompt and a suffix worth the name
ROUNDS = 10  # of as many texts as are wanted, before it is said that too few can be used
BATCH = 100


@torch.inference_mode()
def invent(recipe: Recipe, model: Any, tokenizer: Tokenizer, context: int, on_text: Callable[[int], None]) -> Invented:
    """Write the texts; the model must be in eval mode. The same recipe and model give the same texts.

    context: the most token ids of one text · `on_text` is told how many more can be used. StudyError where most of what
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
        f"{recipe.plan.temperature:g}, only {len(kept)} are new and have at least {LEAST_TOKENS} tokens, but "
        f"{recipe.wanted} are needed; raise canaries.temperature or canaries.changed"
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
