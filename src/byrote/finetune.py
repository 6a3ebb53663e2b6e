"""The training loop: LoRA weights of one trial on its records. AdamW, linear warm-up and decay, clipping.

Read it top to bottom. Axes: B records a micro-batch, T tokens, S targets, V vocabulary.
"""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from byrote.batches import by_length, pad_right
from byrote.config import Training
from byrote.errors import StageError, StudyError
from byrote.lm import seeded, target_logits


@dataclass(frozen=True)
class Step:
    """One optimizer step: `loss` is the mean over its targets, in nats; `tokens` counts real tokens, no padding."""

    step: int
    steps: int
    epoch: int
    loss: float
    learning_rate: float
    grad_norm: float
    targets: int
    tokens: int
    seconds: float


def steps_of(records: int, training: Training) -> int:
    """Optimizer steps of a training. Raises StudyError where the warm-up is longer: it would train next to nothing."""
    steps = training.epochs * math.ceil(records / training.effective_batch)
    if training.warmup_steps > steps:
        raise StudyError(
            f"training.warmup_steps is {training.warmup_steps}, but {records} records in batches of "
            f"{training.effective_batch} for {training.epochs} epochs make {steps} steps; "
            f"set --training.warmup_steps to {steps // 10} or train longer"
        )
    return steps


def learning_rate_at(step: int, steps: int, training: Training) -> float:
    """Learning rate of a step counted from 0: linear from 0 over the warm-up, then linear to 0 at the end."""
    if step < training.warmup_steps:
        return training.learning_rate * step / training.warmup_steps
    return training.learning_rate * (steps - step) / max(1, steps - training.warmup_steps)


def finetune(
    model: torch.nn.Module,
    token_ids: Sequence[Sequence[int]],
    training: Training,
    micro_batch_tokens: int,
    on_step: Callable[[Step], None] = lambda _: None,
) -> list[Step]:
    """Train the weights of `model` that require a gradient, in place; leaves the model in eval mode.

    token_ids: one sequence a training record, copies included. The effective batch is exact whatever the micro-batch;
    every target of a step weighs the same. `training.seed` rules order and dropout.
    Raises StudyError for a warm-up longer than the training, StageError where the loss stops being a number.
    """
    steps, seed = steps_of(len(token_ids), training), training.seed
    if seed is None:
        raise ValueError("training.seed must be a number")
    weights = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(
        weights, lr=training.learning_rate, betas=(0.9, 0.999), eps=1e-8, weight_decay=training.weight_decay
    )
    log: list[Step] = []
    model.train()
    with seeded(seed):
        for epoch in range(training.epochs):
            order = np.random.default_rng([seed, epoch]).permutation(len(token_ids))
            for first in range(0, len(order), training.effective_batch):
                started = time.perf_counter()
                sequences = [token_ids[i] for i in order[first : first + training.effective_batch]]
                targets = sum(max(len(s) - 1, 0) for s in sequences)
                loss = _accumulate(model, sequences, targets, micro_batch_tokens)
                if not math.isfinite(loss):
                    raise StageError(f"the loss is {loss} at step {len(log)}; lower training.learning_rate")
                norm = float(torch.nn.utils.clip_grad_norm_(weights, training.max_grad_norm))
                rate = learning_rate_at(len(log), steps, training)
                optimizer.param_groups[0]["lr"] = rate
                optimizer.step()
                optimizer.zero_grad()
                tokens, seconds = sum(map(len, sequences)), time.perf_counter() - started
                log.append(Step(len(log), steps, epoch, loss, rate, norm, targets, tokens, seconds))
                on_step(log[-1])
    model.eval()
    return log


def _accumulate(model: torch.nn.Module, sequences: Sequence[Sequence[int]], targets: int, most_tokens: int) -> float:
    """Gradients of the mean loss over all targets of the step, micro-batch by micro-batch; returns the loss in nats."""
    device = next(model.parameters()).device
    trainable = [s for s in sequences if len(s) > 1]
    loss = 0.0
    for batch in by_length([len(s) for s in trainable], most_tokens):
        tokens_BT, lengths_B = (torch.from_numpy(a).to(device) for a in pad_right([trainable[i] for i in batch]))
        is_target_BT = torch.arange(1, tokens_BT.shape[1], device=device) < lengths_B[:, None]
        logits_SV = target_logits(model, tokens_BT, torch.nn.functional.pad(is_target_BT, (0, 1)))
        summed = torch.nn.functional.cross_entropy(logits_SV.float(), tokens_BT[:, 1:][is_target_BT], reduction="sum")
        (summed / targets).backward()
        loss += float(summed.detach()) / targets
    return loss
