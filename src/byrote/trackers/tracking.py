# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
"""Who logs what to which tracker: a run of the tracker for each trial, complete in itself.

Only the process that plans a run has trackers; workers tell it of their steps through their pipe. Where a trial was
begun in a tracker before and not logged to its end, it is logged again from its first step to another run of the
tracker, which says which continuation it is: so no run of a tracker has a step twice.
"""

import json
import re
import threading
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import PurePath
from typing import Any

from byrote.listener import Listener
from byrote.store import Run
from byrote.trackers.backends import Backend, Setting, TrackerRun, in_words
from byrote.trackers.figures import TABLES, result_figures, step_figures

STATE = "tracking.json"  # in the run folder: how often each trial was begun in a tracker, and a digest of its results


@dataclass(frozen=True)
class TrackedTrial:
    """A trial as trackers know it. key: of the trial · stage: in which it was trained."""

    key: str
    label: str
    stage: str
    settings: Mapping[str, Setting]

    @classmethod
    def of_row(cls, row: Mapping[str, Any]) -> "TrackedTrial":
        """From what plan.json says of a trial: numbers, names of matrices, and no path."""
        settings: dict[str, Setting] = {"trial": row["trial"]}
        settings |= {name: row[name] for name in ("matrices", "rank", "seed") if row.get(name) not in (None, "")}
        for part in ("lora", "training"):
            for name, value in row["settings"].get(part, {}).items():
                if isinstance(value, int | float) and name not in settings:
                    settings[name] = value
        return cls(row["trial"], row["label"], row["finetune"], settings)

    def name(self, times: int) -> str:
        """What its run is called in a tracker: the label without the folders of a given subject, and the start of the
        key; `times` is how often it was begun."""
        label = re.sub(r"[^\w.=-]+", "-", PurePath(self.label).name)[:50].strip("-.") or "trial"
        return f"{label}-{self.key[:6]}" + (f"-continued-{times}" if times > 1 else "")


@dataclass
class _Opened:
    """A run of a tracker. step: the last that was logged."""

    run: TrackerRun
    step: int = 0


@dataclass
class _Tracker:
    """A tracker, and what became of it. failed: why nothing more is logged · lost: figures since then."""

    name: str
    backend: Backend
    opened: dict[str, _Opened] = field(default_factory=dict[str, _Opened])
    failed: str | None = None
    lost: int = 0


class Tracking:
    """A listener that passes on what it is told, and logs the figures of trials to trackers.

    A tracker that fails loses no run: it is said once, its figures are counted from there, and `not_logged` says so at
    the end. Steps may come on several threads.
    """

    def __init__(self, listener: Listener, store: Run, backends: Mapping[str, Backend]) -> None:
        self._listener, self._store = listener, store
        self._trackers = [_Tracker(name, backend) for name, backend in backends.items()]
        self._trials: dict[str, TrackedTrial] = {}
        self._lock = threading.Lock()

    def follow(self, trials: Sequence[TrackedTrial]) -> None:
        """The trials to log; steps of others, the null trials, are not."""
        self._trials = {trial.key: trial for trial in trials}

    # --- the listener -----------------------------------------------------------------------------------------------

    def say(self, text: str) -> None:
        """Passed on."""
        self._listener.say(text)

    def study(self, name: str, cost: float) -> AbstractContextManager[None]:
        """Passed on."""
        return self._listener.study(name, cost)

    def task(
        self, label: str, total: int, unit: str, cost: float
    ) -> AbstractContextManager[Callable[[int, str], None]]:
        """Passed on."""
        return self._listener.task(label, total, unit, cost)

    def step(self, trial: str, row: Mapping[str, Any]) -> None:
        """Logged, and passed on."""
        self._listener.step(trial, row)
        if trial in self._trials:
            with self._lock:
                for tracker in self._trackers:
                    self._log_steps(tracker, self._trials[trial], [row])

    # --- results ----------------------------------------------------------------------------------------------------

    def results(self, failed: Sequence[str] = ()) -> None:
        """Log the results of all trials from the tables of the run, and before them the steps of those that were
        trained earlier. What was logged before, and is the same, is not logged again. failed: trials that have a failed
        stage, whose runs are marked as unfinished."""
        if not self._trackers:
            return
        stored: Mapping[str, Any] = self._store.tables()
        tables = {name: stored[name].to_pylist() for name in TABLES}
        with self._lock:
            for trial in self._trials.values():
                figures = result_figures(tables, trial.key)
                for tracker in self._trackers:
                    self._log_results(tracker, trial, figures, finished=trial.key not in failed)

    def close(self) -> None:
        """End the runs of the trackers that are open: of trials whose results were not logged."""
        with self._lock:
            for tracker in self._trackers:
                for trial in list(tracker.opened):
                    self._close(tracker, trial, finished=False)

    def not_logged(self) -> list[str]:
        """A line for each tracker that failed, with how many figures it was not told."""
        return [
            f"{tracker.name} failed, and {tracker.lost:,} figures were not logged to it: {tracker.failed}"
            for tracker in self._trackers
            if tracker.failed
        ]

    def _log_results(
        self, tracker: _Tracker, trial: TrackedTrial, figures: Mapping[str, float], *, finished: bool
    ) -> None:
        told = sha256(json.dumps([dict(figures), finished], sort_keys=True).encode()).hexdigest()
        state = self._state(tracker, trial)
        if trial.key not in tracker.opened:
            if not figures or state["results"] == told:
                return
            self._log_steps(tracker, trial, list(self._stored_steps(trial)))
        last = tracker.opened[trial.key].step if trial.key in tracker.opened else int(trial.settings.get("steps", 0))
        if figures:
            self._log(tracker, trial, figures, last)
        self._close(tracker, trial.key, finished)
        if not tracker.failed:
            self._write_state(tracker, trial, {**self._state(tracker, trial), "results": told})

    def _stored_steps(self, trial: TrackedTrial) -> Generator[Mapping[str, Any]]:
        log = self._store.path / trial.stage / "log.jsonl"
        if log.is_file():  # a subject that is given has none
            yield from map(json.loads, log.read_text(encoding="utf-8").splitlines())

    # --- one tracker ------------------------------------------------------------------------------------------------

    def _log_steps(self, tracker: _Tracker, trial: TrackedTrial, rows: Sequence[Mapping[str, Any]]) -> None:
        for row in rows:
            number, figures = step_figures(row)
            opened = tracker.opened.get(trial.key)
            if opened is None or number > opened.step:
                self._log(tracker, trial, figures, number)

    def _log(self, tracker: _Tracker, trial: TrackedTrial, figures: Mapping[str, float], step: int) -> None:
        if tracker.failed:
            tracker.lost += len(figures)
            return
        begun = 0
        if trial.key not in tracker.opened:
            state = self._state(tracker, trial)
            begun = state["begun"] + 1
            self._write_state(tracker, trial, {**state, "begun": begun, "results": None})
        try:
            if begun:
                again = {"continuation": begun} if begun > 1 else {}
                opened = tracker.backend.open(trial.name(begun), {**trial.settings, **again})
                tracker.opened[trial.key] = _Opened(opened)
            tracker.opened[trial.key].run.log(figures, step)
            tracker.opened[trial.key].step = step
        except Exception as error:  # noqa: BLE001 (whatever a tracker raises, the run is worth more)
            tracker.lost += len(figures)
            self._give_up(tracker, error)

    def _close(self, tracker: _Tracker, trial: str, finished: bool) -> None:
        opened = tracker.opened.pop(trial, None)
        if opened is None or tracker.failed:
            return
        try:
            opened.run.close(finished)
        except Exception as error:  # noqa: BLE001 (as above)
            self._give_up(tracker, error)

    def _give_up(self, tracker: _Tracker, error: Exception) -> None:
        tracker.failed = in_words(error)
        self._listener.say(f"warning: {tracker.name} failed, and is told nothing more: {tracker.failed}")

    # --- what was logged before -------------------------------------------------------------------------------------

    def _state(self, tracker: _Tracker, trial: TrackedTrial) -> dict[str, Any]:
        known: dict[str, Any] = self._store.read_json(STATE) or {}
        return known.get(tracker.name, {}).get(trial.key, {"begun": 0, "results": None})

    def _write_state(self, tracker: _Tracker, trial: TrackedTrial, state: Mapping[str, Any]) -> None:
        known: dict[str, Any] = self._store.read_json(STATE) or {}
        of_tracker = {**known.get(tracker.name, {}), trial.key: dict(state)}
        self._store.write_json(STATE, {**known, tracker.name: of_tracker})
