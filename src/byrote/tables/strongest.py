"""Which attack is the strongest, read off the rows of the table `membership`."""

from collections.abc import Sequence

import pandas as pd

from byrote.tables.compared import AUDITOR


def outsiders(membership: pd.DataFrame) -> pd.DataFrame:
    """The rows with an AUC of attacks that an outsider can run; the auditor, who knows the members, is left out."""
    return membership[membership["auc"].notna() & (membership["attack"] != AUDITOR)]


def strongest_rows(membership: pd.DataFrame, within: Sequence[str] = ()) -> pd.DataFrame:
    """The outsiders' row of the highest AUC, the first where several are; none where no attack has an AUC.

    within: columns, such as trial and stratum, for a row in each group of their values.
    """
    ranked = outsiders(membership).sort_values("auc", ascending=False, kind="stable")
    return ranked.drop_duplicates(list(within)) if within else ranked.head(1)
