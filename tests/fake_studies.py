"""Studies on invented records, for tests of everything but the corpus."""

from collections.abc import Mapping
from typing import Any

from byrote.study import Study, load_study

INVENTED: Mapping[str, Any] = {"corpus": {"source": "adverse_events"}}


def invented(raw: Mapping[str, Any] | None = None, overrides: Mapping[str, Any] | None = None) -> Study:
    """`load_study` of a mapping, on the invented records unless it names a corpus."""
    return load_study({**INVENTED, **(raw or {})}, overrides)
