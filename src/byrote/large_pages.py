"""Memory in pages of 2 MiB for processes that train: a step on a processor touches gigabytes, and mapping them in pages
of 4 KiB takes about a tenth of it (docs/log.md). glibc reads its settings when a process starts, and then alone."""

import os
import sys

ENVIRONMENT = {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}
"""What a process must be started with; where the user has set a variable, the user's value stands."""


def start_again() -> None:
    """Put this process in its own place, by the command that started it, with ENVIRONMENT set; nothing where the user
    has set it, where it has been done, or on another system than Linux."""
    if sys.platform == "linux" and not set(ENVIRONMENT) & set(os.environ):
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], {**os.environ, **ENVIRONMENT})
