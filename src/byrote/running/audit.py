"""The audit as a function: what `byrote.audit` does. Records may be files, or rows in memory, which are written into
the run folder."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from byrote.errors import CorpusError, StudyError
from byrote.running.checks import check_study
from byrote.store import Run
from byrote.store.purge import refuse_purged
from byrote.store.remote import check_usable
from byrote.study.audit import AUDIT_DEFAULTS, AuditOptions, audit_settings
from byrote.study.load import load_study
from byrote.verdict import audit_of

if TYPE_CHECKING:
    from byrote.tables import Tables


@dataclass(frozen=True)
class Audited:
    """A finished audit. path: the run folder · report: its page · verdict: held, exceeded, undecided, nothing asked or
    failed · rules: a mapping for each rule, as in audit.json · exit_status: what the command would end with ·
    not_logged: a line for each tracker of report_to that failed."""

    path: Path
    report: Path
    verdict: str
    rules: tuple[Mapping[str, Any], ...]
    exit_status: int
    not_logged: tuple[str, ...] = ()

    @cached_property
    def tables(self) -> "Tables":
        """All tables as data frames."""
        from byrote import tables

        return tables.build(Run.open(self.path))


def run_audit(
    sides: Mapping[str, Any], options: Mapping[str, Any], out: str | Path | None, settings: Mapping[str, Any] | None
) -> Audited:
    """Audit given subjects. sides: `members`, `nonmembers` and `calibration`, each a path, a list of texts or of
    mappings, a pandas frame, a data set of `datasets`, or None · options: fields of AuditOptions · settings: of a
    study, by dotted name.

    Raises ByroteError for what the caller must fix.
    """
    settings = dict(settings or {})
    out = out or Path("runs") / str(settings.get("name") or options.get("name") or AUDIT_DEFAULTS["name"])
    check_usable(out)
    store = Run(out)
    store.fetch()
    folder = store.path
    in_memory = {name: rows for name, rows in sides.items() if not isinstance(rows, str | Path | None)}
    column = str(options.get("text") or "text")
    lines = {name: _json_lines(rows, name, column) for name, rows in in_memory.items()}
    named: dict[str, Any] = {name: None if rows is None else str(rows) for name, rows in sides.items()}
    named |= {name: str(folder / "given" / f"{name}.jsonl") for name in lines}
    chosen = AuditOptions(**{**options, **named})
    study = load_study(AUDIT_DEFAULTS, {**audit_settings(chosen, study=False), **settings})
    refuse_purged(store)
    _refuse_other_rows(store, lines)
    for name, text in lines.items():
        store.write_text(f"given/{name}.jsonl", text, private=True)
    checked = check_study(study)  # before torch is imported, so that mistakes are told at once
    from byrote.running import pipeline

    outcome = pipeline.run(checked, out)
    audit = audit_of(Run.open(outcome.path))
    return Audited(
        path=outcome.path,
        report=outcome.report,
        verdict=audit["verdict"],
        rules=tuple(audit["rules"]),
        exit_status=audit["exit_status"],
        not_logged=outcome.not_logged,
    )


def _refuse_other_rows(store: Run, lines: Mapping[str, str]) -> None:
    """StudyError where the folder holds an audit of other rows: they are what its results are of."""
    if not (store.path / "study.yaml").exists():
        return
    for name, text in lines.items():
        given = store.path / "given" / f"{name}.jsonl"
        if not given.exists() or given.read_text(encoding="utf-8") != text:
            raise StudyError(f"{store.place} holds an audit whose {name} were other rows; name another folder with out")


def _json_lines(rows: Any, name: str, column: str) -> str:
    """Rows in memory as JSON lines. CorpusError for what is not rows, and for values that JSON does not have."""
    if hasattr(rows, "to_dict") and hasattr(rows, "columns"):  # a pandas frame
        rows = rows.to_dict("records")
    if isinstance(rows, Mapping) or not isinstance(rows, Iterable):
        raise CorpusError(
            f"{name} is a {type(cast(Any, rows)).__name__}; give a path, a list of texts or of dicts, a data frame or "
            "a Dataset"
        )
    return "".join(
        _line(row, f"{name}, row {number}", column) for number, row in enumerate(cast("Iterable[Any]", rows), 1)
    )


def _line(row: Any, where: str, column: str) -> str:
    if not isinstance(row, str | Mapping):
        raise CorpusError(f"{where}: must be a text or a dict, got {type(row).__name__}")
    plain = {column: row} if isinstance(row, str) else cast("Mapping[Any, Any]", row)
    values = {str(key): _value(value) for key, value in plain.items()}
    try:
        return json.dumps(values, allow_nan=False) + "\n"
    except (TypeError, ValueError) as error:
        raise CorpusError(f"{where}: cannot be written as JSON ({error}); leave that column out") from None


def _value(value: Any) -> Any:
    """numpy's scalars as plain ones, a missing number as null, sequences as lists."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_value(inner) for inner in cast("Sequence[Any]", value)]
    numpys: Any = value
    return numpys.tolist() if hasattr(numpys, "tolist") else numpys
