"""Reports of made-up tables."""

import re

from byrote.report import report_page
from fake_studies import invented


def study_of(**parts):
    return invented({"name": "demo", "grid": {"matrices": [["q"], ["v"]]}, **parts})


def report(tables, folder, **how):
    study = how.pop("study", study_of())
    parts = {
        "findings": [],
        "failures": [],
        "texts": None,
        "versions": {"byrote": "0.1.0"},
        "created": "today",
        "drawn": (),
        **how,
    }
    folder.mkdir(parents=True, exist_ok=True)
    page = report_page(study=study, tables=tables, **parts)
    (folder / "report.html").write_text(page)
    return page


def text_of(page):
    return re.sub(r"<svg.*?</svg>", "", page, flags=re.DOTALL)
