"""Who is told what a run does."""

from collections.abc import Callable, Generator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Protocol


class Listener(Protocol):
    """Is told what a run does. Costs are in one unit for all stages (byrote.running.cost), so that they can be
    added."""

    def say(self, text: str) -> None:
        """One line."""

    def study(self, name: str, cost: float) -> AbstractContextManager[None]:
        """The stages of a study that are still missing, which cost this much together; it is open while they are
        done."""
        ...

    def task(
        self, label: str, total: int, unit: str, cost: float
    ) -> AbstractContextManager[Callable[[int, str], None]]:
        """A piece of work of `total` units, such as steps, and its part of the study's cost; the function it gives is
        called with units done and a short text."""
        ...

    def step(self, trial: str, row: Mapping[str, Any]) -> None:
        """An optimizer step of a trial, by its key: the line of its log.jsonl."""


class Silent:
    """Ignores everything."""

    def say(self, text: str) -> None:
        """Ignored."""

    def study(self, name: str, cost: float) -> AbstractContextManager[None]:  # noqa: ARG002
        """Ignored."""
        return nullcontext()

    def task(
        self,
        label: str,  # noqa: ARG002
        total: int,  # noqa: ARG002
        unit: str,  # noqa: ARG002
        cost: float,  # noqa: ARG002
    ) -> AbstractContextManager[Callable[[int, str], None]]:
        """Ignored."""
        return nullcontext(lambda units, text: None)  # noqa: ARG005

    def step(self, trial: str, row: Mapping[str, Any]) -> None:
        """Ignored."""


class Guarded:
    """Tells another listener, and first calls `check`, which raises where the work must stop."""

    def __init__(self, listener: Listener, check: Callable[[], None]) -> None:
        self._listener, self._check = listener, check

    def say(self, text: str) -> None:
        """One line; never stopped, for it may say why the work is."""
        self._listener.say(text)

    def study(self, name: str, cost: float) -> AbstractContextManager[None]:
        """The stages of a study."""
        self._check()
        return self._listener.study(name, cost)

    @contextmanager
    def task(self, label: str, total: int, unit: str, cost: float) -> Generator[Callable[[int, str], None]]:
        """A piece of work, whose every advance is checked."""
        self._check()
        with self._listener.task(label, total, unit, cost) as advance:

            def checked(units: int, text: str) -> None:
                self._check()
                advance(units, text)

            yield checked

    def step(self, trial: str, row: Mapping[str, Any]) -> None:
        """An optimizer step of a trial."""
        self._check()
        self._listener.step(trial, row)
