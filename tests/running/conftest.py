"""What tests of whole runs share."""

import pytest


@pytest.fixture(autouse=True)
def _quick_to_draw(one_figure: None) -> None:
    """Runs within a test draw one figure; runs that a module shares are made before, and draw all."""
