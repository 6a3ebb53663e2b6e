"""Made-up trials as plan.json has them, for benchmarks that read tables without planning a run."""

from collections.abc import Mapping
from typing import Any

from byrote.study.labels import label_of_parts, label_parts


def plan_row(trial: str, settings: Mapping[str, Any], rank: int = 1, seed: int = 0) -> dict[str, Any]:
    """What plan.json says of a trial that adapts v, apart from where its results are."""
    parts = label_parts("v", rank, seed, ())
    head = {"trial": trial, "label": label_of_parts(parts), "label_parts": parts}
    return {**head, "matrices": "v", "rank": rank, "seed": seed, "settings": settings}
