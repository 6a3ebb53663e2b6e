"""The cut of a study that fits into so many hours: fewer seeds first, then fewer points of the last axis, then fewer
records. Nothing is trained to find it.
"""

import json
import shlex
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from byrote.errors import ByroteError, StudyError
from byrote.planting.roles import assign_all
from byrote.records import CALIBRATION, CANARIES, NONMEMBERS, SPLITS, Record
from byrote.running.checks import FEW_RECORDS
from byrote.running.forecast import Power, Speed, power_of, study_seconds
from byrote.running.layout import layout
from byrote.running.null_trials import plan_null_trials
from byrote.running.planning import Prepared
from byrote.running.prompts import all_prompts
from byrote.running.sampling import within_minutes
from byrote.running.sides import sides_of
from byrote.study import Study, dump_study, load_study
from byrote.study.checks import check_names
from byrote.study.given import GivenTrial
from byrote.study.grid import Keys, Trial, configuration_key, same_trial, trials_of
from byrote.study.settings import AXIS_SHORT

LEAST_SEEDS = 5
"""Where configurations are compared: with fewer, the spread over seeds is hardly known."""
LEAST_POINTS = 2  # of the last axis: with one, nothing is learned of it
_SEEDS = ("seed", "training.seed")


@dataclass(frozen=True)
class Cut:
    """A smaller study: the settings by which it differs, as a mapping and as words of the command line, its trials,
    seconds, and what its first trial can show."""

    settings: Mapping[str, Any]
    options: str
    trials: int
    seconds: float
    power: tuple[Power, ...]


def cut_that_fits(prepared: Prepared, speed: Speed, hours: float) -> Cut | None:
    """The largest cut of a study whose forecast keeps within so many hours; None where none does.

    Each step is taken only where the one before, as far as it goes, is not enough. Seeds are never fewer than
    LEAST_SEEDS where several configurations are compared, nor points than LEAST_POINTS; a configuration that a
    hypothesis names stays. Where subjects are given, an
    audit of fewer documents is the cut (machine.minutes).
    """
    if prepared.study.subjects:
        return _fewer_documents(prepared, speed, hours)
    smallest = prepared, dict[str, Any]()
    for cuts in (_fewer_seeds, _fewer_points):
        of_before = smallest
        for settings in cuts(of_before[0]):
            together = {**of_before[1], **settings}
            try:
                study = _with(prepared.study, together)
                trials = check_names(study)
            except StudyError:  # a hypothesis names a configuration that would be gone
                continue
            smallest = _on_trials(prepared, study, trials), together
            if _seconds(smallest[0], speed) <= hours * 3600:
                return _cut(*smallest, speed)
    return _fewer_records(*smallest, speed, hours)


def _fewer_seeds(prepared: Prepared) -> Iterator[dict[str, Any]]:
    """Settings with one seed fewer, two fewer … down to the least."""
    study = prepared.study
    configurations = {configuration_key(planned.trial.settings) for planned in prepared.planned}
    least = LEAST_SEEDS if len(configurations) > 1 else 1
    if study.seeds is not None:
        yield from ({"seeds": count} for count in range(study.seeds - 1, least - 1, -1))
        return
    most = max((len(grid[name]) for grid in study.grids for name in _SEEDS if name in grid), default=0)
    for count in range(most - 1, least - 1, -1):
        yield _grid(study, [{n: v[:count] if n in _SEEDS else v for n, v in grid.items()} for grid in _grids(study)])


def _fewer_points(prepared: Prepared) -> Iterator[dict[str, Any]]:
    """Settings with fewer points of the last axis that is none of seeds: numbers spread evenly, others the first."""
    study, grids = prepared.study, _grids(prepared.study)
    axes = [(number, name) for number, grid in enumerate(grids) for name in grid if name not in _SEEDS]
    axes = [(number, name) for number, name in axes if len(grids[number][name]) > LEAST_POINTS]
    if not axes:
        return
    number, name = axes[-1]
    for count in range(len(grids[number][name]) - 1, LEAST_POINTS - 1, -1):
        fewer = {**grids[number], name: _spread(grids[number][name], count)}
        yield _grid(study, [*grids[:number], fewer, *grids[number + 1 :]])


def _spread(values: list[Any], count: int) -> list[Any]:
    """So many of the values, the first and the last among them where all are numbers."""
    if not all(isinstance(value, int | float) for value in values):
        return values[:count]
    return [values[round(place * (len(values) - 1) / (count - 1))] for place in range(count)]


def _grids(study: Study) -> list[dict[str, list[Any]]]:
    return study.grid if isinstance(study.grid, list) else [study.grid]


def _grid(study: Study, grids: list[dict[str, list[Any]]]) -> dict[str, Any]:
    """The settings that change the study's grids into these: its axes one by one where there is one grid."""
    if isinstance(study.grid, list):
        return {"grid": grids}
    short = {long: name for name, long in AXIS_SHORT.items()}
    return {f"grid.{short.get(n, n)}": values for n, values in grids[0].items() if values != study.grid[n]}


def _with(study: Study, settings: Mapping[str, Any]) -> Study:
    return load_study(dump_study(study), settings)


def _on_trials(prepared: Prepared, study: Study, trials: Sequence[Trial | GivenTrial]) -> Prepared:
    """The part of a prepared study that another, of some of its trials, plans."""
    planned_as = {same_trial(t): p for t, p in zip(trials_of(prepared.study), prepared.planned, strict=True)}
    planned = tuple(planned_as[same_trial(trial)] for trial in trials if isinstance(trial, Trial))
    of = prepared.null_trials.of or {}
    needed = {of[p.key][0] for p in planned if p.key in of}
    nulls = tuple(null for null in prepared.null_trials.planned if null.key in needed)
    return replace(prepared, study=study, planned=planned, null_trials=replace(prepared.null_trials, planned=nulls))


def _seconds(prepared: Prepared, speed: Speed) -> float:
    return study_seconds(prepared, layout(prepared)[0], speed)


def _cut(prepared: Prepared, settings: Mapping[str, Any], speed: Speed) -> Cut:
    options = " ".join(f"--{name} {shlex.quote(_word(value))}" for name, value in settings.items())
    power = tuple(power_of(prepared, prepared.planned[0]))
    return Cut(settings, options, len(prepared.planned), _seconds(prepared, speed), power)


def _word(value: Any) -> str:
    return json.dumps(value) if isinstance(value, list) else f"{value}"


def _fewer_documents(prepared: Prepared, speed: Speed, hours: float) -> Cut | None:
    settings = {"machine.minutes": round(hours * 60, 2)}
    try:
        sample = within_minutes(
            replace(prepared, study=_with(prepared.study, settings)), measure=lambda _prepared, _threads: speed
        )
    except StudyError:  # too short for the smallest sample
        return None
    return _cut(sample, settings, speed)


def _fewer_records(prepared: Prepared, settings: Mapping[str, Any], speed: Speed, hours: float) -> Cut | None:
    """By the largest round number of records a split that fits, if there is one that the canaries leave room for."""
    sizes = [sum(r.split == split for r in prepared.records) for split in SPLITS]
    limits = round_numbers(FEW_RECORDS, max(sizes) - 1)

    def seconds(limit: int) -> float:
        try:
            return _seconds(limited(prepared, limit), speed)
        except ByroteError:  # too few for the canaries, or for the steps of the training
            return 0.0

    fitting = bisect_right(limits, hours * 3600, key=seconds)
    if not fitting:
        return None
    limit = limits[fitting - 1]
    try:
        return _cut(limited(prepared, limit), {**settings, "corpus.limit": limit}, speed)
    except ByroteError:
        return None


def round_numbers(least: int, most: int) -> list[int]:
    """Whole numbers of two digits and noughts, such as 99, 100, 110, 1200, from `least` to `most`, ascending."""
    scales = [10**power for power in range(max(1, len(str(most)) - 1))]
    numbers = {digits * scale for scale in scales for digits in range(10, 100)}
    return sorted(number for number in {*numbers, *range(1, 10)} if least <= number <= most)


def limited(prepared: Prepared, limit: int) -> Prepared:
    """A prepared study on the first records of each split, as corpus.limit takes them; canaries dealt anew.

    Its trials keep their keys and stages: it is for forecasts, not to be run. StudyError where the members that are
    left cannot hold the canaries, or do not make the steps of the training.
    """
    study, corpus = prepared.study, prepared.study.corpus
    halved = corpus.calibration is None and corpus.calibration_half is not None
    records = [
        record
        for split in (*SPLITS, CANARIES)
        for record in _first(prepared.records, split, limit // 2 if halved and split in _HALVES else limit)
    ]
    keys = Keys("", "", prepared.start_id, study.extraction)  # of nothing that is stored
    roles = assign_all(records, [planned.trial.canaries for planned in prepared.planned], prepared.manifest)
    sides = {plan: sides_of(study, plan, of_plan, records, keys) for plan, of_plan in roles.items()}
    planned = tuple(
        replace(
            p,
            roles=(side := sides[p.trial.canaries]).roles,
            training_ids=side.training_ids,
            training_masks=side.training_masks,
            prompts=side.prompts,
        )
        for p in prepared.planned
    )
    return replace(
        prepared,
        records=tuple(records),
        planned=planned,
        null_trials=plan_null_trials(study, planned, records, keys),
        base_prompts=all_prompts(records, [p.prompts for p in planned]),
    )


_HALVES = (NONMEMBERS, CALIBRATION)  # of the non-members, where there are no calibration records of their own


def _first(records: tuple[Record, ...], split: str, limit: int) -> list[Record]:
    of_split = [record for record in records if record.split == split]
    return of_split if split == CANARIES else of_split[:limit]
