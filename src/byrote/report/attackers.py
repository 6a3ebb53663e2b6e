"""Which figures belong to whom: what each attacker reaches with what they have."""

from typing import TYPE_CHECKING

from byrote.report.page import Grid, labels_of, records_of, stratum_words
from byrote.report.words import interval, number, plain

if TYPE_CHECKING:
    from byrote.tables import Tables


def attackers_grid(tables: "Tables") -> Grid:
    """A row a trial, stratum and attacker, with the strongest attack that they can run."""
    labels = labels_of(tables)
    body = [
        [
            *(labels.get(row["trial"], str(row["trial"])), stratum_words(row["stratum"]), str(row["attacker"])),
            *(
                str(row["attack"]),
                number(row["auc"], 3),
                interval(row["simultaneous_low"], row["simultaneous_high"], 3),
            ),
            *(number(row["auc_control"], 3), str(row["control"]), plain(row["attacks"])),
        ]
        for row in records_of(tables.attackers)
    ]
    headers = ["trial", "compared", "who", "strongest attack", "AUC", "interval"]
    headers += ["AUC of its control", "the control", "attacks"]
    note = (
        "Whoever has more can also run what takes less. The interval holds for all attacks of the trial together, for "
        "the strongest is picked by its result. The auditor knows who is a member. Attacks: how many they can run."
    )
    return Grid("What each attacker reaches", headers, body, 4, note)
