"""The first page: a card for each rule of an audit, or for each question of a run, with one number on one scale."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from byrote.report.page import Card, Mark, Scale, labels_of, records_of
from byrote.report.words import at_level, count, interval, missing, number, p_value, percent, plain
from byrote.statistics.verdicts import UNDECIDED
from byrote.study.rules import EQUIVALENT, MAX_AUC, MAX_EPSILON, MAX_TPR, MAX_VERBATIM
from byrote.tables.strongest import strongest_rows

if TYPE_CHECKING:
    from byrote.tables import Tables

FAR_P = 0.01  # p of the blind classifier below which the sides are called different


def cards(tables: "Tables", primary: str) -> list[Card]:
    """A card a subject and rule; without rules the questions that every run answers."""
    return list(_rule_cards(tables)) if len(tables.rules) else list(_question_cards(tables, primary))


def _on(value: Any, start: float, stop: float) -> float | None:
    """A number's place on a scale from start to stop, in percent; what lies beyond stands at its end."""
    return None if missing(value) else 100 * min(max((float(value) - start) / (stop - start), 0.0), 1.0)


def scale_of(
    numbers: Sequence[Any], control: Any, marks: Sequence[tuple[float, str]], start: float, stop: float
) -> Scale | None:
    """numbers: value, lower and upper end. None without a value."""
    value, low, high = (_on(x, start, stop) for x in numbers)
    if value is None:
        return None
    placed = [Mark(_on(at, start, stop) or 0.0, word) for at, word in marks]
    return Scale(value, low, high, _on(control, start, stop), placed, (f"{start:g}", f"{stop:g}"))


# --- rules ------------------------------------------------------------------------------------------------------


def _rule_cards(tables: "Tables") -> Iterator[Card]:
    labels, several = labels_of(tables), tables.rules["subject"].nunique() > 1
    for row in records_of(tables.rules):
        whose = f"{labels.get(row['subject'], row['subject'])}: " if several else ""
        words = f"{whose}{row['words'][:1].upper()}{row['words'][1:]}"
        yield Card(
            words,
            str(row["verdict"]),
            _rule_number(row),
            _rule_sure(row),
            _next_of_rule(row),
            _rule_scale(tables, row),
        )


def _setting(row: dict[str, Any]) -> str:
    return str(row["rule"]).split()[0]


def _rule_number(row: dict[str, Any]) -> str:
    if missing(row["value"]):
        return "no value"
    name = {MAX_AUC: "AUC", EQUIVALENT: "AUC", MAX_EPSILON: "ε at least"}.get(_setting(row))
    if name:
        return f"{name} {number(row['value'], 2)}"
    if _setting(row) == MAX_VERBATIM:
        return count(int(row["value"]), "record")
    return f"{percent(row['value'], 0)} of the members"


def _rule_sure(row: dict[str, Any]) -> str:
    attack = "" if missing(row["attack"]) or not row["attack"] else f" ({row['attack']})"
    if missing(row["low"]) and missing(row["high"]):
        return f"No bounds{attack}."
    whole = _setting(row) == MAX_VERBATIM
    ends = [plain(row[end]) if whole else number(row[end], 3) for end in ("low", "high")]
    return f"Between {ends[0]} and {ends[1]}{attack}; each end errs with a chance of {percent(row['error'])} at most."


def _next_of_rule(row: dict[str, Any]) -> str:
    """What would decide it; of a broken rule, what helps."""
    if row["verdict"] == UNDECIDED:
        return f"Needed for a decision: {row['would_decide']}." if row["would_decide"] else ""
    if row["verdict"] != "exceeded":
        return ""
    if _setting(row) == MAX_VERBATIM:
        return "Look up the records under Single records, and take them out of the training data or repeat them less."
    return "Train with fewer epochs, less repetition or a lower rank, and audit the new model in a new folder."


def _rule_scale(tables: "Tables", row: dict[str, Any]) -> Scale | None:
    numbers, limit = [row[name] for name in ("value", "low", "high")], row["limit"]
    if _setting(row) in (MAX_AUC, EQUIVALENT):
        limits = [(0.5 - limit, ""), (0.5 + limit, "margin")] if _setting(row) == EQUIVALENT else [(limit, "limit")]
        return scale_of(numbers, _control(tables, row), [(0.5, "guessing"), *limits], 0.3, 1.0)
    if _setting(row) == MAX_TPR:
        return scale_of(numbers, None, [(float(row["rule"].split()[1]), "guessing"), (limit, "limit")], 0.0, 1.0)
    return None


def _control(tables: "Tables", row: dict[str, Any]) -> Any:
    """The AUC of the attack where nothing was learned."""
    rows = tables.membership
    same = rows[
        (rows["trial"] == row["subject"]) & (rows["stratum"] == row["stratum"]) & (rows["attack"] == row["attack"])
    ]
    return None if same.empty else same["auc_control"].iloc[0]


# --- questions --------------------------------------------------------------------------------------------------


def _question_cards(tables: "Tables", primary: str) -> Iterator[Card]:
    rows = tables.membership
    rows = rows[(rows["stratum"] == "records") & rows["auc"].notna()]
    if rows.empty:
        return
    of_primary = rows[rows["attack"] == primary].sort_values("auc", ascending=False, kind="stable")
    if len(of_primary):
        yield _worst(tables, of_primary)
    yield from _strongest(tables, rows, primary)
    yield from _blind(rows)
    yield from _written_back(tables)
    yield from _exposed(tables)
    if len(of_primary) > 1:
        yield _least(tables, of_primary)


def _worst(tables: "Tables", rows: pd.DataFrame) -> Card:
    top = rows.iloc[0]
    ends = [top["auc_low"], top["auc_high"]]
    known = not any(map(missing, ends))
    answer = "unknown" if not known else "yes" if ends[0] > 0.5 else "not shown" if ends[1] >= 0.5 else "reversed"
    steps = []
    if missing(top["auc_control"]):
        steps.append("A null trial would be its control: controls.null_trial first.")
    if answer in ("unknown", "not shown"):
        steps.append("More members and non-members would narrow the interval; `byrote plan` says how many show what.")
    sides = f"{plain(top['n_members'])} members against {plain(top['n_nonmembers'])} non-members"
    largest = f", the largest of {len(rows)} trials" if len(rows) > 1 else ""
    return Card(
        "Can members be told from non-members?",
        answer,
        f"AUC {number(top['auc'])}",
        f"{at_level(tables.level)} {interval(*ends)} ({top['attack']}, {labels_of(tables)[top['trial']]}{largest}); "
        f"{sides}.{_beside_control(top)}",
        " ".join(steps),
        scale_of([top["auc"], *ends], top["auc_control"], [(0.5, "guessing")], 0.3, 1.0),
    )


def _beside_control(row: Any) -> str:
    """` Its control has 0.50, 0.29 lower (0.27 to 0.31).`; nothing where there is no control."""
    if missing(row["auc_control"]):
        return ""
    apart, ends = row["above_control"], (row["above_control_low"], row["above_control_high"])
    span = "" if any(map(missing, ends)) else f" ({interval(*ends)})"
    difference = "" if missing(apart) else f"; the difference is {number(apart)}{span}"
    return f" Where nothing was learned it is {number(row['auc_control'])}{difference}."


def _exposed(tables: "Tables") -> Iterator[Card]:
    """The record that attacks place highest above what the model never saw."""
    known = tables.records.dropna(subset=["percentile"])
    if known.empty:
        return
    row = known.sort_values("percentile", ascending=False, kind="stable").iloc[0]
    yield Card(
        "Which records stand out most?",
        str(row["record"]),
        f"above {percent(row['percentile'], 0)}",
        f"of non-members, after {labels_of(tables)[row['trial']]}.",
        "Look it up, and those that follow it, under Single records.",
    )


def _strongest(tables: "Tables", rows: pd.DataFrame, primary: str) -> Iterator[Card]:
    top = strongest_rows(rows)
    if top.empty or top["attack"].iloc[0] == primary:
        return
    row = top.iloc[0]
    numbers = [row[name] for name in ("auc", "simultaneous_low", "simultaneous_high")]
    yield Card(
        "Does any attack tell them apart better?",
        str(row["attack"]),
        f"AUC {number(row['auc'])}",
        f"{at_level(tables.level)} {interval(*numbers[1:])}, widened because the attack was picked by its result "
        f"({labels_of(tables)[row['trial']]}).",
        scale=scale_of(numbers, row["auc_control"], [(0.5, "guessing")], 0.3, 1.0),
    )


def _blind(rows: pd.DataFrame) -> Iterator[Card]:
    tried = rows.dropna(subset=["auc_blind"]).drop_duplicates(["auc_blind", "blind_p_value"])
    if tried.empty:
        return
    row = tried.sort_values("blind_p_value", kind="stable").iloc[0]
    differ = row["blind_p_value"] < FAR_P
    yield Card(
        "Do their texts alone tell them apart?",
        "yes" if differ else "not shown",
        f"AUC {number(row['auc_blind'])}",
        f"A classifier that never saw a model, p {p_value(row['blind_p_value'])}.",
        "Choose non-members from the same source and time as the members: AUCs above mean little here."
        if differ
        else "",
        scale_of([row["auc_blind"], None, None], None, [(0.5, "guessing")], 0.3, 1.0),
    )


def _written_back(tables: "Tables") -> Iterator[Card]:
    rows = tables.extraction
    rows = rows[(rows["role"] == "member") & rows["verbatim"].notna()]
    tuned, base = (rows[rows["model"] == model].groupby("record")["verbatim"].any() for model in ("tuned", "base"))
    if tuned.empty:
        return
    more = int((tuned & ~base.reindex(tuned.index, fill_value=False).astype(bool)).sum())
    yield Card(
        "Are members written back word for word?",
        "yes" if more else "not seen",
        f"{plain(more)} of {count(len(tuned), 'member')}",
        "Prompted with their beginning, after any trial, and not by the base model.",
        "Which records: under Single records and in tables/extraction.csv." if more else "",
    )


def _least(tables: "Tables", rows: pd.DataFrame) -> Card:
    """The trial that leaks least among those that are worth about as much as the best."""
    known = rows.merge(tables.trials[["trial", "perplexity_tuned"]], on="trial").dropna(subset=["perplexity_tuned"])
    if known.empty:
        known = rows.assign(perplexity_tuned=float("nan"))
    close = known[~(known["perplexity_tuned"] > 1.1 * known["perplexity_tuned"].min())]
    row = close.sort_values("auc", kind="stable").iloc[0]
    return Card(
        "Which configuration leaks least at about equal utility?",
        labels_of(tables)[row["trial"]],
        f"AUC {number(row['auc'])}",
        f"{at_level(tables.level)} {interval(row['auc_low'], row['auc_high'])}; perplexity of non-members "
        f"{number(row['perplexity_tuned'], 1)}, within a tenth of the lowest ({count(len(close), 'trial')}).",
        "One seed each compares trained models: more seeds compare configurations (seeds: 5).",
        scale_of(
            [row[name] for name in ("auc", "auc_low", "auc_high")], row["auc_control"], [(0.5, "guessing")], 0.3, 1.0
        ),
    )
