"""Made-up subjects that rules are asked of, and the verdicts on them."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from byrote.records import Assignment, Record, Role, TokenScores
from byrote.study import Study
from byrote.study.rules import rules_of
from byrote.tables.compared import Scored, ScoredStratum, Stratum, compare_stratum
from byrote.tables.rules import verdict_rows
from byrote.tables.subjects import Subject
from byrote.tables.trials import Measured
from fake_studies import invented

N, DRAWS = 90, 10_000
CONTROLLED = {"control": "base model", "auc_control": 0.51, "auc_control_se": 0.03}
NONE = {"control": "none: needs a null trial (controls.null_trial)", "auc_control": None}
ALIKE = {"auc_blind": 0.5, "blind_p_value": 0.7}
ROLES = (
    *(Assignment(f"m{i}", Role.MEMBER, 1) for i in range(N)),
    *(Assignment(f"n{i}", Role.NONMEMBER, 0) for i in range(N)),
    *(Assignment(f"c{i}", Role.CALIBRATION, 0) for i in range(N)),
)
RECORDS = {a.record: Record(a.record, "", f"{a.record[0]}{int(a.record[1:]) // 2}", "a text") for a in ROLES}


def study_of(
    attacks: Sequence[str] = ("loss", "zlib"), level: float = 0.95, prompts: Any = "all", **decide: Any
) -> Study:
    return invented(
        {
            "membership": {"attacks": list(attacks), "primary": "loss"},
            "statistics": {"level": level, "bootstrap": 400},
            "extraction": {"prompts": {"members": prompts}},
            "decide": decide,
        }
    )


def tokens() -> TokenScores:
    ones = np.ones(len(ROLES), np.float32)
    return TokenScores(tuple(RECORDS), np.arange(len(ROLES) + 1), -ones, ones < 0, -ones, ones)


def stratum_of(lifts: dict[str, float], seed: int = 0) -> ScoredStratum:
    """Scores that lie so many deviations higher for members; NaN for none at all; inf for sides that lie apart."""
    ids = [tuple(f"{letter}{i}" for i in range(N)) for letter in "mnc"]
    compared = compare_stratum(Stratum("records", 1, *ids), ROLES, RECORDS, tokens(), tokens(), None)
    scores = {}
    for name, lift in lifts.items():
        sides = [np.random.default_rng([seed, side, len(name)]).normal(size=N) for side in range(3)]
        sides[0] = sides[0] + (lift if math.isfinite(lift) else 100 if math.isinf(lift) else math.nan)
        scores[name] = Scored(name, *sides)
    return ScoredStratum({"trial": "t", "roles": "r"}, compared, scores)


def subject(lifts: dict[str, float] | None = None, *, key: str = "t", **more: Any) -> Subject:
    """A finished subject; without lifts one that has no scores."""
    measured = Measured({"trial": key, "settings": more.pop("settings", {})}, list(ROLES), None, None)
    strata = {"records": stratum_of(lifts)} if lifts else {}
    rows = {("records", name): {**CONTROLLED, **ALIKE, **more.get("rows", {}).get(name, {})} for name in lifts or {}}
    more.pop("rows", None)
    return Subject(measured, "done" if lifts or more else "failed", strata, rows, **more)


def judged(study: Study, *subjects: Subject, look: int = 1, fixed: bool = True) -> list[dict[str, Any]]:
    rules = rules_of(study)
    known = frozenset(rule.sha256 for rule in rules) if fixed else frozenset()
    return verdict_rows(rules, subjects, RECORDS, study, look, known)


def only(study: Study, *subjects: Subject, **more: Any) -> dict[str, Any]:
    (row,) = judged(study, *subjects, **more)
    return row
