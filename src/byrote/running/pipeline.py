"""Joins the parts: study → run folder. Nothing else does.

`run` prepares a study and does the stages that are missing, here or by worker processes beside each other.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from byrote.errors import StageError
from byrote.listener import Listener, Silent
from byrote.planting.written import Invented, Maker, Recipe
from byrote.render import render
from byrote.running.layout import layout, stages_of, tasks_of
from byrote.running.planning import Prepared, prepare
from byrote.running.stages import Worker, write_canaries
from byrote.running.workers import run_tasks
from byrote.store import Run
from byrote.study import Study, dump_study, load_study


@dataclass(frozen=True)
class Outcome:
    """What a run came to. `failures`: the stages that failed, with their errors."""

    path: Path
    report: Path
    failures: tuple[dict[str, Any], ...]


def run(
    study: Study | str | Path | Mapping[str, Any],
    out: str | Path | None = None,
    overrides: Mapping[str, Any] | None = None,
    listener: Listener | None = None,
) -> Outcome:
    """Fine-tune, attack, prompt, tabulate, draw, report; what is finished already is not done again.

    out: the run folder, runs/NAME unless told. Raises ByroteError for what the user must mend first; a trial that fails
    is kept as a failure and the others go on.
    """
    listener = listener or Silent()
    if not isinstance(study, Study):
        study = load_study(study, overrides)
    store = Run(out or Path("runs") / study.name)
    prepared = prepare(study, listener, _maker(store, study, listener))
    with store.locked():
        _write_plan(store, prepared)
        _work(store, prepared, listener)
        listener.say("tables, figures and report")
        report = render(store)
    return Outcome(store.path, report, tuple(store.failures()))


def _maker(store: Run, study: Study, listener: Listener) -> Maker:
    """Has the base model write canaries into the run, unless they are there."""

    def make(recipe: Recipe) -> Invented:
        stage = f"base/{recipe.key}"
        if not store.has(stage):
            with store.locked():
                write_canaries(store, stage, recipe, study, listener)
        return Invented(store.canary_texts(stage), store.manifest(stage)["refused"])

    return make


def _write_plan(store: Run, prepared: Prepared) -> None:
    store.write_records(list(prepared.records))
    for planned in prepared.planned:
        store.write_roles(planned.roles_key, list(planned.roles))
    store.write_study({**dump_study(prepared.study), "provenance": prepared.provenance()})
    store.write_json("plan.json", prepared.plan())


def _work(store: Run, prepared: Prepared, listener: Listener) -> None:
    """The missing stages, here or by worker processes beside each other."""
    tasks = tasks_of(prepared)
    workers, threads = layout(prepared)
    if workers == 1 or all(store.has(stage) for stage in stages_of(prepared)):
        torch.set_num_threads(threads)
        worker = Worker(store, prepared, listener)
        for task in tasks:
            worker.do(task)
        return

    def lost(task: str, why: str) -> None:
        if task == "base":
            raise StageError(f"the base model's stages failed: {why}")
        for planned in (prepared.trained[name] for name in task.split(",")):
            store.fail(planned.finetune, planned.key, StageError(why))
        listener.say(f"failed: {why}")

    listener.say(f"{workers} workers side by side, {threads} thread{'s' if threads > 1 else ''} each")
    run_tasks(tasks, (store.path, prepared), workers, threads, listener, lost)
