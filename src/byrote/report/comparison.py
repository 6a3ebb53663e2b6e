"""Which matrices leak most, and whether the data tell them from the next."""

import math
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy.stats import t

from byrote.figures.cells import SEEDS_FOR_INTERVAL, auc_cells
from byrote.report.words import count, interval, number

if TYPE_CHECKING:
    from byrote.tables import Tables

ONE_SEED = "With one seed each, this compares two trained models, not two configurations."
MOST_COMPARED = 4


def placement_sentences(tables: "Tables", primary: str) -> list[str]:
    """At each rank: which matrices leak most, and whether the data tell them from the next."""
    cells = auc_cells(tables, primary)
    groups = [group for _, group in cells.groupby(["rank", "variant"], sort=True) if len(group) > 1]
    told = [sentence for group in groups[:MOST_COMPARED] for sentence in _leader(group)]
    if any((group["seeds"] == 1).all() for group in groups):
        told.append(ONE_SEED)
    if len(groups) > MOST_COMPARED:
        told.append(f"{count(len(groups) - MOST_COMPARED, 'further comparison')} can be read from the table.")
    return told


def _leader(group: pd.DataFrame) -> list[str]:
    first, second = (row for _, row in group.sort_values("auc", ascending=False, kind="stable").head(2).iterrows())
    where = f"At rank {first['rank']}" + (f" ({first['variant']})" if first["variant"] else "")
    head = f"{where}, {first['matrices']} leaks most (AUC {number(first['auc'])})"
    head += f", then {second['matrices']} ({number(second['auc'])})"
    if first["seeds"] == 1 and second["seeds"] == 1:
        return [f"{head}; {_overlap(first, second)}."]
    fewest = min(first["seeds"], second["seeds"])
    if fewest < SEEDS_FOR_INTERVAL:
        needed = f"where a claim about matrices needs {SEEDS_FOR_INTERVAL}"
        return [f"{head}; means over {_seeds(first, second)}, {needed}."]
    pairs = len(group) * (len(group) - 1) // 2
    low, high = difference_interval(np.array(first["aucs"]), np.array(second["aucs"]), pairs)
    verdict = "which holds 0" if low <= 0 <= high else "apart from 0"
    widened = f", widened for {pairs} pairs" if pairs > 1 else ""
    return [
        f"{head}; over {_seeds(first, second)}, the seed as unit, the 95% interval of the "
        f"difference{widened} is {interval(low, high, 3)}, {verdict}."
    ]


def _seeds(first: pd.Series, second: pd.Series) -> str:
    if first["seeds"] == second["seeds"]:
        return f"{first['seeds']} seeds each"
    return f"{count(first['seeds'], 'seed')} and {count(second['seeds'], 'seed')}"


def _overlap(first: pd.Series, second: pd.Series) -> str:
    if any(math.isnan(value) for value in (first["low"], second["high"])):
        return "no interval tells whether they differ"
    return f"their 95% intervals {'overlap' if first['low'] <= second['high'] else 'do not overlap'}"


def difference_interval(one: np.ndarray, other: np.ndarray, pairs: int = 1, level: float = 0.95) -> tuple[float, float]:
    """Welch's interval of mean(one) − mean(other), both over seeds, at 1 − (1 − level)/pairs (Bonferroni)."""
    variances = [values.var(ddof=1) / len(values) for values in (one, other)]
    total, difference = sum(variances), float(one.mean() - other.mean())
    if total == 0:
        return difference, difference
    freedom = total**2 / sum(v**2 / (len(a) - 1) for v, a in zip(variances, (one, other), strict=True))
    half = float(t.ppf(1 - (1 - level) / pairs / 2, freedom)) * math.sqrt(total)
    return difference - half, difference + half
