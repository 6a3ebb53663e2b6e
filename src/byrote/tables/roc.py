# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownParameterType=false
"""The table `roc`: the curve of every attack on every stratum of every trial."""

import pyarrow as pa

from byrote.statistics.roc import corners, roc_curve
from byrote.tables.columns import COLUMNS
from byrote.tables.compared import Compared, Scored, known_scores


def roc_table(trial: str, compared: Compared, scored: Scored) -> pa.Table:
    """The corners of the ROC curve as rows of the table `roc`: thousands a curve, so never one by one."""
    members, nonmembers, _ = known_scores(compared, scored)
    fpr, tpr = corners(*roc_curve(members, nonmembers))
    same = {"trial": trial, "stratum": compared.stratum.name, "attack": scored.attack}
    columns = {name: pa.repeat(word, len(fpr)) for name, word in same.items()}
    return pa.table({**columns, "fpr": fpr, "tpr": tpr}, schema=pa.schema(list(COLUMNS["roc"].items())))
