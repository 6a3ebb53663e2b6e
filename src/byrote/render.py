"""Stored results → tables, figures and report.html."""

from pathlib import Path

from byrote import figures, tables
from byrote.report import write_report
from byrote.store import STAGES, Run


def render(run: Run) -> Path:
    """Compute all tables from the stored stages, draw the figures, write the report; returns its path. No torch."""
    plan, study = run.plan(), run.study()
    provenance = study.provenance or {}
    found = tables.write(run)
    drawn = figures.draw_all(
        found, run.path / "figures", primary=study.membership.primary, compare_to=study.report.compare_to
    )
    texts = {r.record: r.text for r in run.records()} if study.report.include_text else None
    path = run.path / "report.html"
    write_report(
        path,
        study=study,
        tables=found,
        drawn=drawn,
        findings=plan["findings"],
        failures=run.failures(),
        texts=texts,
        versions=provenance.get("versions", {}),
        created=_last_created(run, plan),
    )
    return path


def _last_created(run: Run, plan: dict) -> str:
    """When the newest stage was finished, so that the same results give the same report."""
    stages = [row.get(name) for row in (plan["base"], *plan["trials"]) for name in STAGES]
    return max(
        (run.manifest(stage)["created"] for stage in stages if stage and run.has(stage)), default="nothing done yet"
    )
