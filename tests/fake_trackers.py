"""A tracker in memory, which can fail."""

from collections.abc import Mapping


class FakeRun:
    """What a tracker's run was told. `closed` is None while it is open, else whether it was finished."""

    def __init__(self, tracker: "FakeTracker", settings: Mapping[str, float | str]) -> None:
        self._tracker, self.settings = tracker, dict(settings)
        self.logged: list[tuple[int, dict[str, float]]] = []
        self.closed: bool | None = None

    @property
    def steps(self) -> list[int]:
        return [step for step, figures in self.logged if "train/loss" in figures]

    @property
    def results(self) -> dict[str, float]:
        return {name: figure for _, figures in self.logged for name, figure in figures.items() if "train" not in name}

    def log(self, figures: Mapping[str, float], step: int) -> None:
        self._tracker.calls += 1
        if self._tracker.calls > self._tracker.fails_after:
            raise ConnectionError("no route to\nhttp://me:secret@server")
        self.logged.append((step, dict(figures)))

    def close(self, finished: bool) -> None:
        assert self.closed is None
        self.closed = finished


class FakeTracker:
    """Keeps its runs by name; refuses one that is there already, and raises after `fails_after` calls of log."""

    def __init__(self, fails_after: float = float("inf")) -> None:
        self.runs: dict[str, FakeRun] = {}
        self.calls, self.fails_after = 0, fails_after

    def open(self, name: str, settings: Mapping[str, float | str]) -> FakeRun:
        assert name not in self.runs
        self.runs[name] = FakeRun(self, settings)
        return self.runs[name]
