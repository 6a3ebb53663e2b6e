"""Who does what: the tasks of a study, and how many workers share them."""

from byrote import lm
from byrote.running.planning import Prepared
from byrote.running.ray_cluster import connect


def layout(prepared: Prepared) -> tuple[int, int]:
    """Workers and threads of each: a worker a core, no more than there are tasks, and no more than memory holds; one
    on a GPU. It follows from the study and the machine alone, so that a run that resumes computes as it began.

    With the backend ray, actors of machine.ray.cores each, as many as the cluster holds, which is asked.
    """
    machine = prepared.study.machine
    if machine.backend == "ray":
        return connect(machine).workers(prepared, len(tasks_of(prepared))), machine.ray.cores
    threads = prepared.threads
    if prepared.device.type == "cuda":
        return 1, threads
    most = min(threads, len(tasks_of(prepared)), lm.workers_that_fit(prepared.files))
    workers = max(1, min(machine.workers or most, threads))
    return workers, max(1, threads // workers)


def in_words(workers: int, threads: int) -> str:
    """`2 workers side by side, 1 thread each`."""
    each = f"{threads} thread{'s' if threads > 1 else ''}"
    return f"{workers} workers side by side, {each} each" if workers > 1 else f"1 worker, {each}"


def tasks_of(prepared: Prepared) -> list[str]:
    """`base`, then trials by name, a stack of them joined by commas; the null trials last."""
    planned_by_name, groups = prepared.all_planned, list[list[str]]()
    for name, planned in planned_by_name.items():
        like = [g for g in groups if len(g) < prepared.stack and planned.trains_like(planned_by_name[g[0]])]
        like[0].append(name) if like else groups.append([name])
    return ["base", *(",".join(group) for group in groups)]
