"""What was found, in sentences: pure functions from tables to lists of sentences.

A sentence claims no more than its data support: every AUC that has an interval is given with it, a maximum is called a
maximum, one seed per configuration compares trained models, and what has no control is said to have none.
"""

import math
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pandas as pd

from byrote.records import PROMPTS_STRATUM, RECORDS_STRATUM
from byrote.report.canaries import record_bound_sentences
from byrote.report.comparisons import placement_sentences
from byrote.report.conditions import overfitted_sentences, trials_of
from byrote.report.controls import control_sentences
from byrote.report.null_trials import null_trial_sentences
from byrote.report.page import copies_words, labels_of
from byrote.report.rates import rate_sentences
from byrote.report.words import count, duration, listing, number, percent, rate, spread, with_interval
from byrote.tables.compared import AUDITOR
from byrote.tables.strongest import outsiders, strongest_rows

if TYPE_CHECKING:
    from byrote.tables import Tables


def trial_sentences(tables: "Tables") -> list[str]:
    """How many trials there are, and in what state."""
    states = tables.trials["state"]
    if states.empty:
        return ["The run holds no trials."]
    done, total = int((states == "done").sum()), len(states)
    if done == total:
        return [f"{_all(total)} finished."]
    others = [(name, int(amount)) for name, amount in states[states != "done"].value_counts().items()]
    rest = listing([f"{amount} {'is' if amount == 1 else 'are'} {state}" for state, amount in others])
    rest = rest.replace("is failed", "failed").replace("are failed", "failed")
    return [f"{done} of {count(total, 'trial')} finished; {rest}."]


def _all(total: int) -> str:
    return "The one trial" if total == 1 else f"All {total} trials"


def _records(tables: "Tables", attack: str | None = None) -> pd.DataFrame:
    rows = tables.membership
    rows = rows[(rows["stratum"] == "records") & rows["auc"].notna()]
    return rows if attack is None else rows[rows["attack"] == attack]


def strongest_sentences(tables: "Tables", primary: str) -> list[str]:
    """The largest AUC of the primary attack on the stratum records, and what it is worth."""
    rows = _records(tables, primary)
    if rows.empty:
        return [f"Membership inference by the primary attack ({primary}) has no result."]
    top = rows.iloc[int(rows["auc"].to_numpy(float).argmax())]
    label = labels_of(tables).get(top["trial"], top["trial"])
    value = with_interval(top["auc"], top["auc_low"], top["auc_high"], tables.level)
    head = "The AUC" if len(rows) == 1 else "The largest AUC"
    sentences = [
        f"{head} of the primary attack ({primary}) is {value}, of {label}: shown one member and one non-member, the "
        f"attack names the member {number(100 * top['auc'], 0)} times in 100, where guessing would do so 50 times."
    ]
    if len(rows) > 1:
        sentences.append(f"It is the largest of {len(rows)} trials, so it would tend to be lower if measured again.")
    if top["trial"] in set(trials_of(tables, "collapsed")["trial"]):
        return [
            *sentences,
            "That trial collapsed, so this AUC is a broken model's and says nothing about its settings.",
        ]
    return sentences + _beside_guessing(top)


def any_attack_sentences(tables: "Tables", primary: str) -> list[str]:
    """The strongest attack of all, and the auditor, where either is stronger than the primary one."""
    rows = _records(tables)
    primary_auc = rows[rows["attack"] == primary]["auc"].max()
    auditor = rows[rows["attack"] == AUDITOR]
    sentences, strongest = [], strongest_rows(rows)
    if len(strongest) and not strongest["auc"].iloc[0] <= primary_auc:
        top = strongest.iloc[0]
        value = with_interval(top["auc"], top["simultaneous_low"], top["simultaneous_high"], tables.level)
        attacks, label = outsiders(rows)["attack"].nunique(), labels_of(tables).get(top["trial"])
        sentences.append(
            f"Of all {attacks} attacks the strongest, {top['attack']}, reaches {value} after {label}; it was picked "
            "by looking at all of them, which flatters it. Its interval is widened so that those of all attacks on "
            "the trial hold together."
        )
    if len(auditor):
        sentences.append(
            "An auditor who knows the members and combines all attacks reaches "
            f"{spread(auditor['auc'])}{' (lowest and highest trial)' if len(auditor) > 1 else ''}."
        )
    return sentences


def _beside_guessing(top: pd.Series) -> list[str]:
    if math.isnan(top["auc_low"]) or math.isnan(top["auc_high"]):
        return ["Without an interval, it cannot be told from guessing."]
    if top["auc_low"] <= 0.5 <= top["auc_high"]:
        return ["Its interval contains 0.5: this sample does not tell it from guessing."]
    if top["auc_high"] < 0.5:
        return [
            "It lies below 0.5: the attack ranks non-members first, which points to a difference between the splits."
        ]
    return []


def membership_sentences(tables: "Tables", primary: str) -> list[str]:
    """The span of AUCs, of records and of each stratum of canaries."""
    rows = tables.membership[(tables.membership["attack"] == primary) & tables.membership["auc"].notna()]
    if rows.empty:
        return [f"The primary attack ({primary}) has no AUC."]
    of = {name: rows[rows["stratum"] == name] for name in (RECORDS_STRATUM, PROMPTS_STRATUM)}
    records, prompts, canaries = of[RECORDS_STRATUM], of[PROMPTS_STRATUM], rows[~rows["stratum"].isin([*of])]
    sentences = []
    if len(records):
        sentences.append(f"Members against non-members: AUC {_auc_of(records, tables.level)}.")
    if len(records) > 1:
        clear = int((records["auc_low"] > 0.5).sum())
        sentences.append(f"In {clear} of {len(records)} trials the interval lies above 0.5.")
    if len(prompts):
        auc = _auc_of(prompts, tables.level)
        sentences.append(f"By their prompts alone, which the loss was not on: AUC {auc}.")
    if len(canaries):
        parts = canaries.groupby("copies", sort=True)
        each = [f"{copies_words(copies)}: {_auc_of(part, tables.level)}" for copies, part in parts]
        sentences.append(f"Canaries planted against canaries left out, by number of copies: {'; '.join(each)}.")
    return sentences


def _auc_of(part: pd.DataFrame, level: float) -> str:
    """`0.65 to 0.82 (2898 against 968, 14 trials)`, or one trial's AUC with its interval."""
    sizes = " against ".join(spread(part[side], 0) for side in ("n_members", "n_nonmembers"))
    if len(part) > 1:
        return f"{spread(part['auc'])} ({sizes}, {count(len(part), 'trial')})"
    only = part.iloc[0]
    return f"{with_interval(only['auc'], only['auc_low'], only['auc_high'], level)}, {sizes}"


def operating_sentences(tables: "Tables", primary: str) -> list[str]:
    """The rates of members found at each false-positive rate, thresholds from calibration, beside what papers print."""
    rows = tables.operating_points
    rows = rows[(rows["attack"] == primary) & (rows["stratum"] == "records")]
    published = rows[rows["threshold_source"] == "published"]
    rows = rows[rows["threshold_source"] == "calibration"]
    sentences = []
    for target, part in rows.dropna(subset=["tpr"]).groupby("target_fpr", sort=False):
        by_trial = " (lowest and highest trial)" if len(part) > 1 else ""
        span = _tpr_interval(part.iloc[0]) if len(part) == 1 else ""
        sentences.append(
            "With a threshold fixed beforehand on calibration records for a false-positive rate of at most "
            f"{rate(target)}, the attack flags {_shares(part['tpr'])} of the members{span} and "
            f"{_shares(part['realised_fpr'])} of the non-members{by_trial}."
        )
        sentences += _published(published[published["target_fpr"] == target], part["target_fpr"].iloc[0])
    return sentences


def _tpr_interval(row: pd.Series) -> str:
    if math.isnan(row["tpr_low"]):
        return f" (without an interval: {str(row['tpr_interval']).removeprefix('none: ')})"
    return f" (interval {percent(row['tpr_low'])} to {percent(row['tpr_high'])})"


def _published(rows: pd.DataFrame, target: float) -> list[str]:
    """What a paper would print for the same attack, for comparison with papers alone."""
    known = rows["tpr"].dropna()
    if known.empty:
        return []
    return [
        f"Published figures take the largest share at a false-positive rate of at most {rate(target)} on the "
        f"evaluated records themselves, which flatters the attack: here that would be {_shares(known)}."
    ]


def _shares(values: pd.Series) -> str:
    low, high = percent(values.min()), percent(values.max())
    return low if low == high else f"{low} to {high}"


def utility_sentences(tables: "Tables") -> list[str]:
    """What fine-tuning did to the perplexity of non-members."""
    rows = tables.trials.dropna(subset=["perplexity_base", "perplexity_tuned"])
    if rows.empty:
        return ["No trial has a perplexity on non-members under both models."]
    worse = int((rows["perplexity_tuned"] > rows["perplexity_base"]).sum())
    sentences = [
        f"On non-members the perplexity is {spread(rows['perplexity_base'], 1)} under the base model and "
        f"{spread(rows['perplexity_tuned'], 1)} after fine-tuning ({count(len(rows), 'trial')}; lower is better)."
    ]
    if worse:
        sentences.append(f"In {count(worse, 'trial')} fine-tuning made it worse.")
    sentences += overfitted_sentences(tables)
    if len(rows) > 1:
        sentences.append(
            "Trials that differ in this perplexity also differ in how far they were trained, which confounds any "
            "comparison of their leakage."
        )
    return sentences


def summary_sentences(tables: "Tables", primary: str, many: bool = False) -> list[str]:
    """Paragraphs, what matters most first: the largest leak, its controls, what comes back, canaries, matrices.

    many: whether the study plants canaries of many numbers of copies.
    """
    if tables.trials.empty:
        return trial_sentences(tables)
    parts = [
        [*trial_sentences(tables), *strongest_sentences(tables, primary), *any_attack_sentences(tables, primary)],
        overfitted_sentences(tables),
        [*control_sentences(tables, primary), *null_trial_sentences(tables, primary)],
        rate_sentences(tables),
        record_bound_sentences(tables) if many else [],
        placement_sentences(tables, primary),
    ]
    return [" ".join(part) for part in parts if part]


def missing_sentences(tables: "Tables", undrawn: int, failures: int) -> list[str]:
    """How much of what was asked for is missing."""
    refused = tables.operating_points["refused_because"].notna().sum()
    left_out = tables.membership["left_out"].fillna(0).astype(int)
    uncontrolled = sorted(set(tables.membership.loc[tables.membership["auc_control"].isna(), "attack"]))
    sentences = []
    if refused:
        points = count(int(refused), "operating point")
        sentences.append(f"{points} {_were(refused)} refused, because there are too few records to resolve the rate.")
    if uncontrolled:
        sentences.append(f"No control exists for {listing(uncontrolled)}.")
    if (left_out > 0).any():
        most = count(int(left_out.max()), "record")
        sentences.append(
            f"Some attacks have no value on some records: up to {most} {_were(left_out.max())} left out of an AUC."
        )
    empty = int(tables.membership["auc"].isna().sum())
    if empty:
        sentences.append(f"{count(empty, 'AUC')} could not be computed.")
    if undrawn:
        sentences.append(f"{count(undrawn, 'figure')} {_were(undrawn)} not drawn.")
    if failures:
        again = "it" if failures == 1 else "them"
        sentences.append(f"{count(failures, 'stage')} failed; the same `byrote run` tries {again} again.")
    return sentences or ["Nothing that the study asked for is missing."]


def _were(amount: int) -> str:
    return "was" if amount == 1 else "were"


def seconds_worked(spans: Sequence[tuple[str, str]]) -> float:
    """Wall-clock seconds in which at least one stage was at work: the length of the union of the intervals, given as
    ISO times. Pauses between two runs are not counted."""
    worked, until = timedelta(), datetime.min.replace(tzinfo=UTC)
    for began, finished in sorted((datetime.fromisoformat(a), datetime.fromisoformat(b)) for a, b in spans):
        worked += max(timedelta(), finished - max(began, until))
        until = max(until, finished)
    return worked.total_seconds()


def machine_sentences(tables: "Tables", remarks: int) -> list[str]:
    """Time spent, on what, and how many remarks reading the corpus led to."""
    sentences = []
    spans = tables.timings[["began", "finished"]].dropna()
    if len(spans):
        devices = sorted(set(tables.timings["device"].dropna()))
        where = f", on {listing(devices)}" if devices else ""
        worked = seconds_worked(list(spans.itertuples(index=False, name=None)))
        sentences.append(
            f"The stored stages took {duration(worked)}{where}; stages that ran side by side are counted once."
        )
    else:
        sentences.append("No timings are stored.")
    sentences.append(f"Reading and checking the corpus gave {count(remarks, 'remark')}.")
    return sentences
