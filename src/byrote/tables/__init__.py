"""Stored results → tables. No torch, no model."""

from byrote.tables.build import Tables, build, write

__all__ = ["Tables", "build", "write"]
