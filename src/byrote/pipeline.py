"""Joins the parts: study → run folder. Nothing else does.

`run` prepares a study and does the stages that are missing, here or by worker processes beside each other.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from byrote import lm
from byrote.backends import Listener, run_tasks
from byrote.config import Study, dump_study, load_study
from byrote.errors import StageError
from byrote.invented import Invented, Maker, Recipe
from byrote.planning import Prepared, Silent, prepare
from byrote.report.render import render
from byrote.stages import Worker, write_canaries
from byrote.store import STAGES, Run


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
    tasks = _tasks(prepared)
    workers, threads = layout(prepared)
    if workers == 1 or all(store.has(stage) for stage in _stages(prepared)):
        torch.set_num_threads(threads)
        worker = Worker(store, prepared, listener)
        for task in tasks:
            worker.do(task)
        return

    def lost(task: str, why: str) -> None:
        if task == "base":
            raise StageError(f"the base model's stages failed: {why}")
        for planned in (prepared.trial(number) for number in task.split(",")):
            store.fail(planned.finetune, planned.key, StageError(why))
        listener.say(f"failed: {why}")

    listener.say(f"{workers} workers side by side, {threads} thread{'s' if threads > 1 else ''} each")
    run_tasks(tasks, (store.path, prepared), workers, threads, listener, lost)


def layout(prepared: Prepared) -> tuple[int, int]:
    """Workers and threads of each: a worker a core, no more than there are tasks, and no more than memory holds; one
    on a GPU. It follows from the study and the machine alone, so that a run that resumes computes as it began."""
    machine, cores = prepared.study.machine, lm.cores()
    threads = machine.threads or cores
    if prepared.device.type == "cuda":
        return 1, threads
    most = min(threads, len(_tasks(prepared)), lm.workers_that_fit(prepared.files))
    workers = max(1, min(machine.workers or most, threads))
    return workers, max(1, threads // workers)


def _tasks(prepared: Prepared) -> list[str]:
    """`base`, then trials by number, a stack of them joined by commas; the null trial last."""
    groups: list[list[int]] = []
    for number, planned in enumerate(prepared.planned):
        like = [g for g in groups if planned.trains_like(prepared.planned[g[0]]) and len(g) < prepared.stack]
        like[0].append(number) if like else groups.append([number])
    tasks = ["base", *(",".join(map(str, group)) for group in groups)]
    return [*tasks, "null"] if prepared.null else tasks


def _stages(prepared: Prepared) -> Iterator[str]:
    yield from filter(None, (prepared.base_scores, prepared.base_completions, prepared.base_untargeted))
    for p in (*prepared.planned, *((prepared.null,) if prepared.null else ())):
        yield from filter(None, (getattr(p, name) for name in STAGES))
