"""The sections of a report, in order of importance: plain sentences first, tables after, detail folded."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from byrote.figures import Drawn, find_published
from byrote.report import (
    annex,
    attackers,
    canaries,
    checkpoints,
    comparisons,
    conditions,
    controls,
    free_completions,
    generation,
    glossary,
    hypotheses,
    null_trials,
    rates,
    setting,
    single_records,
    tabulate,
    verdict,
)
from byrote.report.findings import (
    machine_sentences,
    membership_sentences,
    missing_sentences,
    operating_sentences,
    summary_sentences,
    utility_sentences,
)
from byrote.report.generation import Texts
from byrote.report.page import Grid, Section, filled, joined, labels_of, pictures
from byrote.study import Study

if TYPE_CHECKING:
    from byrote.tables import Tables

MEMBERSHIP_FIGURES = ("auc_by_placement", "auc_by_rank", "auc_heat_map", "forest", "roc", "score_histograms")
CHECKPOINT_FIGURES = ("leakage_by_step",)
CANARY_FIGURES = ("exposure_by_copies", "canary_by_copies")
RECORD_FIGURES = ("agreement",)
FIRST_PAGE = ("few_records", "sample", "learned_nothing")  # findings that open the report
MOST_OPEN = 12  # rows of an overview that is not folded away


@dataclass(frozen=True)
class Remarks:
    """What a report tells beside its tables, as `report_page` is given it: findings, failures, versions of packages,
    what was not tested."""

    findings: Sequence[Mapping[str, Any]]
    failures: Sequence[Mapping[str, Any]]
    versions: Mapping[str, str]
    not_tested: Sequence[str] = ()


def sections_of(
    study: Study, tables: "Tables", drawn: Sequence[Drawn], remarks: Remarks, texts: Texts | None
) -> list[Section]:
    """Every section for which the run has results. The other arguments are those of `report_page`."""
    primary, many = study.membership.primary, study.canaries.design in ("many", "manifest")
    settings, utility = setting.setting_grid(study), joined(utility_sentences(tables))
    summary = summary_sentences(tables, primary, many)
    sections = [
        verdict.verdict_section(
            tables, primary, remarks.not_tested, [*_shows_texts(texts), *_warnings(tables, remarks.findings)]
        ),
        Section("summary", "Summary", summary),
        Section(
            "measured",
            "What was measured, and for whom",
            joined(setting.setting_sentences(study)),
            folded=[*filled(attackers.attackers_grid(tables)), settings],
        ),
        _membership(study, tables, drawn),
        _generation(tables, drawn, texts, many),
        Section(
            "untargeted",
            "Untargeted extraction",
            free_completions.sentences(tables),
            filled(free_completions.grid(tables)),
        ),
        *([_canaries(tables, drawn)] if many else []),
        Section("utility", "Utility", utility, grids=filled(tabulate.utility_grid(tables))),
        *([_checkpoints(tables, drawn)] if len(tables.checkpoints) else []),
        *([_records(tables, drawn)] if len(tables.records) or len(tables.counterfactual) else []),
        _missing(tables, drawn, remarks.failures),
        _machine(study, tables, remarks),
        annex.annex_section(tables),
    ]
    return glossary.explained(sections)


def _warnings(tables: "Tables", findings: Sequence[Mapping[str, Any]]) -> list[str]:
    few = [_sentence(str(finding["message"])) for finding in findings if finding["kind"] in FIRST_PAGE]
    return [
        *conditions.collapsed_warnings(tables),
        *few,
        *controls.warning_sentences(tables),
        *canaries.audit_warnings(tables),
    ]


def _sentence(message: str) -> str:
    return f"{message[:1].upper()}{message[1:]}."


def _named(drawn: Sequence[Drawn], names: Sequence[str]) -> list[Drawn]:
    return [figure for figure in drawn if figure.name in names]


def _checkpoints(tables: "Tables", drawn: Sequence[Drawn]) -> Section:
    return Section(
        "checkpoints",
        "Checkpoints",
        checkpoints.sentences(tables),
        filled(checkpoints.checkpoints_grid(tables)),
        pictures=pictures(_named(drawn, CHECKPOINT_FIGURES)),
    )


def _membership(study: Study, tables: "Tables", drawn: Sequence[Drawn]) -> Section:
    primary, compare_to = study.membership.primary, study.report.compare_to
    published = None if compare_to is None else find_published(compare_to)
    stated = filled(hypotheses.hypotheses_grid(tables))
    over_seeds = filled(comparisons.means_grid(tables), comparisons.claims_grid(tables))
    several = bool((tables.configurations["seeds"] > 1).any())
    detail = [
        tabulate.attacks_grid(tables),
        tabulate.intervals_grid(tables),
        tabulate.operating_grid(tables),
    ]
    detail += [null_trials.null_trials_grid(tables)]
    detail += [comparisons.attack_tests_grid(tables), comparisons.trial_tests_grid(tables)]
    return Section(
        "membership",
        "Membership inference",
        joined(
            membership_sentences(tables, primary),
            operating_sentences(tables, primary),
            comparisons.test_sentences(tables, primary),
            comparisons.claim_sentences(tables, study),
            comparisons.detectable_sentences(tables),
        ),
        grids=[*filled(tabulate.primary_grid(tables, primary, published)), *stated, *(over_seeds if several else [])],
        lists=hypotheses.hypothesis_lists(tables),
        pictures=pictures(_named(drawn, MEMBERSHIP_FIGURES)),
        folded=[*filled(*detail), *([] if several else over_seeds), *filled(comparisons.detectable_grid(tables))],
    )


def _shows_texts(texts: Texts | None) -> list[str]:
    warning = (
        "This page shows the text of records (report.include_text): keep it where the records themselves are kept."
    )
    return [] if texts is None else [warning]


def _generation(tables: "Tables", drawn: Sequence[Drawn], texts: Texts | None, many: bool) -> Section:
    shown = [] if texts is None else filled(generation.text_grid(tables, texts))
    elsewhere = {*MEMBERSHIP_FIGURES, *CHECKPOINT_FIGURES, *RECORD_FIGURES, *(CANARY_FIGURES if many else ())}
    grids = [rates.open_rates_grid(tables, canaries=False)]
    grids += [] if many else [rates.open_rates_grid(tables, canaries=True)]
    summary = filled(generation.generation_grid(tables))
    short = [grid for grid in summary if len(grid.rows) <= MOST_OPEN]
    return Section(
        "generation",
        "Prompted generation",
        [*generation.generation_sentences(tables), *joined(rates.rate_sentences(tables), rates.draw_sentences(tables))],
        grids=[*short, *filled(*grids), *shown],
        pictures=pictures([figure for figure in drawn if figure.name not in elsewhere]),
        folded=[*([] if short else summary), *filled(rates.draws_grid(tables), rates.all_rates_grid(tables))],
    )


def _canaries(tables: "Tables", drawn: Sequence[Drawn]) -> Section:
    return Section(
        "canaries",
        "Canaries",
        joined(canaries.exposure_sentences(tables), canaries.audit_sentences(tables)),
        grids=filled(
            canaries.exposure_grid(tables),
            rates.open_rates_grid(tables, canaries=True),
            canaries.audits_grid(tables),
        ),
        pictures=pictures(_named(drawn, CANARY_FIGURES)),
    )


def _records(tables: "Tables", drawn: Sequence[Drawn]) -> Section:
    return Section(
        "records",
        "Single records",
        joined(
            single_records.exposed_sentences(tables),
            single_records.counterfactual_sentences(tables),
            single_records.agreement_sentences(tables),
        ),
        grids=filled(single_records.exposed_grid(tables)),
        folded=filled(
            single_records.lists_grid(tables),
            single_records.counterfactual_grid(tables),
            single_records.agreement_grid(tables),
        ),
        folded_pictures=pictures(_named(drawn, RECORD_FIGURES)),
    )


def _missing(tables: "Tables", drawn: Sequence[Drawn], failures: Sequence[Mapping[str, Any]]) -> Section:
    labels = labels_of(tables)
    undrawn = [f"{figure.title}: {figure.reason}" for figure in drawn if figure.svg is None]
    failed = [f"{labels.get(f['trial'], f['trial'])}, {_stage(f['stage'])}: {f['error']}" for f in failures]
    refused = filled(tabulate.refused_grid(tables))
    lists = [("Figures that were not drawn", undrawn), ("Stages that failed", failed)]
    return Section(
        "missing",
        "What was not measured",
        joined(missing_sentences(tables, len(undrawn), len(failed))),
        grids=[grid for grid in refused if len(grid.rows) <= MOST_OPEN],
        folded=[grid for grid in refused if len(grid.rows) > MOST_OPEN],
        lists=[(title, items) for title, items in lists if items],
    )


def _stage(path: str) -> str:
    """The name of a stage without the keys in its path."""
    return [part for part in path.split("/") if not re.fullmatch(r"[0-9a-f]{12,}", part)][-1]


def _machine(study: Study, tables: "Tables", remarks: Remarks) -> Section:
    seeds = setting.seed_words(study, sorted(set(tables.trials["seed"].dropna())))
    messages = [str(finding["message"]) for finding in remarks.findings]
    packages = Grid("Versions", ["package", "version"], [[name, str(v)] for name, v in remarks.versions.items()], 2)
    return Section(
        "machine",
        "Data, machine and how to do it again",
        joined([*machine_sentences(tables, len(messages)), seeds]),
        grids=filled(tabulate.timings_grid(tables), packages),
        lists=[("Remarks from reading the corpus", messages)] if messages else [],
    )
