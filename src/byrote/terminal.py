"""What a run does, as a person sees it: bars on a terminal, lines in a file or a pipe."""

import threading
import time
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.segment import Segment

from byrote.visible import visible

_EVERY = 60.0  # seconds between two lines of one piece of work, where there are no bars
_SURE = 0.02  # the share done after which the time left is shown


def duration(seconds: float) -> str:
    """`42 s`, `5 min` or `2.3 h`."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


@dataclass
class _Piece:
    """A piece of work that is going on; `bar` is None where lines are printed."""

    label: str
    total: int
    unit: str
    cost: float
    bar: TaskID | None
    began: float
    said: float = field(init=False)  # when its last line was printed
    done: int = 0
    note: str = ""

    def __post_init__(self) -> None:
        self.said = self.began

    @property
    def progress(self) -> str:
        """`12 of 60 steps`."""
        return f"{self.done:,} of {self.total:,} {self.unit}"


@dataclass
class _Whole:
    """The study that is going on."""

    name: str
    cost: float
    bar: TaskID | None
    began: float
    done: float = 0.0

    def words(self, now: float) -> str:
        """`43%, about 2 min left`; no time before there is a rate to estimate it from."""
        share = min(1.0, self.done / self.cost) if self.cost else 1.0
        left = f", about {duration((now - self.began) * (1 - share) / share)} left" if _SURE < share < 1 else ""
        return f"{share:.0%}{left}"


class VisibleConsole(Console):
    """A console on which control characters of what is printed are seen and not obeyed: a name of the user's cannot
    colour, move or rename a terminal, nor turn the direction of what follows."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """The segments of a renderable; styles are put in later, so control characters in a text are a user's."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=visible(segment.text))


class Terminal:
    """A listener that draws one bar for the study, with the time left, and one for each piece of work that is going on;
    finished ones are removed. Where the console is not a terminal: a line when a piece begins, one when it ends, and
    one a minute in between. Several pieces may go on at once, on several threads."""

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        self._console, self._clock, self._lock = console, clock, threading.Lock()
        self._progress: Progress | None = None
        self._open = 0
        self._whole: _Whole | None = None

    def say(self, text: str) -> None:
        """One line, above the bars."""
        self._console.print(text, markup=False, highlight=False)

    @contextmanager
    def study(self, name: str, cost: float) -> Generator[None]:
        """The bar of the whole study, and what its time left is estimated from."""
        with self._drawn():
            self._whole = _Whole(name, cost, self._add(name, cost or 1.0), self._clock())
            try:
                yield
            finally:
                self._remove(self._whole.bar)
                self._whole = None

    @contextmanager
    def task(self, label: str, total: int, unit: str, cost: float) -> Generator[Callable[[int, str], None]]:
        """The bar of one piece of work."""
        with self._drawn():
            piece = _Piece(label, total, unit, cost, self._add(label, total), self._clock())
            self._line(f"{label} …")
            try:
                yield lambda units, note: self._advance(piece, units, note)
            finally:
                self._settle(piece)
                self._remove(piece.bar)
        self._line(f"{label}: {self._clock() - piece.began:.0f} s {piece.note}".rstrip())

    def step(self, trial: str, row: Mapping[str, Any]) -> None:
        """Not shown: the bar says how far the training is."""

    def _advance(self, piece: _Piece, units: int, note: str) -> None:
        with self._lock:
            piece.done, piece.note = piece.done + units, note or piece.note
            if self._whole and piece.total:
                self._whole.done += piece.cost * units / piece.total
            self._draw(piece)
            now = self._clock()
            due = now - piece.said >= _EVERY
            piece.said = now if due else piece.said
            whole = f"; {self._whole.name} {self._whole.words(now)}" if self._whole else ""
        if due:
            self._line(", ".join(filter(None, (f"{piece.label}: {piece.progress}", piece.note))) + whole)

    def _settle(self, piece: _Piece) -> None:
        """A finished piece counts at its full expected cost, whatever it did: texts may end early, a stage may fail."""
        with self._lock:
            if self._whole:
                did = piece.done / piece.total if piece.total else 0.0
                self._whole.done += piece.cost * (1 - did)
                self._draw(piece)

    # --- bars ---------------------------------------------------------------------------------------------------

    @contextmanager
    def _drawn(self) -> Generator[None]:
        """Bars are drawn while anything is open."""
        with self._lock:
            self._open += 1
            if self._progress is None and self._console.is_terminal:
                self._progress = self._bars()
        try:
            yield
        finally:
            with self._lock:
                self._open -= 1
                if self._open == 0 and self._progress is not None:
                    self._progress.stop()
                    self._progress = None

    def _bars(self) -> Progress:
        columns = (TextColumn("{task.description}", markup=False), BarColumn(bar_width=24))
        rest = (TextColumn("{task.fields[words]}", markup=False), TimeElapsedColumn())
        progress = Progress(*columns, *rest, console=self._console, transient=True)
        progress.start()
        return progress

    def _add(self, label: str, total: float) -> TaskID | None:
        return None if self._progress is None else self._progress.add_task(label, total=total, words="")

    def _remove(self, bar: TaskID | None) -> None:
        if self._progress is not None and bar is not None:
            self._progress.remove_task(bar)

    def _draw(self, piece: _Piece) -> None:
        if self._progress is None:
            return
        if piece.bar is not None:
            words = f"{piece.progress}  {piece.note}".rstrip()
            self._progress.update(piece.bar, completed=piece.done, words=words)
        if self._whole and self._whole.bar is not None:
            words = self._whole.words(self._clock())
            self._progress.update(self._whole.bar, completed=self._whole.done, words=words)

    def _line(self, text: str) -> None:
        if not self._console.is_terminal:
            self.say(text)
