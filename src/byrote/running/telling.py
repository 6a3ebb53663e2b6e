"""The listener of a worker: what it is told goes on to the process that has the run, as plain tuples."""

from collections.abc import Callable, Generator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any


class Telling:
    """Passes on what it is told. tell: takes a kind and plain values (byrote.running.workers reads them)."""

    def __init__(self, tell: Callable[..., None]) -> None:
        self._tell, self._tasks = tell, 0

    def say(self, text: str) -> None:
        """One line."""
        self._tell("say", text)

    def study(self, name: str, cost: float) -> AbstractContextManager[None]:  # noqa: ARG002
        """Opened by the process that has the run, not here."""
        return nullcontext()

    @contextmanager
    def task(self, label: str, total: int, unit: str, cost: float) -> Generator[Callable[[int, str], None]]:
        """A piece of work."""
        self._tasks += 1
        number = self._tasks
        self._tell("open", number, label, total, unit, cost)
        try:
            yield lambda units, text: self._tell("advance", number, units, text)
        finally:
            self._tell("close", number)

    def step(self, trial: str, row: Mapping[str, Any]) -> None:
        """A step of a training."""
        self._tell("step", trial, row)
