# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false
"""Records of different splits that are almost the same text, by MinHash (Broder 1997) in bands (Leskovec 2014).

Axes: N records, P permutations, U shingles that occur.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
from scipy.sparse import csr_array

from byrote.corpora.checks import Finding, fold
from byrote.corpora.rows import first_few
from byrote.records import MEMBERS, SPLITS, Record

THRESHOLD = 0.8
WORDS = 3
"""Words in a shingle."""
PERMUTATIONS, ROWS, SEED = 128, 4, 1997
BLOCK = 512
LOWEST = 0.7
"""Pairs at this likeness are still found with probability 1 − (1 − 0.7⁴)³² = 0.9998; at 0.8 all but 5 in 10⁸."""


@dataclass(frozen=True)
class NearDuplicate:
    """Two records of different splits, in the order of SPLITS, and the Jaccard index of their shingles."""

    records: tuple[str, str]
    splits: tuple[str, str]
    jaccard: float


def near_duplicates(records: Sequence[Record], threshold: float = THRESHOLD) -> list[NearDuplicate]:
    """Pairs of different splits whose shingles have a Jaccard index of at least `threshold`, the most alike first.

    The Jaccard index |A ∩ B| / |A ∪ B| is exact: MinHash only proposes the records that are compared. Equal texts are
    pairs of index 1. ValueError for a threshold outside [LOWEST, 1], below which banding would miss pairs.
    """
    if not LOWEST <= threshold <= 1:
        raise ValueError(f"threshold must lie in [{LOWEST}, 1], got {threshold}")
    ordered = sorted(records, key=lambda r: SPLITS.index(r.split))
    splits_N = np.array([SPLITS.index(r.split) for r in ordered], dtype=np.int8)
    held_NU = incidence([shingles_of(r.text) for r in ordered])
    suspects = np.flatnonzero(_suspects(signatures(held_NU), splits_N))
    pairs = []
    for i, j, alike in _alike(held_NU[suspects], splits_N[suspects], threshold):
        left, right = ordered[suspects[i]], ordered[suspects[j]]
        pairs.append(NearDuplicate((left.record, right.record), (left.split, right.split), alike))
    return sorted(pairs, key=lambda pair: -pair.jaccard)


def near_duplicates_finding(records: Sequence[Record]) -> Finding | None:
    """What near-duplicates across splits mean for a measurement; None where there are none.

    Equal texts are left to `check`, which refuses them or counts them.
    """
    texts = {r.record: fold(r.text) for r in records}
    pairs = [p for p in near_duplicates(records) if texts[p.records[0]] != texts[p.records[1]]]
    if not pairs:
        return None
    named = [f"{p.records[0]} ({p.splits[0]}) and {p.records[1]} ({p.splits[1]})" for p in pairs]
    message = (
        f"{len(pairs)} pairs of records in different splits share at least {THRESHOLD:.0%} of their {WORDS}-word "
        f"shingles: {first_few(named)}; {_meaning(pairs)}"
    )
    return Finding("near_duplicates", len(pairs), message)


def shingles_of(text: str) -> frozenset[tuple[str, ...]]:
    """Every run of WORDS words, case-folded, without punctuation. A shorter text is one shingle, a text without a word
    (signs only) is its own."""
    folded = fold(text).casefold()
    words = re.findall(r"\w+", folded) or [folded]
    return frozenset(tuple(words[i : i + WORDS]) for i in range(max(1, len(words) - WORDS + 1)))


def incidence(shingles: Sequence[frozenset[tuple[str, ...]]]) -> csr_array:
    """Which record holds which shingle, int32 (N, U) of ones; a column a shingle, in sorted order."""
    places = {shingle: i for i, shingle in enumerate(sorted(frozenset[tuple[str, ...]]().union(*shingles)))}
    columns = np.array([places[shingle] for row in shingles for shingle in row], dtype=np.int32)
    ends = np.cumsum([0, *map(len, shingles)], dtype=np.int32)
    return csr_array((np.ones(len(columns), dtype=np.int32), columns, ends), shape=(len(shingles), len(places)))


def signatures(held_NU: csr_array) -> np.ndarray:
    """MinHash of each record, int32 (N, P): the smallest place of its shingles in each of P random orders of all.

    Two records agree in a column with probability equal to their Jaccard index (Broder 1997). Real permutations are
    drawn, not the usual linear hashes, which are only nearly min-wise independent. Every record holds a shingle.
    The seed is fixed: the same records give the same signatures.
    """
    rows, shingles = cast(tuple[int, int], held_NU.shape)
    signatures_NP = np.zeros((rows, PERMUTATIONS), dtype=np.int32)
    rng = np.random.default_rng(SEED)
    for column in range(PERMUTATIONS if rows else 0):
        places = rng.permutation(shingles)[held_NU.indices]
        signatures_NP[:, column] = np.minimum.reduceat(places, held_NU.indptr[:-1])
    return signatures_NP


def _suspects(signatures_NP: np.ndarray, splits_N: np.ndarray) -> np.ndarray:
    """Records that agree with one of another split in all ROWS columns of a band, bool (N,)."""
    suspects_N = np.zeros(len(splits_N), dtype=bool)
    for band in range(0, PERMUTATIONS if len(splits_N) else 0, ROWS):
        columns = signatures_NP[:, band : band + ROWS]
        order = np.lexsort(columns.T)
        first = np.append(True, (columns[order[1:]] != columns[order[:-1]]).any(axis=1))
        buckets, splits = np.flatnonzero(first), splits_N[order]
        mixed = np.minimum.reduceat(splits, buckets) != np.maximum.reduceat(splits, buckets)
        suspects_N[order] |= mixed[np.cumsum(first) - 1]
    return suspects_N


def _alike(held_NU: csr_array, splits_N: np.ndarray, threshold: float) -> Iterator[tuple[int, int, float]]:
    """Rows of different splits, the smaller first, and their Jaccard index where it is at least `threshold`.

    Shared shingles are counted by a sparse product, BLOCK rows at a time: where all texts follow one template, every
    pair shares some, and neither a loop over pairs nor one product of all of them would end well.
    """
    sizes_N, transposed = np.diff(held_NU.indptr), held_NU.T.tocsr()
    for start in range(0, len(sizes_N), BLOCK):
        shared = (held_NU[start : start + BLOCK] @ transposed).tocoo()
        rows, columns = shared.row + start, shared.col
        index = shared.data / (sizes_N[rows] + sizes_N[columns] - shared.data)
        kept = (rows < columns) & (splits_N[rows] != splits_N[columns]) & (index >= threshold)
        yield from zip(rows[kept].tolist(), columns[kept].tolist(), index[kept].tolist(), strict=True)


def _meaning(pairs: Sequence[NearDuplicate]) -> str:
    outside = {p.records[1] for p in pairs if p.splits[0] == MEMBERS}
    if not outside:
        return "none involve members, but thresholds set on calibration records have then seen these non-members"
    return (
        f"{len(outside)} records outside the members were nearly trained on, so attacks look weaker and completions of "
        "non-members look more like memorization than they are: remove these records from one split"
    )
