"""A guarded listener: work stops at what it would tell next, and lines are told all the same."""

import pytest

from byrote.errors import StoreError
from byrote.listener import Guarded
from fake_listener import Recorder


def test_a_guarded_listener_stops_the_work_and_not_the_words():
    recorder, lost = Recorder(), list[str]()

    def check() -> None:
        if lost:
            raise StoreError(lost[0])

    guarded = Guarded(recorder, check)
    with guarded.study("s", 1.0), guarded.task("t", 2, "steps", 1.0) as advance:
        advance(1, "")
        guarded.step("k", {"loss": 1.0})
        lost.append("taken over")
        with pytest.raises(StoreError, match="taken over"):
            advance(1, "")
        with pytest.raises(StoreError, match="taken over"):
            guarded.step("k", {"loss": 0.5})
        guarded.say("why")
    with pytest.raises(StoreError, match="taken over"):
        guarded.study("s", 1.0)
    assert (recorder.done, recorder.said, recorder.logged) == ({"t": 1}, ["why"], {"k": [{"loss": 1.0}]})
