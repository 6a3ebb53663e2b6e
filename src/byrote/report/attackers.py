"""Which figures belong to whom: what each attacker reaches with what they have."""

from typing import TYPE_CHECKING, Any

from byrote.report.page import Grid, labels_of, records_of, stratum_words
from byrote.report.words import number, plain, rate_words, with_ends

if TYPE_CHECKING:
    from byrote.tables import Tables


def attackers_grid(tables: "Tables") -> Grid:
    """A row a trial, stratum and attacker, with the strongest attack that they can run."""
    labels = labels_of(tables)
    body = [
        [
            *(labels.get(row["trial"], str(row["trial"])), stratum_words(row["stratum"]), str(row["attacker"])),
            *(str(row["attack"]), _with_ends(row, "auc", "simultaneous_"), rate_words(row)),
            *(number(row["auc_control"], 3), _with_ends(row, "above_control", "above_control_"), str(row["control"])),
            plain(row["attacks"]),
        ]
        for row in records_of(tables.attackers)
    ]
    headers = ["trial", "compared", "who", "strongest attack", "AUC", "TPR at the lowest FPR shown"]
    headers += ["AUC of its control", "above its control", "the control", "attacks"]
    note = (
        "Whoever has more can also run what takes less. The interval of the AUC holds for all attacks of the trial "
        "together, for the strongest is picked by its result; the others hold by themselves. The auditor knows who is "
        "a member. Attacks: how many they can run."
    )
    return Grid("What each attacker reaches", headers, body, 4, note)


def _with_ends(row: Any, name: str, prefix: str) -> str:
    return with_ends(row[name], row[f"{prefix}low"], row[f"{prefix}high"])
