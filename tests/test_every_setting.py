"""No setting is ignored: each, changed alone, changes what is planned, stored, tabulated or reported, or is an error.

A setting that is new has to be added to EFFECTS: the tests fail until it is.
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from byrote.corpora import load_corpus
from byrote.errors import ByroteError
from byrote.planting.written import recipe_of
from byrote.render import names_in_report, texts_in_report
from byrote.report import report_page
from byrote.report.record_ids import with_names
from byrote.running import pipeline
from byrote.running.layout import layout, tasks_of
from byrote.running.planning import prepare
from byrote.store import Run
from byrote.study import Study, dump_study, load_study
from byrote.study.checks import check_names
from byrote.study.dotted import dotted_names
from byrote.tables import build
from byrote.tables.build import build_arrow
from fakes import TEXTS, save_tiny_model
from fakes import tiny_study as tiny_study_of

MANY = {"design": "many", "count": 4, "copies": [1], "references": 1}
INVENTED = {"corpus": {"source": "adverse_events", "size": 12}}
WRITTEN = {"canaries": {**MANY, "texts": "synthetic"}}


class Effect(NamedTuple):
    """Setting it to `value` changes what is seen at `where` (a name of SEEN); `before`: set in both studies."""

    where: str
    value: Any
    before: Mapping[str, Any] = {}


EFFECTS: dict[str, Effect] = {
    "name": Effect("report", "another"),
    "seed": Effect("plan", 14),
    "model.source": Effect("plan", "OTHER MODEL"),
    "model.revision": Effect("plan", "main"),
    "model.precision": Effect("plan", "bf16"),
    "model.quantization": Effect("plan", "int8"),
    "corpus.source": Effect("corpus", "phee"),
    "corpus.path": Effect("corpus", "/nowhere"),
    "corpus.text": Effect("corpus", "body"),
    "corpus.members": Effect("corpus", "more.jsonl"),
    "corpus.nonmembers": Effect("corpus", "more.jsonl"),
    "corpus.calibration": Effect("corpus", None),
    "corpus.calibration_half": Effect("corpus", 1, {"corpus.calibration": None}),
    "corpus.limit": Effect("corpus", 11),
    "corpus.shared_groups": Effect("corpus", "allow", {"corpus.group": "site"}),
    "corpus.append_eos": Effect("plan", True),
    "corpus.max_tokens": Effect("plan", 9),
    "corpus.long_records": Effect("plan", "refuse", {"corpus.max_tokens": 9}),
    "corpus.id": Effect("corpus", None),
    "corpus.group": Effect("corpus", None),
    "corpus.size": Effect("corpus", 13, INVENTED),
    "corpus.seed": Effect("corpus", 1, INVENTED),
    "canaries.design": Effect("plan", "single", {"canaries": {"design": "none"}}),
    "canaries.copies": Effect("plan", [1, 2]),
    "canaries.count": Effect("plan", 3),
    "canaries.inclusion": Effect("plan", 1.0),
    "canaries.references": Effect("plan", 0),
    "canaries.texts": Effect("recipe", "synthetic"),
    "canaries.temperature": Effect("recipe", 0.7, WRITTEN),
    "canaries.changed": Effect("recipe", 0.6, {"canaries": {**MANY, "texts": "reformulated"}}),
    "canaries.seed": Effect("plan", 3),
    "canaries.reserve_seed": Effect("plan", 3),
    "grid": Effect("plan", {"rank": [1, 2]}),
    "seeds": Effect("plan", 2),
    "lora.matrices": Effect("plan", ["k"], {"grid": {}}),
    "lora.rank": Effect("plan", 3, {"grid": {}}),
    "lora.alpha": Effect("plan", 8),
    "lora.scaling": Effect("plan", "rslora"),
    "lora.dropout": Effect("plan", 0.3),
    "training.epochs": Effect("plan", 3),
    "training.learning_rate": Effect("plan", 1e-4),
    "training.effective_batch": Effect("plan", 3),
    "training.warmup_steps": Effect("plan", 0),
    "training.weight_decay": Effect("plan", 0.1),
    "training.max_grad_norm": Effect("plan", 2.0),
    "training.seed": Effect("plan", 99),
    "training.steps": Effect("plan", 1, {"training.warmup_steps": 0}),
    "membership.attacks": Effect("tables", ["ratio", "loss"]),
    "membership.false_positive_rates": Effect("tables", [0.2]),
    "membership.primary": Effect("tables", "loss"),
    "extraction.prompts.canaries": Effect("plan", 0),
    "extraction.prompts.members": Effect("plan", 1),
    "extraction.prompts.nonmembers": Effect("plan", 1),
    "extraction.untargeted.completions": Effect("plan", 5),
    "extraction.untargeted.tokens": Effect("plan", 9),
    "extraction.untargeted.temperature": Effect("plan", 0.5),
    "extraction.untargeted.least": Effect("tables", 1),
    "extraction.untargeted.attacks": Effect("tables", ["loss"]),
    "extraction.prefix": Effect("plan", [0.25]),
    "extraction.temperatures": Effect("plan", [0.0, 0.3]),
    "extraction.samples": Effect("plan", 2),
    "extraction.top_k": Effect("plan", 5),
    "extraction.top_p": Effect("plan", 0.5),
    "extraction.seed": Effect("plan", 5),
    "extraction.thresholds": Effect("tables", [0.1]),
    "extraction.draws": Effect("tables", [7]),
    "extraction.chances": Effect("tables", [0.5, 0.9]),
    "statistics.level": Effect("tables", 0.8),
    "statistics.bootstrap": Effect("tables", 200),
    "statistics.seed": Effect("tables", 5),
    "claims.stratum": Effect("report", "canaries@1"),
    "claims.margin": Effect("report", 0.1),
    "claims.hypotheses": Effect(
        "tables",
        [{"name": "a", "says": "v leaks more", "of": [{"matrices": "v"}], "against": [{"matrices": "q"}]}],
    ),
    "controls.null_trial": Effect("plan", "first"),
    "audit.guesses": Effect("tables", 2),
    "audit.delta": Effect("tables", 1e-3),
    "audit.level": Effect("tables", 0.1),
    "audit.attack": Effect("tables", "loss"),
    "decide.max_tpr_at_fpr": Effect("tables", {0.1: 0.2}),
    "decide.max_auc": Effect("tables", 0.6),
    "decide.max_verbatim": Effect("tables", 0),
    "decide.max_epsilon": Effect("tables", 1.0),
    "decide.equivalent_within": Effect("tables", 0.1),
    "decide.draws": Effect("tables", 7, {"decide.max_verbatim": 0}),
    "decide.attack": Effect("tables", "loss", {"decide.max_auc": 0.6}),
    "decide.stratum": Effect("tables", "canaries@1", {"decide.max_auc": 0.6}),
    "report.include_text": Effect("report", True),
    "report.ids": Effect("report", "none"),
    "report.compare_to": Effect("report", "table-3.1"),
    "machine.device": Effect("plan", "cuda:99"),
    "machine.threads": Effect("layout", 3, {"machine.workers": None}),
    "machine.workers": Effect("layout", 2, {"machine.threads": 2}),
    "machine.stack": Effect("layout", 2),
    "machine.micro_batch_tokens": Effect("run", 40),
    "machine.scoring_batch_tokens": Effect("run", 40),
    "machine.generation_batch": Effect("run", 3),
}
# Settings whose effect takes a setting of its own: the test that holds each to it.
ELSEWHERE = {
    "report.figure_width": "test_cli.py::test_report_settings_hold_for_one_report",
    "canaries.path": "running/test_canaries.py::test_a_manifest_that_does_not_fit_is_one_line",
    "canaries.sha256": "running/test_canaries.py::test_a_manifest_that_does_not_fit_is_one_line",
    "corpus.file": "corpora/test_files.py::test_one_file_whose_column_names_the_split",
    "corpus.split": "corpora/test_files.py::test_one_file_whose_column_names_the_split",
    "subjects": "running/test_given.py::test_an_audit_of_trained_adapters_gives_the_tables_of_their_run",
    "report_to": "trackers/test_backends.py::test_all_trackers_are_told_the_same_of_a_run_and_change_nothing_of_it",
    "machine.minutes": "running/test_sampling.py::test_fewer_minutes_draw_fewer_documents",
    "controls.second_shadow": "running/test_shadows.py::test_a_second_shadow_is_the_control_of_attacks_on_the_first",
    "controls.shadow": "running/test_shadows.py::test_a_run_measures_with_the_shadow_and_resumes",
    "machine.backend": "running/test_ray_cluster.py::test_without_the_package_the_backend_is_refused",
    "machine.ray.address": "running/test_ray_cluster.py::test_a_cluster_that_cannot_be_reached_is_one_line",
    "machine.ray.cores": "running/test_ray_cluster.py::test_what_an_actor_needs_is_set_or_counted",
    "machine.ray.memory_gib": "running/test_ray_cluster.py::test_what_an_actor_needs_is_set_or_counted",
    "machine.ray.silent_minutes": "running/test_ray_cluster.py::test_an_actor_that_tells_of_no_progress_is_lost",
    "machine.checkpoint_minutes": "running/test_run_folder.py::test_checkpoints_are_as_far_apart_as_asked",
    "corpus.prompt": "corpora/test_chat.py::test_columns_of_prompt_and_completion",
    "corpus.completion": "corpora/test_chat.py::test_columns_of_prompt_and_completion",
    "corpus.messages": "corpora/test_chat.py::test_messages_become_text_turns_and_answers",
    "corpus.loss_on": "lm/test_chat.py::test_the_loss_is_where_the_study_says",
    "corpus.subset": "corpora/test_hub.py::test_subset_and_revision_are_asked_for",
    "corpus.revision": "corpora/test_hub.py::test_subset_and_revision_are_asked_for",
}


def test_every_setting_is_held_to_an_effect():
    assert {*EFFECTS, *ELSEWHERE} == set(dotted_names())
    for place in ELSEWHERE.values():
        file, _, name = place.partition("::")
        assert f"def {name}(" in (Path(__file__).parent / file).read_text()


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory, tiny_folder: Path) -> dict[str, Any]:
    """The tiny study with canaries, on records that have a second text and a site that all share."""
    folder = tmp_path_factory.mktemp("records")
    for split, count, shift in (("members", 30, 0), ("nonmembers", 12, 3), ("calibration", 10, 5), ("more", 12, 7)):
        rows = []
        for i in range(count):
            text = f"{TEXTS[(i + shift) % 10][:-1]}, {split[:2]}{i}."
            rows.append(
                {"id": f"{split}{i}", "group": f"{split}{i // 2}", "site": "one", "text": text, "body": text[9:]}
            )
        (folder / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    study = tiny_study_of(tiny_folder, folder)
    return {**study, "canaries": MANY, "membership": {}, "statistics": {"bootstrap": 100}}


@pytest.fixture(scope="module")
def store(raw: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A finished run of it."""
    out = tmp_path_factory.mktemp("finished") / "run"
    assert pipeline.run(load_study(raw), out).failures == ()
    return Run.open(out)


def seen_in_corpus(study: Study, store: Run, folder: Path) -> Any:  # noqa: ARG001
    corpus = load_corpus(study.corpus)
    return corpus.content, corpus.findings, corpus.records


def seen_in_plan(study: Study, store: Run, folder: Path) -> Any:  # noqa: ARG001
    prepared = prepare(study)
    return prepared.plan(), prepared.provenance()["precision"]


def seen_in_recipe(study: Study, store: Run, folder: Path) -> Any:  # noqa: ARG001
    recipe = recipe_of(check_names(study), load_corpus(study.corpus).records, "base")
    return recipe and recipe.key


def seen_in_layout(study: Study, store: Run, folder: Path) -> Any:  # noqa: ARG001
    prepared = prepare(study)
    return layout(prepared), tasks_of(prepared)


def seen_in_tables(study: Study, store: Run, folder: Path) -> Any:  # noqa: ARG001
    store.write_study(dump_study(study))
    return {name: table.to_pylist() for name, table in build_arrow(store).items()}


def seen_in_report(study: Study, store: Run, folder: Path) -> Any:  # noqa: ARG001
    store.write_study(dump_study(study))
    built, plan = build(store), store.plan()
    names = names_in_report(store, store.study(), built)
    texts = texts_in_report(store, plan, names) if store.study().report.include_text else None
    parts: dict[str, Any] = {"drawn": (), "findings": [], "failures": [], "versions": {}, "created": "today"}
    page = report_page(study=study, tables=with_names(built, names) if names else built, texts=texts, **parts)
    return (
        page.partition("Settings of the study")[0]
        + page.partition("Settings of the study")[2].partition("</details>")[2]
    )


def seen_in_run(study: Study, store: Run, folder: Path) -> Any:  # noqa: ARG001
    assert pipeline.run(study, folder / "run").failures == ()
    manifests = [json.loads(path.read_text()) for path in sorted((folder / "run").rglob("manifest.json"))]
    return [{k: v for k, v in m.items() if k in ("batch", "batch_tokens", "micro_batch_tokens")} for m in manifests]


SEEN: dict[str, Callable[[Study, Run, Path], Any]] = {
    "corpus": seen_in_corpus,
    "plan": seen_in_plan,
    "recipe": seen_in_recipe,
    "layout": seen_in_layout,
    "tables": seen_in_tables,
    "report": seen_in_report,
    "run": seen_in_run,
}


def seen(raw: Mapping[str, Any], changes: Mapping[str, Any], where: str, store: Run, folder: Path) -> str:
    """What a study shows there, or the error that it is, as text."""
    try:
        return repr(SEEN[where](load_study(raw, changes), store, folder))
    except ByroteError as error:
        return f"{type(error).__name__}: {error}"


@pytest.fixture(scope="module")
def plain() -> dict[str, str]:
    """What is seen before a change, by what was set for it and where: the same for many settings."""
    return {}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] * (effect.where == "run")) for name, effect in EFFECTS.items()]
)
def test_a_setting_has_an_effect(name: str, raw: dict[str, Any], store: Run, plain: dict[str, str], tmp_path: Path):
    where, value, before = EFFECTS[name]
    value = str(save_tiny_model(tmp_path / "other", seed=1)) if value == "OTHER MODEL" else value
    key = repr((where, before))
    if key not in plain:
        plain[key] = seen(raw, before, where, store, tmp_path / "plain")
    assert plain[key] != seen(raw, {**before, name: value}, where, store, tmp_path / "changed")


@pytest.mark.parametrize("where", ["corpus", "plan", "recipe", "layout", "tables", "report"])
def test_what_is_seen_is_the_same_twice(where: str, raw: dict[str, Any], store: Run, tmp_path: Path):
    assert seen(raw, {}, where, store, tmp_path / "one") == seen(raw, {}, where, store, tmp_path / "two")
