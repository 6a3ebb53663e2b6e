"""Settings of memory for processes that train, which are read when a process starts, and then alone: glibc's pages of
2 MiB, for a step on a processor touches gigabytes, and mapping them in pages of 4 KiB takes about a tenth of it; and
few products in oneDNN's cache, whose kernels for a thousand lengths of a batch take half a gigabyte and leave gaps that
take more (docs/log.md)."""

import os
import sys

ENVIRONMENT = {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1", "ONEDNN_PRIMITIVE_CACHE_CAPACITY": "64"}
"""What a process must be started with; where the user has set a variable, the user's value stands."""


def start_again() -> None:
    """Put this process in its own place, by the command that started it, with ENVIRONMENT set; nothing where the user
    has set it, where it has been done, or on another system than Linux."""
    if sys.platform == "linux" and not set(ENVIRONMENT) & set(os.environ):
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], {**os.environ, **ENVIRONMENT})
