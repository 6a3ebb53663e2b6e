"""Sphinx: the pages of docs/ as a site, and the reference made from the code (`make docs`)."""

import sys
from pathlib import Path

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


def setup(_app: object) -> None:
    """Write the reference pages before anything is read."""
    from reference import write

    write(HERE / "reference")
