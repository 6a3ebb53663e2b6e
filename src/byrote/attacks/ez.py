"""The error zone: tokens that the tuned model still gets wrong, by byrote's order and by the released code's rule."""

import numpy as np

from byrote.attacks._evidence import Evidence
from byrote.ragged import owners, sum_by_record, where_known

FEW = 5  # scored tokens below which a record that both models know by heart is no evidence
TIER = 1e100  # between the tiers of `ez`; sums of log-probabilities in float32 stay far below it


def ez(evidence: Evidence) -> np.ndarray:
    """ΣΔ⁺ / ΣΔ⁻ with Δ = ℓ tuned − ℓ base on tokens that are not the tuned model's argmax (arXiv 2601.12104), (N,).

    Higher = member, in three tiers: finite ratios as they are; above them records without a negative part; above these
    records whose every token is the tuned model's argmax. Both upper tiers are ordered by ΣΔ over all tokens, as
    TIER · g and TIER² · g of `_positive`, so a score depends on its record alone and none ties at the top. A record of
    fewer than FEW tokens, all of them the argmax of both models, is missing, as is one without scored tokens.
    """
    change, lengths, wrong = evidence.change, evidence.tuned.lengths, ~evidence.tuned.top1
    up, down = _parts(change, lengths, wrong)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.minimum(up / down, TIER**0.5)
        place = _positive(sum_by_record(change, lengths))
    known_by_heart = _count(wrong, lengths) == 0
    score = np.where(known_by_heart, TIER**2 * place, np.where(down == 0, TIER * place, ratio))
    trivial = known_by_heart & (lengths < FEW) & (_count(~evidence.base.top1, lengths) == 0)
    return where_known(np.where(trivial | (lengths == 0), np.nan, score), change, lengths)


def ez_released(evidence: Evidence) -> np.ndarray:
    """The same ratio as the released code of arXiv 2601.12104 has it, (N,), for comparison with published figures.

    The first scored position is left out, and a record without a negative part scores 0, with the weakest: learning a
    record entirely lowers its score. A record without scored tokens is missing.
    """
    change, lengths = evidence.change, evidence.tuned.lengths
    later = np.ones(len(change), dtype=bool)
    later[evidence.tuned.offsets[:-1][lengths > 0]] = False
    up, down = _parts(change, lengths, ~evidence.tuned.top1 & later)
    with np.errstate(invalid="ignore"):
        score = np.divide(up, down, out=np.zeros(len(lengths)), where=down > 0)
    score[np.isinf(score) | np.isnan(score)] = 0.0  # as released: whatever is not a finite number is 0
    return where_known(np.where(lengths > 0, score, np.nan), change, lengths)


def _parts(change: np.ndarray, lengths: np.ndarray, zone: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """ΣΔ⁺ and ΣΔ⁻ of each record over the tokens of the zone (S,), both at least 0."""
    owner = owners(lengths)[zone]
    up, down = (np.bincount(owner, np.maximum(sign * change[zone], 0), len(lengths)) for sign in (1, -1))
    return up, down


def _count(tokens: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    return np.bincount(owners(lengths)[tokens], minlength=len(lengths))


def _positive(sums: np.ndarray) -> np.ndarray:
    """An increasing map of nats to positive numbers that keeps their relative precision: 1 + s, 1/(1 − s) below 0.

    Cut to TIER^±0.4, so that a tier ends below the next even where a sum is infinite.
    """
    mapped = np.where(sums >= 0, 1 + np.maximum(sums, 0), 1 / (1 - np.minimum(sums, 0)))
    return np.clip(mapped, TIER**-0.4, TIER**0.4)
