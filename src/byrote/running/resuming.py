"""What a killed training leaves for the next run: where it stood a few minutes before, kept in the run folder."""

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from importlib.metadata import version
from typing import Any

from byrote.errors import StoreError
from byrote.listener import Listener
from byrote.passes.finetune import Position, Room, Step
from byrote.running.planning import Planned
from byrote.store import Run
from byrote.study import Machine
from byrote.study.grid import METHOD_VERSION


class Checkpoints:
    """Those of one training: of a trial, or of several in one pass, whose file is the first trial's."""

    def __init__(self, store: Run, trials: Sequence[Planned], machine: Machine) -> None:
        self._store, self._stage, self._minutes = store, trials[0].training_stage, machine.checkpoint_minutes
        self._whose = {
            "trials": [planned.key for planned in trials],
            "method version": METHOD_VERSION["finetune"],
            "byrote version": version("byrote"),
        }
        self._asked = machine.micro_batch_tokens
        self._last = time.monotonic()

    def position(self, label: str, most_tokens: int, listener: Listener) -> Position | None:
        """Where the training stood; None where it starts again, of which the listener is told if something had been
        kept.

        The micro-batch is the one that the training had come to, or `most_tokens` where another is asked for by now.
        """
        try:
            kept = self._store.checkpoint(self._stage)
        except StoreError as error:
            listener.say(f"{label}: training starts again: {error}")
            return None
        if kept is None:
            return None
        arrays, facts = kept
        others = [name for name, value in self._whose.items() if facts.get(name) != value]
        if others:
            listener.say(f"{label}: training starts again: its checkpoint is of other {' and '.join(others)}")
            return None
        steps = tuple(tuple(Step(**step) for step in row) for row in facts["steps"])
        listener.say(f"{label}: training continues after step {len(steps)} of {steps[-1][0].steps}")
        room = Room(**facts["room"])
        if facts["micro_batch_tokens"] != self._asked:
            room = replace(room, micro_batch_tokens=most_tokens)
        return Position(steps, room, arrays)

    def keep(self, take: Callable[[], Position]) -> None:
        """Write down where the training stands, if the last time is long enough ago."""
        if self._minutes is None or time.monotonic() - self._last < 60 * self._minutes:
            return
        position = take()
        steps: list[list[dict[str, Any]]] = [[asdict(step) for step in row] for row in position.steps]
        facts = {
            **self._whose,
            "micro_batch_tokens": self._asked,
            "room": asdict(position.room),
            "steps": steps,
        }
        self._store.write_checkpoint(self._stage, position.arrays, facts)
        self._last = time.monotonic()

    def drop(self) -> None:
        """Remove what was kept: the training is done."""
        self._store.drop_checkpoint(self._stage)
