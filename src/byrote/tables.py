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
from byrote.extraction import METRICS, Pair, keywords_in, tfidf_cosine
from byrote.planted import AuditSettings, audit_rows, canary_rows
from byrote.records import Assignment, Completion, Record, Role, TokenScores
from byrote.statistics.blind import blind_auc
from byrote.statistics.draws import draws_needed
from byrote.store import Run


@dataclass(frozen=True)
class Tables:
    """The tables of a run (columns: COLUMNS). `roc` holds the points of the curves."""

    trials: pd.DataFrame
    membership: pd.DataFrame
    comparisons: pd.DataFrame
    operating_points: pd.DataFrame
    extraction: pd.DataFrame
    draws: pd.DataFrame
    canaries: pd.DataFrame
    audits: pd.DataFrame
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
    base_completions = _completions(run, plan["base"]["completions"])
    rows: dict[str, list[dict[str, Any]]] = {f.name: [] for f in fields(Tables)}
    rows["timings"] += _timings(run, "", plan["base"], ("scores", "completions"))
    blind: dict[str, float] = {}
    primary: dict[str, list[tuple[str, ms.Compared, ms.Scored]]] = {}
    failed = {failure["stage"] for failure in run.failures()}
    for planned in plan["trials"]:
        trial = _Measured(planned, run.roles(planned["roles"]), _scores(run, planned["scores"]), base_scores)
        head = {"trial": planned["trial"]}
        rows["trials"].append(_trial_row(run, trial, failed))
        rows["timings"] += _timings(run, planned["trial"], planned, ("finetune", "scores", "completions"))
        if trial.tuned is not None and base_scores is not None:
            for stratum in ms.strata(trial.roles):
                this = ms.compared(stratum, trial.roles, records, trial.tuned, base_scores, null)
                alone = _blind(this, records, planned["roles"], blind)
                found = _membership(trial, this, attacks, settings, alone, rows)
                primary.setdefault(stratum.name, []).append((planned["trial"], this, found[settings.primary]))
            rows["canaries"] += ({**head, **row} for row in canary_rows(trial.roles, trial.tuned, base_scores))
            rows["audits"] += ({**head, **row} for row in _audits(trial, records, study))
        rows["extraction"] += _extraction(run, trial, records, base_completions)
        rows["draws"] += _draws(run, trial, plan["base"]["completions"], _chance(study))
    for several in primary.values():
        rows["comparisons"] += _between_trials(several, settings.level)
    return {name: pa.Table.from_pylist(rows[name], schema=pa.schema(list(COLUMNS[name].items()))) for name in COLUMNS}


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
    for name, one in every.items():
        row = ms.membership_row(this, one, wanted.get(name), settings)
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
    stages = [planned[name] for name in ("finetune", "scores", "completions") if planned.get(name)]
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


def _timings(run: Run, trial: str, planned: Mapping[str, Any], names: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    for name in names:
        if planned.get(name) and run.has(planned[name]):
            done = run.manifest(planned[name])
            yield {
                "trial": trial or "base",
                "stage": name,
                **{column: done[column] for column in ("seconds", "tokens", "device", "peak_memory")},
                "tokens_per_second": done["tokens"] / done["seconds"] if done["seconds"] else None,
            }


# --- extraction -------------------------------------------------------------------------------------------------


def _completions(run: Run, stage: str | None) -> list[Completion]:
    return run.completions(stage) if stage and run.has(stage) else []


def _extraction(
    run: Run, trial: _Measured, records: Mapping[str, Record], base_completions: list[Completion]
) -> Iterator[dict[str, Any]]:
    tuned = _completions(run, trial.row.get("completions"))
    if not tuned:
        return
    prompted = {c.record for c in tuned}
    roles = {a.record: a for a in trial.roles if a.record in prompted}
    perplexity = {
        name: _record_perplexities(scores, sorted(prompted))
        for name, scores in (("perplexity_base", trial.base), ("perplexity_tuned", trial.tuned))
    }
    rows, pairs = [], []
    for model, completions in (("base", base_completions), ("tuned", tuned)):
        for c in completions:
            if c.record not in prompted:
                continue
            record = records[c.record]
            pair = Pair(
                c.token_ids,
                record.token_ids[c.prefix_tokens :],
                c.text,
                c.suffix_text,
                keywords_in(record.spans, c.suffix_text),
            )
            pairs.append(pair)
            rows.append(
                {
                    "trial": trial.row["trial"],
                    "model": model,
                    "record": c.record,
                    "role": roles[c.record].role.value,
                    "copies": roles[c.record].copies,
                    **{
                        name: getattr(c, name)
                        for name in ("prefix", "temperature", "sample", "prefix_tokens", "suffix_tokens")
                    },
                    **{name: _number(metric.score(pair)) for name, metric in METRICS.items()},
                    **{name: values.get(c.record) for name, values in perplexity.items()},
                    "output_perplexity": float(np.exp(-np.mean(c.logprob))) if c.logprob else None,
                }
            )
    background = [records[a.record].text for a in trial.roles if a.role is Role.NONMEMBER]
    if any(text.strip() for text in background):
        for row, cosine in zip(rows, tfidf_cosine(pairs, background), strict=True):
            row["tfidf_cosine"] = _number(float(cosine))
    yield from rows


def _number(value: float) -> float | None:
    return None if isinstance(value, float) and math.isnan(value) else value


def _draws(run: Run, trial: _Measured, base_stage: str | None, chance: float) -> Iterator[dict[str, Any]]:
    """How likely each true suffix is drawn, and in how many draws it comes with `chance`, without sampling."""
    roles = {a.record: a for a in trial.roles}
    tuned_stage = trial.row.get("completions")
    if not tuned_stage or not run.has(tuned_stage):
        return
    prompted: set[str] = set()
    for model, stage in (("tuned", tuned_stage), ("base", base_stage)):
        if not stage or not run.has(stage):
            continue
        for row in run.suffixes(stage).to_pylist():
            if model == "tuned":
                prompted.add(row["record"])
            elif row["record"] not in prompted:
                continue
            yield {
                "trial": trial.row["trial"],
                "model": model,
                "role": roles[row["record"]].role.value,
                "copies": roles[row["record"]].copies,
                **{name: row[name] for name in ("record", "prefix", "temperature", "suffix_tokens", "log_probability")},
                "chance": chance,
                "draws_for_chance": float(draws_needed(row["log_probability"], chance)),
            }


def _record_perplexities(scores: TokenScores | None, records: list[str]) -> dict[str, float]:
    if scores is None:
        return {}
    taken = scores.take(records)
    return {
        record: float(np.exp(-taken.logprob[span].mean(dtype=np.float64)))
        for record, span in zip(records, taken.spans(), strict=True)
        if span.stop > span.start
    }
