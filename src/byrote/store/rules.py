"""When the rules of a run were set, and how often it was looked at: rules.json and looks.json.

A rule counts as fixed beforehand where it stood in the run before any score did. What changes afterwards stays on
record: nothing is taken out of either file.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

from byrote.store.integrity import MANIFEST, fingerprint
from byrote.store.run import Run
from byrote.study.rules import Rule

RULES, LOOKS = "rules.json", "looks.json"
RESULTS = ("scores", "completions")  # the stages that verdicts are made of
_RESULTS = ("scores.parquet", "completions.parquet")  # of any model, a stage of canaries has neither


@dataclass(frozen=True)
class Standing:
    """Which rules, by sha256, stood in a run before any score. dropped: those of them that are no longer asked for."""

    before: frozenset[str]
    dropped: tuple[dict[str, Any], ...]


def fix_rules(run: Run, rules: Sequence[Rule]) -> None:
    """Write down the rules as they are now, with the time, unless they are those that stand there already.

    Call it wherever the plan is written, before anything is scored.
    """
    history = rules_history(run)
    rows = [{**rule.row(), "sha256": rule.sha256} for rule in rules]
    if rows == (history[-1]["rules"] if history else []):
        return
    entry = {"set": _now(), "after_results": has_results(run), "sha256": _digest(rows), "rules": rows}
    run.write_json(RULES, [*history, entry])


def rules_history(run: Run) -> list[dict[str, Any]]:
    """Every set of rules that the run has had, the first first: when it was set, whether scores stood there already."""
    return run.read_json(RULES) or []


def standing_of(run: Run, rules: Sequence[Rule]) -> Standing:
    """Of the rules asked for now, which were fixed before any score; and what was fixed then and is gone."""
    before = [entry for entry in rules_history(run) if not entry["after_results"]]
    fixed = {row["sha256"]: row for row in (before[-1]["rules"] if before else ())}
    asked = {rule.sha256 for rule in rules}
    gone = tuple(row for digest, row in fixed.items() if digest not in asked and has_results(run))
    return Standing(frozenset(fixed), gone)


def has_results(run: Run) -> bool:
    """Whether any score or completion of a model stands in the run, planned or not."""
    files = (path for room in ("base", "trials") for name in _RESULTS for path in (run.path / room).rglob(name))
    return any((path.parent / MANIFEST).is_file() for path in files)


def look_at(run: Run, stages: Sequence[str], *, keep: bool) -> int:
    """The number of the look at the results of these stages, those of them that are finished: 1 for the first.

    The same results again are no new look. keep: write a new one down.
    """
    looks = looks_of(run)
    digest = _digest([[stage, _content(run, stage)] for stage in sorted(stages) if run.has(stage)])
    known = next((look["look"] for look in looks if look["results_sha256"] == digest), None)
    if known is not None:
        return known
    number = len(looks) + 1
    if keep:
        run.write_json(LOOKS, [*looks, {"look": number, "when": _now(), "results_sha256": digest}])
    return number


def looks_of(run: Run) -> list[dict[str, Any]]:
    """Every look at new results so far."""
    return run.read_json(LOOKS) or []


def _content(run: Run, stage: str) -> dict[str, str]:
    """Digests of the results that a finished stage holds."""
    files = run.manifest(stage).get("files")
    if files is None:  # of an older version
        files = {path.name: fingerprint(path) for path in (run.path / stage).glob("*.parquet")}
    return {name: entry["sha256"] for name, entry in sorted(files.items())}


def _digest(value: Any) -> str:
    return sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
