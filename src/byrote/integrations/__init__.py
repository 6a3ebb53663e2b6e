"""Doors into other libraries: byrote inside a training that somebody else runs.

    from byrote.integrations import AuditCallback

Nothing here imports torch or transformers until a name is asked for.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from byrote.integrations.callback import AuditCallback

__all__ = ["AuditCallback"]


def __getattr__(name: str) -> Any:
    if name == "AuditCallback":
        from byrote.integrations.callback import AuditCallback

        return AuditCallback
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
