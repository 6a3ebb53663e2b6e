"""The comparison with other tools: what is made of memaudit's report. No tool is run here."""

import importlib.util
from itertools import product
from pathlib import Path
from typing import Any

import pytest

FILE = Path(__file__).parents[1] / "benchmarks" / "compare_tools.py"


@pytest.fixture(scope="module")
def compare_tools() -> Any:
    spec = importlib.util.spec_from_file_location("compare_tools", FILE)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_memaudits_scores_become_areas_in_byrotes_direction(compare_tools: Any):
    """Against the count of pairs. A loss ratio is lower for members, the other scores are higher."""
    ins, outs = (1.0, 3.0), (0.0, 2.0, 3.0)
    report = [
        {"included": inside, "scores": {name: sign * value for name, sign in compare_tools.OF_MEMAUDIT.values()}}
        for inside, values in ((True, ins), (False, outs))
        for value in values
    ]
    pairs = [(a > b) + 0.5 * (a == b) for a, b in product(ins, outs)]
    areas = compare_tools.areas_of_memaudit(report)
    assert set(areas) == set(compare_tools.OF_MEMAUDIT)
    for area in areas.values():
        assert area == pytest.approx(sum(pairs) / len(pairs))
