"""The report: one HTML file that needs no network and no script, and holds no record's text unless asked for."""

from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from byrote.figures import Drawn
from byrote.report.generation import Texts
from byrote.report.sections import Remarks, sections_of
from byrote.study import Study
from byrote.visible import visible

if TYPE_CHECKING:
    from byrote.tables import Tables

TEMPLATE = "report.html.j2"


def report_page(
    *,
    study: Study,
    tables: "Tables",
    drawn: Sequence[Drawn],
    findings: Sequence[Mapping[str, Any]],
    failures: Sequence[Mapping[str, Any]],
    texts: Texts | None,
    versions: Mapping[str, str],
    created: str,
    not_tested: Sequence[str] = (),
) -> str:
    """The report as HTML.

    findings: kind, count and message of each remark from reading the corpus · failures: trial, stage, error · texts: of
    records and completions, or None for a report without any text · created: printed as given · not_tested: sentences
    for the first page. Raises StudyError where `study.report.compare_to` names nothing published. With texts only its
    owner can read the file.
    """
    sections = sections_of(study, tables, drawn, Remarks(findings, failures, versions, not_tested), texts)
    return _template().render(name=study.name, created=created, sections=sections)


def _template():
    source = files("byrote.report").joinpath(TEMPLATE).read_text(encoding="utf-8")
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, finalize=_seen
    )
    return environment.from_string(source)


def _seen(value: Any) -> Any:
    """Words of the user's with their control characters shown; markup of byrote's own as it is."""
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value
