"""Tables of a run, a pure function of what is stored: no torch, no model.

Every table is a list of typed columns; a number that cannot be computed is missing, and `left_out` counts the records.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from byrote.attacks import Attack, Evidence, find_attacks
from byrote.extraction import METRICS, Pair, keywords_in
from byrote.records import Assignment, Completion, Record, Role, TokenScores
from byrote.statistics.blind import blind_auc
from byrote.statistics.intervals import clopper_pearson, hanley_mcneil
from byrote.statistics.roc import auc, rate_at, roc_curve, threshold_at_most
from byrote.store import Run

_TEXT, _WHOLE, _REAL, _FLAG = pa.string(), pa.int64(), pa.float64(), pa.bool_()
_TRIAL = {"trial": _TEXT, "matrices": _TEXT, "rank": _WHOLE, "seed": _WHOLE}
COLUMNS: dict[str, dict[str, pa.DataType]] = {
    "trials": {
        **_TRIAL,
        "trainable_parameters": _WHOLE,
        "total_parameters": _WHOLE,
        "trainable_share": _REAL,
        "members": _WHOLE,
        "steps": _WHOLE,
        "loss": _REAL,
        "perplexity_base": _REAL,
        "perplexity_tuned": _REAL,
        "state": _TEXT,
        "label": _TEXT,
        "alpha": _REAL,
        "scaling": _TEXT,
        "epochs": _WHOLE,
        "learning_rate": _REAL,
        "copies": _TEXT,
    },
    "membership": {
        **_TRIAL,
        "stratum": _TEXT,
        "copies": _WHOLE,
        "attack": _TEXT,
        "n_members": _WHOLE,
        "n_nonmembers": _WHOLE,
        "left_out": _WHOLE,
        "auc": _REAL,
        "auc_low": _REAL,
        "auc_high": _REAL,
        "interval": _TEXT,
        "auc_base": _REAL,
        "auc_blind": _REAL,
    },
    "operating_points": {
        **dict.fromkeys(("trial", "stratum", "attack"), _TEXT),
        "target_fpr": _REAL,
        "threshold_source": _TEXT,
        "threshold": _REAL,
        **dict.fromkeys(("tpr", "tpr_low", "tpr_high"), _REAL),
        **dict.fromkeys(("realised_fpr", "realised_fpr_low", "realised_fpr_high"), _REAL),
        "refused_because": _TEXT,
    },
    "extraction": {
        **dict.fromkeys(("trial", "model", "record", "role"), _TEXT),
        "copies": _WHOLE,
        **dict.fromkeys(("prefix", "temperature"), _REAL),
        **dict.fromkeys(("sample", "prefix_tokens", "suffix_tokens", "longest_ngram"), _WHOLE),
        "ngram_share": _REAL,
        "verbatim": _FLAG,
        **dict.fromkeys(("perplexity_base", "perplexity_tuned", "output_perplexity"), _REAL),
    },
    "timings": {
        **dict.fromkeys(("trial", "stage"), _TEXT),
        "seconds": _REAL,
        "tokens": _WHOLE,
        "tokens_per_second": _REAL,
        "device": _TEXT,
        "peak_memory": _WHOLE,
    },
    "roc": {**dict.fromkeys(("trial", "stratum", "attack"), _TEXT), "fpr": _REAL, "tpr": _REAL},
}


@dataclass(frozen=True)
class Tables:
    """The tables of a run (columns: COLUMNS). `roc` holds the points of the curves."""

    trials: pd.DataFrame
    membership: pd.DataFrame
    operating_points: pd.DataFrame
    extraction: pd.DataFrame
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
        return {name: self.row[name] for name in _TRIAL}


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
    membership = study["membership"]
    attacks, rates = find_attacks(membership["attacks"]), membership["false_positive_rates"]
    base_scores = run.scores(plan["base"]["scores"]) if run.has(plan["base"]["scores"]) else None
    base_completions = _completions(run, plan["base"]["completions"])
    rows: dict[str, list[dict[str, Any]]] = {f.name: [] for f in fields(Tables)}
    rows["timings"] += _timings(run, "", plan["base"], ("scores", "completions"))
    blind: dict[str, float] = {}
    failed = {failure["stage"] for failure in run.failures()}
    for planned in plan["trials"]:
        tuned = run.scores(planned["scores"]) if run.has(planned["scores"]) else None
        trial = _Measured(planned, run.roles(planned["roles"]), tuned, base_scores)
        rows["trials"].append(_trial_row(run, trial, failed))
        rows["timings"] += _timings(run, planned["trial"], planned, ("finetune", "scores", "completions"))
        for stratum in _strata(trial, records, planned["roles"], blind):
            sides = _sides(trial, stratum, records)
            for name, attack in attacks.items() if sides else ():
                for table, found in _membership(trial, stratum, sides, name, attack, rates):
                    rows[table].append(found)
        rows["extraction"] += _extraction(run, trial, records, base_completions)
    return {name: pa.Table.from_pylist(rows[name], schema=pa.schema(list(COLUMNS[name].items()))) for name in COLUMNS}


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


# --- membership -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Stratum:
    """Members, non-members and calibration records that are compared with each other, by id."""

    name: str
    copies: int
    members: list[str]
    nonmembers: list[str]
    calibration: list[str]
    auc_blind: float


def _strata(
    trial: _Measured, records: Mapping[str, Record], roles_key: str, blind: dict[str, float]
) -> Iterator[_Stratum]:
    by_role: dict[Role, list[Assignment]] = {role: [] for role in Role}
    for assignment in trial.roles:
        by_role[assignment.role].append(assignment)
    ids = {role: [a.record for a in assigned] for role, assigned in by_role.items()}
    if roles_key not in blind:
        members, nonmembers = ([records[r] for r in ids[role]] for role in (Role.MEMBER, Role.NONMEMBER))
        groups = [r.group for r in (*members, *nonmembers)]
        blind[roles_key] = blind_auc([r.text for r in members], [r.text for r in nonmembers], groups)
    yield _Stratum("records", 1, ids[Role.MEMBER], ids[Role.NONMEMBER], ids[Role.CALIBRATION], blind[roles_key])
    for copies in sorted({a.copies for role in (Role.CANARY_IN, Role.CANARY_OUT) for a in by_role[role]}):
        planted, kept_out = (
            [a.record for a in by_role[role] if a.copies == copies] for role in (Role.CANARY_IN, Role.CANARY_OUT)
        )
        yield _Stratum(f"canaries@{copies}", copies, planted, kept_out, [], math.nan)


def _sides(trial: _Measured, stratum: _Stratum, records: Mapping[str, Record]) -> list[Evidence]:
    """What attacks see of the members, non-members and calibration records; empty where the trial is not scored."""
    tuned, base = trial.tuned, trial.base
    if tuned is None or base is None:
        return []
    drawn = [a.record for a in trial.roles if a.role is Role.CALIBRATION]
    population = (tuned.take(drawn), base.take(drawn)) if drawn else None
    return [
        Evidence(tuned.take(ids), base.take(ids), tuple(records[r].text for r in ids), population)
        for ids in (stratum.members, stratum.nonmembers, stratum.calibration)
    ]


def _membership(
    trial: _Measured, stratum: _Stratum, sides: list[Evidence], name: str, attack: Attack, rates: list[float]
) -> Iterator[tuple[str, dict[str, Any]]]:
    scored = [attack.score(side) for side in sides]
    members, nonmembers, calibration = (s[~np.isnan(s)] for s in scored)
    area = auc(members, nonmembers)
    low, high = hanley_mcneil(area, len(members), len(nonmembers))
    interval = "hanley-mcneil"
    if area in (0, 1):  # the formula's variance is 0 there, which is not certainty
        low, high, interval = math.nan, math.nan, "none: sides do not overlap, the formula has no width"
    control = math.nan
    if not attack.needs_base:
        by_base = [attack.score(side.control()) for side in sides[:2]]
        control = auc(*(s[~np.isnan(s)] for s in by_base))
    head = {"stratum": stratum.name, "attack": name}
    yield (
        "membership",
        {
            **trial.head,
            **head,
            "copies": stratum.copies,
            "n_members": len(members),
            "n_nonmembers": len(nonmembers),
            "left_out": sum(int(np.isnan(s).sum()) for s in scored[:2]),
            **_present(auc=area, auc_low=low, auc_high=high, auc_base=control, auc_blind=stratum.auc_blind),
            "interval": interval,
        },
    )
    fpr, tpr = roc_curve(members, nonmembers)
    for x, y in zip(fpr, tpr, strict=True):
        yield "roc", {"trial": trial.row["trial"], **head, "fpr": float(x), "tpr": float(y)}
    for rate in rates:
        for source, chosen in (("calibration", calibration), ("evaluation", nonmembers)):
            point = _operating_point(members, nonmembers, chosen, rate, source)
            yield "operating_points", {"trial": trial.row["trial"], **head, **point}


def _operating_point(
    members: np.ndarray, nonmembers: np.ndarray, chosen_on: np.ndarray, rate: float, source: str
) -> dict[str, Any]:
    point: dict[str, Any] = {"target_fpr": rate, "threshold_source": source}
    if len(chosen_on) * rate < 1:
        why = f"{len(chosen_on)} {source} records cannot resolve a false-positive rate of {rate:g}"
        return {**point, "refused_because": why + ("; needs " + str(math.ceil(1 / rate)) if len(chosen_on) else "")}
    threshold = threshold_at_most(chosen_on, rate)
    point["threshold"] = threshold
    for column, side in (("tpr", members), ("realised_fpr", nonmembers)):
        hits, of = rate_at(side, threshold)
        low, high = clopper_pearson(hits, of)
        share = hits / of if of else math.nan
        point |= _present(**{column: share, f"{column}_low": low, f"{column}_high": high})
    return point


def _present(**numbers: float) -> dict[str, float | None]:
    return {name: None if math.isnan(number) else number for name, number in numbers.items()}


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
    for model, completions in (("base", base_completions), ("tuned", tuned)):
        for c in completions:
            if c.record not in prompted:
                continue
            record, written, true = records[c.record], getattr(c, "text", ""), getattr(c, "suffix_text", "")
            suffix = record.token_ids[c.prefix_tokens :]
            pair = Pair(c.token_ids, suffix, written, true, keywords_in(record.spans, true))
            yield {
                "trial": trial.row["trial"],
                "model": model,
                "record": c.record,
                "role": roles[c.record].role.value,
                "copies": roles[c.record].copies,
                **{
                    name: getattr(c, name)
                    for name in ("prefix", "temperature", "sample", "prefix_tokens", "suffix_tokens")
                },
                **{name: metric.score(pair) for name, metric in METRICS.items()},
                **{name: values.get(c.record) for name, values in perplexity.items()},
                "output_perplexity": float(np.exp(-np.mean(c.logprob))) if c.logprob else None,
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
