"""Token scores of all records in batches of like length.

Axes: B records a batch, T tokens, S scored tokens, V vocabulary.
"""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch

from byrote.errors import ModelError
from byrote.lm import chunks, in_threads, packing, record_logits, side_by_side
from byrote.passes.batches import by_length
from byrote.records import TokenScores


@torch.inference_mode()
def score(
    model: torch.nn.Module,
    records: Sequence[str],
    token_ids: Sequence[Sequence[int]],
    batch_tokens: int,
    on_batch: Callable[[int], None] = lambda _: None,
) -> TokenScores:
    """Scores of every token that has a context, in the records' order; the model must be in eval mode.

    The same `batch_tokens` and records give the same batches, so base and tuned model are compared on equal numerics.
    `on_batch` is called with the number of tokens done. Raises ValueError where the model is in training mode.
    """
    if model.training:
        raise ValueError("scoring needs the model in eval mode: dropout would enter the scores")
    device = next(model.parameters()).device
    lengths = [max(len(ids) - 1, 0) for ids in token_ids]
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    columns = {name: np.zeros(offsets[-1], dtype) for name, dtype in _COLUMNS.items()}
    first_of = {tuple(ids): i for i, ids in reversed(list(enumerate(token_ids)))}
    scored = [i for i, ids in enumerate(token_ids) if lengths[i] and first_of[tuple(ids)] == i]
    with packing(model):
        batches = [[scored[i] for i in batch] for batch in by_length([lengths[i] for i in scored], batch_tokens)]
        columns_of_batches = in_threads(
            lambda rows: token_scores(model, [token_ids[i] for i in rows], device), batches, side_by_side(model)
        )
        for rows, values in zip(batches, columns_of_batches, strict=True):
            for i, start in zip(rows, np.cumsum([0, *(lengths[i] for i in rows[:-1])]), strict=True):
                for name, column in columns.items():
                    column[offsets[i] : offsets[i + 1]] = values[name][start : start + lengths[i]]
            on_batch(sum(len(token_ids[i]) for i in rows))
    for i, ids in enumerate(token_ids):  # a text that stands twice is scored once
        if (first := first_of[tuple(ids)]) != i:
            for column in columns.values():
                column[offsets[i] : offsets[i + 1]] = column[offsets[first] : offsets[first + 1]]
            on_batch(len(ids))
    return TokenScores(tuple(records), offsets, **columns)


_COLUMNS = {"logprob": np.float32, "top1": np.bool_, "mean": np.float32, "std": np.float32}


@torch.inference_mode()
def token_scores(
    model: torch.nn.Module, token_ids: Sequence[Sequence[int]], device: torch.device
) -> dict[str, np.ndarray]:
    """Columns (S,) for the scored tokens of records run together, one after the other; only inside `lm.packing`.

    Softmax in float32. mean and std of the log-probability over the vocabulary, weighted by probability:
    μ = Σ_v p·log p, σ² = Σ_v p·(log p)² − μ² (min-k++, Zhang et al. 2024). top1: no token is likelier.
    """
    logits_SV = record_logits(model, [ids[:-1] for ids in token_ids], device)  # the last predicts nothing
    targets_S = torch.tensor([token for ids in token_ids for token in ids[1:]], device=logits_SV.device)
    parts = [_from_logits(logits_SV[rows], targets_S[rows]) for rows in chunks(len(targets_S), device)]
    return {name: torch.cat([part[name] for part in parts]).cpu().numpy() for name in _COLUMNS}


def _from_logits(logits_SV: torch.Tensor, targets_S: torch.Tensor) -> dict[str, torch.Tensor]:
    picked_S = logits_SV.gather(-1, targets_S[:, None])[:, 0].float()
    shifted_SV = logits_SV.to(torch.float32, copy=True)
    top_S = shifted_SV.amax(-1)
    shifted_SV.sub_(top_S[:, None])
    weights_SV = shifted_SV.exp()
    total_S = weights_SV.sum(-1)
    first_S = weights_SV.mul_(shifted_SV).sum(-1) / total_S
    second_S = weights_SV.mul_(shifted_SV).sum(-1) / total_S
    log_total_S = total_S.log()
    return {
        "logprob": picked_S - top_S - log_total_S,
        "top1": picked_S == top_S,
        "mean": first_S - log_total_S,
        "std": (second_S - first_S**2).clamp_min(0).sqrt(),
    }


@torch.no_grad()
def score_by_forward(
    model: torch.nn.Module,
    records: Sequence[str],
    token_ids: Sequence[Sequence[int]],
    batch_tokens: int,
) -> TokenScores:
    """The scores of `score` by the model's own forward pass on padded batches, nothing of the model replaced.

    For a model that belongs to a training: attention, kernels, automatic casts and adapters stay as the trainer set
    them, and no thread of another number is asked for. `batch_tokens` counts padded places. Raises ValueError where the
    model is in training mode, ModelError where its forward pass gives no logits.
    """
    if model.training:
        raise ValueError("scoring needs the model in eval mode: dropout would enter the scores")
    device = model.get_input_embeddings().weight.device  # type: ignore[operator, union-attr]
    lengths = [max(len(ids) - 1, 0) for ids in token_ids]
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    columns = {name: np.zeros(offsets[-1], dtype) for name, dtype in _COLUMNS.items()}
    scored = sorted((i for i in range(len(lengths)) if lengths[i]), key=lambda i: (-lengths[i], i))
    while scored:
        rows = scored[: max(1, batch_tokens // lengths[scored[0]])]
        scored = scored[len(rows) :]
        for i, values in zip(rows, _padded(model, [token_ids[i] for i in rows], device), strict=True):
            for name, column in columns.items():
                column[offsets[i] : offsets[i + 1]] = values[name].cpu().numpy()
    return TokenScores(tuple(records), offsets, **columns)


def _padded(
    model: torch.nn.Module, token_ids: Sequence[Sequence[int]], device: torch.device
) -> Iterator[dict[str, torch.Tensor]]:
    """Columns of each record, padded at its end: what stands there is seen by no token of the record."""
    longest = max(len(ids) for ids in token_ids) - 1
    ids_BT = torch.tensor([[*ids[:-1], *[0] * (longest + 1 - len(ids))] for ids in token_ids], device=device)
    real_BT = torch.tensor([[1] * (len(ids) - 1) + [0] * (longest + 1 - len(ids)) for ids in token_ids], device=device)
    logits_BTV = model(input_ids=ids_BT, attention_mask=real_BT, use_cache=False).logits
    if not isinstance(logits_BTV, torch.Tensor) or logits_BTV.ndim != 3 or logits_BTV.shape[1] < longest:
        raise ModelError(
            "the model's forward pass gives no logits, which byrote measures; with Unsloth set UNSLOTH_RETURN_LOGITS=1 "
            "before it is imported"
        )
    for ids, logits_TV in zip(token_ids, logits_BTV[:, -longest:], strict=True):  # virtual tokens stand before them
        targets_T = torch.tensor(ids[1:], device=logits_TV.device)
        parts = [_from_logits(logits_TV[part], targets_T[part]) for part in chunks(len(targets_T), logits_TV.device)]
        yield {name: torch.cat([part[name] for part in parts]) for name in _COLUMNS}
