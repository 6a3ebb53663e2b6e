"""No call in the package or its benchmarks takes more positional arguments than a reader can tell apart."""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
MOST = 6
# Any number of arguments is these functions' meaning: what a key is the hash of.
VARIADIC = {"key_of"}


def crowded(source: str) -> Iterator[str]:
    for call in ast.walk(ast.parse(source)):
        if isinstance(call, ast.Call) and len(call.args) > MOST:
            name = ast.unparse(call.func)
            if name.rpartition(".")[2] not in VARIADIC:
                yield f"line {call.lineno}: {name} takes {len(call.args)} positional arguments"


def test_no_call_has_more_than_six_positional_arguments():
    files = [path for folder in ("src/byrote", "benchmarks") for path in sorted((ROOT / folder).rglob("*.py"))]
    assert len(files) > 100
    assert not [f"{path.relative_to(ROOT)}, {line}" for path in files for line in crowded(path.read_text("utf-8"))]


def test_crowded_calls_are_seen():
    assert list(crowded("a.b(1, 2, 3, 4, 5, 6, 7)")) == ["line 1: a.b takes 7 positional arguments"]
    assert not list(crowded("b(1, 2, 3, 4, 5, 6, seven=7)"))
    assert not list(crowded("grid.key_of(1, 2, 3, 4, 5, 6, 7)"))
