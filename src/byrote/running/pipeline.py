"""Joins the parts: study → run folder. Nothing else does.

`run` prepares a study and does the stages that are missing, here or by worker processes beside each other.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from byrote.errors import StageError
from byrote.listener import Guarded, Listener, Silent
from byrote.planting.written import Invented, Maker, Recipe
from byrote.render import render
from byrote.running.checks import Checked, checked_study
from byrote.running.cost import costs
from byrote.running.forecast import Speed
from byrote.running.layout import in_words, layout, tasks_of
from byrote.running.local import Processes
from byrote.running.planning import Prepared, prepare
from byrote.running.ray_cluster import connect
from byrote.running.replacing import refuse_other_canaries, refuse_replacing
from byrote.running.sampling import SAMPLE, within_minutes
from byrote.running.stages import Worker, write_canaries
from byrote.running.workers import run_tasks
from byrote.store import Run
from byrote.store.purge import refuse_purged
from byrote.store.rules import fix_rules
from byrote.study import Study, dump_study
from byrote.study.rules import rules_of
from byrote.trackers import TrackedTrial, Tracking
from byrote.trackers import connect as connect_tracker


@dataclass(frozen=True)
class Outcome:
    """What a run came to. path: its folder, or the working copy of its URL on this machine · failures: the stages that
    failed, with their errors · not_logged: a line for each tracker of report_to that failed."""

    path: Path
    report: Path
    failures: tuple[dict[str, Any], ...]
    not_logged: tuple[str, ...] = ()


def run(
    study: Study | Checked | str | Path | Mapping[str, Any],
    out: str | Path | None = None,
    overrides: Mapping[str, Any] | None = None,
    listener: Listener | None = None,
    replace: bool = False,
    on_prepared: Callable[[Prepared], None] | None = None,
    measure: Callable[[Prepared, int], Speed] | None = None,
) -> Outcome:
    """Fine-tune, attack, prompt, tabulate, draw, report; what is finished already is not done again.

    out: the run folder, or a URL of fsspec's such as s3://bucket/runs/first; runs/NAME unless told · replace: take a
    folder whose study planned other trials, or was on another corpus or model; without it that is a StoreError ·
    on_prepared: is shown the plan before the work · measure: the rates that machine.minutes is divided by, as in
    `forecast`; those of this machine unless given.
    Raises ByroteError for what the user must fix first; a trial that fails is kept as a failure and the others go on.
    """
    listener = listener or Silent()
    checked = study if isinstance(study, Checked) else checked_study(study, overrides)
    study = checked.study
    store = Run(out or Path("runs") / study.name)
    store.fetch()
    listener = Guarded(listener, store.check_held)
    refuse_purged(store)
    listener = tracking = _tracking(store, study, listener)
    if study.machine.backend == "ray":
        connect(study.machine, listener)  # before anything costly
    prepared = prepare(checked, listener, _maker(store, study, listener, replace), _precision_of(store, replace))
    history: list[dict[str, Any]] = [] if replace else store.read_json(SAMPLE) or []
    prepared = within_minutes(prepared, history, listener, measure)
    with store.locked(listener.say):
        if not replace:
            refuse_replacing(store, prepared, listener)
        _write_plan(store, prepared)
        if on_prepared:
            on_prepared(prepared)
        _mend(store, list(store.planned_stages()), listener)
        left = sum(cost.units for stage, cost in costs(prepared).items() if not store.has(stage))
        tracking.follow([TrackedTrial.of_row(planned.row()) for planned in prepared.planned])
        try:
            with listener.study(study.name, left):
                _work(store, prepared, listener)
                listener.say("tables, figures and report")
                report = render(store)
                tracking.results([failure["trial"] for failure in store.failures()])
        finally:
            tracking.close()
    return Outcome(store.path, report, tuple(store.failures()), tuple(tracking.not_logged()))


def _tracking(store: Run, study: Study, listener: Listener) -> Tracking:
    """The listener, with the trackers of report_to. StudyError where one cannot be reached."""
    return Tracking(listener, store, {name: connect_tracker(name, study.name, store.path) for name in study.report_to})


def _precision_of(store: Run, replace: bool) -> str | None:
    """The number format that a run began with; None where nothing was begun, or what was begun is replaced."""
    if replace or not (store.path / "study.yaml").exists():
        return None
    return (store.study().provenance or {}).get("precision")


def _maker(store: Run, study: Study, listener: Listener, replace: bool) -> Maker:
    """Has the base model write canaries into the run, unless they are there."""

    def make(recipe: Recipe, precision: str) -> Invented:
        if not store.has(recipe.stage):
            if not replace:
                refuse_other_canaries(store, recipe, listener)
            with store.locked(listener.say):
                _mend(store, [recipe.stage], listener)
                write_canaries(store, recipe, study, precision, listener)
        return Invented(store.canary_texts(recipe.stage), store.manifest(recipe.stage)["refused"])

    return make


def _mend(store: Run, stages: Sequence[str], listener: Listener) -> None:
    """Take away what is damaged, so that it is done again, and checkpoints of trainings that are done."""
    for stage, reason in store.discard_damaged(stages).items():
        listener.say(f"{stage} is damaged and is done again: {reason}")
    for stage in stages:
        if store.has(stage):
            store.drop_checkpoint(stage)


def _write_plan(store: Run, prepared: Prepared) -> None:
    store.write_records(list(prepared.records))
    for planned in prepared.planned:
        store.write_roles(planned.roles_key, list(planned.roles))
    if prepared.drawn:
        store.write_json(SAMPLE, list(prepared.drawn))
    elif (store.path / SAMPLE).exists():  # of the study that this one replaces
        store.remove(SAMPLE)
    store.write_study({**dump_study(prepared.study), "provenance": prepared.provenance()})
    fix_rules(store, rules_of(prepared.study))
    store.write_plan(prepared.plan())


def _work(store: Run, prepared: Prepared, listener: Listener) -> None:
    """The missing stages, here, by worker processes beside each other, or by actors of a Ray cluster."""
    tasks, by_ray = tasks_of(prepared), prepared.study.machine.backend == "ray"
    workers, threads = layout(prepared)
    if (workers == 1 and not by_ray) or all(store.has(stage) for stage in costs(prepared)):
        torch.set_num_threads(threads)
        worker = Worker(store, prepared, listener)
        for task in tasks:
            worker.do(task)
        return

    def lost(task: str, why: str) -> None:
        if task == "base":
            raise StageError(f"the base model's stages failed: {why}")
        for planned in (prepared.all_planned[name] for name in task.split(",")):
            store.fail(planned.training_stage, planned.key, StageError(why))
        listener.say(f"failed: {why}")

    setup = store.path, prepared
    backend = connect(prepared.study.machine).backend(setup, listener) if by_ray else Processes(setup, threads)
    listener.say(f"{in_words(workers, threads)}{', by Ray' if by_ray else ''}")
    run_tasks(tasks, backend, workers, listener, lost)
