# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownParameterType=false
"""The table `histograms`: how the scores of every attack lie, beside those where nothing was learned."""

import numpy as np
import pyarrow as pa

from byrote.tables.columns import COLUMNS
from byrote.tables.compared import Compared, Scored

BINS = 30
OUTSIDE = 0.005  # share of scores left of the first bin's inner edge, and right of the last one's


def histogram_table(trial: str, compared: Compared, scored: Scored, control: Scored | None) -> pa.Table:
    """A row for each bin; no rows where no record has a score. Subject and control share the bins; control None: the
    counts of its columns are missing."""
    sides = {"members": scored.members, "nonmembers": scored.nonmembers}
    if control is not None:
        sides |= {"members_control": control.members, "nonmembers_control": control.nonmembers}
    known = {name: scores[~np.isnan(scores)] for name, scores in sides.items()}
    edges = bin_edges(np.concatenate(list(known.values())))
    rows = max(len(edges) - 1, 0)
    same = {"trial": trial, "stratum": compared.stratum.name, "attack": scored.attack}
    schema = pa.schema(list(COLUMNS["histograms"].items()))
    columns = {name: pa.repeat(word, rows) for name, word in same.items()}
    columns |= {"low": pa.array(edges[:-1]), "high": pa.array(edges[1:])}
    for name in ("members", "nonmembers", "members_control", "nonmembers_control"):
        counts = count_in(known[name], edges) if name in known and rows else None
        columns[name] = pa.nulls(rows, pa.int64()) if counts is None else pa.array(counts)
    return pa.table(columns, schema=schema)


def bin_edges(scores: np.ndarray) -> np.ndarray:
    """Edges (BINS + 1,) of bins of equal width over the middle 99% of the finite `scores` (N,); around the score where
    all are equal; none where no score is finite."""
    finite = scores[np.isfinite(scores)]
    if not len(finite):
        return np.empty(0)
    low, high = (float(end) for end in np.quantile(finite, (OUTSIDE, 1 - OUTSIDE)))
    if low == high:
        low, high = low - 0.5, high + 0.5
    return np.linspace(low, high, BINS + 1)


def count_in(scores: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """How many of `scores` (N,), infinite ones too, lie in each bin (B,); those beyond the ends in the outer bins."""
    places = np.searchsorted(edges[1:-1], scores, side="right")
    return np.bincount(places, minlength=len(edges) - 1)
