"""How many optimizer steps a training takes, and how many of them warm up."""

import math
from fractions import Fraction

from byrote.errors import StudyError
from byrote.study.settings import Training


def steps_of(records: int, training: Training) -> int:
    """Optimizer steps of a training on so many records, copies counted.

    Raises StudyError where its epochs do not make so many steps as it is to stop after.
    """
    steps = training.epochs * math.ceil(records / training.effective_batch)
    if training.steps is None:
        return steps
    if training.steps > steps:
        raise StudyError(
            f"training.steps is {training.steps}, but {records} records in batches of {training.effective_batch} "
            f"for {training.epochs} epochs make {steps} steps; raise training.epochs, or set training.steps to null"
        )
    return training.steps


def settle_warmup(records: int, training: Training) -> Training:
    """The training with its warm-up as a whole number of steps: a share is rounded up, and leaves at least one step.

    Raises StudyError where the warm-up is not shorter than the training, which would train next to nothing.
    """
    steps, warmup = steps_of(records, training), training.warmup_steps
    if isinstance(warmup, float):
        # By the decimal number as it was written: in binary, 0.07 of 100 steps is more than seven.
        return training.model_copy(update={"warmup_steps": min(math.ceil(Fraction(repr(warmup)) * steps), steps - 1)})
    if warmup >= max(1, steps):
        raise StudyError(
            f"training.warmup_steps is {warmup}, but {records} records in batches of {training.effective_batch} for "
            f"{training.epochs} epochs make {steps} steps; set --training.warmup_steps to {steps // 10}, or to a share "
            "such as 0.1, or train longer"
        )
    return training
