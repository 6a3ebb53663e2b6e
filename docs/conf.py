"""Sphinx: the pages of docs/ as a site, and the reference made from the code (`make docs`)."""

import re
import sys
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

project = "byrote"
copyright = "the authors of byrote"
extensions = ["myst_parser", "sphinx.ext.autodoc"]
html_theme = "furo"
html_title = "byrote"
exclude_patterns = ["_build"]
myst_heading_anchors = 4
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
nitpicky = False
suppress_warnings = ["myst.header"]  # a page may begin below its title


def setup(app: Sphinx) -> None:
    """Write the reference pages before anything is read."""
    from reference import write

    write(HERE / "reference")
    app.connect("autodoc-process-docstring", _no_markup_of_formulas)


def _no_markup_of_formulas(*event: Any) -> None:
    """A bar or a star in a docstring belongs to a formula; in an example it stays as it is."""
    lines: list[str] = event[-1]
    lines[:] = [
        line if line.lstrip().startswith((">>>", "...")) else re.sub(r"[|*]", r"\\\g<0>", line) for line in lines
    ]
