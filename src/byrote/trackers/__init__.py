"""Trackers of experiments, which are told the figures of a study's trials: report_to."""

from byrote.trackers.backends import check_installed, connect
from byrote.trackers.tracking import TrackedTrial, Tracking

__all__ = ["TrackedTrial", "Tracking", "check_installed", "connect"]
