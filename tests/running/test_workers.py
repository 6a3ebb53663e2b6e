"""Tasks and workers: one policy for every backend."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest

from byrote.errors import StoreError
from byrote.running.workers import TRIES, LostWorkerError, run_tasks
from fake_listener import Recorder
from fake_workers import Workers


def lost_to(unlucky: str, times: int, retry: bool = True) -> tuple[Workers, Counter[str]]:
    """Workers of which the first so many are lost at one task; how often each task was begun."""
    begun: Counter[str] = Counter()

    def do(task: str) -> Sequence[Sequence[Any]]:
        begun[task] += 1
        if task == unlucky and begun[task] <= times:
            raise LostWorkerError("the worker fell", retry)
        return [("open", 1, f"task {task}", 2, "steps", 1.0), ("advance", 1, 2, ""), ("close", 1)]

    return Workers(do), begun


def test_all_tasks_are_done_once_and_the_listener_is_told():
    workers, begun = lost_to("", 0)
    listener = Recorder()
    run_tasks(["a", "b", "c"], workers, 2, listener, lambda *_: pytest.fail("lost"))
    assert begun == {"a": 1, "b": 1, "c": 1}
    assert listener.done == {"task a": 2, "task b": 2, "task c": 2}
    assert workers.started == workers.closed <= 2


@pytest.mark.parametrize("side_by_side", [1, 3])
def test_a_task_whose_worker_was_lost_is_given_to_another(side_by_side: int):
    workers, begun = lost_to("b", TRIES - 1)
    listener = Recorder()
    run_tasks(["a", "b", "c"], workers, side_by_side, listener, lambda *_: pytest.fail("lost"))
    assert begun == {"a": 1, "b": TRIES, "c": 1}
    assert listener.said == [
        f"the worker fell; its task is given to another worker (try {number} of {TRIES})"
        for number in range(2, TRIES + 1)
    ]


@pytest.mark.parametrize(("retry", "tries"), [(True, TRIES), (False, 1)])
def test_a_task_is_given_up_after_so_many_workers_and_the_others_go_on(retry: bool, tries: int):
    workers, begun = lost_to("b", 99, retry)
    lost: list[tuple[str, str]] = []
    run_tasks(["a", "b", "c"], workers, 1, Recorder(), lambda *task: lost.append(task))
    assert lost == [("b", "the worker fell")]
    assert begun == {"a": 1, "b": tries, "c": 1}


def test_what_a_worker_failed_of_is_not_tried_again():
    lost: list[tuple[str, str]] = []
    run_tasks(["a"], Workers(lambda _: [("crash", "why")]), 1, Recorder(), lambda *task: lost.append(task))
    assert lost == [("a", "why")]


def test_an_error_of_the_study_ends_all_with_its_class():
    workers = Workers(lambda task: [("stop", "StoreError", "no room")] if task == "a" else [])
    with pytest.raises(StoreError, match="no room"):
        run_tasks(["a", "b"], workers, 1, Recorder(), lambda *_: pytest.fail("lost"))
    assert workers.started == workers.closed == 1
