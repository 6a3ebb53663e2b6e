"""The report's tables, as text in cells. Every function is pure: tables in, Grid out."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from byrote.figures.cells import same_matrices, variants
from byrote.figures.published import Published
from byrote.report.page import Grid, labels_of, reasons_note, records_of, stratum_words, text_or_dash, without_empty
from byrote.report.words import (
    MISSING,
    at_level,
    duration,
    interval,
    memory,
    missing,
    number,
    p_value,
    percent,
    plain,
    rate,
)
from byrote.statistics.operating_point import FEWEST_ABOVE
from byrote.tables.strongest import strongest_rows

if TYPE_CHECKING:
    from byrote.tables import Tables

OTHER_INTERVALS = {"hanley": "Hanley–McNeil", "delong": "DeLong", "bootstrap": "bootstrap of documents"}


def primary_grid(tables: "Tables", primary: str, published: Published | None) -> Grid:
    """The primary attack on records, a row per trial: AUC, what it is compared with, and the strongest attack."""
    rows, words = tables.membership, variants(tables.trials)
    rows, strongest = rows[rows["stratum"] == "records"], _strongest(tables)
    body = []
    for row in records_of(rows[rows["attack"] == primary]):
        cells = [row["matrices"], words.get(row["trial"], "") or MISSING, plain(row["rank"]), plain(row["seed"])]
        cells += [number(row["auc"], 3), interval(row["auc_low"], row["auc_high"], 3)]
        cells += [number(row["auc_control"], 3), _control_interval(row), _control(row)]
        cells += [number(row["auc_blind"], 3), strongest.get(row["trial"], MISSING)]
        body.append([*cells, plain(row["n_members"]), plain(row["n_nonmembers"]), _published(row, published)])
    varied = "subject" if tables.trials["seed"].isna().all() else "also varied"
    headers = ["matrices", varied, "rank", "seed", "AUC", at_level(tables.level), "control"]
    headers += [f"{at_level(tables.level)} of the control", "control on", "blind", "strongest attack"]
    headers += ["members", "non-members", "published"]
    note = (
        "Interval: by document (Obuchowski 1997), on the logit scale. Control: the same attack where nothing was "
        "learned. Blind: a classifier that never saw a model. Both should be near 0.5. Strongest attack: chosen by "
        "these same results."
    )
    if published is not None:
        note += f" Published: {published.title}, {published.source}; {published.setting}."
    caption = f"AUC of the primary attack ({primary}), members against non-members, one row per trial"
    optional = ("also varied", "rank", "seed", "published", "control on", f"{at_level(tables.level)} of the control")
    return without_empty(Grid(caption, headers, body, 2, note), *optional)


def _strongest(tables: "Tables") -> dict[str, str]:
    """Trial → the attack of the highest AUC on records, with it; the auditor, who knows more, is left out."""
    rows = tables.membership
    top = strongest_rows(rows[rows["stratum"] == "records"], ["trial"])
    return {row["trial"]: f"{row['attack']} {number(row['auc'], 3)}" for row in records_of(top)}


def _published(row: Mapping[str, Any], published: Published | None) -> str:
    if published is None:
        return MISSING
    for matrices, rank, auc, half in published.cells:
        if rank == row["rank"] and same_matrices(matrices, str(row["matrices"])):
            digits = 2 if round(auc, 2) == auc else 4 if round(auc, 3) != auc else 3
            return number(auc, digits) + (f" ± {half}" if half is not None else "")
    return MISSING


def attacks_grid(tables: "Tables") -> Grid:
    """Every attack on every stratum of every trial, with its controls, and why what is missing is missing."""
    labels = labels_of(tables)
    body = [
        [
            *(labels.get(row["trial"], row["trial"]), stratum_words(row["stratum"]), row["attack"]),
            *(number(row["auc"], 3), interval(row["auc_low"], row["auc_high"], 3), number(row["auc_control"], 3)),
            *(_control_interval(row), number(row["above_control"], 3), _above(row), p_value(row["above_control_p"])),
            *(_control(row), number(row["auc_blind"], 3)),
            *(number(row[name], 3) for name in ("auc_length_matched", "auc_perplexity_matched", "smallest_auc")),
            *(plain(row[name]) for name in ("n_members", "n_nonmembers", "left_out")),
        ]
        for row in records_of(tables.membership)
    ]
    at = at_level(tables.level)
    headers = ["trial", "stratum", "attack", "AUC", at, "control"]
    headers += [f"{at} of the control", "above the control", f"{at} of the difference", "p"]
    headers += ["control on", "blind"]
    headers += ["similar length", "similar perplexity", "smallest detectable", "in", "out", "left out"]
    note = (
        "Control: AUC of the same attack on the base model or under the null trial. Above the control: the "
        "difference, on the records that both score; interval and test by document (DeLong, Obuchowski), each test "
        "alone. Unmatched: the null trial's perplexity on non-members differs from the trial's by more than a tenth "
        "of it. Blind: a bag-of-words classifier with folds by document, on records. Similar length, similar "
        "perplexity: AUC among records of similar length, and of similar perplexity under the base model. Smallest "
        "detectable: the smallest AUC that this sample can tell from 0.5. In, out: records compared. Left out: "
        "records without a score. Auditor: all attacks combined by someone who knows the members. "
    )
    return Grid("AUC of every attack, with controls", headers, body, 3, note + _why_missing(tables))


def _control(row: Mapping[str, Any]) -> str:
    """What the control was measured on, and what to know about it."""
    if missing(row["auc_control"]) or missing(row["control"]):
        return MISSING
    note = "" if missing(row["control_note"]) else str(row["control_note"])
    words = [part for part in note.split("; ") if not part.startswith("no ")]
    return ", ".join([str(row["control"]), *(word.partition(":")[0] for word in words)])


def _control_interval(row: Mapping[str, Any]) -> str:
    return interval(row["auc_control_low"], row["auc_control_high"], 3)


def _above(row: Mapping[str, Any]) -> str:
    return interval(row["above_control_low"], row["above_control_high"], 3)


def _why_missing(tables: "Tables") -> str:
    notes = []
    for what, column, value in (("No control", "control", "auc_control"), ("No interval", "interval", "auc_low")):
        rows = tables.membership[tables.membership[value].isna() & tables.membership[column].notna()]
        reasons = {
            str(why).removeprefix("none: "): [str(name) for name in part["attack"]]
            for why, part in rows.groupby(column, sort=False)
        }
        notes.append(reasons_note(what, reasons))
    return " ".join(filter(None, notes))


def intervals_grid(tables: "Tables") -> Grid:
    """Every AUC under the other intervals, which take records as independent or resample documents."""
    labels = labels_of(tables)
    body = [
        [
            *(labels.get(row["trial"], row["trial"]), stratum_words(row["stratum"]), row["attack"]),
            *(number(row["auc"], 3), interval(row["auc_low"], row["auc_high"], 3)),
            *(interval(row["simultaneous_low"], row["simultaneous_high"], 3), plain(row["resamples"])),
            *(interval(row[f"{name}_low"], row[f"{name}_high"], 3) for name in OTHER_INTERVALS),
        ]
        for row in records_of(tables.membership)
    ]
    headers = ["trial", "stratum", "attack", "AUC", "by document", "all attacks together", "resamples"]
    headers += OTHER_INTERVALS.values()
    note = (
        "All attacks together: by document, widened so that the intervals of all attacks on a stratum hold together; "
        "the one to read for an attack picked by its result. Resamples: of documents, for these and the bootstrap. "
        "Hanley–McNeil and DeLong take records as independent and are too narrow where those of one document are "
        "alike; most published figures use them."
    )
    return Grid(f"The same AUCs under other {at_level(tables.level)}s", headers, body, 3, note)


def operating_grid(tables: "Tables") -> Grid:
    """Rates at fixed thresholds, and as papers print them; refused ones are in `refused_grid`."""
    labels = labels_of(tables)
    points = tables.operating_points[tables.operating_points["refused_because"].isna()]
    body = [
        [
            *(
                labels.get(row["trial"], row["trial"]),
                stratum_words(row["stratum"]),
                row["attack"],
                _source(row["threshold_source"]),
            ),
            *(rate(row["target_fpr"]), percent(row["tpr"]), _percents(row, "tpr")),
            *(percent(row["realised_fpr"]), _percents(row, "realised_fpr")),
        ]
        for row in records_of(points)
    ]
    headers = ["trial", "stratum", "attack", "threshold from", "at most", "members found", at_level(tables.level)]
    headers += ["non-members named", at_level(tables.level)]
    note = (
        "A threshold from calibration is fixed before evaluation, as an attacker's must be. The interval of members "
        "found is that of their share at the score which the stated share of all non-members reaches: it takes into "
        "account that the calibration records are a sample, and that records of one document are alike. The interval "
        "of non-members named is that of the threshold at hand, by document (Clopper and Pearson with a design "
        "effect). As published: the largest share of members at a false-positive rate of at most the stated one on the "
        "evaluated records, as papers print it; for comparison with papers alone, without an interval. With fewer "
        f"than {FEWEST_ABOVE} calibration records above the threshold no interval is given."
    )
    return Grid("Members found at a limited false-positive rate", headers, body, 4, note)


def _source(source: Any) -> str:
    return "as published" if source == "published" else str(source)


def _percents(row: Mapping[str, Any], name: str) -> str:
    low, high = row[f"{name}_low"], row[f"{name}_high"]
    return MISSING if missing(low) or missing(high) else f"{percent(low)} to {percent(high)}"


def refused_grid(tables: "Tables") -> Grid:
    """Operating points that were refused, by reason."""
    points = tables.operating_points[tables.operating_points["refused_because"].notna()]
    keys = ["refused_because", "target_fpr", "threshold_source", "stratum"]
    body = [
        [str(why), stratum_words(stratum), _source(source), rate(target), plain(len(part))]
        for (why, target, source, stratum), part in points.groupby(keys, sort=False)
    ]
    headers = ["reason", "stratum", "threshold from", "false positives at most", "points"]
    return Grid("Operating points that were refused", headers, body, 3)


def utility_grid(tables: "Tables") -> Grid:
    """Size, state, condition and perplexity of every trial."""
    body = []
    for row in records_of(tables.trials):
        base, tuned = row["perplexity_base"], row["perplexity_tuned"]
        change = MISSING if missing(base) or missing(tuned) else f"{100 * (tuned / base - 1):+.0f}%".replace("-", "−")
        cells = [row["label"], row["state"], number(base, 1), number(tuned, 1), change]
        cells += [number(row[f"perplexity_{model}_members"], 1) for model in ("base", "tuned")]
        cells += [number(row["loss"], 2)]
        cells += [plain(row["steps"]), plain(row["members"]), plain(row["trainable_parameters"])]
        body.append([*cells, percent(row["trainable_share"], 2), text_or_dash(row["condition"])])
    headers = ["trial", "state", "base", "tuned", "change", "members, base", "members, tuned", "training loss", "steps"]
    headers += ["members", "trained parameters", "share", "condition"]
    note = (
        "Base, tuned: perplexity on non-members, and on members. Share: trained parameters over all parameters of the "
        "model. Collapsed: worse than the base model on both. Overfitted: worse on non-members, better on members."
    )
    grid = Grid("Trials and their perplexity on non-members", headers, body, 2, note, tail=1)
    return without_empty(grid, "condition", "members, base", "members, tuned")


def timings_grid(tables: "Tables") -> Grid:
    """Time by stage and device, all trials together."""
    body = []
    for (stage, device), part in tables.timings.groupby(["stage", "device"], sort=False, dropna=False):
        seconds, tokens = part["seconds"].sum(), part["tokens"].sum()
        speed = round(tokens / seconds) if seconds > 0 else None
        cells = [str(stage), MISSING if missing(device) else str(device), plain(len(part)), duration(seconds)]
        body.append([*cells, plain(tokens), plain(speed), memory(part["peak_memory"].max())])
    headers = ["stage", "device", "times", "time", "tokens", "tokens per second", "peak memory"]
    return Grid("Time by stage", headers, body, 2)
