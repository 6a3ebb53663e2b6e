"""Stored results → tables, figures, audit.json and the report."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from byrote import figures, tables
from byrote.errors import StudyError
from byrote.pdf import find_browser, print_pdf
from byrote.report import report_page
from byrote.report.cards import cards
from byrote.report.generation import Texts
from byrote.report.model_card import model_card_section
from byrote.report.record_ids import hashed, numbered, reworded, with_names
from byrote.store import STAGES, Run
from byrote.store.id_key import hashed_ids
from byrote.study import Study, dotted_names, dump_study, load_study
from byrote.tables.first_records import learned_nothing
from byrote.verdict import audit_document
from byrote.visible import without_home

FORMATS = ("html", "pdf", "md", "json")
"""What a report can be written as: the page, the same on paper, a section of a model card, and for programs."""


def render(run: Run, changes: Mapping[str, Any] | None = None, formats: Sequence[str] = ()) -> Path:
    """Compute all tables from the stored stages, draw the figures, write audit.json and the report; returns the
    page's path. No torch.

    changes: settings under `report` by dotted name, for this report alone · formats: of FORMATS, beside the page, as
    report.FORMAT. StudyError for other settings, wrong values, other formats, and where nothing is there to print with.
    """
    check_formats(formats)
    plan, study = run.plan(), _changed(run.study(), changes or {})
    provenance = study.provenance or {}
    written_tables = tables.write(run)
    names = names_in_report(run, study, written_tables)
    run_tables = with_names(written_tables, names) if names else written_tables
    drawn = figures.draw_all(
        run_tables,
        run.path / "figures",
        study=study.name,
        primary=study.membership.primary,
        compare_to=study.report.compare_to,
        width=study.report.figure_width,
        write=run.write_bytes,
    )
    created = _last_created(run, plan)
    audit = audit_document(run, study, run_tables, created)
    run.write_json("audit.json", audit)
    texts = texts_in_report(run, plan, names) if study.report.include_text else None
    page = report_page(
        study=study,
        tables=run_tables,
        drawn=drawn,
        findings=reworded([*plan["findings"], *_nothing_learned(run, plan)], "message", names),
        failures=reworded(run.failures(), "error", names),
        texts=texts,
        versions=provenance.get("versions", {}),
        created=created,
        not_tested=audit["not_tested"] if study.subjects or audit["rules"] else (),
    )
    run.write_text("report.html", without_home(page), private=texts is not None)
    _write_more(run, study, run_tables, audit, formats)
    return run.path / "report.html"


def names_in_report(run: Run, study: Study, written_tables: "tables.Tables") -> Mapping[str, str]:
    """What the report calls records and documents instead of their ids; nothing where ids are plain."""
    if study.report.ids == "plain":
        return {}
    ids = {name for record in run.records() for name in (record.record, record.group)}
    if study.report.ids == "none":
        return numbered(written_tables, ids)
    return hashed_ids(run, lambda salt: hashed(ids, salt))


def texts_in_report(run: Run, plan: Mapping[str, Any], names: Mapping[str, str]) -> Texts:
    """Records' texts, and what each tuned model wrote after their beginnings, by the names that the report has."""
    records = {names.get(record.record, record.record): record.text for record in run.records()}
    stages = {row["trial"]: row.get("completions") for row in plan["trials"]}
    written = {
        (trial, names.get(c.record, c.record), c.prefix, c.temperature, c.sample): (c.text, c.suffix_text)
        for trial, stage in stages.items()
        if stage and run.has(stage)
        for c in run.completions(stage)
    }
    return Texts(records, written)


def check_formats(formats: Sequence[str]) -> None:
    """StudyError for a format that there is not, and for pdf where no browser is found."""
    for name in formats:
        if name not in FORMATS:
            raise StudyError(f"--format {name}: no such format; there are {', '.join(FORMATS)}")
    if "pdf" in formats:
        find_browser()


def _write_more(
    run: Run, study: Study, run_tables: "tables.Tables", audit: Mapping[str, Any], formats: Sequence[str]
) -> None:
    """The report in other formats: numbers and names alone, but for the PDF, which is the page."""
    if "md" in formats:
        versions = (study.provenance or {}).get("versions", {})
        lines = model_card_section(study, run_tables, audit["not_tested"], versions, str(audit["newest_result"]))
        run.write_text("report.md", without_home(lines))
    if "json" in formats:
        answers = [asdict(card) for card in cards(run_tables, study.membership.primary)]
        run.write_json("report.json", {"schema": 1, "cards": answers, "audit": audit})
    if "pdf" in formats:
        printed = run.path / "report.pdf"
        print_pdf(run.path / "report.html", printed)
        if study.report.include_text:
            printed.chmod(0o600)


def _nothing_learned(run: Run, plan: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """A finding for each given subject whose members' loss did not fall, or fell less than that of non-members."""
    base = plan["base"].get("scores")
    for row in plan["trials"]:
        if "subject" in row["settings"] and all(stage and run.has(stage) for stage in (base, row.get("scores"))):
            why = learned_nothing(run.scores(base), run.scores(row["scores"]), run.roles(row["roles"]))
            if why:
                yield {"kind": "learned_nothing", "count": 1, "message": f"{row['label']}: {why}"}


def _changed(study: Study, changes: Mapping[str, Any]) -> Study:
    own = [name for name in dotted_names() if name.startswith("report.")]
    for name in changes:
        if name not in own:
            raise StudyError(
                f"--{name} is not a setting of the report; change it with `byrote run`. The report takes "
                f"--{', --'.join(own)}"
            )
    return load_study(dump_study(study), changes) if changes else study


def _last_created(run: Run, plan: Mapping[str, Any]) -> str:
    """When the newest stage finished, so that the same results give the same report."""
    stages = [row.get(name) for row in (plan["base"], *plan["trials"], *plan["nulls"]) for name in STAGES]
    return max(
        (run.manifest(stage)["created"] for stage in stages if stage and run.has(stage)), default="nothing done yet"
    )
