"""The blind classifier on the texts of a stratum: computed once for each two sides, and kept in the run folder."""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict
from hashlib import sha256
from typing import Any

from byrote.records import RECORDS_STRATUM, Record
from byrote.statistics.blind import METHOD_VERSION, PERMUTATIONS, BlindTest, blind_test
from byrote.store import Run
from byrote.tables.compared import Compared, present


def blind_of(run: Run, compared: Compared, records: Mapping[str, Record], seed: int, *, keep: bool) -> BlindTest:
    """The kept result for these two sides, else a new one; `keep` stores it. Its key holds all that it depends on."""
    sides = [[records[r] for r in ids] for ids in (compared.stratum.members, compared.stratum.nonmembers)]
    key = _key(sides, seed)
    kept = run.blind(key)
    if kept is not None:
        auc, p_value = (math.nan if kept[name] is None else kept[name] for name in ("auc", "p_value"))
        return BlindTest(auc, p_value, kept["permutations"], kept["reason"])
    members, nonmembers = ([r.text for r in side] for side in sides)
    result = blind_test(members, nonmembers, [r.group for side in sides for r in side], seed=seed)
    if keep:
        row = {**asdict(result), **present(auc=result.auc, p_value=result.p_value)}
        run.write_blind(key, row)
    return result


def blind_columns(compared: Compared, result: BlindTest | None) -> dict[str, Any]:
    """Columns of `membership`: the stratum records has the classifier, canaries do not."""
    if result is None or compared.stratum.name != RECORDS_STRATUM:
        return {"blind_note": "none: tried on the stratum records alone"}
    if result.reason:
        return {"blind_note": f"none: {result.reason}"}
    numbers = present(auc_blind=result.auc, blind_p_value=result.p_value)
    return {**numbers, "blind_permutations": result.permutations, "blind_note": "labels permuted by document"}


def _key(sides: list[list[Record]], seed: int) -> str:
    """Digest of both sides' texts and documents, the seed, and how the classifier is judged."""
    content = [[(r.sha256, r.group) for r in side] for side in sides]
    return sha256(json.dumps([METHOD_VERSION, PERMUTATIONS, seed, content]).encode()).hexdigest()[:24]
