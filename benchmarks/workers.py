"""One process a contender: the model is loaded once, peak memory is its own, and only who is asked works.

A worker's module has a class `Contender`, made from Settings in the process that runs it. Nothing here imports torch:
every process imports this file.
"""

import logging
import os
import resource
import sys
import warnings
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Settings:
    """What every contender is made from: the base model's name and folder, torch's name of the device, threads.

    precision: of the contenders that choose one; the reference is fp32 whatever it says.
    """

    source: str
    folder: Path
    device: str
    precision: str
    threads: int


class Worker:
    """A contender in a process of its own. `ask` waits for the answer; `start` and `finish` let two work at once."""

    def __init__(self, module: str, settings: Settings, environment: Mapping[str, str]) -> None:
        """environment: variables that the process starts with, where they are not set already."""
        context = get_context("spawn")
        self._module = module
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, module, settings), daemon=True)
        added = {name: value for name, value in environment.items() if name not in os.environ}
        os.environ.update(added)
        self._process.start()
        for name in added:
            del os.environ[name]
        theirs.close()

    def start(self, name: str, *arguments: Any) -> None:
        """Ask for a method of the contender without waiting."""
        with suppress(BrokenPipeError):  # the process ended; `finish` says so
            self._pipe.send((name, arguments))

    def finish(self) -> Any:
        """The answer to what was started. Raises RuntimeError where the process ended, having printed why."""
        try:
            return self._pipe.recv()
        except (EOFError, ConnectionResetError) as error:
            raise RuntimeError(f"the contender {self._module!r} ended; its own error stands above") from error

    def ask(self, name: str, *arguments: Any) -> Any:
        """The answer of a method of the contender."""
        self.start(name, *arguments)
        return self.finish()

    def close(self) -> None:
        """End the process."""
        self._pipe.close()
        self._process.join()


def _serve(pipe: Connection, module: str, settings: Settings) -> None:
    _silence()
    contender = import_module(module).Contender(settings)
    while True:
        try:
            name, arguments = pipe.recv()
        except EOFError:
            return
        pipe.send(peak_memory() if name == "memory" else getattr(contender, name)(*arguments))


def _silence() -> None:
    """Deprecations inside the libraries and advice of optional kernels, which no contender can mend."""
    warnings.filterwarnings("ignore", category=FutureWarning)
    warnings.filterwarnings("ignore", category=DeprecationWarning)
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)


def peak_memory() -> int:
    """The most bytes this process held in memory.

    getrusage's figure outlives exec, so that a process would start with its parent's; Linux keeps its own in /proc.
    """
    status = Path("/proc/self/status")
    if status.exists():
        return next(int(line.split()[1]) * 1024 for line in status.read_text().splitlines() if "VmHWM" in line)
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024
