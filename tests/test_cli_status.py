"""`byrote status RUN --watch`: until nothing can change any more."""

from typing import Any

import pytest

from byrote import cli_status

DONE, HALF = {"v": {"finetune": "done", "scores": "done"}}, {"v": {"finetune": "done", "scores": "running"}}
WAITING, FAILED = {"v": {"finetune": "done", "scores": "waiting"}}, {"v": {"finetune": "failed", "scores": "waiting"}}


class Store:
    """A run whose writer ends after so many looks."""

    def __init__(self, looks: int) -> None:
        self.looks = looks

    def fetch(self) -> None:
        pass

    def writer(self) -> str | None:
        self.looks -= 1
        return "42" if self.looks >= 0 else None


@pytest.mark.parametrize(
    ("seen", "looks", "status", "slept"),
    [
        ([WAITING, HALF, DONE], 9, 0, 2),
        ([WAITING, WAITING], 1, 1, 1),  # nobody writes any more
        ([FAILED, {"v": {"finetune": "failed", "scores": "not asked for"}}], 9, 1, 1),
        ([DONE], 9, 0, 0),
    ],
)
def test_it_looks_until_the_run_ends(
    seen: list[Any],
    looks: int,
    status: int,
    slept: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    states, sleeps = iter(seen), list[float]()
    monkeypatch.setattr(cli_status, "states_of", lambda _store: next(states))
    monkeypatch.setattr(cli_status, "_finished", lambda _store: [])
    monkeypatch.setattr("time.sleep", sleeps.append)
    assert cli_status._watch(Store(looks)) == status  # pyright: ignore[reportArgumentType]
    assert sleeps == [cli_status.EVERY] * slept
    lines = capsys.readouterr().out.splitlines()
    assert lines == list(dict.fromkeys(lines)), "a line a change"
    assert lines[-1].endswith("stages done")
