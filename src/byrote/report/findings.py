"""What was found, in sentences: pure functions from tables to lists of sentences.

A sentence says no more than its data bear: an interval stands beside every AUC that has one, a maximum is called a
maximum, one seed a configuration compares trained models, and what has no control is said to have none.
"""

import math
from typing import TYPE_CHECKING, Any

import pandas as pd

from byrote.report.comparison import placement_sentences
from byrote.report.words import count, duration, listing, number, percent, plain, rate, with_interval
from byrote.statistics.intervals import clopper_pearson

if TYPE_CHECKING:
    from byrote.tables import Tables

KINDS = {
    "canary_in": "planted canaries",
    "canary_out": "canaries left out",
    "member": "members",
    "nonmember": "non-members",
    "reference": "reference records",
}


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


def _labels(tables: "Tables") -> dict[str, str]:
    return dict(zip(tables.trials["trial"], tables.trials["label"], strict=True))


def strongest_sentences(tables: "Tables", primary: str) -> list[str]:
    """The largest AUC of the primary attack on the stratum records, and what it is worth."""
    rows = _records(tables, primary)
    if rows.empty:
        return [f"Membership inference by the primary attack ({primary}) has no result."]
    top = rows.iloc[int(rows["auc"].to_numpy(float).argmax())]
    label = _labels(tables).get(top["trial"], top["trial"])
    value = with_interval(top["auc"], top["auc_low"], top["auc_high"])
    head = "The AUC" if len(rows) == 1 else "The largest AUC"
    told = [
        f"{head} of the primary attack ({primary}) is {value}, of {label}: shown one member and one non-member, the "
        f"attack names the member {number(100 * top['auc'], 0)} times in 100, where guessing does 50 times."
    ]
    if len(rows) > 1:
        told.append(f"It is the largest of {len(rows)} trials, so a repetition would tend to give less.")
    return told + _beside_guessing(top)


def _beside_guessing(top: pd.Series) -> list[str]:
    if math.isnan(top["auc_low"]) or math.isnan(top["auc_high"]):
        return ["Without an interval, it cannot be told from guessing."]
    if top["auc_low"] <= 0.5 <= top["auc_high"]:
        return ["Its interval holds 0.5: this sample does not tell it from guessing."]
    if top["auc_high"] < 0.5:
        return ["It lies below 0.5: the attack ranks non-members first, which points at a difference of the splits."]
    return []


def control_sentences(tables: "Tables", primary: str) -> list[str]:
    """What a base model, and a classifier that never saw a model, reach on the same records."""
    rows = _records(tables)
    if rows.empty:
        return []
    told = []
    controlled = rows.dropna(subset=["auc_base"])
    under_null = controlled["control"] == "null trial"
    controls = controlled[~under_null].groupby("attack", sort=False)["auc_base"].mean()
    for attack, control in controls.items():
        told.append(
            f"On the base model, which never saw the members, the attack {attack} reaches {number(control)}"
            f"{_near_half(control)}."
        )
    for attack, control in controlled[under_null].groupby("attack", sort=False)["auc_base"].mean().items():
        told.append(
            f"Under the null trial, tuned on other documents, the attack {attack} reaches {number(control)}"
            f"{_near_half(control)}."
        )
    if primary not in set(controlled["attack"]):
        told.append(
            f"The primary attack ({primary}) compares with the base model, so the base model is no control for it; "
            "a null trial, tuned on other documents, was not run."
        )
    blind = rows["auc_blind"].dropna()
    if len(blind):
        told.append(
            f"A bag-of-words classifier that never saw any model tells members from non-members with AUC "
            f"{_span(blind)}{_near_half(blind.iloc[blind.sub(0.5).abs().argmax()])}."
        )
    return told


def _near_half(value: float) -> str:
    if abs(value - 0.5) < 0.05:
        return ", close to guessing"
    return ": members and non-members differ before any fine-tuning, and part of every AUC here may be that difference"


def _span(values: pd.Series, digits: int = 2) -> str:
    low, high = number(values.min(), digits), number(values.max(), digits)
    return low if low == high else f"{low} to {high}"


def membership_sentences(tables: "Tables", primary: str) -> list[str]:
    """The span of AUCs, of records and of each stratum of canaries."""
    rows = tables.membership[(tables.membership["attack"] == primary) & tables.membership["auc"].notna()]
    if rows.empty:
        return [f"The primary attack ({primary}) has no AUC."]
    records, canaries = rows[rows["stratum"] == "records"], rows[rows["stratum"] != "records"]
    told = []
    if len(records):
        told.append(f"Members against non-members: AUC {_auc_of(records)}.")
    if len(records) > 1:
        clear = int((records["auc_low"] > 0.5).sum())
        told.append(f"In {clear} of {len(records)} trials the interval lies above 0.5.")
    if len(canaries):
        parts = canaries.groupby("copies", sort=True)
        each = [f"{_copies(copies)} {_auc_of(part)}" for copies, part in parts]
        told.append(
            f"Canaries planted against canaries left out, a stratum for each number of copies: {listing(each)}."
        )
    return told


def _copies(copies: Any) -> str:
    return count(int(copies), "copy", "copies")


def _auc_of(part: pd.DataFrame) -> str:
    """`0.65 to 0.82 (2898 against 968, 14 trials)`, or one trial's AUC with its interval."""
    sizes = " against ".join(_span(part[side], 0) for side in ("n_members", "n_nonmembers"))
    if len(part) > 1:
        return f"{_span(part['auc'])} ({sizes}, {count(len(part), 'trial')})"
    only = part.iloc[0]
    return f"{with_interval(only['auc'], only['auc_low'], only['auc_high'])}, {sizes}"


def operating_sentences(tables: "Tables", primary: str) -> list[str]:
    """The rates of members found at each false-positive rate, thresholds from calibration."""
    rows = tables.operating_points
    rows = rows[(rows["attack"] == primary) & (rows["stratum"] == "records")]
    rows = rows[rows["threshold_source"] == "calibration"]
    told = []
    for target, part in rows.dropna(subset=["tpr"]).groupby("target_fpr", sort=False):
        by_trial = " (lowest and highest trial)" if len(part) > 1 else ""
        told.append(
            f"With a threshold fixed beforehand on calibration records for at most {rate(target)} of false "
            f"positives, the attack names {_shares(part['tpr'])} of the members and "
            f"{_shares(part['realised_fpr'])} of the non-members{by_trial}."
        )
    return told


def _shares(values: pd.Series) -> str:
    low, high = percent(values.min()), percent(values.max())
    return low if low == high else f"{low} to {high}"


def generation_summary(extraction: pd.DataFrame, by_copies: bool = False) -> pd.DataFrame:
    """One row a role and temperature, and copies if asked: what tuned and base model wrote.

    Columns role, copies (NaN where not asked for), temperature, trials, and for each model completions_*, share_*
    (mean), verbatim_*, low_*, high_* (Clopper–Pearson, of the verbatim rate; NaN where a record stands in several rows,
    which are then not independent).
    """
    rows = []
    copies = extraction["copies"] if by_copies else pd.Series(math.nan, index=extraction.index)
    grouped = extraction.assign(copies=copies.where(extraction["role"].isin(["canary_in", "canary_out"])))
    for (role, many, temperature), part in grouped.groupby(["role", "copies", "temperature"], sort=False, dropna=False):
        row: dict[str, Any] = {"role": role, "copies": many, "temperature": temperature}
        row["trials"] = part["trial"].nunique()
        for model in ("tuned", "base"):
            row |= _of_model(part[part["model"] == model], model)
        rows.append(row)
    models = [f"{name}_{m}" for m in ("tuned", "base") for name in ("completions", "share", "verbatim", "low", "high")]
    order = {role: i for i, role in enumerate(KINDS)}
    rows.sort(key=lambda row: (row["temperature"], order.get(row["role"], len(order)), row["copies"]))
    return pd.DataFrame(rows, columns=["role", "copies", "temperature", "trials", *models])


def _of_model(part: pd.DataFrame, model: str) -> dict[str, Any]:
    known = part["verbatim"].dropna().astype(bool)
    hits, of = int(known.sum()), len(known)
    alone = of > 0 and not part.duplicated("record").any()
    low, high = clopper_pearson(hits, of) if alone else (math.nan, math.nan)
    share = float(part["ngram_share"].mean()) if len(part) else math.nan
    values = {"completions": of, "share": share, "verbatim": hits, "low": low, "high": high}
    return {f"{name}_{model}": value for name, value in values.items()}


def generation_sentences(tables: "Tables") -> list[str]:
    """Paragraphs: how completions were judged, then each temperature with base model and non-members beside."""
    summary = generation_summary(tables.extraction)
    if summary.empty:
        return ["No record was prompted, so nothing is known about what the models write."]
    lead = (
        "Models were given the first part of a record, and what they wrote was compared, token by token, with the "
        "rest. In brackets: the base model on the same prompts; what it also writes is no evidence of memorization."
    )
    if (tables.extraction["role"] != "nonmember").all():
        lead += " No non-member was prompted, so there is no control for what any text of this kind would give."
    return [lead, *(_at_temperature(value, part) for value, part in summary.groupby("temperature", sort=True))]


def _at_temperature(temperature: Any, part: pd.DataFrame) -> str:
    rows = part.to_dict("records")
    whole = [
        f"{row['verbatim_tuned']} of {plain(row['completions_tuned'])} for {_kind(row)} ({row['verbatim_base']})"
        for row in rows
    ]
    shares = [f"{percent(row['share_tuned'], 0)} for {_kind(row)} ({percent(row['share_base'], 0)})" for row in rows]
    return (
        f"At temperature {temperature:g}, completions equal to the whole rest: {listing(whole)}. Longest common run of "
        f"tokens over the tokens to reproduce, on average: {listing(shares)}."
    )


def _kind(row: Any) -> str:
    return str(KINDS.get(row["role"], row["role"]))


def utility_sentences(tables: "Tables") -> list[str]:
    """What fine-tuning did to the perplexity of non-members."""
    rows = tables.trials.dropna(subset=["perplexity_base", "perplexity_tuned"])
    if rows.empty:
        return ["No trial has a perplexity on non-members under both models."]
    worse = int((rows["perplexity_tuned"] > rows["perplexity_base"]).sum())
    told = [
        f"On non-members the perplexity is {_span(rows['perplexity_base'], 1)} under the base model and "
        f"{_span(rows['perplexity_tuned'], 1)} after fine-tuning ({count(len(rows), 'trial')}; lower is better)."
    ]
    if worse:
        told.append(f"In {count(worse, 'trial')} fine-tuning made it worse.")
    if len(rows) > 1:
        told.append(
            "Trials that differ in this perplexity also differ in how far they were trained, and a comparison of their "
            "leakage is confounded by that."
        )
    return told


def summary_sentences(tables: "Tables", primary: str) -> list[str]:
    """Paragraphs: the trials and the largest leak, its controls, and which matrices leak most."""
    if tables.trials.empty:
        return trial_sentences(tables)
    strongest = [*trial_sentences(tables), *strongest_sentences(tables, primary)]
    parts = [strongest, control_sentences(tables, primary), placement_sentences(tables, primary)]
    return [" ".join(part) for part in parts if part]


def missing_sentences(tables: "Tables", undrawn: int, failures: int) -> list[str]:
    """How much of what was asked for is missing."""
    refused = tables.operating_points["refused_because"].notna().sum()
    left_out = tables.membership["left_out"].fillna(0).astype(int)
    uncontrolled = sorted(set(tables.membership.loc[tables.membership["auc_base"].isna(), "attack"]))
    told = []
    if refused:
        points = count(int(refused), "operating point")
        told.append(f"{points} {_were(refused)} refused, because the records are too few to resolve the rate.")
    if uncontrolled:
        told.append(f"No base-model control exists for {listing(uncontrolled)}.")
    if (left_out > 0).any():
        most = count(int(left_out.max()), "record")
        told.append(
            f"Some attacks have no value on some records: up to {most} {_were(left_out.max())} left out of an AUC."
        )
    empty = int(tables.membership["auc"].isna().sum())
    if empty:
        told.append(f"{count(empty, 'AUC')} could not be computed.")
    if undrawn:
        told.append(f"{count(undrawn, 'figure')} {_were(undrawn)} not drawn.")
    if failures:
        again = "it" if failures == 1 else "them"
        told.append(f"{count(failures, 'stage')} failed; the same `byrote run` tries {again} again.")
    return told or ["Nothing that the study asked for is missing."]


def _were(amount: int) -> str:
    return "was" if amount == 1 else "were"


def machine_sentences(tables: "Tables", remarks: int) -> list[str]:
    """Time spent, on what, and how many things the corpus was found to have."""
    told = []
    seconds = tables.timings["seconds"].dropna()
    if len(seconds):
        devices = sorted(set(tables.timings["device"].dropna()))
        where = f", on {listing(devices)}" if devices else ""
        told.append(f"The stored stages took {duration(seconds.sum())} in all{where}.")
    else:
        told.append("No timings are stored.")
    told.append(f"Reading and checking the corpus gave {count(remarks, 'remark')}.")
    return told
