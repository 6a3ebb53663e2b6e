"""Reports of made-up tables."""

import re

from byrote.report import write_report
from fake_studies import invented


def study_of(**parts):
    return invented({"name": "demo", "grid": {"matrices": [["q"], ["v"]]}, **parts})


def report(tables, folder, **how):
    study = how.pop("study", study_of())
    told = {
        "findings": [],
        "failures": [],
        "texts": None,
        "versions": {"byrote": "0.1.0"},
        "created": "today",
        "drawn": (),
        **how,
    }
    write_report(folder / "report.html", study=study, tables=tables, **told)
    return (folder / "report.html").read_text()


def text_of(page):
    return re.sub(r"<svg.*?</svg>", "", page, flags=re.DOTALL)
