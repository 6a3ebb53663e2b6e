"""Where trials are worked on beside each other: a backend hands tasks to workers and passes on what they say."""

from byrote.backends.local import Listener, run_tasks

__all__ = ["Listener", "run_tasks"]
