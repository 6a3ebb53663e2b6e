"""What a run keeps of a stage that failed."""

import traceback
from datetime import UTC, datetime
from typing import Any

from byrote.visible import without_home


def failure_row(stage: str, trial: str, error: BaseException) -> dict[str, Any]:
    """A stage's error and traceback, and when it failed."""
    return {
        "stage": stage,
        "trial": trial,
        "error": without_home(f"{type(error).__name__}: {error}"),
        "traceback": without_home("".join(traceback.format_exception(error))),
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
    }
