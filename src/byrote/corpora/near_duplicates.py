# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false
"""Records of different splits that are almost the same text, by MinHash (Broder 1997) in bands (Leskovec 2014).

Axes: N records, P permutations, S shingles one after the other, U shingles that occur.
"""

import itertools
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
_WORD = re.compile(r"\w+")
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
    held_NU = incidence([r.text for r in ordered])
    possible = np.flatnonzero(_possible(held_NU, splits_N, threshold))
    suspects = possible[_suspects(signatures(_rows(held_NU, possible)), splits_N[possible])]
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


def words_of(text: str) -> list[str]:
    """The words of a text, case-folded, without punctuation. A text without a word (signs only) is one."""
    folded = fold(text).casefold()
    return _WORD.findall(folded) or [folded]


def incidence(texts: Sequence[str]) -> csr_array:
    """Which text holds which shingle, int32 (N, U) of ones, a column a shingle.

    A shingle is a run of WORDS words; a shorter text is one shingle. A run is numbered word by word: by the number of
    the run before its last word, and that word's.
    """
    number_of: dict[str, int] = {}
    numbers = [[number_of.setdefault(word, len(number_of) + 1) for word in words_of(text)] for text in texts]
    words_N = np.array(list(map(len, numbers)), dtype=np.int64)
    shingles_N = np.maximum(1, words_N - WORDS + 1)
    text_S = np.repeat(np.arange(len(texts)), shingles_N)
    ends_S = np.cumsum(words_N)[text_S]
    within_S = np.arange(len(text_S)) - np.repeat(np.cumsum(shingles_N) - shingles_N, shingles_N)
    first_S = (np.cumsum(words_N) - words_N)[text_S] + within_S
    flat = np.fromiter(itertools.chain(*numbers, [0] * WORDS), dtype=np.int64)
    runs_S = np.zeros(len(text_S), dtype=np.int64)
    for place in range(WORDS):
        words_S = np.where(first_S + place < ends_S, flat[first_S + place], 0)  # 0: no word, the text is shorter
        _, runs_S = np.unique(runs_S * (len(number_of) + 1) + words_S, return_inverse=True)
    shingles = int(runs_S.max(initial=-1)) + 1
    held = np.unique(text_S * shingles + runs_S)
    ends = np.searchsorted(held, np.arange(len(texts) + 1) * shingles).astype(np.int32)
    columns = (held % max(1, shingles)).astype(np.int32)
    return csr_array((np.ones(len(held), dtype=np.int32), columns, ends), shape=(len(texts), shingles))


def _possible(held_NU: csr_array, splits_N: np.ndarray, threshold: float) -> np.ndarray:
    """Records of whose shingles a share of `threshold` or more occurs in another split too, bool (N,).

    No other can be in a pair: |A ∩ B| ≥ t·|A ∪ B| ≥ t·|A|, and A ∩ B is in both splits.
    """
    if not len(splits_N):
        return np.zeros(0, dtype=bool)
    shingles = cast(tuple[int, int], held_NU.shape)[1]
    sizes_N = np.diff(held_NU.indptr)
    split_of = np.repeat(splits_N, sizes_N)
    there = [np.bincount(held_NU.indices[split_of == s], minlength=shingles) > 0 for s in range(len(SPLITS))]
    shared_U = np.sum(there, axis=0) > 1
    shared_N = np.add.reduceat(shared_U[held_NU.indices].astype(np.int64), held_NU.indptr[:-1])
    return shared_N >= threshold * sizes_N - 1e-9


def _rows(held_NU: csr_array, kept: np.ndarray) -> csr_array:
    """Some of the rows, with the columns of shingles that they hold."""
    rows = held_NU[kept]
    held, columns = np.unique(rows.indices, return_inverse=True)
    return csr_array((rows.data, columns.astype(np.int32), rows.indptr), shape=(len(kept), len(held)))


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
