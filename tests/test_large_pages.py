"""Processes that train start with settings of memory, unless the user has set them."""

import os
import subprocess
import sys
from typing import Any

import pytest

from byrote.large_pages import ENVIRONMENT, start_again
from byrote.running.local import Process


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, list[str], dict[str, str]]]:
    """What would replace this process."""
    calls: list[tuple[str, list[str], dict[str, str]]] = []
    monkeypatch.setattr(os, "execve", lambda *words: calls.append(words))
    for name in ENVIRONMENT:
        monkeypatch.delenv(name, raising=False)
    return calls


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no glibc")
def test_a_process_starts_again_with_them_once(started: list[Any], monkeypatch: pytest.MonkeyPatch):
    start_again()
    ((program, words, environment),) = started
    assert (program, words[1:]) == (sys.executable, sys.orig_argv[1:])
    assert ENVIRONMENT.items() <= environment.items()
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    start_again()
    assert len(started) == 1


def test_what_the_user_has_set_stands(started: list[Any], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("GLIBC_TUNABLES", "glibc.malloc.hugetlb=0")
    start_again()
    assert started == []


def test_workers_are_started_with_them(monkeypatch: pytest.MonkeyPatch):
    def refuse(*_: Any, env: dict[str, str], **__: Any) -> None:
        assert ENVIRONMENT.items() <= env.items()
        raise ZeroDivisionError("started")

    for name in ENVIRONMENT:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(subprocess, "Popen", refuse)
    with pytest.raises(ZeroDivisionError, match="started"):
        Process(None, 1)
