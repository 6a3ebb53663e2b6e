"""What a trainer wrote beside a model that it saved."""

import json
from pathlib import Path

STATE = "trainer_state.json"


def steps_in(folder: Path) -> int | None:
    """The optimizer steps after which a checkpoint was saved, from transformers' trainer_state.json; None where there
    is none, or it does not say."""
    try:
        state = json.loads((folder / STATE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    steps = state.get("global_step") if isinstance(state, dict) else None
    return steps if isinstance(steps, int) and steps >= 0 else None
