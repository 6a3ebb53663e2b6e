"""The report: one HTML file that needs no network and no script, and holds no record's text unless asked for."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from byrote.figures import Drawn, find_published
from byrote.report import findings as found
from byrote.report import setting, tabulate, untargeted
from byrote.report.tabulate import Grid

if TYPE_CHECKING:
    from byrote.tables import Tables

TEMPLATE = "report.html.j2"
MEMBERSHIP_FIGURES = ("auc_by_placement", "auc_by_rank", "roc")


@dataclass(frozen=True)
class Picture:
    """A figure inside the page."""

    title: str
    caption: str
    svg: Markup


@dataclass(frozen=True)
class Section:
    """A part of the page: paragraphs, then tables, lists and figures; `folded` tables open on demand."""

    name: str
    title: str
    paragraphs: Sequence[str]
    grids: Sequence[Grid] = ()
    pictures: Sequence[Picture] = ()
    folded: Sequence[Grid] = ()
    lists: Sequence[tuple[str, Sequence[str]]] = ()


def write_report(
    path: Path,
    *,
    study: Mapping[str, Any],
    tables: "Tables",
    drawn: Sequence[Drawn],
    findings: Sequence[Mapping[str, Any]],
    failures: Sequence[Mapping[str, Any]],
    texts: Mapping[str, str] | None,
    versions: Mapping[str, str],
    created: str,
) -> None:
    """Write the report to `path`, whole or not at all.

    findings: kind, count, message of what reading the corpus brought up · failures: trial, stage, error · texts: record
    → text, or None for a report without any text · created: printed as given. Raises StudyError where
    `study.report.compare_to` names nothing published.
    """
    primary = study["membership"]["primary"]
    settings = setting.setting_grid(study)
    utility = _joined(found.utility_sentences(tables))
    sections = [
        Section("summary", "Summary", found.summary_sentences(tables, primary)),
        Section("measured", "What was measured", _joined(setting.setting_sentences(study)), folded=[settings]),
        _membership(study, tables, drawn),
        _generation(tables, drawn, texts),
        Section("untargeted", "Untargeted extraction", untargeted.sentences(tables), _filled(untargeted.grid(tables))),
        Section("utility", "Utility", utility, grids=_filled(tabulate.utility_grid(tables))),
        _missing(tables, drawn, failures),
        _machine(study, tables, findings, versions),
    ]
    page = _template().render(name=study["name"], created=created, sections=sections)
    part = path.with_name(f".{path.name}.part")
    part.write_text(page, encoding="utf-8")
    part.replace(path)


def _template():
    source = files("byrote.report").joinpath(TEMPLATE).read_text(encoding="utf-8")
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(source)


def _joined(*paragraphs: Sequence[str]) -> list[str]:
    return [" ".join(sentences) for sentences in paragraphs if sentences]


def _filled(*grids: Grid) -> list[Grid]:
    return [grid for grid in grids if grid.rows]


def _membership(study: Mapping[str, Any], tables: "Tables", drawn: Sequence[Drawn]) -> Section:
    primary, compare_to = study["membership"]["primary"], study["report"]["compare_to"]
    published = None if compare_to is None else find_published(compare_to)
    return Section(
        "membership",
        "Membership inference",
        _joined(found.membership_sentences(tables, primary), found.operating_sentences(tables, primary)),
        grids=_filled(tabulate.primary_grid(tables, primary, published), tabulate.seeds_grid(tables, primary)),
        pictures=_pictures([one for one in drawn if one.name in MEMBERSHIP_FIGURES]),
        folded=_filled(tabulate.attacks_grid(tables), tabulate.operating_grid(tables)),
    )


def _generation(tables: "Tables", drawn: Sequence[Drawn], texts: Mapping[str, str] | None) -> Section:
    shown = [] if texts is None else _filled(tabulate.text_grid(tables, texts))
    return Section(
        "generation",
        "Prompted generation",
        found.generation_sentences(tables),
        grids=[*_filled(tabulate.generation_grid(tables)), *shown],
        pictures=_pictures([one for one in drawn if one.name not in MEMBERSHIP_FIGURES]),
    )


def _missing(tables: "Tables", drawn: Sequence[Drawn], failures: Sequence[Mapping[str, Any]]) -> Section:
    labels = dict(zip(tables.trials["trial"], tables.trials["label"], strict=True))
    undrawn = [f"{one.title}: {one.reason}" for one in drawn if one.svg is None]
    failed = [f"{labels.get(f['trial'], f['trial'])}, {_stage(f['stage'])}: {f['error']}" for f in failures]
    lists = [("Figures that were not drawn", undrawn), ("Stages that failed", failed)]
    return Section(
        "missing",
        "What was not measured",
        _joined(found.missing_sentences(tables, len(undrawn), len(failed))),
        grids=_filled(tabulate.refused_grid(tables)),
        lists=[(title, items) for title, items in lists if items],
    )


def _stage(path: str) -> str:
    """The name of a stage without the keys in its path."""
    return [part for part in path.split("/") if not re.fullmatch(r"[0-9a-f]{12,}", part)][-1]


def _machine(
    study: Mapping[str, Any], tables: "Tables", findings: Sequence[Mapping[str, Any]], versions: Mapping[str, str]
) -> Section:
    seeds = setting.seed_words(study, sorted(set(tables.trials["seed"])))
    remarks = [str(finding["message"]) for finding in findings]
    packages = Grid("Versions", ["package", "version"], [[name, str(v)] for name, v in versions.items()], 2)
    return Section(
        "machine",
        "Data and machine",
        _joined([*found.machine_sentences(tables, len(findings)), seeds]),
        grids=_filled(tabulate.timings_grid(tables), packages),
        lists=[("What reading the corpus brought up", remarks)] if remarks else [],
    )


def _pictures(drawn: Sequence[Drawn]) -> list[Picture]:
    return [Picture(one.title, one.caption, inline_svg(one.svg, one.name)) for one in drawn if one.svg is not None]


def inline_svg(path: Path, name: str) -> Markup:
    """A drawn file as an element of a page: no prolog, no metadata, ids unique by `name`, width left to the page."""
    text = path.read_text(encoding="utf-8")
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r'\bid="', f'id="{name}-', text)
    text = re.sub(r'(href="#|url\(#)', rf"\g<1>{name}-", text)
    head, rest = text.split(">", 1)
    head = re.sub(r'\s(width|height)="[^"]*"', "", head)
    return Markup(f'{head} aria-hidden="true" focusable="false">{rest}')
