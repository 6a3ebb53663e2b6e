"""Completions of prompts in batches, with a key-value cache.

Axes: B rows (a prompt at one temperature and sample), P prompt tokens, V vocabulary.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256

import numpy as np
import torch

from byrote.config import Extraction
from byrote.records import Completion


@dataclass(frozen=True)
class Prompt:
    """A record's token ids and how many of them, from the start, are the prompt."""

    record: str
    token_ids: tuple[int, ...]
    prefix_tokens: int

    @property
    def suffix(self) -> tuple[int, ...]:
        """The true rest of the record."""
        return self.token_ids[self.prefix_tokens :]


@dataclass(frozen=True)
class _Row:
    prompt: Prompt
    temperature: float
    sample: int


@torch.inference_mode()
def complete(
    model: torch.nn.Module,
    prompts: Sequence[Prompt],
    extraction: Extraction,
    eos_id: int | None,
    batch: int,
    on_batch: Callable[[int], None] = lambda _: None,
) -> list[Completion]:
    """Write as many tokens as each suffix has, fewer where the model ends the text, at every temperature.

    Temperature 0 is greedy and gives one completion. Above 0 each record, temperature and sample has its own generator
    (Philox, seeded by `extraction.seed`), so a completion does not depend on what else is asked for. In order of
    prompts, temperatures, samples. `on_batch` hears the new tokens.
    """
    if model.training:
        raise ValueError("generation needs the model in eval mode: dropout would enter the completions")
    rows = [
        _Row(prompt, temperature, sample)
        for prompt in prompts
        for temperature in extraction.temperatures
        for sample in range(extraction.samples if temperature > 0 else 1)
    ]
    order = sorted(range(len(rows)), key=lambda i: (-rows[i].prompt.prefix_tokens, -len(rows[i].prompt.suffix), i))
    done: dict[int, Completion] = {}
    for start in range(0, len(order), batch):
        picked = order[start : start + batch]
        written = _decode(model, [rows[i] for i in picked], extraction, eos_id)
        for i, (ids, logprobs) in zip(picked, written, strict=True):
            done[i] = _completion(rows[i], extraction.prefix, ids, logprobs)
        on_batch(sum(len(ids) for ids, _ in written))
    return [done[i] for i in range(len(rows))]


def _completion(row: _Row, prefix: float, ids: list[int], logprobs: list[float]) -> Completion:
    prompt = row.prompt
    return Completion(
        prompt.record,
        prefix,
        row.temperature,
        row.sample,
        prompt.prefix_tokens,
        len(prompt.suffix),
        tuple(ids),
        tuple(logprobs),
    )


def _decode(
    model: torch.nn.Module, rows: Sequence[_Row], extraction: Extraction, eos_id: int | None
) -> list[tuple[list[int], list[float]]]:
    device = next(model.parameters()).device
    wanted = np.array([len(r.prompt.suffix) for r in rows])
    draws = np.stack([_uniforms(extraction.seed, r, int(wanted.max())) for r in rows])
    temperatures_B = torch.tensor([r.temperature for r in rows], device=device)
    tokens_BP, mask_BP = (torch.from_numpy(a).to(device) for a in _pad_left([r.prompt for r in rows]))
    positions_BP = (mask_BP.cumsum(-1) - 1).clamp_min(0)
    written: list[tuple[list[int], list[float]]] = [([], []) for _ in rows]
    open_B, cache = np.ones(len(rows), dtype=bool), None
    for step in range(int(wanted.max())):
        out = model(
            input_ids=tokens_BP,
            attention_mask=mask_BP,
            position_ids=positions_BP,
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        )
        cache, logits_BV = out.past_key_values, out.logits[:, -1].float()
        uniforms_B = torch.from_numpy(draws[:, step]).to(device)
        next_B = choose(logits_BV, temperatures_B, uniforms_B, extraction.top_k, extraction.top_p)
        logprobs_B = logits_BV.log_softmax(-1).gather(-1, next_B[:, None])[:, 0].tolist()
        for row, (token, logprob) in enumerate(zip(next_B.tolist(), logprobs_B, strict=True)):
            if open_B[row]:
                written[row][0].append(token)
                written[row][1].append(logprob)
                open_B[row] = token != eos_id and len(written[row][0]) < wanted[row]
        if not open_B.any():
            break
        tokens_BP, positions_BP = next_B[:, None], positions_BP[:, -1:] + 1
        mask_BP = torch.nn.functional.pad(mask_BP, (0, 1), value=1)
    return written


def choose(
    logits_BV: torch.Tensor, temperatures_B: torch.Tensor, uniforms_B: torch.Tensor, top_k: int, top_p: float
) -> torch.Tensor:
    """The next token of each row (B,): argmax at temperature 0, else drawn by inverting the cumulated probabilities.

    top_k keeps the k likeliest tokens (0: all), then top_p the fewest likeliest that hold at least that share (1: all).
    """
    greedy_B = logits_BV.argmax(-1)
    sampled_B = temperatures_B > 0
    if not bool(sampled_B.any()):
        return greedy_B
    probabilities_BV = decoding_distribution(logits_BV[sampled_B], temperatures_B[sampled_B], top_k, top_p)
    cumulated_BV = probabilities_BV.double().cumsum(-1)
    point_B = uniforms_B[sampled_B].double() * cumulated_BV[:, -1]
    drawn_B = torch.searchsorted(cumulated_BV, point_B[:, None], right=True)[:, 0]
    return greedy_B.index_put((sampled_B.nonzero()[:, 0],), drawn_B)


def decoding_distribution(
    logits_BV: torch.Tensor, temperatures_B: torch.Tensor, top_k: int, top_p: float
) -> torch.Tensor:
    """Probabilities (B, V) that are drawn from, after temperature (above 0), top-k and top-p, in this order."""
    scaled_BV = logits_BV / temperatures_B[:, None]
    if 0 < top_k < scaled_BV.shape[-1]:
        lowest_B = scaled_BV.topk(top_k, -1).values[:, -1:]
        scaled_BV = scaled_BV.masked_fill(scaled_BV < lowest_B, -torch.inf)
    probabilities_BV = scaled_BV.softmax(-1)
    if top_p < 1:
        sorted_BV, order_BV = torch.sort(probabilities_BV, dim=-1, descending=True, stable=True)
        outside_BV = sorted_BV.cumsum(-1) - sorted_BV >= top_p
        dropped_BV = torch.zeros_like(outside_BV).scatter(-1, order_BV, outside_BV)
        probabilities_BV = probabilities_BV.masked_fill(dropped_BV, 0)
        probabilities_BV = probabilities_BV / probabilities_BV.sum(-1, keepdim=True)
    return probabilities_BV


def _uniforms(seed: int, row: _Row, count: int) -> np.ndarray:
    name = f"{seed}|{row.prompt.record}|{row.temperature!r}|{row.sample}"
    key = int.from_bytes(sha256(name.encode()).digest()[:16], "little")
    return np.random.Generator(np.random.Philox(key=key)).random(count)


def _pad_left(prompts: Sequence[Prompt]) -> tuple[np.ndarray, np.ndarray]:
    width = max(p.prefix_tokens for p in prompts)
    tokens_BP = np.zeros((len(prompts), width), dtype=np.int64)
    mask_BP = np.zeros((len(prompts), width), dtype=np.int64)
    for i, prompt in enumerate(prompts):
        tokens_BP[i, width - prompt.prefix_tokens :] = prompt.token_ids[: prompt.prefix_tokens]
        mask_BP[i, width - prompt.prefix_tokens :] = 1
    return tokens_BP, mask_BP
