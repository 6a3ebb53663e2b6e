"""AUCs gathered for reading: one row per cell (matrices × rank × what else varies), seeds together.

Seeds are the unit of a claim about a configuration; records are the unit of a claim about one trained model.
"""

import math
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy.stats import t

from byrote.study.labels import joined, varied_from_text

if TYPE_CHECKING:
    from byrote.tables import Tables

SEEDS_FOR_INTERVAL = 5
CELL_COLUMNS = ["matrices", "rank", "variant", "auc", "low", "high", "basis", "seeds", "aucs", "trials"]


def variants(trials: pd.DataFrame) -> dict[str, str]:
    """Trial → what varies beyond matrices, rank and seed, in words; '' where nothing else does."""
    cells = zip(trials["trial"], trials["varied"], strict=True)
    return {trial: joined(varied_from_text(varied)) for trial, varied in cells}


def label_parts_of(trials: pd.DataFrame) -> dict[str, list[str]]:
    """Trial → the parts of its label, in words."""
    columns = ("trial", "matrices", "rank", "varied", "seed")
    return {
        trial: varied_from_text(varied)
        if pd.isna(seed)  # a subject that is given has a name alone
        else [matrices, f"rank {rank}", *varied_from_text(varied), f"seed {seed}"]
        for trial, matrices, rank, varied, seed in zip(*(trials[name] for name in columns), strict=True)
    }


def seeds_interval(values: np.ndarray, level: float) -> tuple[float, float]:
    """Student's t interval of a mean over S seeds, float (S,); (NaN, NaN) for fewer than `SEEDS_FOR_INTERVAL`."""
    if len(values) < SEEDS_FOR_INTERVAL:
        return math.nan, math.nan
    half = t.ppf(0.5 + level / 2, len(values) - 1) * values.std(ddof=1) / math.sqrt(len(values))
    return float(values.mean() - half), float(values.mean() + half)


def auc_cells(tables: "Tables", attack: str, stratum: str = "records") -> pd.DataFrame:
    """One row per cell, columns CELL_COLUMNS, matrices in the study's order and ranks rising.

    auc: mean over the cell's seeds · low, high: at the level of the tables, over records where `basis` is 'records'
    (one seed), over seeds where it is 'seeds' (five or more), else NaN · aucs, trials: lists, one entry per seed. Rows
    without an AUC are left out here; the report counts them. So are subjects that are given: they are in no grid.
    """
    rows = tables.membership
    rows = rows[(rows["attack"] == attack) & (rows["stratum"] == stratum) & rows["auc"].notna() & rows["seed"].notna()]
    if rows.empty:
        return pd.DataFrame(columns=CELL_COLUMNS)
    words = variants(tables.trials)
    rows = rows.assign(variant=[words.get(trial, "") for trial in rows["trial"]])
    order = {name: i for i, name in enumerate(dict.fromkeys([*tables.trials["matrices"], *rows["matrices"]]))}
    cells = [
        _cell(key, group, tables.level) for key, group in rows.groupby(["matrices", "rank", "variant"], sort=False)
    ]
    cells.sort(key=lambda cell: (order[cell["matrices"]], cell["rank"], cell["variant"]))
    return pd.DataFrame(cells, columns=CELL_COLUMNS)


def _cell(key: tuple, group: pd.DataFrame, level: float) -> dict:
    aucs = group["auc"].to_numpy(float)
    if len(group) == 1:
        basis, (low, high) = "records", group[["auc_low", "auc_high"]].to_numpy(float)[0]
    else:
        low, high = seeds_interval(aucs, level)
        basis = "" if math.isnan(low) else "seeds"
    return {
        **dict(zip(("matrices", "rank", "variant"), key, strict=True)),
        **{"auc": float(aucs.mean()), "low": float(low), "high": float(high), "basis": basis},
        **{"seeds": len(group), "aucs": aucs.tolist(), "trials": group["trial"].tolist()},
    }


def same_matrices(first: str, second: str) -> bool:
    """Whether two words name the same set of matrices, in any order."""
    return set(first.split(",")) == set(second.split(","))


def per_record(extraction: pd.DataFrame) -> pd.DataFrame:
    """Means over samples: one row for each trial, model, record, role, copies and temperature.

    Columns ngram_share, perplexity_base, perplexity_tuned (float) beside the keys.
    """
    keys = ["trial", "model", "record", "role", "copies", "temperature"]
    values = ["ngram_share", "perplexity_base", "perplexity_tuned"]
    numeric = extraction.astype(dict.fromkeys(values, float))
    return numeric.groupby(keys, sort=False, dropna=False)[values].mean().reset_index()
