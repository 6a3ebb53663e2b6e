"""Which configuration, trial or attack is stronger, and whether the data can tell: sentences and tables.

Claims about configurations take several seeds (`configurations`); paired tests compare trained models, or attacks on
one of them (`comparisons`); `detectable` is what samples of this size can show at all.
"""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pandas as pd

from byrote.figures.cells import SEEDS_FOR_INTERVAL, auc_cells
from byrote.report.conditions import trials_of
from byrote.report.page import Grid, capped, labels_of, records_of, stratum_words, text_or_dash, without_empty
from byrote.report.words import (
    MISSING,
    at_level,
    count,
    interval,
    listing,
    missing,
    number,
    p_value,
    plain,
    rate,
    spread,
)
from byrote.study import Study

if TYPE_CHECKING:
    from byrote.tables import Tables

ONE_SEED = "With one seed each, this compares two trained models, not two configurations."
MOST_COMPARED = 4
DIFFERENT = 0.05  # p after Holm below which two AUCs are called different


# --- sentences --------------------------------------------------------------------------------------------------


def placement_sentences(tables: "Tables", primary: str) -> list[str]:
    """At each rank: which matrices leak most, and whether the data distinguish them from the next."""
    cells = auc_cells(tables, primary)
    broken = set(trials_of(tables, "collapsed")["trial"])
    cells = cells[cells["trials"].map(broken.isdisjoint).astype(bool)]
    groups = [group for _, group in cells.groupby(["rank", "variant"], sort=True) if len(group) > 1]
    sentences = [_leader(group, tables.level) for group in groups[:MOST_COMPARED]]
    if any((group["seeds"] == 1).all() for group in groups):
        sentences.append(ONE_SEED)
    if len(groups) > MOST_COMPARED:
        sentences.append(f"{count(len(groups) - MOST_COMPARED, 'further comparison')} can be found in the table.")
    return sentences


def _leader(group: pd.DataFrame, level: float) -> str:
    first, second = (row for _, row in group.sort_values("auc", ascending=False, kind="stable").head(2).iterrows())
    where = f"At rank {first['rank']}" + (f" ({first['variant']})" if first["variant"] else "")
    head = f"{where}, {first['matrices']} leaks most (AUC {number(first['auc'])})"
    head += f", then {second['matrices']} ({number(second['auc'])})"
    if first["seeds"] == 1 and second["seeds"] == 1:
        return f"{head}; {_overlap(first, second, level)}."
    fewest = min(first["seeds"], second["seeds"])
    needed = f", where a claim about matrices needs {SEEDS_FOR_INTERVAL}" if fewest < SEEDS_FOR_INTERVAL else ""
    return f"{head}; means over {_seeds(first, second)}{needed}."


def _seeds(first: pd.Series, second: pd.Series) -> str:
    if first["seeds"] == second["seeds"]:
        return f"{first['seeds']} seeds each"
    return f"{count(first['seeds'], 'seed')} and {count(second['seeds'], 'seed')}"


def _overlap(first: pd.Series, second: pd.Series, level: float) -> str:
    if any(math.isnan(value) for value in (first["low"], second["high"])):
        return "without intervals there is no telling whether they differ"
    return f"their {at_level(level)}s {'overlap' if first['low'] <= second['high'] else 'do not overlap'}"


def claim_sentences(tables: "Tables", study: Study) -> list[str]:
    """What may be claimed about configurations: the rule, the verdicts, and why pairs are undecided."""
    rows = tables.configurations
    rows = rows[rows["verdict"].notna()]
    if rows.empty:
        return []
    claims = study.claims
    sentences = [
        f"Claims about configurations rest on the attack {study.membership.primary}, the stratum "
        f"{stratum_words(claims.stratum)}, a margin of {claims.margin:g} AUC, and seeds as the unit, at least "
        f"{SEEDS_FOR_INTERVAL} of them; the study fixed all of this beforehand, and none of it was chosen by its "
        "results." + _together(rows["family"].dropna())
    ]
    decided = rows[rows["verdict"] != "undecided"]
    sentences += [_claim(row) for row in records_of(decided)[:MOST_COMPARED]]
    if len(decided) > MOST_COMPARED:
        sentences.append(f"{count(len(decided) - MOST_COMPARED, 'further verdict')} can be found in the table.")
    undecided = rows[rows["verdict"] == "undecided"]
    return sentences + ([_undecided(undecided, len(rows))] if len(undecided) else [])


def _together(families: pd.Series) -> str:
    """That the intervals of several claims are widened to hold together."""
    if families.empty or families.iloc[0] == "1 claim":
        return ""
    return f" The intervals of the {families.iloc[0]} are widened so that all of them hold together."


def _claim(row: Mapping[str, Any]) -> str:
    span = interval(row["difference_low"], row["difference_high"], 3)
    if row["verdict"] == "equivalent":
        return f"{row['label']} and {row['against']} leak alike: the difference is within the margin ({span})."
    return f"{row['label']} leaks {row['verdict']} than {row['against']}, by {number(row['difference'], 3)} ({span})."


def _undecided(rows: pd.DataFrame, pairs: int) -> str:
    collapsed = rows["reason"].str.contains("collapsed", regex=False)
    why = [f"in {int(collapsed.sum())} a trial collapsed"] if collapsed.any() else []
    few = ~collapsed & (rows["seeds"] < SEEDS_FOR_INTERVAL)
    wide = ~collapsed & ~few
    if few.any():
        why.append(f"too few seeds ({spread(rows.loc[few, 'seeds'], 0)}){'' if few.all() else f' in {int(few.sum())}'}")
    if wide.any():
        why.append(f"in {int(wide.sum())} the interval of the difference crosses the margin, or is missing")
    if len(rows) == pairs:
        head = "The only pair is" if pairs == 1 else f"All {pairs} pairs are"
    else:
        head = f"Of {pairs} pairs, {len(rows)} {'is' if len(rows) == 1 else 'are'}"
    return f"{head} undecided: {listing(why)}."


def test_sentences(tables: "Tables", primary: str) -> list[str]:
    """The strongest attack against the others, and trials against each other, on the stratum records."""
    rows = tables.comparisons
    rows = rows[rows["stratum"] == "records"]
    attacks, trials = rows[rows["kind"] == "attacks"], rows[rows["kind"] == "trials"]
    sentences = []
    if len(attacks):
        best = attacks.drop_duplicates("trial_a")["attack_a"].value_counts()
        names = (
            [f"{name} in {count(int(n), 'trial')}" for name, n in best.items()] if len(best) > 1 else [best.index[0]]
        )
        sentences.append(
            f"The attack with the highest AUC is {listing(names)}. Compared with the other attacks on the same "
            f"records, it differs from them in {_different(attacks, column='p_max_t')} (p below {DIFFERENT:g}, "
            "corrected over all pairs of attacks on a trial by the largest difference in resamples of documents)."
        )
    if len(trials):
        sentences.append(
            f"Under the attack {primary}, {_different(trials, 'pairs of trials')} differ (Holm's correction over all "
            "pairs): a statement about trained models, not about configurations."
        )
    return sentences


def _different(rows: pd.DataFrame, what: str = "tests", column: str = "p_holm") -> str:
    return f"{int((rows[column] < DIFFERENT).sum())} of {plain(len(rows))} {what}"


def detectable_sentences(tables: "Tables") -> list[str]:
    """The smallest effects that the samples of the stratum records can show."""
    rows = tables.detectable
    rows = rows[rows["stratum"] == "records"].drop_duplicates("trial")
    rows = rows[rows["smallest_auc"].notna()]
    if rows.empty:
        return []
    sizes = " against ".join(spread(rows[side], 0) for side in ("n_members", "n_nonmembers"))
    sentences = [
        f"With {sizes} records, an AUC can be told from 0.5 if it is at least {spread(rows['smallest_auc'])} "
        f"({_clustered(rows)}level 5%, power 80%); a smaller leak would go unseen here."
    ]
    differences = rows["smallest_difference"].dropna()
    if len(differences):
        sentences.append(
            "Two trials on the same records can be told apart if their AUCs differ by at least "
            f"{spread(differences, 3)}."
        )
    return sentences


def _clustered(rows: pd.DataFrame) -> str:
    clustered = rows["smallest_auc_clustered"].dropna()
    return f"{spread(clustered)} where records of one document are alike; " if len(clustered) else ""


# --- tables -----------------------------------------------------------------------------------------------------


def means_grid(tables: "Tables") -> Grid:
    """Each configuration's mean AUC over its seeds, with the spread of seeds and the sampling error apart."""
    rows = tables.configurations
    body = [
        [
            *(row["label"], plain(row["seeds"]), number(row["mean"], 3), interval(row["low"], row["high"], 3)),
            *(number(row["seed_sd"], 3), number(row["sampling_se"], 3), text_or_dash(row["reason"])),
        ]
        for row in records_of(rows[rows["verdict"].isna()])
    ]
    headers = [
        "configuration",
        "seeds",
        "mean AUC",
        at_level(tables.level),
        "spread of seeds",
        "sampling error",
        "remark",
    ]
    note = (
        "The interval covers both the effect of seeds and that of drawing other records, so it is wider than one "
        "over seeds alone. Spread of seeds: standard deviation with the sampling error removed."
    )
    return without_empty(
        Grid("Mean AUC of each configuration over its seeds", headers, body, 1, note, tail=1), "remark"
    )


def claims_grid(tables: "Tables") -> Grid:
    """Every pair of configurations with its verdict and why."""
    rows = tables.configurations
    body = [
        [
            *(row["label"], row["against"], row["verdict"], text_or_dash(row["reason"]), plain(row["seeds"])),
            *(number(row["difference"], 3), interval(row["difference_low"], row["difference_high"], 3)),
            text_or_dash(row["family"]),
        ]
        for row in records_of(rows[rows["verdict"].notna()])
    ]
    headers = ["configuration", "against", "leaks", "why", "seeds", "difference", at_level(tables.level), "family"]
    note = (
        "Difference: mean AUC of the first minus that of the second, seed by seed. More, less: the whole interval "
        "lies beyond the margin; equivalent: inside it. The claims are one family: their intervals are widened "
        "(Bonferroni) so that all of them hold together at the study's level, and so do the verdicts."
    )
    return capped(Grid("Claims about pairs of configurations", headers, body, 4, note), "configurations")


def attack_tests_grid(tables: "Tables") -> Grid:
    """The strongest attack of each trial and stratum against each other attack."""
    rows, labels = tables.comparisons, labels_of(tables)
    body = [
        [
            *(labels.get(row["trial_a"], row["trial_a"]), stratum_words(row["stratum"])),
            *(row["attack_a"], row["attack_b"], *_test_cells(row, "p_max_t")),
        ]
        for row in records_of(rows[rows["kind"] == "attacks"])
    ]
    headers = ["trial", "stratum", "highest AUC", "against", *_test_headers(tables.level)]
    note = (
        "The strongest attack is picked by these same results, so interval and corrected p hold for all pairs of "
        "attacks together: they come from the largest standardized difference in each resample of documents."
    )
    return _tests("The strongest attack against each of the others", headers, body, note)


def trial_tests_grid(tables: "Tables") -> Grid:
    """The primary attack, compared between every two trials on the same records."""
    rows, labels = tables.comparisons, labels_of(tables)
    body = [
        [
            *(labels.get(row["trial_a"], row["trial_a"]), labels.get(row["trial_b"], row["trial_b"])),
            *(stratum_words(row["stratum"]), row["attack_a"], *_test_cells(row, "p_holm")),
        ]
        for row in records_of(rows[rows["kind"] == "trials"])
    ]
    headers = ["trial", "against", "stratum", "attack", *_test_headers(tables.level)]
    note = "The interval is for one test alone; the corrected p is Holm's over the family."
    return _tests("Trials against each other, by the primary attack", headers, body, note)


def _test_headers(level: float) -> tuple[str, ...]:
    return "difference", at_level(level), "p", "p, corrected", "family", "why missing"


def _test_cells(row: Mapping[str, Any], corrected: str) -> list[str]:
    cells = [number(row["difference"], 3), interval(row["low"], row["high"], 3)]
    return [*cells, p_value(row["p_value"]), p_value(row[corrected]), row["family"], text_or_dash(row["reason"])]


def _tests(caption: str, headers: list[str], body: list[list[str]], of_family: str) -> Grid:
    note = "Difference of AUCs on the records that both score; test by document (DeLong, Obuchowski). " + of_family
    return capped(without_empty(Grid(caption, headers, body, 4, note, tail=1), "why missing"), "comparisons")


def detectable_grid(tables: "Tables") -> Grid:
    """What each trial's sample can show, with the reason where it cannot."""
    labels = labels_of(tables)
    body = [
        [
            *(labels.get(row["trial"], row["trial"]), stratum_words(row["stratum"])),
            *(plain(row["n_members"]), plain(row["n_nonmembers"]), number(row["smallest_auc"], 3)),
            *(number(row["smallest_auc_clustered"], 3), number(row["smallest_difference"], 3)),
            *(rate(row["target_fpr"]), MISSING if missing(row["smallest_tpr"]) else rate(row["smallest_tpr"])),
            text_or_dash(row["reason"]),
        ]
        for row in records_of(tables.detectable)
    ]
    headers = ["trial", "stratum", "in", "out", "smallest AUC", "by document", "smallest difference"]
    headers += ["at false positives of", "smallest share found", "why missing"]
    note = (
        "Effects that would be found four times in five at level 5%. By document: with records of one document as "
        "alike as they were measured to be. Smallest difference: between two trials on the same records."
    )
    grid = Grid("The smallest effects that these samples can show", headers, body, 2, note, tail=1)
    return capped(without_empty(grid, "why missing"), "detectable")
