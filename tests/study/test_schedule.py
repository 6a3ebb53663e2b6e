"""How many steps a training takes, and how many of them warm up."""

import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from byrote.errors import StudyError
from byrote.study import Training
from byrote.study.schedule import settle_warmup, steps_of


def warmup(records: int, share: float, **changes: int) -> int | float:
    return settle_warmup(records, Training(warmup_steps=share, **changes)).warmup_steps


def test_the_reference_study_takes_138_steps():
    assert steps_of(2898, Training()) == 138


@pytest.mark.parametrize(
    ("records", "share", "steps"),
    [(2898, 0.1, 14), (300, 0.1, 2), (60, 0.1, 1), (6400 // 3, 0.07, 8), (64, 0.99, 2), (60, 0.5, 2)],
)
def test_a_share_is_rounded_up(records: int, share: float, steps: int):
    assert warmup(records, share) == steps


def test_a_share_is_the_decimal_number_that_was_written():
    assert 0.07 * 100 > 7  # in binary
    assert warmup(100, 0.07, epochs=1, effective_batch=1) == 7


def test_a_training_of_one_step_has_no_warmup_by_default():
    assert warmup(10, 0.1, epochs=1) == 0


@given(st.integers(1, 500), st.integers(1, 999))
def test_a_share_leaves_at_least_one_step(records: int, thousandths: int):
    steps = steps_of(records, Training(effective_batch=7))
    steps_of_warmup = warmup(records, thousandths / 1000, effective_batch=7)
    assert steps_of_warmup == min(math.ceil(Fraction(thousandths, 1000) * steps), steps - 1)
    assert isinstance(steps_of_warmup, int)


@pytest.mark.parametrize("steps", [3, 4, 100])
def test_a_warmup_that_is_not_shorter_than_the_training_is_an_error_with_the_way_out(steps: int):
    with pytest.raises(StudyError, match=rf"warmup_steps is {steps}, but 40 records .* make 3 steps; set --training"):
        settle_warmup(40, Training(warmup_steps=steps))
    assert settle_warmup(40, Training(warmup_steps=2)).warmup_steps == 2
