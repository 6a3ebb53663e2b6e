"""The base model writes canaries and references by a recipe (planting/written.py), and texts end in tokens that no
record has.

Axes: B texts side by side, T tokens, V vocabulary.
"""

import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import torch

from byrote.errors import StudyError
from byrote.lm import Decoder, Tokenizer, decoding
from byrote.passes.generation import Row, choose, write_all
from byrote.planting.roles import template
from byrote.planting.written import LEAST_TOKENS, Invented, Recipe
from byrote.study import Extraction

EXAMPLES = 3  # members that a synthetic text is written after
EXAMPLE_TOKENS = 128  # of each, the first ones
NEW_WORDS = 8  # that a text of new tokens ends in
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
        for number, written in enumerate(drawn):
            text = _printable(written) if recipe.printable else written
            if text not in kept and text not in recipe.texts and _long_enough(tokenizer, text, recipe.least):
                kept[text] = None
                on_text(1)
            if len(kept) == recipe.wanted:
                return Invented(tuple(kept), start + number + 1 - recipe.wanted)
    raise StudyError(
        f"of {ROUNDS * recipe.wanted} texts that the base model wrote at canaries.temperature "
        f"{recipe.plan.temperature:g}, only {len(kept)} are new and have at least {recipe.least} tokens, but "
        f"{recipe.wanted} are needed; raise canaries.temperature or canaries.changed (`canaries make`: --temperature)"
    )


def _printable(text: str) -> str:
    """Without control characters, and without what stands for bytes that are no text."""
    return "".join(c for c in text if c.isprintable() and c != "\ufffd").strip()


def _drawn(recipe: Recipe, model: Any, tokenizer: Tokenizer, context: int, numbers: Sequence[int]) -> Iterator[str]:
    if recipe.plan.texts == "synthetic":
        yield from _synthetic(recipe, model, tokenizer, context, numbers)
    else:
        yield from _reformulated(recipe, model, tokenizer, numbers)


def _long_enough(tokenizer: Tokenizer, text: str, least: int) -> bool:
    return len(tokenizer.encode([text], append_eos=False)[0]) >= least


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


def with_new_tokens(texts: Sequence[str], records: Iterable[str], tokenizer: Tokenizer, seed: int) -> list[str]:
    """The first half of each text's words, then NEW_WORDS words, each of which ends in a token that no record has.

    After the new-token canaries of Panda et al. 2025 (arXiv 2503.06808), who add tokens to the vocabulary; any trainer
    takes texts alone, so these are tokens of the vocabulary that are new to the data. Words are dealt from a pack
    that is shuffled anew when it is used up, so that texts share few. Raises StudyError where fewer than NEW_WORDS
    tokens are new.
    """
    words = _new_words(records, tokenizer)
    if len(words) < NEW_WORDS:
        raise StudyError(
            f"the data uses all but {len(words)} of the words that are one token of the model's tokenizer, and a "
            f"canary takes {NEW_WORDS}; write canaries of another --kind"
        )
    generator, pack, written = random.Random(f"new tokens {seed}"), list[str](), list[str]()
    for text in texts:
        if len(pack) < NEW_WORDS:
            pack = generator.sample(words, len(words))
        dealt, pack = pack[:NEW_WORDS], pack[NEW_WORDS:]
        known = text.split()
        written.append(" ".join([*known[: max(1, len(known) // 2)], *dealt]))
    return written


def _new_words(records: Iterable[str], tokenizer: Tokenizer) -> list[str]:
    """Words of letters and digits that end, after a space, in a token that no record has, in the order of their ids."""
    used = {token for ids in tokenizer.encode(list(records), append_eos=False) for token in ids}
    pieces = [(token, tokenizer.decode([token]).strip()) for token in range(tokenizer.size) if token not in used]
    pieces = [(token, word) for token, word in pieces if word.isalnum()]
    alone = tokenizer.encode([f"a {word}" for _, word in pieces], append_eos=False)
    return [word for (token, word), ids in zip(pieces, alone, strict=True) if token in ids]
