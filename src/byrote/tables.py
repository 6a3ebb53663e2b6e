"""Tables of a run, a pure function of what is stored: no torch, no model.

Columns and types: columns.py. A number that cannot be computed is missing, and `left_out` counts the records.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from byrote import membership as ms
from byrote.attacks import Attack, find_attacks
from byrote.columns import COLUMNS, TRIAL
from byrote.configurations import Seen, configuration_rows, detectable_rows, together
from byrote.per_record import agreement_rows, counterfactual_rows, record_rows
from byrote.planted import AuditSettings, audit_rows, canary_rows
from byrote.records import Assignment, Record, Role, TokenScores
from byrote.statistics.blind import blind_auc
from byrote.store import STAGES, Run
from byrote.untargeted import untargeted_tables
from byrote.written import Judged, completions_of, draw_rates, draw_rows, extraction_rates, extraction_rows


@dataclass(frozen=True)
class Tables:
    """The tables of a run (columns: COLUMNS). `roc` holds the points of the curves; `records` the fifty most exposed
    of each trial; `configurations` a mean over seeds each, then a claim each pair."""

    trials: pd.DataFrame
    membership: pd.DataFrame
    comparisons: pd.DataFrame
    configurations: pd.DataFrame
    detectable: pd.DataFrame
    operating_points: pd.DataFrame
    extraction: pd.DataFrame
    draws: pd.DataFrame
    extraction_rates: pd.DataFrame
    untargeted: pd.DataFrame
    untargeted_rates: pd.DataFrame
    canaries: pd.DataFrame
    audits: pd.DataFrame
    records: pd.DataFrame
    agreement: pd.DataFrame
    counterfactual: pd.DataFrame
    timings: pd.DataFrame
    roc: pd.DataFrame


@dataclass(frozen=True)
class _Measured:
    """One trial with what is stored of it."""

    row: Mapping[str, Any]
    roles: list[Assignment]
    tuned: TokenScores | None
    base: TokenScores | None

    @property
    def head(self) -> dict[str, Any]:
        """The columns that every row of this trial starts with."""
        return {name: self.row[name] for name in TRIAL}


def build(run: Run) -> Tables:
    """All tables of a run, from its stages. StoreError where a file is broken."""
    arrow = build_arrow(run)
    return Tables(**{name: table.to_pandas() for name, table in arrow.items()})


def write(run: Run) -> Tables:
    """Build all tables and write them as CSV and Parquet."""
    arrow = build_arrow(run)
    for name, table in arrow.items():
        run.write_table(name, table)
    return Tables(**{name: table.to_pandas() for name, table in arrow.items()})


def build_arrow(run: Run) -> dict[str, pa.Table]:
    """All tables as Arrow, by name, with the types of COLUMNS."""
    plan, study = run.plan(), run.study()
    records = {r.record: r for r in run.records()}
    attacks, settings = find_attacks(study["membership"]["attacks"]), _settings(study)
    base_scores = _scores(run, plan["base"]["scores"])
    null = _scores(run, (plan.get("null") or {}).get("scores"))
    base_completions, judged = completions_of(run, plan["base"]["completions"]), Judged(records)
    rows: dict[str, list[dict[str, Any]]] = {f.name: [] for f in fields(Tables)}
    rows["timings"] += _timings(run, "", plan["base"])
    blind: dict[str, float] = {}
    seen: list[Seen] = []
    failed = {failure["stage"] for failure in run.failures()}
    for planned in plan["trials"]:
        trial = _Measured(planned, run.roles(planned["roles"]), _scores(run, planned["scores"]), base_scores)
        head = {"trial": planned["trial"]}
        rows["trials"].append(_trial_row(run, trial, failed))
        rows["timings"] += _timings(run, planned["trial"], planned)
        if trial.tuned is not None and base_scores is not None:
            for stratum in ms.strata(trial.roles):
                this = ms.compared(stratum, trial.roles, records, trial.tuned, base_scores, null)
                alone = _blind(this, records, planned["roles"], blind)
                found = _membership(trial, this, attacks, settings, alone, rows)
                seen.append(Seen(planned, this, found))
            rows["canaries"] += ({**head, **row} for row in canary_rows(trial.roles, trial.tuned, base_scores))
            rows["audits"] += ({**head, **row} for row in _audits(trial, records, study))
        tuned_completions = completions_of(run, planned.get("completions"))
        models = {"perplexity_base": trial.base, "perplexity_tuned": trial.tuned}
        written = extraction_rows(trial.roles, judged, models, base_completions, tuned_completions)
        rows["extraction"] += ({**head, **row} for row in written)
        stages = {"tuned": planned.get("completions"), "base": plan["base"]["completions"]}
        rows["draws"] += ({**head, **row} for row in draw_rows(run, trial.roles, stages, _chance(study)))
        for name, more in _untargeted(run, plan["base"], trial, records, study).items():
            rows[name] += ({**head, **row} for row in more)
    _over_trials(rows, seen, settings, study)
    _over_completions(rows, study, settings.level)
    return {name: pa.Table.from_pylist(rows[name], schema=pa.schema(list(COLUMNS[name].items()))) for name in COLUMNS}


def _over_trials(
    rows: dict[str, list[dict[str, Any]]], seen: list[Seen], settings: ms.Settings, study: Mapping[str, Any]
) -> None:
    """Append what takes several trials or several strata: tests between trials, claims, samples, single records."""
    claims, primary = study.get("claims", {}), settings.primary
    for name in dict.fromkeys(one.this.stratum.name for one in seen):
        same = [one for one in seen if one.this.stratum.name == name]
        several = [(one.trial, one.this, one.found[primary]) for one in same]
        rows["comparisons"] += _between_trials(several, settings.level)
        rows["detectable"] += detectable_rows(same, primary, settings.rates)
        if name == claims.get("stratum", "records"):
            rows["configurations"] += configuration_rows(same, primary, claims.get("margin", 0.02), settings.level)
    by_trial = {one.trial: [other for other in seen if other.trial == one.trial] for one in seen}
    for group in together([strata[0] for strata in by_trial.values()]):
        siblings = [by_trial[one.trial] for one in group]
        for strata in siblings:
            rows["records"] += record_rows(strata, siblings, primary)
            rows["agreement"] += agreement_rows(strata[0])
    rows["counterfactual"] += counterfactual_rows(seen)


def _over_completions(rows: dict[str, list[dict[str, Any]]], study: Mapping[str, Any], level: float) -> None:
    """Append rates of extraction, and to each canary the best share of its suffix that the tuned model wrote."""
    extraction = study["extraction"]
    rows["extraction_rates"] += extraction_rates(rows["extraction"], extraction.get("thresholds", [0.5, 1.0]), level)
    draws = extraction.get("draws", [1, 100, 10_000])
    rows["extraction_rates"] += draw_rates(rows["draws"], draws, _chance(study), level)
    best: dict[tuple[str, str], float] = {}
    for row in rows["extraction"]:
        if row["model"] == "tuned" and row["ngram_share"] is not None:
            key = row["trial"], row["record"]
            best[key] = max(best.get(key, 0.0), row["ngram_share"])
    for row in rows["canaries"]:
        row["ngram_share"] = best.get((row["trial"], row["record"]))


def _settings(study: Mapping[str, Any]) -> ms.Settings:
    statistics, membership = study.get("statistics", {}), study["membership"]
    return ms.Settings(
        statistics.get("level", 0.95),
        statistics.get("bootstrap", 1000),
        statistics.get("seed", 0),
        tuple(membership["false_positive_rates"]),
        membership["primary"],
    )


def _audits(trial: _Measured, records: Mapping[str, Record], study: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    plan, asked = trial.row["settings"]["canaries"], study.get("audit", {})
    if plan["design"] != "many" or trial.tuned is None or trial.base is None:
        return
    name = asked.get("attack") or study["membership"]["primary"]
    settings = AuditSettings(
        asked.get("guesses"),
        asked.get("delta", 1e-5),
        asked.get("level", 0.05),
        name,
        study.get("statistics", {}).get("seed", 0),
    )
    attack = find_attacks([name])[name]
    yield from audit_rows(trial.roles, records, trial.tuned, trial.base, attack, settings, plan["inclusion"])


def _untargeted(
    run: Run, base: Mapping[str, Any], trial: _Measured, records: Mapping[str, Record], study: Mapping[str, Any]
) -> dict[str, list[dict[str, Any]]]:
    stages = {"base": base.get("untargeted"), "tuned": trial.row.get("untargeted")}
    population = ms.population(trial.roles, trial.tuned, trial.base)
    return untargeted_tables(run, stages, trial.roles, records, population, study)


def _chance(study: Mapping[str, Any]) -> float:
    return (study["extraction"].get("chances") or [0.5])[0]


def _scores(run: Run, stage: str | None) -> TokenScores | None:
    return run.scores(stage) if stage and run.has(stage) else None


# --- membership -------------------------------------------------------------------------------------------------


def _membership(
    trial: _Measured,
    this: ms.Compared,
    attacks: Mapping[str, Attack],
    settings: ms.Settings,
    blind: float,
    rows: dict[str, list[dict[str, Any]]],
) -> dict[str, ms.Scored]:
    """Append all rows of one stratum of a trial; returns the scores by attack."""
    head = {"trial": trial.row["trial"]}
    wanted = {**attacks, settings.primary: find_attacks([settings.primary])[settings.primary]}
    found = ms.scored(this, wanted)
    every: dict[str, ms.Scored] = dict(found)
    if this.stratum.name == "records":
        combined, _ = ms.auditor(this, found, settings.seed)
        every |= {ms.AUDITOR: combined} if combined else {}
    resampled = ms.bootstraps(this, every, settings)
    for name, one in every.items():
        row = ms.membership_row(this, one, wanted.get(name), settings, resampled[name])
        rows["membership"].append({**trial.head, **row, **ms.present(auc_blind=blind)})
        rows["roc"] += ({**head, **point} for point in ms.roc_rows(this, one))
        rows["operating_points"] += ({**head, **point} for point in ms.operating_rows(this, one, settings))
    same = {"kind": "attacks", "trial_a": trial.row["trial"], "trial_b": trial.row["trial"]}
    rows["comparisons"] += ({**same, **row} for row in ms.attack_comparisons(this, found, settings.level))
    return found


def _blind(this: ms.Compared, records: Mapping[str, Record], roles_key: str, known: dict[str, float]) -> float:
    """AUC of the classifier that never saw the model, on the records; once for all trials of the same roles."""
    if this.stratum.name != "records":
        return math.nan
    if roles_key not in known:
        ours, theirs = ([records[r].text for r in ids] for ids in (this.stratum.members, this.stratum.nonmembers))
        known[roles_key] = blind_auc(ours, theirs, [*this.groups[0], *this.groups[1]])
    return known[roles_key]


def _between_trials(several: list[tuple[str, ms.Compared, ms.Scored]], level: float) -> list[dict[str, Any]]:
    """The primary attack, paired between every two trials that compare the same records; Holm over all pairs."""
    rows = [
        {
            "trial_a": a,
            "trial_b": b,
            "attack_a": one.attack,
            "attack_b": other.attack,
            **ms.paired(this, one, other, level),
        }
        for i, (a, this, one) in enumerate(several)
        for b, that, other in several[i + 1 :]
        if (this.stratum.members, this.stratum.nonmembers) == (that.stratum.members, that.stratum.nonmembers)
    ]
    stratum = several[0][1].stratum.name
    return [{"kind": "trials", "stratum": stratum, **row} for row in ms.with_holm(rows)] if rows else []


# --- trials and timings -----------------------------------------------------------------------------------------


def _trial_row(run: Run, trial: _Measured, failed: set[str]) -> dict[str, Any]:
    planned = trial.row
    done = run.manifest(planned["finetune"]) if run.has(planned["finetune"]) else {}
    held_out = [a.record for a in trial.roles if a.role is Role.NONMEMBER]
    planted = sorted({a.copies for a in trial.roles if a.role in (Role.CANARY_IN, Role.CANARY_OUT)})
    lora, training = planned["settings"]["lora"], planned["settings"]["training"]
    return {
        **trial.head,
        **{name: done.get(name) for name in ("trainable_parameters", "total_parameters", "steps", "loss")},
        "trainable_share": done["trainable_parameters"] / done["total_parameters"] if done else None,
        "members": sum(a.role is Role.MEMBER for a in trial.roles),
        "perplexity_base": _perplexity(trial.base, held_out),
        "perplexity_tuned": _perplexity(trial.tuned, held_out),
        "state": _state(run, planned, failed),
        "label": planned["label"],
        "alpha": lora["alpha"],
        "scaling": lora["scaling"],
        "epochs": training["epochs"],
        "learning_rate": training["learning_rate"],
        "copies": ",".join(map(str, planted)),
    }


def _state(run: Run, planned: Mapping[str, Any], failed: set[str]) -> str:
    """done, failed or waiting: the state of a planned trial."""
    stages = [planned[name] for name in STAGES if planned.get(name)]
    if all(run.has(stage) for stage in stages):
        return "done"
    return "failed" if failed & set(stages) else "waiting"


def stage_state(run: Run, stage: str | None, failures: Mapping[str, str]) -> str:
    """What `byrote status` says of a stage: not asked for, done, failed, running or waiting."""
    if not stage:
        return "not asked for"
    if run.has(stage):
        return "done"
    if stage in failures:
        return "failed"
    return "running" if run.is_being_written(stage) else "waiting"


def _perplexity(scores: TokenScores | None, records: list[str]) -> float | None:
    """exp of the mean NLL over all tokens of these records."""
    if scores is None or not records:
        return None
    logprob = scores.take(records).logprob
    return float(np.exp(-logprob.mean(dtype=np.float64))) if len(logprob) else None


def _timings(run: Run, trial: str, planned: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for name in STAGES:
        if planned.get(name) and run.has(planned[name]):
            done = run.manifest(planned[name])
            yield {
                "trial": trial or "base",
                "stage": name,
                **{column: done[column] for column in ("seconds", "tokens", "device", "peak_memory")},
                "tokens_per_second": done["tokens"] / done["seconds"] if done["seconds"] else None,
            }
