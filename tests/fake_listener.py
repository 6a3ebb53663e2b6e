"""A listener for tests, and the tables of a run as bytes."""

from contextlib import contextmanager, nullcontext
from pathlib import Path


class Recorder:
    """A listener that counts units of work, and raises where a test asks it to."""

    def __init__(self, raise_in: str = "", after: int = 0, error: BaseException | None = None) -> None:
        self.done: dict[str, int] = {}
        self.said: list[str] = []
        self.expected: dict[str, float] = {}  # what the study, and each piece of work, was said to cost
        self.units: dict[str, str] = {}
        self.logged: dict[str, list[dict]] = {}  # the steps of each trial
        self.raise_in, self.after, self.error = raise_in, after, error

    def say(self, text: str) -> None:
        self.said.append(text)

    def study(self, name: str, cost: float):
        self.expected[name] = cost
        return nullcontext()

    @contextmanager
    def task(self, label: str, total: int, unit: str, cost: float):  # noqa: ARG002
        calls = [0]
        self.expected[label], self.units[label] = cost, unit

        def advance(units: int, text: str) -> None:  # noqa: ARG001
            self.done[label] = self.done.get(label, 0) + units
            calls[0] += 1
            if self.error and self.raise_in and label.startswith(self.raise_in) and calls[0] > self.after:
                raise self.error

        yield advance

    def step(self, trial: str, row: dict) -> None:
        self.logged.setdefault(trial, []).append(row)

    def steps(self) -> int:
        return sum(units for label, units in self.done.items() if label.startswith("fine-tune"))


def tables(path: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in sorted((path / "tables").glob("*.csv")) if p.stem != "timings"}
