"""Whether a path that a user gave is there."""

from pathlib import Path


def is_there(path: Path) -> bool:
    """Whether there is a file or folder; False too where the name is longer than any file's can be."""
    try:
        return path.exists()
    except OSError:
        return False
