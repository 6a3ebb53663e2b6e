"""Untargeted extraction: what a model writes from an empty prompt, looked up among the records (Carlini et al. 2021).

A match with a member is evidence only beside a control: the matches of the base model's completions with the members,
and of the tuned model's with the non-members, which `match` gives as well.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

Index = dict[tuple[int, ...], list[tuple[int, int]]]


@dataclass(frozen=True)
class Match:
    """A run of token ids that a completion shares with a record. Starts count tokens from 0."""

    record: str
    tokens: int
    completion_start: int
    record_start: int


def match(
    completions: Sequence[Sequence[int]], members: Sequence[tuple[str, Sequence[int]]], least: int
) -> list[Match | None]:
    """For each completion the record that shares its longest run of token ids; None where no run is long enough.

    members: record id and token ids of each, or of the non-members as control. least: tokens a run must have. A record
    of fewer tokens matches where the completion holds the whole of it; one without tokens never. Of equally long runs
    the first in the order of the records counts, then the first in the completion, then in the record.
    ValueError where `least` is below 1.
    """
    if least < 1:
        raise ValueError(f"least must be at least 1 token, got {least}")
    ids = [tuple(tokens) for _, tokens in members]
    indices = _index(ids, least)
    return [_longest(tuple(completion), members, ids, indices) for completion in completions]


def ranked_precision(ranking_scores: np.ndarray, is_match: np.ndarray) -> np.ndarray:
    """Share of matches among the k completions ranked highest, for k = 1 … N, float64 (N,).

    ranking_scores (N,): higher = ranked earlier, such as the negative perplexity · is_match (N,): bool.
    Equal scores count as in random order: the expected precision over their orders (McSherry & Najork 2008).
    ValueError for scores that are NaN: take those completions out and say how many they are.
    """
    scores_N, hits_N = np.asarray(ranking_scores, dtype=np.float64), np.asarray(is_match, dtype=bool)
    if scores_N.shape != hits_N.shape or scores_N.ndim != 1:
        raise ValueError(f"one score and one flag a completion, got shapes {scores_N.shape} and {hits_N.shape}")
    if np.isnan(scores_N).any():
        raise ValueError(f"{np.isnan(scores_N).sum()} of {len(scores_N)} ranking scores are NaN; remove and count them")
    order = np.argsort(-scores_N, kind="stable")
    sorted_N, found_N = scores_N[order], np.cumsum(hits_N[order])
    ends = np.flatnonzero(np.append(sorted_N[1:] != sorted_N[:-1], len(sorted_N) > 0))
    k_N = np.arange(1, len(scores_N) + 1)
    return np.interp(k_N, np.append(0, ends + 1), np.append(0, found_N[ends])) / k_N


def _index(ids: Sequence[tuple[int, ...]], least: int) -> dict[int, Index]:
    """Length → n-gram of that length → places (record, start): all of `least` tokens, and short records as a whole."""
    indices: dict[int, Index] = defaultdict(lambda: defaultdict(list))
    for record, tokens in enumerate(ids):
        length = min(least, len(tokens))
        for start in range(len(tokens) - length + 1 if length else 0):
            indices[length][tokens[start : start + length]].append((record, start))
    return indices


def _longest(
    completion: tuple[int, ...],
    members: Sequence[tuple[str, Sequence[int]]],
    ids: Sequence[tuple[int, ...]],
    indices: dict[int, Index],
) -> Match | None:
    """Runs of `least` tokens are longer than any short record, so the first length that has one holds the longest."""
    for length in sorted(indices, reverse=True):
        runs = list(_runs(completion, ids, indices[length], length))
        if runs:
            tokens, record, at, start = min(runs, key=lambda run: (-run[0], *run[1:]))
            return Match(members[record][0], tokens, at, start)
    return None


def _runs(
    completion: tuple[int, ...], ids: Sequence[tuple[int, ...]], index: Index, length: int
) -> Iterator[tuple[int, int, int, int]]:
    """Tokens, record, start in the completion, start in the record: of each run that none before it was as long as."""
    longest = length
    for at in range(len(completion) - length + 1):
        for record, start in index.get(completion[at : at + length], ()):
            if len(completion) - at < longest:
                return
            tokens = ids[record]
            if completion[at : at + longest] != tokens[start : start + longest]:
                continue
            while completion[at + longest : at + longest + 1] == tokens[start + longest : start + longest + 1] != ():
                longest += 1
            yield longest, record, at, start
