"""The report's tables, as text in cells. Every function is pure: tables in, Grid out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

from byrote.figures.cells import auc_cells, same_matrices, variants
from byrote.figures.published import Published
from byrote.report.findings import KINDS, generation_summary
from byrote.report.words import MISSING, duration, interval, memory, missing, number, percent, plain, rate

if TYPE_CHECKING:
    from byrote.tables import Tables

MOST_TEXTS = 10


@dataclass(frozen=True)
class Grid:
    """A table to print. `words`: how many leading columns hold words; the others are numbers and stand to the right."""

    caption: str
    headers: Sequence[str]
    rows: Sequence[Sequence[str]]
    words: int = 1
    note: str = ""


def _rows(frame: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(name): value for name, value in row.items()} for row in frame.to_dict("records")]


def primary_grid(tables: "Tables", primary: str, published: Published | None) -> Grid:
    """AUC of the primary attack on records by matrices, rank and seed; means where there are several seeds."""
    rows, words = tables.membership, variants(tables.trials)
    rows = rows[(rows["attack"] == primary) & (rows["stratum"] == "records")]
    body = []
    for row in _rows(rows):
        cells = [row["matrices"], words.get(row["trial"], "") or MISSING, plain(row["rank"]), str(row["seed"])]
        cells += [number(row["auc"], 3), interval(row["auc_low"], row["auc_high"], 3)]
        body.append([*cells, plain(row["n_members"]), plain(row["n_nonmembers"]), _published(row, published)])
    headers = ["matrices", "also varied", "rank", "seed", "AUC", "95% interval", "members", "non-members", "published"]
    note = "Interval: by document (Obuchowski 1997), on the logit scale; the tables have Hanley and McNeil's beside it."
    if published is not None:
        note += f" Published: {published.title}, {published.source}; {published.setting}."
    caption = f"AUC of the primary attack ({primary}), members against non-members, one row a trial"
    return _without_empty(Grid(caption, headers, body, 2, note))


def _published(row: Mapping[str, Any], published: Published | None) -> str:
    if published is None:
        return MISSING
    for matrices, rank, auc, half in published.cells:
        if rank == row["rank"] and same_matrices(matrices, str(row["matrices"])):
            digits = 2 if round(auc, 2) == auc else 4 if round(auc, 3) != auc else 3
            return number(auc, digits) + (f" ± {half}" if half is not None else "")
    return MISSING


def _without_empty(grid: Grid) -> Grid:
    """The same table without optional columns that hold dashes alone."""
    optional = {"also varied", "published", "copies"}
    gone = [
        i for i, name in enumerate(grid.headers) if name in optional and all(row[i] == MISSING for row in grid.rows)
    ]
    kept = [i for i in range(len(grid.headers)) if i not in gone]
    rows = [[row[i] for i in kept] for row in grid.rows]
    words = grid.words - sum(i < grid.words for i in gone)
    return Grid(grid.caption, [grid.headers[i] for i in kept], rows, words, grid.note)


def seeds_grid(tables: "Tables", primary: str) -> Grid:
    """Means over seeds, for cells that have several; no rows where none has."""
    cells = auc_cells(tables, primary)
    cells = cells[cells["seeds"] > 1]
    body = [
        [
            *(row["matrices"], row["variant"] or MISSING, plain(row["rank"]), str(row["seeds"])),
            *(
                number(row["auc"], 3),
                interval(min(row["aucs"]), max(row["aucs"]), 3),
                interval(row["low"], row["high"], 3),
            ),
        ]
        for row in _rows(cells)
    ]
    headers = ["matrices", "also varied", "rank", "seeds", "mean AUC", "lowest to highest", "95% interval of the mean"]
    note = "The seed is the unit; an interval is given from five seeds on."
    return _without_empty(Grid(f"Mean AUC of the primary attack ({primary}) over seeds", headers, body, 2, note))


def attacks_grid(tables: "Tables") -> Grid:
    """Every attack on every stratum of every trial, with its controls."""
    labels = dict(zip(tables.trials["trial"], tables.trials["label"], strict=True))
    body = [
        [
            *(labels.get(row["trial"], row["trial"]), _stratum(row), row["attack"], number(row["auc"], 3)),
            *(interval(row["auc_low"], row["auc_high"], 3), number(row["auc_base"], 3), number(row["auc_blind"], 3)),
            *(plain(row[name]) for name in ("n_members", "n_nonmembers", "left_out")),
        ]
        for row in _rows(tables.membership)
    ]
    headers = ["trial", "stratum", "attack", "AUC", "95% interval", "base model", "no model", "in", "out", "left out"]
    note = (
        "Base model: AUC of the same attack on the base model, where the attack needs no second model. No model: a "
        "bag-of-words classifier with folds by document. In, out: records compared. Left out: records without a score."
    )
    return Grid("AUC of every attack, with controls", headers, body, 3, note)


def _stratum(row: Mapping[str, Any]) -> str:
    stratum = str(row["stratum"])
    return f"canaries, {stratum.removeprefix('canaries@')}×" if stratum.startswith("canaries@") else stratum


def operating_grid(tables: "Tables") -> Grid:
    """Rates at fixed thresholds; refused ones are told by `refused_grid`."""
    labels = dict(zip(tables.trials["trial"], tables.trials["label"], strict=True))
    points = tables.operating_points[tables.operating_points["refused_because"].isna()]
    body = [
        [
            *(labels.get(row["trial"], row["trial"]), _stratum(row), row["attack"], row["threshold_source"]),
            *(rate(row["target_fpr"]), percent(row["tpr"]), _percents(row, "tpr")),
            *(percent(row["realised_fpr"]), _percents(row, "realised_fpr")),
        ]
        for row in _rows(points)
    ]
    headers = ["trial", "stratum", "attack", "threshold from", "at most", "members found", "95% interval"]
    headers += ["non-members named", "95% interval"]
    note = (
        "A threshold from calibration is fixed before evaluation, as an attacker must; one from evaluation is chosen "
        "on the non-members it is then judged by. Intervals: Clopper and Pearson."
    )
    return Grid("Members found at a limited false-positive rate", headers, body, 4, note)


def _percents(row: Mapping[str, Any], name: str) -> str:
    low, high = row[f"{name}_low"], row[f"{name}_high"]
    return MISSING if missing(low) or missing(high) else f"{percent(low)} to {percent(high)}"


def refused_grid(tables: "Tables") -> Grid:
    """Operating points that were refused, by reason."""
    points = tables.operating_points[tables.operating_points["refused_because"].notna()]
    keys = ["refused_because", "target_fpr", "threshold_source", "stratum"]
    body = [
        [str(why), _stratum({"stratum": stratum}), str(source), rate(target), plain(len(part))]
        for (why, target, source, stratum), part in points.groupby(keys, sort=False)
    ]
    headers = ["reason", "stratum", "threshold from", "false positives at most", "points"]
    return Grid("Operating points that were refused", headers, body, 3)


def generation_grid(tables: "Tables") -> Grid:
    """What tuned and base models wrote, by kind of record, copies and temperature."""
    body = []
    for row in _rows(generation_summary(tables.extraction, by_copies=True)):
        cells = [KINDS.get(row["role"], row["role"]), plain(row["copies"]), f"{row['temperature']:g}"]
        for model in ("tuned", "base"):
            hits, of = row[f"verbatim_{model}"], row[f"completions_{model}"]
            low, high = row[f"low_{model}"], row[f"high_{model}"]
            span = "" if missing(low) else f" ({percent(low, 0)} to {percent(high, 0)})"
            cells += [f"{hits} of {plain(of)}{span}", percent(row[f"share_{model}"], 0)]
        body.append([*cells, plain(row["trials"])])
    headers = ["prompted records", "copies", "temperature", "verbatim, tuned", "share, tuned"]
    headers += ["verbatim, base", "share, base", "trials"]
    note = (
        "Verbatim: completions equal to the rest of the record, token by token, with a 95% interval where every record "
        "stands once. Share: longest common run of tokens over the tokens to reproduce, on average."
    )
    return _without_empty(Grid("What the models write after the first part of a record", headers, body, 1, note))


def text_grid(tables: "Tables", texts: Mapping[str, str]) -> Grid:
    """The records that were reproduced most, with their text."""
    rows = tables.extraction
    rows = rows[(rows["model"] == "tuned") & rows["role"].isin(["canary_in", "member"]) & rows["ngram_share"].notna()]
    top = rows.sort_values(["ngram_share", "longest_ngram"], ascending=False, kind="stable").drop_duplicates("record")
    body = [
        [
            texts.get(row["record"], MISSING),
            KINDS[row["role"]],
            f"{row['temperature']:g}",
            percent(row["ngram_share"], 0),
        ]
        for row in _rows(top.head(MOST_TEXTS))
    ]
    headers = ["text of the record", "kind", "temperature", "share reproduced"]
    return Grid(f"The records reproduced most, at most {MOST_TEXTS}", headers, body, 2)


def utility_grid(tables: "Tables") -> Grid:
    """Size, state and perplexity of every trial."""
    body = []
    for row in _rows(tables.trials):
        base, tuned = row["perplexity_base"], row["perplexity_tuned"]
        change = MISSING if missing(base) or missing(tuned) else f"{100 * (tuned / base - 1):+.0f}%".replace("-", "−")
        cells = [row["label"], row["state"], number(base, 1), number(tuned, 1), change, number(row["loss"], 2)]
        cells += [plain(row["steps"]), plain(row["members"]), plain(row["trainable_parameters"])]
        body.append([*cells, percent(row["trainable_share"], 2)])
    headers = ["trial", "state", "base", "tuned", "change", "training loss", "steps", "members", "trained parameters"]
    note = "Base, tuned: perplexity on non-members. Share: trained parameters over all parameters of the model."
    return Grid("Trials and their perplexity on non-members", [*headers, "share"], body, 2, note)


def timings_grid(tables: "Tables") -> Grid:
    """Time by stage and device, all trials together."""
    body = []
    for (stage, device), part in tables.timings.groupby(["stage", "device"], sort=False, dropna=False):
        seconds, tokens = part["seconds"].sum(), part["tokens"].sum()
        speed = round(tokens / seconds) if seconds > 0 else None
        cells = [str(stage), MISSING if missing(device) else str(device), plain(len(part)), duration(seconds)]
        body.append([*cells, plain(tokens), plain(speed), memory(part["peak_memory"].max())])
    headers = ["stage", "device", "times", "time", "tokens", "tokens a second", "peak memory"]
    return Grid("Time by stage", headers, body, 2)
