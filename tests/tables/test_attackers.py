"""What each attacker reaches, against made-up rows."""

from typing import Any

from byrote.tables.attackers import attacker_rows


def attack(name: str, attacker: str, auc: float | None, stratum: str = "records") -> dict[str, Any]:
    ends = {"simultaneous_low": 0.1, "simultaneous_high": 0.9, "control": "base model", "auc_control": 0.5}
    above = {"above_control": 0.2, "above_control_low": 0.1, "above_control_high": 0.3}
    return {"trial": "t", "stratum": stratum, "attack": name, "attacker": attacker, "auc": auc, **ends, **above}


def point(name: str, rate: float, low: float | None, source: str = "calibration") -> dict[str, Any]:
    head = {"trial": "t", "stratum": "records", "attack": name, "target_fpr": rate, "threshold_source": source}
    return {**head, "tpr": 2 * rate, "tpr_low": low, "tpr_high": 3 * rate}


MEMBERSHIP = [
    attack("loss", "subject only", 0.7),
    attack("zlib", "subject only", None),
    attack("ratio", "base model too", 0.6),
    attack("difference_shadow", "documents of their own too", 0.8),
    attack("auditor", "auditor", 0.9),
    attack("loss", "subject only", 0.55, stratum="canaries@8"),
]
POINTS = [
    *(point("loss", 0.1, 0.15), point("loss", 0.01, 0.005), point("loss", 0.001, None)),
    *(point("difference_shadow", 0.1, 0.2), point("difference_shadow", 0.01, 0.01, "published")),
]


def test_whoever_has_more_runs_what_takes_less_and_the_auditor_stands_apart() -> None:
    rows = {(row["stratum"], row["attacker"]): row for row in attacker_rows(MEMBERSHIP, POINTS)}
    best = {key: (row["attack"], row["attacks"], row["auc"]) for key, row in rows.items()}
    assert best == {
        ("records", "subject only"): ("loss", 1, 0.7),
        ("records", "base model too"): ("loss", 2, 0.7),
        ("records", "documents of their own too"): ("difference_shadow", 3, 0.8),
        ("records", "auditor"): ("auditor", 1, 0.9),
        ("canaries@8", "subject only"): ("loss", 1, 0.55),
    }
    assert rows["records", "subject only"]["above_control_low"] == 0.1


def test_the_rate_is_the_lowest_whose_threshold_calibration_records_set_and_that_has_an_interval() -> None:
    rows = {(row["stratum"], row["attacker"]): row for row in attacker_rows(MEMBERSHIP, POINTS)}
    shown = {key: (row["target_fpr"], row["tpr"], row["tpr_low"]) for key, row in rows.items()}
    assert shown["records", "base model too"] == (0.01, 0.02, 0.005)
    assert shown["records", "documents of their own too"] == (0.1, 0.2, 0.2)
    assert shown["records", "auditor"] == shown["canaries@8", "subject only"] == (None, None, None)


def test_an_attacker_without_an_auc_has_no_row() -> None:
    assert list(attacker_rows([attack("zlib", "subject only", None)], [])) == []
