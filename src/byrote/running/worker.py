"""A worker process: reads a prepared study, then one task a line, and says on a pipe what it does.

Started by byrote.running.local as `python -m byrote.running.worker FD`.
"""

import ctypes
import json
import os
import pickle
import signal
import sys

from byrote.errors import ByroteError
from byrote.running.telling import Telling


def _die_with_parent() -> None:
    """Where the kernel can (Linux), end when the process that started this one ends: a worker without it would write
    to a run that nobody holds."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


def main() -> None:
    """Serve until standard input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent too, which ends this process
    _die_with_parent()
    with os.fdopen(int(sys.argv[1]), "w") as handle:

        def tell(*event: object) -> None:
            handle.write(json.dumps(event) + "\n")
            handle.flush()

        size = int.from_bytes(sys.stdin.buffer.read(8), "big")
        path, prepared = pickle.loads(sys.stdin.buffer.read(size))  # from the parent process alone
        from byrote.running.stages import Worker
        from byrote.store import Run

        worker = Worker(Run(path), prepared, Telling(tell))
        for line in sys.stdin.buffer:
            try:
                worker.do(json.loads(line))
            except ByroteError as error:
                tell("stop", type(error).__name__, str(error))
            tell("done")


if __name__ == "__main__":
    main()
