"""Token scores of all records in batches of like length.

Axes: B records a batch, T tokens, S scored tokens, V vocabulary.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch

from byrote.batches import by_length, pad_right
from byrote.lm import target_logits
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
    `on_batch` hears the tokens done. Raises ValueError where the model is in training mode.
    """
    if model.training:
        raise ValueError("scoring needs the model in eval mode: dropout would enter the scores")
    device = next(model.parameters()).device
    lengths = [max(len(ids) - 1, 0) for ids in token_ids]
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    columns = {name: np.zeros(offsets[-1], dtype) for name, dtype in _COLUMNS.items()}
    scored = [i for i, length in enumerate(lengths) if length]
    for batch in by_length([len(token_ids[i]) for i in scored], batch_tokens):
        rows = [scored[i] for i in batch]
        tokens_BT, lengths_B = pad_right([token_ids[i] for i in rows])
        values = token_scores(model, torch.from_numpy(tokens_BT).to(device), torch.from_numpy(lengths_B).to(device))
        start = 0
        for i in rows:
            stop = start + lengths[i]
            for name, column in columns.items():
                column[offsets[i] : offsets[i + 1]] = values[name][start:stop]
            start = stop
        on_batch(int(lengths_B.sum()))
    return TokenScores(tuple(records), offsets, **columns)


_COLUMNS = {"logprob": np.float32, "top1": np.bool_, "mean": np.float32, "std": np.float32}


def token_scores(model: torch.nn.Module, tokens_BT: torch.Tensor, lengths_B: torch.Tensor) -> dict[str, np.ndarray]:
    """Columns (S,) for the scored tokens of a right-padded batch, row after row; softmax in float32.

    mean and std of the log-probability over the vocabulary, weighted by probability: μ = Σ_v p·log p,
    σ² = Σ_v p·(log p)² − μ² (min-k++, Zhang et al. 2024).
    """
    targets_BT = torch.arange(1, tokens_BT.shape[1], device=tokens_BT.device) < lengths_B[:, None]
    has_target_BT = torch.nn.functional.pad(targets_BT, (0, 1))
    targets_S = tokens_BT[:, 1:][targets_BT]
    parts = [
        _from_logits(logits_SV, targets)
        for logits_SV, targets in zip(
            target_logits(model, tokens_BT, has_target_BT).split(_CHUNK), targets_S.split(_CHUNK), strict=True
        )
    ]
    return {name: torch.cat([part[name] for part in parts]).cpu().numpy() for name in _COLUMNS}


_CHUNK = 256  # rows whose float32 logits stay near the processor's cache


def _from_logits(logits_SV: torch.Tensor, targets_S: torch.Tensor) -> dict[str, torch.Tensor]:
    shifted_SV = logits_SV.float()
    top_S, argmax_S = shifted_SV.max(-1)
    shifted_SV = shifted_SV - top_S[:, None]
    picked_S = shifted_SV.gather(-1, targets_S[:, None])[:, 0]
    weights_SV = shifted_SV.exp()
    total_S = weights_SV.sum(-1)
    first_S = torch.linalg.vecdot(weights_SV, shifted_SV) / total_S
    second_S = torch.linalg.vecdot(weights_SV.mul_(shifted_SV), shifted_SV) / total_S
    log_total_S = total_S.log()
    return {
        "logprob": picked_S - log_total_S,
        "top1": argmax_S == targets_S,
        "mean": first_S - log_total_S,
        "std": (second_S - first_S**2).clamp_min(0).sqrt(),
    }
