"""What each attacker reaches: the rows of the table `attackers`, read off those of `membership`.

An attacker who has more can also run what takes less: the strongest attack is looked for among all that they can run.
The auditor, who knows the members, is no such attacker: theirs is the one attack that learns from this knowledge.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from byrote.attacks import BASE_TOO, OWN_DOCUMENTS, SUBJECT_ONLY
from byrote.tables.compared import AUDITOR

OUTSIDERS = (SUBJECT_ONLY, BASE_TOO, OWN_DOCUMENTS)  # each can run the attacks of those before it
_TAKEN = (
    *("attack", "auc", "simultaneous_low", "simultaneous_high"),
    *("control", "auc_control", "auc_control_low", "auc_control_high"),
    *("above_control", "above_control_low", "above_control_high"),
)
_POINT = ("target_fpr", "tpr", "tpr_low", "tpr_high")
Row = Mapping[str, Any]


def attacker_rows(membership: Sequence[Row], operating_points: Sequence[Row]) -> Iterator[dict[str, Any]]:
    """A row for each trial, stratum and attacker whose attacks were run: the attack of the highest AUC, the first where
    several are, its interval that holds for all attacks together, its control and how far it lies above it, and its
    TPR at the lowest false-positive rate that has an interval.

    The arguments are rows of these tables. An attacker for whom no attack has an AUC has no row.
    """
    points = _lowest(operating_points)
    places = dict.fromkeys((row["trial"], row["stratum"]) for row in membership)
    for trial, stratum in places:
        rows = [row for row in membership if (row["trial"], row["stratum"]) == (trial, stratum)]
        for attacker in (*OUTSIDERS, AUDITOR):
            own = [row for row in rows if row["attacker"] == attacker]
            can_run = [row for row in rows if row["attacker"] in _reach(attacker) and row["auc"] is not None]
            if own and can_run:
                best = max(can_run, key=lambda row: row["auc"])
                head = {"trial": trial, "stratum": stratum, "attacker": attacker, "attacks": len(can_run)}
                point = points.get((trial, stratum, best["attack"]), {})
                yield {
                    **head,
                    **{name: best.get(name) for name in _TAKEN},
                    **{name: point.get(name) for name in _POINT},
                }


def _lowest(operating_points: Sequence[Row]) -> dict[tuple[str, str, str], Row]:
    """Trial, stratum and attack → the point of the lowest target whose threshold calibration records set, and whose
    TPR has an interval."""
    shown = [p for p in operating_points if p["threshold_source"] == "calibration" and p.get("tpr_low") is not None]
    shown.sort(key=lambda p: p["target_fpr"], reverse=True)
    return {(p["trial"], p["stratum"], p["attack"]): p for p in shown}


def _reach(attacker: str) -> tuple[str, ...]:
    """Whose attacks this attacker can run."""
    return OUTSIDERS[: OUTSIDERS.index(attacker) + 1] if attacker in OUTSIDERS else (attacker,)
