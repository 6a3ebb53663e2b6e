"""Examples in docstrings give what they say: every public function of the statistics, every figure, and the public
door, whose examples train and audit a tiny model."""

import doctest
import inspect
import pkgutil
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import byrote
import byrote.statistics
from fake_pages import make_workplace, write_cheap_study
from fake_tables import fake_tables

MODULES = [f"byrote.statistics.{module.name}" for module in pkgutil.iter_modules(byrote.statistics.__path__)]


def public_functions(module: Any) -> Iterator[Callable[..., Any]]:
    """Those that a module defines itself, under names without an underscore."""
    for name, function in vars(module).items():
        if inspect.isfunction(function) and function.__module__ == module.__name__ and not name.startswith("_"):
            yield function


def run_examples(function: Callable[..., Any], names: dict[str, Any]) -> None:
    """Run the examples of a docstring, of which there must be some; fails with what each printed instead."""
    where, file = function.__name__, inspect.getsourcefile(inspect.unwrap(function))
    test = doctest.DocTestParser().get_doctest(function.__doc__ or "", names, where, file, None)
    assert test.examples, f"{function.__module__}.{where} has no example in its docstring"
    said: list[str] = []
    failed = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(test, out=said.append).failed
    assert failed == 0, "".join(said)


@pytest.mark.parametrize("name", MODULES)
def test_examples_of_the_statistics(name: str) -> None:
    module = import_module(name)
    functions = list(public_functions(module))
    assert functions
    for function in functions:
        run_examples(function, {**vars(module), "np": np})


def test_the_example_of_load_study() -> None:
    run_examples(byrote.load_study, {"load_study": byrote.load_study})


FIGURES = [byrote.figures.linear_fit, byrote.figures.find_published]
FIGURES += [getattr(byrote.figures, name) for name in byrote.figures.FIGURES]


@pytest.mark.slow
@pytest.mark.parametrize("function", FIGURES, ids=[function.__name__ for function in FIGURES])
def test_examples_of_the_figures(function: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    tables = fake_tables(("q", "v"), (1, 4), canaries=8)
    run_examples(function, {**vars(byrote.figures), "tables": tables, "np": np})


@pytest.mark.slow
@pytest.mark.usefixtures("one_figure")
def test_examples_of_the_public_door(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    make_workplace()
    write_cheap_study()
    for function in (byrote.run, byrote.load, byrote.audit):
        run_examples(function, {"byrote": byrote})
