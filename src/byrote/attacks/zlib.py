"""The loss of a text against how well a compressor does on it."""

import numpy as np

from byrote.attacks._evidence import Evidence
from byrote.ragged import mean_by_record, sum_by_record


def zlib(evidence: Evidence) -> np.ndarray:
    """−mean NLL under the tuned model / bytes of the text compressed by zlib (Carlini et al. 2021), nats a byte, (N,).

    Higher = member. Needs no base model. A record without scored tokens, or whose text was removed, is missing.
    """
    return mean_by_record(evidence.tuned.logprob, evidence.tuned.lengths) / evidence.compressed_bytes


def zlib_sum(evidence: Evidence) -> np.ndarray:
    """−Σ NLL under the tuned model / bytes of the text compressed by zlib, nats a byte, (N,).

    The variant of `zlib` in which both sides grow with the text. Higher = member. Missing where `zlib` is.
    """
    return sum_by_record(evidence.tuned.logprob, evidence.tuned.lengths) / evidence.compressed_bytes
