"""Passes side by side: order, errors, the number of threads afterwards; the same numbers as one after the other."""

import threading

import pytest
import torch

from byrote.lm import in_threads, side_by_side
from fakes import tiny_model


@pytest.mark.usefixtures("two_threads")
def test_results_come_in_order_and_two_run_at_once() -> None:
    meeting = threading.Barrier(2, timeout=30)

    def function(item: int) -> tuple[int, int]:
        meeting.wait()  # broken unless two are there
        return item * item, torch.get_num_threads()

    assert list(in_threads(function, [3, 1, 2, 0], 2)) == [(9, 1), (1, 1), (4, 1), (0, 1)]
    assert torch.get_num_threads() == 2


@pytest.mark.usefixtures("two_threads")
def test_an_error_is_raised_and_the_threads_are_back() -> None:
    def function(item: int) -> int:
        if item == 1:
            raise MemoryError("full")
        return item

    with pytest.raises(MemoryError, match="full"):
        list(in_threads(function, [0, 1, 2], 2))
    assert torch.get_num_threads() == 2


def test_one_thread_runs_where_it_is_called() -> None:
    assert set(in_threads(lambda _: threading.current_thread().name, [1, 2], 1)) == {threading.current_thread().name}


@pytest.mark.usefixtures("two_threads")
def test_a_model_that_drops_by_itself_is_trained_one_pass_at_a_time() -> None:
    """Its dropout draws from torch's global generator, in an order that would vary."""
    llama, gpt2 = tiny_model("llama"), tiny_model("gpt2")
    assert side_by_side(llama.train()) == 2
    assert side_by_side(gpt2.eval()) == 2
    assert side_by_side(gpt2.train()) == 1
