"""Who hears what a run does."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol


class Listener(Protocol):
    """Hears what a run does."""

    def say(self, text: str) -> None:
        """One line."""

    def task(self, label: str, total: int) -> AbstractContextManager[Callable[[int, str], None]]:
        """A piece of work; the function it gives is called with units done and a short text."""
        ...


class Silent:
    """Hears nothing."""

    def say(self, text: str) -> None:
        """Ignored."""

    def task(self, label: str, total: int) -> AbstractContextManager[Callable[[int, str], None]]:  # noqa: ARG002
        """Ignored."""
        return nullcontext(lambda units, text: None)  # noqa: ARG005
