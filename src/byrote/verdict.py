"""The verdict of a run as programs read it: an exit status, and audit.json (schemas/audit.schema.json)."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from byrote.attacks import ATTACKS
from byrote.errors import StoreError
from byrote.statistics.verdicts import EXCEEDED, UNDECIDED, error_of_look
from byrote.store import Run
from byrote.store.rules import looks_of, rules_history
from byrote.study import Study
from byrote.study.rules import MAX_EPSILON, MAX_VERBATIM
from byrote.tables import checkpoints

if TYPE_CHECKING:
    from byrote.tables import Tables

HELD_STATUS, EXCEEDED_STATUS, ERROR_STATUS, UNDECIDED_STATUS, INTERRUPTED_STATUS = 0, 1, 2, 3, 130
SCHEMA = 1  # raised where a program that reads audit.json would have to change
_PROVENANCE = ("corpus_sha256", "base_model_sha256", "tokenizer_sha256", "precision", "versions", "method_versions")


def exit_status(verdicts: Iterable[str], failed: bool = False) -> int:
    """0 where every rule is held, or there is none; 1 where any is exceeded; else 3 where any is undecided. A stage
    that failed makes it 2, whatever the verdicts. (The command line adds 2 for errors and 130 for an interrupt.)"""
    verdicts = set(verdicts)
    if failed:
        return ERROR_STATUS
    if EXCEEDED in verdicts:
        return EXCEEDED_STATUS
    return UNDECIDED_STATUS if UNDECIDED in verdicts else HELD_STATUS


def status_of(run: Run) -> int:
    """The exit status of a run, from its audit.json. StoreError where there is none."""
    return int(audit_of(run)["exit_status"])


def audit_of(run: Run) -> dict[str, Any]:
    """audit.json of a run. StoreError where it has none."""
    found = run.read_json("audit.json")
    if found is None:
        raise StoreError(f"{run.place} has no audit.json; `byrote report {run.place}` writes it")
    return found


def verdict_lines(audit: Mapping[str, Any]) -> list[str]:
    """A line a verdict for a terminal, from audit.json: `exceeded: SUBJECT: RULE: why`."""
    labels = {subject["trial"]: subject["label"] for subject in audit["subjects"]}
    return [
        f"{rule['verdict']}: {labels.get(rule['subject'], 'all subjects')}: {rule['words']}: {rule['reason']}"
        + (f"; would decide: {rule['would_decide']}" if rule["would_decide"] else "")
        for rule in audit["rules"]
    ]


def audit_document(run: Run, study: Study, tables: "Tables", created: str) -> dict[str, Any]:
    """The content of audit.json: subjects, rules with verdicts, looks, controls, what was not tested, versions and
    hashes. Numbers, names and keys alone: no record's text, and no id of a record."""
    rules = _rows(tables.rules)
    failures = [{"stage": failure["stage"], "trial": failure["trial"]} for failure in run.failures()]
    status, look = exit_status([rule["verdict"] for rule in rules], bool(failures)), _look(rules)
    provenance = study.provenance or {}
    return {
        "schema": SCHEMA,
        "study": study.name,
        "newest_result": created,
        "exit_status": status,
        "verdict": _verdict(rules, status),
        "level": study.statistics.level,
        "look": look,
        "error_of_this_look": None if look is None else error_of_look(study.statistics.level, look),
        "looks": looks_of(run),
        "subjects": _rows(tables.trials[["trial", "label", "state", "members", "condition"]]),
        "checkpoints": _rows(tables.checkpoints),
        "attackers": _rows(tables.attackers),
        "rules": rules,
        "rules_set": rules_history(run),
        "controls": _controls(tables),
        "not_tested": [*_not_drawn(run), *not_tested(study, tables)],
        "failures": failures,
        "provenance": {name: provenance.get(name) for name in _PROVENANCE},
    }


def _verdict(rules: Sequence[Mapping[str, Any]], status: int) -> str:
    """One word for all rules; failed where a stage did."""
    if status == ERROR_STATUS:
        return "failed"
    if not rules:
        return "nothing asked"
    return {HELD_STATUS: "held", EXCEEDED_STATUS: "exceeded", UNDECIDED_STATUS: "undecided"}[status]


def _look(rules: Sequence[Mapping[str, Any]]) -> int | None:
    return int(rules[0]["look"]) if rules else None


def _controls(tables: "Tables") -> list[dict[str, Any]]:
    """Controls of every attack that has one, and of the texts, as the table `membership` has them."""
    names = ["trial", "stratum", "attack", "control", "auc_control", "auc_control_low", "auc_control_high"]
    names += ["control_matched", "auc_blind", "blind_p_value"]
    return _rows(tables.membership[names])


def _not_drawn(run: Run) -> list[str]:
    """Documents that were left out for lack of time, counted."""
    return [f"{finding['message']}." for finding in run.plan()["findings"] if finding["kind"] == "sample"]


def not_tested(study: Study, tables: "Tables") -> list[str]:
    """What these results cannot speak of."""
    attacks, strata = (set(tables.membership[name]) for name in ("attack", "stratum"))
    asked, prompts = {str(rule).split()[0] for rule in tables.rules["rule"]}, study.extraction.prompts.members
    shadow = study.controls.shadow
    no_order = checkpoints.left_out(tables.trials, tables.checkpoints) if study.subjects else {}
    left_out = [name for name, attack in ATTACKS.items() if name not in attacks and (shadow or not attack.needs_shadow)]
    unread = sorted(strata - set(tables.rules["stratum"])) if asked else []
    return [
        *([f"Attacks that were not run: {', '.join(left_out)}."] if left_out else []),
        *([f"Leakage over training steps of {', '.join(no_order)}: {_reasons(no_order)}."] if no_order else []),
        *([f"Strata that no rule reads: {', '.join(unread)}."] if unread else []),
        *([] if MAX_VERBATIM in asked else ["How many records are given verbatim: no rule asks (max_verbatim)."]),
        *([] if prompts == "all" else [f"Suffixes of more than {prompts} members (extraction.prompts.members)."]),
        *([] if MAX_EPSILON in asked else ["Whether epsilon is above a limit: no rule asks (max_epsilon)."]),
        "Suffixes after other prompts than those of extraction.prefix, and suffixes nearly word for word.",
        (
            "Attackers who tune several models of their own on documents like these, or who see the training."
            if shadow
            else "Attackers who tune models of their own on documents like these, or who see the training."
        ),
        "Attacks that are not among those of docs/attacks.md.",
    ]


def _reasons(no_order: Mapping[str, str]) -> str:
    """`its files do not say …`, or each reason with how many subjects it holds for."""
    counts = Counter(no_order.values())
    return "; ".join(
        f"{why} ({number} of {len(no_order)})" if len(counts) > 1 else why for why, number in counts.items()
    )


def _rows(frame: Any) -> list[dict[str, Any]]:
    """Rows of a table as plain values, missing ones None."""
    return [{str(name): _plain(value) for name, value in row.items()} for row in frame.to_dict("records")]


def _plain(value: Any) -> Any:
    if value is None or value != value or str(value) == "<NA>":
        return None
    value = value.item() if hasattr(value, "item") else value
    return None if isinstance(value, float) and not math.isfinite(value) else value
