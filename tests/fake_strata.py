"""Scores of made-up trials on the same records, as tables over several trials take them."""

import numpy as np

from byrote.attacks import Evidence
from byrote.records import TokenScores
from byrote.study.labels import label_parts
from byrote.tables.compared import Compared, Scored, ScoredStratum, Stratum

P, Q = 40, 30
NOTHING = TokenScores((), np.zeros(1, np.int64), *(np.zeros(0, kind) for kind in ("f4", "?", "f4", "f4")))


def planned(rank: int, seed: int, canary_seed: int = 0) -> dict:
    settings = {
        "lora": {"rank": rank},
        "training": {"epochs": 1, "seed": seed},
        "canaries": {"design": "many", "seed": canary_seed},
    }
    head = {"trial": f"t{rank}-{seed}", "matrices": "v", "rank": rank, "seed": seed, "settings": settings}
    return {**head, "label_parts": label_parts("v", rank, seed, ())}


def scored_stratum(rank: int, seed: int, lift: float, ids: str = "", nan: int = 0) -> ScoredStratum:
    """Members' scores are higher by `lift`; documents of two records; the same noise of records under every seed."""
    shared, own = np.random.default_rng(1).normal(size=P + Q), np.random.default_rng([rank, seed]).normal(size=P + Q)
    scores = shared + own / 2 + lift * (np.arange(P + Q) < P)
    members, nonmembers = scores[:P].copy(), scores[P:]
    members[:nan] = np.nan
    names = [f"{ids}m{i}" for i in range(P)], [f"{ids}n{i}" for i in range(Q)]
    groups = tuple(f"{ids}d{i // 2}" for i in range(P)), tuple(f"{ids}e{i // 2}" for i in range(Q))
    stratum = Stratum("records", 1, tuple(names[0]), tuple(names[1]), ())
    empty = Evidence(NOTHING, NOTHING, ())
    compared = Compared(stratum, (empty, empty, empty), groups, None)
    return ScoredStratum(planned(rank, seed), compared, {"ratio": Scored("ratio", members, nonmembers, np.zeros(0))})
