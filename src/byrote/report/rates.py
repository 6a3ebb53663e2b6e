"""How many records come back, and in how many draws: rates with intervals, tuned beside base, in beside out.

`in`: members, or canaries that were planted · `out`: non-members, or canaries left out. The model never saw what is
out, so a rate there is what records of this kind show without having been learned.
"""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from byrote.records import RECORDS_STRATUM, canary_stratum, copies_in
from byrote.report.page import Grid, capped, labels_of, prefix_words, records_of, stratum_words
from byrote.report.words import MISSING, at_level, draws, listing, missing, percent, plain, rate

if TYPE_CHECKING:
    from byrote.tables import Tables

IN, OUT = ("member", "canary_in"), ("nonmember", "canary_out")
SIDES = (("tuned", "in"), ("base", "in"), ("tuned", "out"), ("base", "out"))
SIDE_HEADERS = ("tuned, in", "base, in", "tuned, out", "base, out")
MOST_OPEN = 24
METRICS = {
    "ngram_share": "in one run",
    "common_substring": "of the characters in one run",
    "edit_similarity": "edit similarity",
    "bleu": "BLEU",
    "rouge_l": "ROUGE-L",
    "keyword_recall": "keywords recalled",
    "tfidf_cosine": "cosine of rare words",
}
Cells = Mapping[tuple[str, str], Mapping[str, Any]]


def is_canary(stratum: str) -> bool:
    """Whether a stratum of `paired` rows is one of canaries."""
    return stratum != RECORDS_STRATUM


def paired(rows: pd.DataFrame, keys: Sequence[str]) -> list[tuple[dict[str, Any], Cells]]:
    """Rows of one measurement together, in the order of the table: what they share, and the row of each side.

    Shared: trial, stratum, and `keys`. A role that is neither in nor out is left out.
    """
    measurements: dict[tuple[Any, ...], dict[tuple[str, str], Mapping[str, Any]]] = {}
    for row in records_of(rows[rows["role"].isin([*IN, *OUT])]):
        canary = row["role"].startswith("canary")
        stratum = canary_stratum(int(row["copies"])) if canary else RECORDS_STRATUM
        key = (row["trial"], stratum, *(None if missing(row[name]) else row[name] for name in keys))
        measurements.setdefault(key, {})[row["model"], "in" if row["role"] in IN else "out"] = row
    names = ("trial", "stratum", *keys)
    return [(dict(zip(names, key, strict=True)), cells) for key, cells in measurements.items()]


# --- sentences --------------------------------------------------------------------------------------------------


def rate_sentences(tables: "Tables") -> list[str]:
    """The trial that reproduces the most members, by the longest common run, with base model and non-members beside."""
    rows = tables.extraction_rates
    rows = rows[(rows["metric"] == "ngram_share") & rows["rate"].notna()]
    rows = _coldest(rows[rows["role"].isin(["member", "nonmember"])])
    top = _top(rows[rows["threshold"] == rows["threshold"].min()])
    if top is None:
        return []
    head, cells, trials = top
    row = cells["tuned", "in"]
    setting = f"Given the first part of a record, at temperature {head['temperature']:g}, "
    least = f"{rate(row['threshold'])} of the rest in one run"
    if not row["hits"]:
        nobody = f"none of {trials} tuned models writes" if trials > 1 else "the tuned model never writes"
        return [
            f"{setting}{nobody} {least} for a member (0 of {plain(row['of'])} prompted); that is still compatible with "
            f"up to {percent(row['high'], 0)} of the members."
        ]
    label = labels_of(tables).get(head["trial"], head["trial"])
    sentence = (
        f"{setting}{label} writes at least {least} for {_hits(row, tables.level)} prompted members{_most(trials)}"
    )
    return [f"{sentence}; {_controls(cells)}."]


def draw_sentences(tables: "Tables") -> list[str]:
    """How many draws suffixes take, by probability: the trial that needs the fewest for half of its members."""
    medians = _medians(tables.draws)
    members = medians[(medians["role"] == "member") & (medians["model"] == "tuned")]
    members = members[members["temperature"] == _plainest(members["temperature"])]
    if members.empty:
        return []
    first = records_of(members.sort_values("median", kind="stable"))[0]
    same = medians[(medians["trial"] == first["trial"]) & (medians["temperature"] == first["temperature"])]
    same = same[(same["prefix"] == first["prefix"]) & (same["chance"] == first["chance"])].set_index(["role", "model"])[
        "median"
    ]
    others = [
        f"{words} {draws(same[key])}"
        for key, words in (
            (("member", "base"), "the base model"),
            (("nonmember", "tuned"), "for non-members"),
        )
        if key in same.index
    ]
    label, trials = labels_of(tables).get(first["trial"], first["trial"]), members["trial"].nunique()
    fewest = f", the fewest of {trials} trials" if trials > 1 else ""
    beside = f" ({'; '.join(others)})" if others else ""
    return [
        f"From the probability of each true suffix at temperature {first['temperature']:g}, without sampling: after "
        f"{label} it takes about {draws(first['median'])} draws until half of the members' suffixes have appeared "
        f"with a chance of {rate(first['chance'])}{fewest}{beside}.",
        *_within(tables, first),
    ]


def _within(tables: "Tables", first: Mapping[str, Any]) -> list[str]:
    rows = tables.extraction_rates
    rows = rows[rows["metric"].str.startswith("draws<=") & (rows["temperature"] == first["temperature"])]
    rows = rows[rows["chance"] == first["chance"]]
    rows = rows[(rows["role"].isin(["member", "nonmember"])) & rows["rate"].notna()]
    top = _top(rows[rows["threshold"] == rows["threshold"].max()])
    if top is None:
        return []
    head, cells, trials = top
    label, row = labels_of(tables).get(head["trial"], head["trial"]), cells["tuned", "in"]
    return [
        f"Within {count_draws(row['threshold'])}, {_hits(row, tables.level)} suffixes of members appear after "
        f"{label}{_most(trials)}; {_controls(cells)}."
    ]


def _top(rows: pd.DataFrame) -> tuple[dict[str, Any], Cells, int] | None:
    """The measurement with the highest rate of the tuned model on what is in, and of how many trials."""
    keys = ("prefix", "temperature", "metric", "threshold", "chance")
    measurements = [(head, cells) for head, cells in paired(rows, keys) if ("tuned", "in") in cells]
    if not measurements:
        return None
    head, cells = max(measurements, key=lambda measurement: measurement[1]["tuned", "in"]["rate"])
    return head, cells, len({head["trial"] for head, _ in measurements})


def _hits(row: Mapping[str, Any], level: float) -> str:
    share, low, high = (f"{100 * row[name]:.0f}%" for name in ("rate", "low", "high"))
    return f"{plain(row['hits'])} of {plain(row['of'])} ({share}, {at_level(level)} {low} to {high})"


def _controls(cells: Cells) -> str:
    names = {("base", "in"): "under the base model", ("tuned", "out"): "non-members"}
    controls = [f"{_of(cells[side])} {words}" for side, words in names.items() if side in cells]
    return listing(controls) if controls else "no control was prompted"


def _of(row: Mapping[str, Any]) -> str:
    return f"{plain(row['hits'])} of {plain(row['of'])}"


def _most(trials: int) -> str:
    return f", the most of {trials} trials" if trials > 1 else ""


# --- tables -----------------------------------------------------------------------------------------------------


def open_rates_grid(tables: "Tables", canaries: bool) -> Grid:
    """The rates to read first: the lowest and the highest threshold, at the lowest temperature, and the most draws.

    canaries: of canaries, else of records.
    """
    rows = tables.extraction_rates
    if rows.empty:
        return _rates_grid(tables, rows, canaries, "")
    written = _coldest(rows[~rows["metric"].str.startswith("draws<=")])
    runs = written[written["metric"] == "ngram_share"]
    drawn = rows[rows["metric"].str.startswith("draws<=")]
    drawn = drawn[drawn["temperature"] == _plainest(drawn["temperature"])]
    parts = [
        runs[runs["threshold"] == runs["threshold"].min()],
        written[written["metric"] == "verbatim"],
        drawn[drawn["threshold"] == drawn["threshold"].max()],
    ]
    grid = _rates_grid(tables, pd.concat(parts), canaries, f"{'Canaries' if canaries else 'Records'} that come back")
    return capped(grid, "extraction_rates", MOST_OPEN)


def all_rates_grid(tables: "Tables") -> Grid:
    """Every metric at every threshold and temperature."""
    caption = "Records that come back, by every metric, threshold and temperature"
    of_records, of_canaries = (
        _rates_grid(tables, tables.extraction_rates, canaries, caption) for canaries in (False, True)
    )
    rows = [*of_records.rows, *of_canaries.rows]
    return capped(Grid(caption, of_records.headers, rows, 3, of_records.note), "extraction_rates")


def _rates_grid(tables: "Tables", rows: pd.DataFrame, canaries: bool, caption: str) -> Grid:
    labels, body = labels_of(tables), []
    measurements = paired(rows, ("metric", "threshold", "temperature", "prefix", "chance"))
    measurements = [(head, cells) for head, cells in measurements if is_canary(head["stratum"]) == canaries]
    chances = rows["chance"].nunique()
    several, order = rows["prefix"].nunique() > 1, {trial: i for i, trial in enumerate(labels)}
    measurements.sort(key=lambda pair: (order.get(pair[0]["trial"], len(order)), copies_in(pair[0]["stratum"]) or 0))
    for head, cells in measurements:
        words = [labels.get(head["trial"], head["trial"]), kind_words(head["stratum"]), _criterion(head)]
        words[2] += f", {prefix_words(head['prefix'])}" * several
        words[2] += f" with chance {rate(head['chance'])}" if head["chance"] is not None and chances > 1 else ""
        body.append([*words, f"{head['temperature']:g}", *(_cell(cells.get(side)) for side in SIDES)])
    headers = ["trial", "records", "comes back", "temperature", *SIDE_HEADERS]
    note = (
        "In: members, or canaries planted; out: non-members, or canaries left out, which the model never saw. "
        f"Brackets: {at_level(tables.level)}, Clopper and Pearson. A record counts once, by its best completion. A "
        "dash: none was prompted."
    )
    return Grid(caption, headers, body, 3, note)


def kind_words(stratum: str) -> str:
    """`members`, or `canaries, 8×`."""
    return stratum_words(stratum) if is_canary(stratum) else "members"


def _criterion(head: Mapping[str, Any]) -> str:
    metric = str(head["metric"])
    if metric.startswith("draws<="):
        return f"in {count_draws(head['threshold'])}"
    if metric == "verbatim":
        return "word for word"
    name, least = METRICS.get(metric, metric), rate(head["threshold"])
    return f"{least} {name}" if "run" in name else f"{name} {least}"


def count_draws(most: float) -> str:
    """`1 draw`, `100 draws`."""
    return "1 draw" if most == 1 else f"{plain(most)} draws"


def _cell(row: Mapping[str, Any] | None) -> str:
    if row is None or missing(row["rate"]):
        return MISSING
    return f"{_of(row)} ({100 * row['low']:.0f}–{100 * row['high']:.0f}%)"


def draws_grid(tables: "Tables") -> Grid:
    """In how many draws half of the suffixes appear, and in how many the first of them."""
    labels, medians = labels_of(tables), _medians(tables.draws)
    body, several = [], medians["prefix"].nunique() > 1
    for head, cells in paired(medians, ("temperature", "prefix", "chance")):
        words = [labels.get(head["trial"], head["trial"]), kind_words(head["stratum"]), f"{head['temperature']:g}"]
        first = cells.get(("tuned", "in")) or next(iter(cells.values()))
        words[2] += f", {prefix_words(head['prefix'])}" * several
        words += [rate(first["chance"]), plain(first["records"])]
        medians_of = [draws(cells[side]["median"]) if side in cells else MISSING for side in SIDES]
        least = [draws(cells[s]["least"]) if s in cells else MISSING for s in (("tuned", "in"), ("tuned", "out"))]
        body.append([*words, *medians_of, *least])
    headers = ["trial", "records", "temperature", "chance", "suffixes", *SIDE_HEADERS, "first, in", "first, out"]
    note = (
        "Median over suffixes of the number of draws needed to see exactly the true suffix with this chance, "
        "computed from its probability without sampling. First: the suffix that needs the fewest. Top-k and top-p "
        "are those of the study."
    )
    return capped(Grid("Draws until half of the suffixes have appeared", headers, body, 2, note), "draws")


def _medians(rows: pd.DataFrame) -> pd.DataFrame:
    keys = ["trial", "model", "role", "copies", "prefix", "temperature", "chance"]
    known = rows[rows["draws_for_chance"].notna()]
    grouped = known.groupby(keys, sort=False)["draws_for_chance"]
    # The lower of the two middle values: a mean of 10³ and 10³⁰ would be a number of draws that no suffix takes.
    medians = grouped.quantile(0.5, interpolation="lower").rename("median").to_frame()
    return medians.assign(least=grouped.min(), records=grouped.size()).reset_index()


def _coldest(rows: pd.DataFrame) -> pd.DataFrame:
    return rows[rows["temperature"] == rows["temperature"].min()]


def _plainest(temperatures: pd.Series) -> float:
    """The temperature nearest to 1, at which the model's own distribution is drawn from."""
    known = sorted(set(temperatures), key=lambda value: (abs(value - 1), value))
    return float(known[0]) if known else math.nan
