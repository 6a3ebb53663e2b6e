"""Histograms of scores: each record is in one bin."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from byrote.tables.histograms import BINS, bin_edges, count_in


@given(st.lists(st.floats(allow_nan=False), min_size=1, max_size=60))
def test_each_score_is_counted_in_the_bin_where_it_lies(values):
    edges = bin_edges(np.array(values))
    if not np.isfinite(values).any():
        assert len(edges) == 0
        return
    counts = count_in(np.array(values), edges)
    slow = [0] * BINS
    for value in values:
        bins = [k for k in range(BINS) if k == 0 or edges[k] <= value]
        slow[bins[-1]] += 1
    assert counts.tolist() == slow
