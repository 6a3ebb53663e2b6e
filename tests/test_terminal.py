"""What a person sees of a run: bars that come and go, and few lines where nobody watches."""

import io
import re

from rich.console import Console

from byrote.terminal import Terminal, duration


class Clock:
    """A clock that a test sets."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def piped() -> tuple[io.StringIO, Clock, Terminal]:
    out, clock = io.StringIO(), Clock()
    return out, clock, Terminal(Console(file=out, width=200), clock)


def test_in_a_pipe_a_piece_of_work_says_a_line_a_minute_with_the_time_left():
    out, clock, terminal = piped()
    with terminal.study("demo", 200.0), terminal.task("fine-tune q", 100, "steps", 100.0) as advance:
        for _ in range(100):
            clock.now += 1.3
            advance(1, "loss 2.0")
    lines = out.getvalue().splitlines()
    assert lines[0] == "fine-tune q …"
    assert lines[1:-1] == [
        "fine-tune q: 47 of 100 steps, loss 2.0; demo 24%, about 3 min left",
        "fine-tune q: 94 of 100 steps, loss 2.0; demo 47%, about 2 min left",
    ]
    assert lines[-1] == "fine-tune q: 130 s loss 2.0"


def test_a_short_piece_says_two_lines_and_pieces_side_by_side_one_each_a_minute():
    out, clock, terminal = piped()
    begun = terminal.task("a", 10**6, "tokens", 1.0), terminal.task("b", 60, "steps", 1.0)
    with terminal.study("demo", 2.0), begun[0] as a, begun[1] as b:
        for _ in range(3):
            clock.now += 30
            a(1, "")
            b(1, "")
    labels = [line.partition(":")[0] for line in out.getvalue().splitlines()]
    assert labels == ["a …", "b …", "a", "b", "b", "a"]


def test_what_ends_early_counts_as_done_and_a_failed_piece_too():
    out, clock, terminal = piped()
    with terminal.study("demo", 3.0):
        with terminal.task("write", 100, "tokens", 1.0) as advance:
            advance(10, "")
        try:
            with terminal.task("score", 100, "tokens", 1.0):
                raise ValueError
        except ValueError:
            clock.now = 100.0
        with terminal.task("last", 100, "tokens", 1.0) as advance:
            clock.now = 170.0
            advance(50, "")
    assert "last: 50 of 100 tokens; demo 83%, about 34 s left" in out.getvalue()
    assert "score:" not in out.getvalue()


def test_on_a_terminal_there_is_one_bar_for_the_study_and_finished_ones_go():
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=120, legacy_windows=False)
    terminal = Terminal(console)
    with terminal.study("demo", 2.0):
        with terminal.task("fine-tune q", 4, "steps", 1.0) as advance:
            advance(2, "loss 3.1")
            drawn = terminal._progress
            assert drawn is not None
            assert [bar.description for bar in drawn.tasks] == ["demo", "fine-tune q"]
            assert drawn.tasks[0].completed == 0.5
            assert drawn.tasks[0].total == 2.0
            assert drawn.tasks[1].fields["words"] == "2 of 4 steps  loss 3.1"
            drawn.refresh()
        assert [bar.description for bar in drawn.tasks] == ["demo"]
        assert "25%, about" in drawn.tasks[0].fields["words"] or drawn.tasks[0].fields["words"] == "50%, about 1 s left"
    assert terminal._progress is None
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", out.getvalue())
    assert "2 of 4 steps  loss 3.1" in shown
    assert "fine-tune q …" not in shown


def test_durations_are_said_in_the_unit_that_fits():
    assert [duration(s) for s in (0.2, 42, 300, 8280)] == ["1 s", "42 s", "5 min", "2.3 h"]
