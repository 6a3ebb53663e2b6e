"""The one writer and reader of a run folder."""

from byrote.store.draft import ADAPTER, Draft, no_room
from byrote.store.plans import STAGES, planned_rows
from byrote.store.run import Run

__all__ = ["ADAPTER", "STAGES", "Draft", "Run", "no_room", "planned_rows"]
