# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownParameterType=false
"""Tables of a run, a pure function of what is stored: no torch, no model.

Columns and types: columns.py. A number that cannot be computed is missing, and `left_out` counts the records.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd
import pyarrow as pa

from byrote.attacks import Attack, find_attacks
from byrote.records import PROMPTS_STRATUM, RECORDS_STRATUM, Assignment, Record, TokenScores
from byrote.statistics.blind import BlindTest
from byrote.store import Run
from byrote.store.purge import what_was_purged
from byrote.store.rules import RESULTS, look_at, standing_of
from byrote.study import Extraction, Statistics, Study
from byrote.study.hypotheses import named_hypotheses
from byrote.study.rules import attacks_of, rules_of
from byrote.study.settings import NO_BASE
from byrote.tables.attackers import attacker_rows
from byrote.tables.blind import blind_columns, blind_of
from byrote.tables.canaries import AuditSettings, audit_rows, bounds_of, canary_rows, coin_of
from byrote.tables.checkpoints import checkpoint_rows, results_of
from byrote.tables.columns import COLUMNS
from byrote.tables.compared import (
    AUDITOR,
    Compared,
    Parts,
    Scored,
    ScoredStratum,
    auditor_scores,
    compare_stratum,
    population_of,
    score_with,
    strata_of,
    unknown_like,
)
from byrote.tables.comparisons import attack_comparisons, trial_comparisons
from byrote.tables.completions import (
    Judged,
    completions_of,
    draw_rates,
    draw_rows,
    extraction_rates,
    extraction_rows,
)
from byrote.tables.configurations import configuration_rows, detectable_rows, together
from byrote.tables.free_completions import untargeted_tables
from byrote.tables.histograms import histogram_table
from byrote.tables.hypotheses import hypothesis_rows
from byrote.tables.membership import Settings, control_of, membership_row, operating_rows
from byrote.tables.null_trials import NullTrials, null_trial_row, with_null_trial
from byrote.tables.resampled import resample
from byrote.tables.roc import roc_table
from byrote.tables.rules import dropped_rows, verdict_rows
from byrote.tables.single_records import agreement_rows, counterfactual_rows, record_rows
from byrote.tables.subjects import subjects_of
from byrote.tables.trials import Measured, timing_rows, trial_row

LONG = ("roc", "histograms")  # tables of thousands of rows a trial, which are never made one by one


@dataclass(frozen=True)
class Tables:
    """The tables of a run (columns: COLUMNS). `roc` holds the points of the curves; `records` the fifty most exposed
    of each trial; `configurations` a mean over seeds each, then a claim each pair."""

    rules: pd.DataFrame
    trials: pd.DataFrame
    membership: pd.DataFrame
    checkpoints: pd.DataFrame
    attackers: pd.DataFrame
    null_trials: pd.DataFrame
    comparisons: pd.DataFrame
    configurations: pd.DataFrame
    hypotheses: pd.DataFrame
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
    histograms: pd.DataFrame
    level: float = Statistics().level
    """Of every interval in the tables: the study's statistics.level."""


def build(run: Run) -> Tables:
    """All tables of a run, from its stages; as they were written where its texts were purged. StoreError where a file
    is broken."""
    return _frames(run, run.tables() if what_was_purged(run) else build_arrow(run))


def _frames(run: Run, arrow: Mapping[str, pa.Table]) -> Tables:
    frames = {name: table.to_pandas() for name, table in arrow.items()}
    return Tables(**frames, level=run.study().statistics.level)


def write(run: Run) -> Tables:
    """Build all tables and write them as CSV and Parquet; the blind classifier's results are kept for the next time.
    Where the run's texts were purged the tables stand as they are."""
    if what_was_purged(run):
        return build(run)
    arrow = build_arrow(run, keep=True)
    for name, table in arrow.items():
        run.write_table(name, table)
    return _frames(run, arrow)


def build_arrow(run: Run, *, keep: bool = False) -> dict[str, pa.Table]:
    """All tables as Arrow, by name, with the types of COLUMNS. keep: store what takes long and need not be redone."""
    plan, study = run.plan(), run.study()
    records = {r.record: r for r in run.records()}
    attacks, settings = attacks_of(study), _settings(study)
    whole_base, parts = _scores(run, plan["base"]["scores"]), Parts(records)
    base_scores = parts.answers(whole_base)
    null_trials = NullTrials.of(run, plan["nulls"])
    base_completions, judged = completions_of(run, plan["base"]["completions"]), Judged(records)
    rows: dict[str, list[dict[str, Any]]] = {name: [] for name in COLUMNS}
    rows["timings"] += timing_rows(run, "base", plan["base"])
    for null in plan["nulls"]:
        rows["timings"] += timing_rows(run, null["trial"], null)
    blind: dict[str, BlindTest] = {}
    scored_strata: list[ScoredStratum] = []
    long: dict[str, list[pa.Table]] = {name: [] for name in LONG}
    subjects: list[Measured] = []
    failed = {failure["stage"] for failure in run.failures()}
    family = _bounds(run, plan)
    for planned in plan["trials"]:
        whole_tuned = _scores(run, planned["scores"])
        whole = whole_base if study.model.source != NO_BASE else whole_tuned and unknown_like(whole_tuned)
        base = base_scores if whole is whole_base else parts.answers(whole)
        drawn, left_out = _drawn(_roles(run, planned["roles"]), whole_base or whole_tuned)
        trial = Measured(planned, drawn, parts.answers(whole_tuned), base, left_out)
        subjects.append(trial)
        head = {"trial": planned["trial"]}
        rows["trials"].append(trial_row(run, trial, failed))
        nulls = null_trials.beside(planned), null_trials.second_beside(planned)
        whole_nulls = [null and null.scores for null in nulls]
        answers = [null and replace(null, scores=parts.answers(null.scores)) for null in nulls]
        beside = {null.kind: null_trial_row(run, trial, null, failed) for null in answers if null}
        rows["null_trials"] += beside.values()
        rows["timings"] += timing_rows(run, planned["trial"], planned)
        if not trial.roles:
            continue
        if trial.tuned is not None and trial.base is not None:
            wholes = (whole_tuned, whole, *whole_nulls) if parts.masked else ()
            of_prompts = [None if scores is None else parts.prompts(scores) for scores in wholes]
            of_answers = [trial.tuned, trial.base, *(null and null.scores for null in answers)]
            for stratum in strata_of(trial.roles, prompts=parts.masked):
                tuned, base, under_null, of_second = of_prompts if stratum.name == PROMPTS_STRATUM else of_answers
                assert tuned is not None
                assert base is not None
                compared = compare_stratum(stratum, trial.roles, records, tuned, base, under_null, second=of_second)
                if compared.stratum.name == RECORDS_STRATUM and planned["roles"] not in blind:
                    blind[planned["roles"]] = blind_of(run, compared, records, settings.seed, keep=keep)
                controls = Controls(blind_columns(compared, blind.get(planned["roles"])), beside)
                with_auditor = _membership(trial, compared, attacks, settings, controls, rows=rows, long=long)
                scores = {name: scored for name, scored in with_auditor.items() if name != AUDITOR}
                scored_strata.append(ScoredStratum(planned, compared, scores))
            rows["canaries"] += ({**head, **row} for row in canary_rows(trial.roles, trial.tuned, trial.base))
            rows["audits"] += ({**head, **row} for row in _audits(trial, records, study, family))
        tuned_completions = completions_of(run, planned.get("completions"))
        models = {"perplexity_base": trial.base, "perplexity_tuned": trial.tuned}
        written = extraction_rows(trial.roles, judged, models, base_completions, tuned_completions)
        rows["extraction"] += ({**head, **row} for row in written)
        stages = {"tuned": planned.get("completions"), "base": plan["base"]["completions"]}
        rows["draws"] += ({**head, **row} for row in draw_rows(run, trial.roles, stages, study.extraction.chances))
        for name, more in _untargeted(run, plan["base"], trial, records, study).items():
            rows[name] += ({**head, **row} for row in more)
    _over_trials(rows, scored_strata, settings, study)
    _over_completions(rows, study.extraction, settings.level)
    rows["rules"] += _rules(run, study, subjects, records, scored_strata, rows, keep=keep)
    of_records = [scored for scored in scored_strata if scored.compared.stratum.name == RECORDS_STRATUM]
    rows["attackers"] += attacker_rows(rows["membership"], rows["operating_points"])
    rows["checkpoints"] += checkpoint_rows(results_of(plan["trials"], of_records, rows), settings)
    schemas = {name: pa.schema(list(columns.items())) for name, columns in COLUMNS.items()}
    arrow = {name: pa.Table.from_pylist(rows[name], schema=schema) for name, schema in schemas.items()}
    return {**arrow, **{name: pa.concat_tables([arrow[name], *long[name]]).combine_chunks() for name in LONG}}


def _drawn(roles: list[Assignment], scores: TokenScores | None) -> tuple[list[Assignment], tuple[Assignment, ...]]:
    """Roles of the records that were drawn, and of those that were left out: a stage scores all that were drawn."""
    if scores is None:
        return roles, ()
    scored = set(scores.records)
    return [a for a in roles if a.record in scored], tuple(a for a in roles if a.record not in scored)


def _over_trials(
    rows: dict[str, list[dict[str, Any]]], scored_strata: list[ScoredStratum], settings: Settings, study: Study
) -> None:
    """Append what takes several trials or several strata: tests between trials, claims, samples, single records."""
    claims, primary = study.claims, settings.primary
    collapsed = {row["trial"] for row in rows["trials"] if row["condition"] == "collapsed"}
    for name in dict.fromkeys(s.compared.stratum.name for s in scored_strata):
        same = [s for s in scored_strata if s.compared.stratum.name == name]
        rows["comparisons"] += trial_comparisons(same, primary, settings.level)
        rows["detectable"] += detectable_rows(same, primary, settings.rates)
        if name == claims.stratum:
            rows["configurations"] += configuration_rows(same, primary, claims.margin, settings.level, collapsed)
    of_claims = [s for s in scored_strata if s.compared.stratum.name == claims.stratum]
    named = named_hypotheses(study)
    rows["hypotheses"] += hypothesis_rows(named, of_claims, primary, claims, settings.level, collapsed)
    by_trial: dict[str, list[ScoredStratum]] = {}
    for scored_stratum in scored_strata:
        if scored_stratum.compared.stratum.name != PROMPTS_STRATUM:  # the same records once more
            by_trial.setdefault(scored_stratum.trial, []).append(scored_stratum)
    for configuration in together([strata[0] for strata in by_trial.values()]):
        siblings = [by_trial[first.trial] for first in configuration]
        rows["records"] += record_rows(siblings, primary)
        for strata in siblings:
            rows["agreement"] += agreement_rows(strata[0])
    rows["counterfactual"] += counterfactual_rows(scored_strata)


def _over_completions(rows: dict[str, list[dict[str, Any]]], extraction: Extraction, level: float) -> None:
    """Append rates of extraction, and to each canary the best share of its suffix that the tuned model wrote."""
    rows["extraction_rates"] += extraction_rates(rows["extraction"], extraction.thresholds, level)
    rows["extraction_rates"] += draw_rates(rows["draws"], extraction.draws, level)
    best: dict[tuple[str, str], float] = {}
    for row in rows["extraction"]:
        if row["model"] == "tuned" and row["ngram_share"] is not None:
            key = row["trial"], row["record"]
            best[key] = max(best.get(key, 0.0), row["ngram_share"])
    for row in rows["canaries"]:
        row["ngram_share"] = best.get((row["trial"], row["record"]))


def _rules(
    run: Run,
    study: Study,
    trials: list[Measured],
    records: Mapping[str, Record],
    scored_strata: list[ScoredStratum],
    rows: Mapping[str, list[dict[str, Any]]],
    *,
    keep: bool,
) -> list[dict[str, Any]]:
    """The verdict on every rule for every trial, from what the other tables hold; keep: a new look is written down."""
    rules = rules_of(study)
    standing = standing_of(run, rules)
    if not rules and not standing.dropped:
        return []
    plan = run.plan()
    stages = [row.get(name) for row in (plan["base"], *plan["trials"], *plan["nulls"]) for name in RESULTS]
    look = look_at(run, [stage for stage in stages if stage], keep=keep)
    subjects = subjects_of(trials, scored_strata, rows, has_base=run.has(plan["base"].get("completions") or "-"))
    judged = verdict_rows(rules, subjects, records, study, look, standing.before)
    return [*judged, *dropped_rows(standing.dropped, look)]


def _settings(study: Study) -> Settings:
    statistics, membership = study.statistics, study.membership
    return Settings(
        statistics.level, statistics.bootstrap, statistics.seed, membership.false_positive_rates, membership.primary
    )


def _bounds(run: Run, plan: Mapping[str, Any]) -> int:
    """How many bounds on epsilon the scored trials of a run give: the family over which their level is shared."""
    scored = [row for row in plan["trials"] if row["scores"] and run.has(row["scores"])]
    plans = [(row["roles"], row["settings"]["canaries"]) for row in scored]
    return sum(bounds_of(run.roles(roles), coin) for roles, canaries in plans if (coin := coin_of(canaries)))


def _audits(trial: Measured, records: Mapping[str, Record], study: Study, family: int) -> Iterator[dict[str, Any]]:
    coin, audit = coin_of(trial.row["settings"]["canaries"]), study.audit
    if coin is None or trial.tuned is None or trial.base is None:
        return
    name = audit.attack or study.membership.primary
    settings = AuditSettings(
        guesses=audit.guesses,
        delta=audit.delta,
        level=audit.level,
        attack=name,
        seed=study.statistics.seed,
        family=max(family, 1),
        inclusion=coin,
    )
    yield from audit_rows(trial.roles, records, trial.tuned, trial.base, find_attacks([name])[name], settings)


def _untargeted(
    run: Run, base: Mapping[str, Any], trial: Measured, records: Mapping[str, Record], study: Study
) -> dict[str, list[dict[str, Any]]]:
    stages = {"base": base.get("untargeted"), "tuned": trial.row.get("untargeted")}
    population = population_of(trial.roles, trial.tuned, trial.base)
    return untargeted_tables(run, stages, trial.roles, records, population, study)


def _roles(run: Run, key: str) -> list[Assignment]:
    """Roles under a key; none where they are damaged, which the trial's state says."""
    return [] if run.roles_damage(key) else run.roles(key)


def _scores(run: Run, stage: str | None) -> TokenScores | None:
    return run.scores(stage) if stage and run.has(stage) else None


# --- membership -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Controls:
    """What stands beside every attack on a stratum: the blind classifier's columns, and rows of `null_trials`
    by kind."""

    blind: Mapping[str, Any]
    null_trials: Mapping[str, dict[str, Any]]


def _membership(
    trial: Measured,
    compared: Compared,
    attacks: Mapping[str, Attack],
    settings: Settings,
    controls: Controls,
    *,
    rows: dict[str, list[dict[str, Any]]],
    long: dict[str, list[pa.Table]],
) -> dict[str, Scored]:
    """Append all rows of one stratum of a trial; returns the scores by attack, the auditor's too."""
    key = trial.row["trial"]
    wanted = {**attacks, settings.primary: find_attacks([settings.primary])[settings.primary]}
    scores = score_with(compared, wanted)
    with_auditor = dict(scores)
    if compared.stratum.name == RECORDS_STRATUM:
        combined, _ = auditor_scores(compared, scores, settings.seed)
        with_auditor |= {AUDITOR: combined} if combined else {}
    resampled = resample(compared, scores, settings.resamples, settings.seed, settings.level)
    for name, scored in with_auditor.items():
        control = control_of(compared, name, wanted.get(name))
        row = membership_row(compared, scored, wanted.get(name), settings, resampled, control=control)
        rows["membership"].append({**trial.head, **with_null_trial(row, controls.null_trials), **controls.blind})
        rows["operating_points"] += ({"trial": key, **point} for point in operating_rows(compared, scored, settings))
        long["roc"].append(roc_table(key, compared, scored))
        long["histograms"].append(histogram_table(key, compared, scored, control.scored))
    same = {"kind": "attacks", "trial_a": key, "trial_b": key}
    rows["comparisons"] += ({**same, **row} for row in attack_comparisons(compared, scores, resampled))
    return with_auditor
