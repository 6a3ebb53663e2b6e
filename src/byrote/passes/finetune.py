"""The training loop: LoRA weights of a trial, or of several side by side, on its records. AdamW, linear warm-up and
decay, clipping.

Read it top to bottom. Axes: K adapters, B records a micro-batch, T tokens, S targets.
"""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from byrote.errors import StageError
from byrote.lm import (
    Adapted,
    generator_states,
    give_back,
    head_nll,
    in_threads,
    is_out_of_memory,
    pack,
    packed_hidden,
    packing,
    repeated,
    restore_generators,
    seeded,
    side_by_side,
)
from byrote.passes.batches import by_length
from byrote.study import Training
from byrote.study.schedule import settle_warmup, steps_of


@dataclass(frozen=True)
class Step:
    """One optimizer step of one adapter: `loss` is the mean over its targets, in nats; `tokens` counts real tokens, no
    padding; `seconds` is the adapter's share where a stack is trained in one pass."""

    step: int
    steps: int
    epoch: int
    loss: float
    learning_rate: float
    grad_norm: float
    targets: int
    tokens: int
    seconds: float
    micro_batch_tokens: int
    checkpointing: bool


@dataclass(frozen=True)
class Masked:
    """A training record: its token ids, and which of them are targets (empty: all)."""

    token_ids: Sequence[int]
    answer_mask: Sequence[bool]

    @property
    def inside(self) -> Sequence[bool]:
        """Whether each token id after the first is a target."""
        return self.answer_mask[1:] if self.answer_mask else (True,) * (len(self.token_ids) - 1)

    @property
    def targets(self) -> int:
        """How many tokens are targets; one without context is none."""
        return sum(self.answer_mask[1:]) if self.answer_mask else max(len(self.token_ids) - 1, 0)


@dataclass(frozen=True)
class Room:
    """What a step may take: tokens in one forward pass, and whether activations are computed again in the backward."""

    micro_batch_tokens: int
    checkpointing: bool = False


@dataclass(frozen=True)
class Position:
    """Where a training stands after a step: all that it needs to go on to the same bytes.

    steps: those done, a Step an adapter · arrays: by name the weights, AdamW's state of each, and the global generators
    (`weight.0`, `adamw.0.exp_avg`, `generator.cpu` …). Order and schedule follow from the number of steps, dropout from
    the step, so they need nothing more.
    """

    steps: tuple[tuple[Step, ...], ...]
    room: Room
    arrays: Mapping[str, np.ndarray]


_STEPS_KEPT = 25  # between which memory is kept; giving it back takes a quarter of a step


def learning_rate_at(step: int, steps: int, training: Training) -> float:
    """Learning rate of a step counted from 0: linear from 0 over the warm-up (a whole number of steps),
    then linear to 0 at the end."""
    if step < training.warmup_steps:
        return training.learning_rate * step / training.warmup_steps
    return training.learning_rate * (steps - step) / max(1, steps - training.warmup_steps)


def finetune(
    adapted: Adapted,
    token_ids: Sequence[Sequence[int]],
    training: Training,
    micro_batch_tokens: int,
    on_step: Callable[[tuple[Step, ...]], None] = lambda _: None,
    resume: Position | None = None,
    on_position: Callable[[Callable[[], Position]], None] = lambda _: None,
    answer_masks: Sequence[Sequence[bool]] = (),
) -> list[list[Step]]:
    """Train the adapters on a base model in place, all of a stack in one pass; leaves the model in eval mode.

    token_ids: one sequence a training record, copies included. Every adapter of a stack sees the same batches, K
    copies of a micro-batch of at most `micro_batch_tokens` tokens. The effective batch is exact whatever the
    micro-batch; every target of a step weighs the same. `training.seed` rules the order; the adapters' seeds their
    dropout. answer_masks: which token ids of each record are targets; every one that has a context where there are
    none, or an empty one. `on_step` is called after each step, one Step an adapter; returned is the list of steps of
    each adapter.
    `on_position` is called after each step with a function that takes down where the training stands; given as `resume`
    to fresh adapters of the same kind, training goes on from there. ValueError where it is of other adapters.
    Raises StudyError for a warm-up that is not shorter than the training, StageError where the loss stops being a
    number.
    """
    training = settle_warmup(len(token_ids), training)
    steps, seed = steps_of(len(token_ids), training), training.seed
    if seed is None:
        raise ValueError("training.seed must be a number")
    weights = [p for p in adapted.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(
        weights, lr=training.learning_rate, betas=(0.9, 0.999), eps=1e-8, weight_decay=training.weight_decay, fused=True
    )
    done: list[tuple[Step, ...]] = list(resume.steps) if resume else []
    room = resume.room if resume else Room(micro_batch_tokens)
    an_epoch = math.ceil(len(token_ids) / training.effective_batch)

    def position() -> Position:
        return Position(tuple(done), room, _arrays(weights, optimizer))

    adapted.train()
    adapted.checkpoint(room.checkpointing)
    with packing(adapted), seeded(seed):  # for dropout that the base model has of its own
        if resume:
            _restore(resume.arrays, weights, optimizer)
        for epoch in range(len(done) // an_epoch, training.epochs):
            order = np.random.default_rng([seed, epoch]).permutation(len(token_ids))
            behind = (len(done) - epoch * an_epoch) * training.effective_batch
            for first in range(behind, len(order), training.effective_batch):
                if len(done) == steps:
                    break
                started = time.perf_counter()
                picked = order[first : first + training.effective_batch]
                sequences = [Masked(token_ids[i], answer_masks[i] if answer_masks else ()) for i in picked]
                targets = sum(s.targets for s in sequences)
                losses, room = _with_room(adapted, sequences, len(done), room)
                broken = [loss for loss in losses if not math.isfinite(loss)]
                if broken:
                    raise StageError(f"the loss is {broken[0]} at step {len(done)}; lower training.learning_rate")
                norms = [_clip(adapted.gradients_of(k), training.max_grad_norm) for k in range(adapted.size)]
                rate = learning_rate_at(len(done), steps, training)
                optimizer.param_groups[0]["lr"] = rate
                optimizer.step()
                optimizer.zero_grad()
                tokens, seconds = sum(len(s.token_ids) for s in sequences), time.perf_counter() - started
                done.append(
                    tuple(
                        Step(
                            step=len(done),
                            steps=steps,
                            epoch=epoch,
                            loss=loss,
                            learning_rate=rate,
                            grad_norm=norm,
                            targets=targets,
                            tokens=tokens,
                            seconds=seconds / adapted.size,
                            micro_batch_tokens=room.micro_batch_tokens,
                            checkpointing=room.checkpointing,
                        )
                        for loss, norm in zip(losses, norms, strict=True)
                    )
                )
                if len(done) % _STEPS_KEPT == 0:
                    give_back()
                on_step(done[-1])
                on_position(position)
    adapted.eval()
    adapted.checkpoint(False)
    return [list(steps) for steps in zip(*done, strict=True)]


def _arrays(weights: Sequence[torch.Tensor], optimizer: torch.optim.Optimizer) -> dict[str, np.ndarray]:
    """What training changes, as copies of its own."""
    tensors = {f"weight.{i}": weight for i, weight in enumerate(weights)}
    for i, state in optimizer.state_dict()["state"].items():
        tensors |= {f"adamw.{i}.{name}": tensor for name, tensor in state.items()}
    tensors |= {f"generator.{name}": state for name, state in generator_states().items()}
    return {name: tensor.detach().cpu().numpy().copy() for name, tensor in tensors.items()}


def _restore(
    arrays: Mapping[str, np.ndarray], weights: Sequence[torch.Tensor], optimizer: torch.optim.Optimizer
) -> None:
    """The inverse of `_arrays`. ValueError where the arrays are of other weights."""
    tensors = {name: torch.from_numpy(array.copy()) for name, array in arrays.items()}
    kept = {name: tuple(tensor.shape) for name, tensor in tensors.items() if name.startswith("weight.")}
    if kept != {f"weight.{i}": tuple(weight.shape) for i, weight in enumerate(weights)}:
        raise ValueError("the position is of other adapters than those that are trained")
    state: dict[int, dict[str, torch.Tensor]] = {i: {} for i in range(len(weights))}
    generators: dict[str, torch.Tensor] = {}
    for name, tensor in tensors.items():
        kind, _, rest = name.partition(".")
        if kind == "weight":
            weights[int(rest)].data.copy_(tensor)
        elif kind == "adamw":
            number, _, moment = rest.partition(".")
            state[int(number)][moment] = tensor
        else:
            generators[rest] = tensor
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
    restore_generators(generators)


def _with_room(adapted: Adapted, sequences: Sequence[Masked], step: int, room: Room) -> tuple[list[float], Room]:
    """The step's losses, its gradients left on the weights. Out of memory halves the micro-batch and does the step
    again with the same dropout; where one record is too much, activations are no longer kept. StageError after that."""
    while True:
        try:
            return _accumulate(adapted, sequences, step, room.micro_batch_tokens), room
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            if room.micro_batch_tokens > 1:
                tokens = sum(len(s.token_ids) for s in sequences)
                room = Room(min(room.micro_batch_tokens, tokens) // 2 or 1, room.checkpointing)
            elif not room.checkpointing:
                adapted.checkpoint(True)
                room = Room(1, True)
            else:
                raise StageError(
                    "one record does not fit into memory, even with its activations computed again; set "
                    "corpus.max_tokens lower, or take a machine with more memory"
                ) from error
        adapted.zero_grad()


def _accumulate(adapted: Adapted, sequences: Sequence[Masked], step: int, micro_batch_tokens: int) -> list[float]:
    """Gradients of each adapter's mean loss over all targets of the step, added to the weights'; returns the losses in
    nats, one an adapter. Micro-batches run side by side; their sums do not depend on which is done first."""
    trainable = [s for s in sequences if s.targets]
    targets, threads = sum(s.targets for s in trainable), side_by_side(adapted)
    batches = list(enumerate(by_length([len(s.token_ids) - 1 for s in trainable], micro_batch_tokens, threads)))
    weights = [p for p in adapted.parameters() if p.requires_grad]

    def gradients(share: list[tuple[int, list[int]]]) -> tuple[torch.Tensor, list[torch.Tensor]]:
        loss_K, sums = torch.zeros(adapted.size, device=weights[0].device), [torch.zeros_like(w) for w in weights]
        for number, batch in share:
            summed_K = _summed_nll(adapted, [trainable[i] for i in batch], step, number) / targets
            for total, part in zip(sums, torch.autograd.grad(summed_K.sum(), weights), strict=True):
                total += part
            loss_K += summed_K.detach()
        return loss_K, sums

    losses = torch.zeros(adapted.size, device=weights[0].device)
    for loss_K, sums in in_threads(gradients, [batches[t::threads] for t in range(threads)], threads):
        losses += loss_K
        for weight, gradient in zip(weights, sums, strict=True):
            weight.grad = gradient if weight.grad is None else weight.grad.add_(gradient)
    return losses.tolist()


def _summed_nll(adapted: Adapted, records: Sequence[Masked], step: int, number: int) -> torch.Tensor:
    """The summed loss (K,) of one micro-batch; a record's last token predicts nothing and is not fed."""
    device = next(adapted.parameters()).device
    packed = pack([r.token_ids[:-1] for r in records], device)
    targets_S = torch.tensor([t for r in records for t in r.token_ids[1:]], device=device).repeat(adapted.size)
    adapted.at(step, number)
    hidden_SH = packed_hidden(adapted, repeated(packed, adapted.size))
    if any(r.answer_mask for r in records):
        kept = torch.tensor([inside for r in records for inside in r.inside], device=device).repeat(adapted.size)
        hidden_SH, targets_S = hidden_SH[kept], targets_S[kept]
    return head_nll(adapted, hidden_SH, targets_S).view(adapted.size, -1).sum(-1)


def _clip(gradients: Sequence[torch.Tensor], most: float) -> float:
    """Scale gradients in place to a norm of at most `most`; returns the norm they had."""
    norm = torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(g) for g in gradients]))
    factor = (most / (norm + 1e-6)).clamp(max=1.0)  # as torch's clip_grad_norm_
    for gradient in gradients:
        gradient.mul_(factor)
    return float(norm)
