"""Passes of a model beside each other, each on a thread of its own.

On a processor every element-wise pass of a product's size waits at a barrier for all threads, and small products fill
one core better than two; so two passes on one thread each are faster than one after the other on two (docs/log.md).
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import torch

from byrote.lm.library import text_config

T = TypeVar("T")
R = TypeVar("R")


def side_by_side(model: Any) -> int:
    """How many passes of a model should be run at once: one a thread of a processor, one on a GPU.

    One, too, where the model has dropout of its own and is being trained: it draws from torch's global generator, in
    an order that would vary.
    """
    if next(model.parameters()).device.type != "cpu" or (model.training and _drops(model)):
        return 1
    return torch.get_num_threads()


def in_threads(function: Callable[[T], R], items: Sequence[T], threads: int) -> Iterator[R]:
    """`function` of each item, in the items' order; `threads` of them at once, each with one thread of torch's.

    An exception is raised where its result would come, after the calls that have begun are done.
    """
    if threads == 1 or len(items) < 2:
        yield from map(function, items)
        return
    before = torch.get_num_threads()
    try:
        with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            yield from pool.map(function, items)
    finally:
        torch.set_num_threads(before)  # what a thread sets holds for later threads and for MKL everywhere


def _drops(model: Any) -> bool:
    config = text_config(model)
    modules = any(isinstance(m, torch.nn.Dropout) and m.p > 0 for m in model.modules())
    return modules or getattr(config, "attention_dropout", 0) > 0
