"""Completions of prompts and of an empty prompt, in batches, and the chance that a prompt's true suffix is drawn.

Axes: B rows (a start at one temperature and sample), S suffix tokens, V vocabulary.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256

import numpy as np
import torch

from byrote.lm import (
    chunks,
    decoder_of,
    decoding,
    head_logits,
    logits_alone,
    pack,
    packed_hidden,
    packing,
    packs,
)
from byrote.passes.batches import by_length
from byrote.records import Completion, FreeCompletion, SuffixChance
from byrote.study import Extraction


@dataclass(frozen=True)
class Prompt:
    """A record's token ids, how many of them, from the start, are the prompt, and the setting that says so.

    Where a record has an answer, `token_ids` end with it (the last, where there are several), and `answer_mask` is the
    record's as far as they go.
    """

    record: str
    token_ids: tuple[int, ...]
    prefix_tokens: int
    prefix: float
    answer_mask: tuple[bool, ...] = ()

    @property
    def start(self) -> tuple[int, ...]:
        """The token ids that are given."""
        return self.token_ids[: self.prefix_tokens]

    @property
    def suffix(self) -> tuple[int, ...]:
        """The true rest of the record."""
        return self.token_ids[self.prefix_tokens :]


@dataclass(frozen=True)
class Row:
    """Token ids that are given, the most that are written after them, and what names the row's generator."""

    start: tuple[int, ...]
    most: int
    temperature: float
    name: str


def complete(
    model: torch.nn.Module,
    prompts: Sequence[Prompt],
    extraction: Extraction,
    eos_id: int | None,
    decode: Callable[[Sequence[int]], str],
    batch: int,
    on_batch: Callable[[int], None] = lambda _: None,
) -> list[Completion]:
    """Write as many tokens as each suffix has, fewer where the model ends the text, at every temperature.

    Temperature 0 is greedy and gives one completion. Above 0 each record, prefix, temperature and sample has its own
    generator (Philox, seeded by `extraction.seed`), so a completion does not depend on what else is asked for, but for
    the rounding of the model's arithmetic, which may differ with the number of rows. In order of prompts, temperatures,
    samples. decode: token ids to text · batch: rows side by side · `on_batch` is called with the number of new tokens.
    """
    completions = [
        (prompt, temperature, sample)
        for prompt in prompts
        for temperature in extraction.temperatures
        for sample in range(extraction.samples if temperature > 0 else 1)
    ]
    rows = [Row(p.start, len(p.suffix), t, f"{p.record}|{p.prefix!r}|{t!r}|{sample}") for p, t, sample in completions]
    written = write_all(model, rows, extraction, eos_id, batch, on_batch)
    return [
        Completion(
            record=prompt.record,
            prefix=prompt.prefix,
            temperature=temperature,
            sample=sample,
            prefix_tokens=prompt.prefix_tokens,
            suffix_tokens=len(prompt.suffix),
            token_ids=tuple(ids),
            logprob=tuple(logprobs),
            text=decode(ids),
            suffix_text=decode(prompt.suffix),
        )
        for (prompt, temperature, sample), (ids, logprobs) in zip(completions, written, strict=True)
    ]


def complete_freely(
    model: torch.nn.Module,
    start_id: int,
    extraction: Extraction,
    eos_id: int | None,
    decode: Callable[[Sequence[int]], str],
    batch: int,
    on_batch: Callable[[int], None] = lambda _: None,
) -> list[FreeCompletion]:
    """Write `extraction.untargeted.completions` texts from an empty prompt, which is the start token alone.

    Each has at most `extraction.untargeted.tokens` ids, fewer where the model ends the text, and its own generator,
    seeded by `extraction.seed` and its number, so the first ones are the same however many are asked for, but for
    rounding. In order of their numbers; the other arguments as for `complete`.
    """
    wanted = extraction.untargeted
    rows = [
        Row((start_id,), wanted.tokens, wanted.temperature, f"untargeted|{wanted.temperature!r}|{sample}")
        for sample in range(wanted.completions)
    ]
    written = write_all(model, rows, extraction, eos_id, batch, on_batch)
    return [FreeCompletion(n, tuple(ids), tuple(logprobs), decode(ids)) for n, (ids, logprobs) in enumerate(written)]


@torch.inference_mode()
def write_all(
    model: torch.nn.Module,
    rows: Sequence[Row],
    extraction: Extraction,
    eos_id: int | None,
    batch: int,
    on_batch: Callable[[int], None],
) -> list[tuple[list[int], list[float]]]:
    """Token ids and log-probabilities of each row, those that write most side by side."""
    if model.training:
        raise ValueError("generation needs the model in eval mode: dropout would enter the completions")
    order = sorted(range(len(rows)), key=lambda i: (-rows[i].most, -len(rows[i].start), i))
    done: dict[int, tuple[list[int], list[float]]] = {}
    with decoding(model):
        for first in range(0, len(order), batch):
            picked = order[first : first + batch]
            written = _write(model, [rows[i] for i in picked], extraction, eos_id)
            done |= zip(picked, written, strict=True)
            on_batch(sum(len(ids) for ids, _ in written))
    return [done[i] for i in range(len(rows))]


def _write(
    model: torch.nn.Module, rows: Sequence[Row], extraction: Extraction, eos_id: int | None
) -> list[tuple[list[int], list[float]]]:
    """Token ids and log-probabilities of the rows of one batch. A start is read once for all its rows; rows that have
    ended leave the batch."""
    device = next(model.parameters()).device
    starts = list(dict.fromkeys(row.start for row in rows))
    wanted = np.array([row.most for row in rows])
    draws = np.stack([_uniforms(extraction.seed, row, int(wanted.max())) for row in rows])
    temperatures = np.array([row.temperature for row in rows], dtype=np.float32)
    written: list[tuple[list[int], list[float]]] = [([], []) for _ in rows]
    decoder = decoder_of(model, starts, int(wanted.max()), device)
    decoder.pick(torch.tensor([starts.index(row.start) for row in rows], device=device))
    open_rows = np.arange(len(rows))
    for step in range(int(wanted.max())):
        uniforms_B, temperatures_B = (torch.from_numpy(a[open_rows]).to(device) for a in (draws[:, step], temperatures))
        next_B = choose(decoder.logits, temperatures_B, uniforms_B, extraction.top_k, extraction.top_p)
        logprobs_B = decoder.logits.log_softmax(-1).gather(-1, next_B[:, None])[:, 0].tolist()
        tokens = next_B.cpu().numpy()
        for row, token, logprob in zip(open_rows, tokens.tolist(), logprobs_B, strict=True):
            written[row][0].append(token)
            written[row][1].append(logprob)
        goes_on = wanted[open_rows] > step + 1
        if eos_id is not None:
            goes_on &= tokens != eos_id
        if not goes_on.any():
            break
        if not goes_on.all():
            decoder.pick(torch.from_numpy(np.flatnonzero(goes_on)).to(device))
            open_rows = open_rows[goes_on]
        decoder.feed(next_B[torch.from_numpy(goes_on).to(device)])
    return written


@torch.inference_mode()
def suffix_chances(
    model: torch.nn.Module, prompts: Sequence[Prompt], extraction: Extraction, batch_tokens: int
) -> list[SuffixChance]:
    """How likely each prompt's true suffix is drawn at each temperature above 0, teacher-forced, without sampling.

    log p_z = Σ log of each suffix token's probability after temperature, top-k and top-p (Hayes et al. 2410.19482);
    −inf where top-k or top-p leave a token out. In order of prompts, then temperatures.
    """
    temperatures = [t for t in extraction.temperatures if t > 0]
    device = next(model.parameters()).device
    log_chances = np.zeros((len(prompts), len(temperatures)))
    with packing(model):
        for batch in by_length([len(p.token_ids) - 1 for p in prompts], batch_tokens):
            logits_of = _suffix_logits(model, [prompts[i] for i in batch], device)
            for i, logits_SV in zip(batch, logits_of, strict=True):
                suffix_S = torch.tensor(prompts[i].suffix, device=logits_SV.device)
                for column, temperature in enumerate(temperatures):
                    log_chances[i, column] = _log_chance(logits_SV, suffix_S, temperature, extraction)
    return [
        SuffixChance(p.record, p.prefix, t, p.prefix_tokens, len(p.suffix), float(log_chances[i, column]))
        for i, p in enumerate(prompts)
        for column, t in enumerate(temperatures)
    ]


def _suffix_logits(model: torch.nn.Module, prompts: Sequence[Prompt], device: torch.device) -> Iterator[torch.Tensor]:
    """Logits (S, V) of each prompt's suffix in fp32, one prompt after the other."""
    if not packs(model):
        for prompt in prompts:
            yield logits_alone(model, prompt.token_ids[:-1], device)[prompt.prefix_tokens - 1 :].float()
        return
    hidden_NH = packed_hidden(model, pack([p.token_ids[:-1] for p in prompts], device))
    for prompt, hidden_TH in zip(prompts, hidden_NH.split([len(p.token_ids) - 1 for p in prompts]), strict=True):
        yield head_logits(model, hidden_TH[prompt.prefix_tokens - 1 :].contiguous()).float()


def _log_chance(logits_SV: torch.Tensor, suffix_S: torch.Tensor, temperature: float, extraction: Extraction) -> float:
    total = 0.0
    for rows in chunks(len(suffix_S), logits_SV.device):
        part_SV = logits_SV[rows]
        temperatures_S = torch.full((len(part_SV),), temperature, device=part_SV.device)
        logp_SV = decoding_logprobs(part_SV, temperatures_S, extraction.top_k, extraction.top_p)
        total += float(logp_SV.gather(-1, suffix_S[rows, None]).double().sum())
    return total


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
    logp_BV = decoding_logprobs(logits_BV[sampled_B], temperatures_B[sampled_B], top_k, top_p)
    return greedy_B.index_put((sampled_B.nonzero()[:, 0],), _drawn(logp_BV.exp_(), uniforms_B[sampled_B]))


_BLOCK = 256  # tokens whose probabilities are summed first


def _drawn(chances_BV: torch.Tensor, uniforms_B: torch.Tensor) -> torch.Tensor:
    """The token at which the cumulated chances pass the uniform number: first the block of tokens, then the token."""
    short = -chances_BV.shape[-1] % _BLOCK
    blocks_BNK = torch.nn.functional.pad(chances_BV, (0, short)).unflatten(-1, (-1, _BLOCK))
    cumulated_BN = blocks_BNK.sum(-1).double().cumsum(-1)
    point_B1 = (uniforms_B.double() * cumulated_BN[:, -1])[:, None]
    block_B1 = torch.searchsorted(cumulated_BN, point_B1, right=True).clamp_max(cumulated_BN.shape[-1] - 1)
    before_B1 = torch.nn.functional.pad(cumulated_BN, (1, 0)).gather(-1, block_B1)
    inside_BK = blocks_BNK.gather(1, block_B1[..., None].expand(-1, 1, _BLOCK))[:, 0].double().cumsum(-1)
    # the last token of the block that can be drawn, where rounding puts the point past the block's sum
    point_B1 = torch.minimum(point_B1 - before_B1, torch.nextafter(inside_BK[:, -1:], torch.zeros_like(before_B1)))
    return (block_B1 * _BLOCK + torch.searchsorted(inside_BK, point_B1, right=True))[:, 0]


def decoding_logprobs(logits_BV: torch.Tensor, temperatures_B: torch.Tensor, top_k: int, top_p: float) -> torch.Tensor:
    """Log-probabilities (B, V) of what is drawn, after temperature (above 0), top-k and top-p, in this order."""
    scaled_BV = logits_BV / temperatures_B[:, None]
    if 0 < top_k < scaled_BV.shape[-1]:
        lowest_B = scaled_BV.topk(top_k, -1).values[:, -1:]
        scaled_BV = scaled_BV.masked_fill(scaled_BV < lowest_B, -torch.inf)
    if top_p < 1:
        sorted_BV, order_BV = torch.sort(scaled_BV.softmax(-1), dim=-1, descending=True, stable=True)
        outside_BV = sorted_BV.cumsum(-1) - sorted_BV >= top_p
        dropped_BV = torch.zeros_like(outside_BV).scatter(-1, order_BV, outside_BV)
        scaled_BV = scaled_BV.masked_fill(dropped_BV, -torch.inf)
    return scaled_BV.log_softmax(-1)


def _uniforms(seed: int, row: Row, count: int) -> np.ndarray:
    key = int.from_bytes(sha256(f"{seed}|{row.name}".encode()).digest()[:16], "little")
    return np.random.Generator(np.random.Philox(key=key)).random(count)
