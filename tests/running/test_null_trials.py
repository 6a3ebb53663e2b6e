"""Null trials: how long they train, one for all or one for each configuration, and what a run makes of them."""

import json
from pathlib import Path

import pytest
import torch

import byrote
from byrote.lm.library import quiet
from byrote.passes.finetune import steps_of
from byrote.running import pipeline
from byrote.running.layout import tasks_of
from byrote.running.null_trials import null_training
from byrote.running.planning import prepare
from byrote.store import Run
from byrote.study import Training, load_study
from fakes import TEXTS, save_tiny_model, tiny_model, tiny_tokenizer


@pytest.mark.parametrize(
    ("trial_records", "records", "epochs", "steps"),
    [
        (2898, 2898, 3, 138),  # the same records: the same training
        (2898, 2000, 5, 138),  # 32 steps an epoch; the fifth stops after ten of them
        (2898, 961, 6, 96),  # sixteen steps an epoch, at most twice the epochs
        (100, 2898, 1, 6),  # more records: part of one epoch
    ],
)
def test_a_null_trial_takes_its_trials_steps_up_to_twice_the_epochs(trial_records, records, epochs, steps):
    like = Training(epochs=3, effective_batch=64, warmup_steps=3)
    null = null_training(like, trial_records, records)
    assert (null.epochs, steps_of(records, null)) == (epochs, steps)
    assert null.warmup_steps == round(3 * steps / steps_of(trial_records, like))
    assert null.model_copy(update={"epochs": 3, "steps": None, "warmup_steps": 3}) == like
    assert (null == like) == (trial_records == records)


def planned(tiny_study: dict, null_trial: str | bool, **changes: object) -> pipeline.Prepared:
    return prepare(load_study(tiny_study, {"controls.null_trial": null_trial, **changes}))


def test_one_null_trial_serves_all_or_each_configuration_has_its_own(tiny_study: dict):
    changes = {"grid.seed": [1, 2], "canaries.seed": 2}
    first = planned(tiny_study, "first", **changes)
    (null,) = first.null_trials.planned
    assert null.trial.matrices == "q"
    assert [row["null"] for row in first.plan()["trials"]] == [null.key] * 4
    another = [row["null_of_another_configuration"] for row in first.plan()["trials"]]
    assert another == [row.trial.matrices == "v" for row in first.planned]
    each = planned(tiny_study, "each", **changes)
    assert [n.trial.matrices for n in each.null_trials.planned] == ["q", "v"]
    assert each.null_trials.planned[0].key == null.key
    of = {n.key: n.trial.matrices for n in each.null_trials.planned}
    assert [of[row["null"]] for row in each.plan()["trials"]] == [p.trial.matrices for p in each.planned]
    assert not any(row["null_of_another_configuration"] for row in each.plan()["trials"])
    plan = each.plan()
    assert [row["label_parts"] for row in plan["trials"]] == [p.trial.label_parts for p in each.planned]
    assert [row["label"] for row in plan["nulls"]] == ["null trial of q · rank 2", "null trial of v · rank 2"]
    assert tasks_of(each)[-2:] == ["null:0", "null:1"]


def test_configurations_that_differ_in_canaries_alone_share_a_null_trial(tiny_study: dict):
    prepared = planned(tiny_study, "each", **{"grid.copies": [1, 3], "grid.matrices": [["v"]]})
    assert len(prepared.planned) == 2
    assert len(prepared.null_trials.planned) == 1


def test_older_studies_and_studies_without_calibration_records(tiny_study: dict):
    assert planned(tiny_study, True).study.controls.null_trial == "first"
    assert planned(tiny_study, False).null_trials.missing == "controls.null_trial is none"
    without = planned(tiny_study, "first", **{"corpus.calibration": None})
    assert without.null_trials.planned == ()
    assert "there is no null trial: there are no calibration records to tune" in without.findings[-1].message


def test_a_null_trial_that_is_capped_is_said(tiny_study: dict, corpus_folder: Path, tmp_path: Path):
    assert planned(tiny_study, "first").null_trials.findings == ()
    few = tmp_path / "few.jsonl"
    few.write_text("".join((corpus_folder / "calibration.jsonl").read_text().splitlines(keepends=True)[:4]))
    prepared = planned(tiny_study, "first", **{"corpus.calibration": str(few)})
    (finding,) = prepared.null_trials.findings
    assert finding.message.startswith("the null trial of q · rank 2 takes 4 optimizer steps, its trial 6: more than 2")
    assert finding in prepared.findings
    assert prepared.null_trials.planned[0].trial.training.epochs == 4


@pytest.mark.slow
def test_a_run_sets_each_trial_beside_its_null_trial(tiny_study: dict, tmp_path: Path):
    changes = {"controls.null_trial": "each", "training.epochs": 3, "training.learning_rate": 0.05}
    study = load_study(tiny_study, changes)
    prepared = prepare(study)
    assert pipeline.run(study, tmp_path / "run").failures == ()
    store, tables = Run.open(tmp_path / "run"), byrote.load(tmp_path / "run").tables
    calibration = [r.token_ids for r in prepared.records if r.split == "calibration"]
    for null in prepared.null_trials.planned:
        assert list(null.training_ids) == calibration
        assert store.has(null.stages.scores)
        assert len((tmp_path / "run" / null.training_stage / "log.jsonl").read_text().splitlines()) == 9
    assert list(tables.null_trials.null_trial) == [null.key for null in prepared.null_trials.planned]
    assert list(tables.null_trials.null_steps) == list(tables.null_trials.steps) == [9, 9]
    assert (tables.null_trials.perplexity == tables.trials.perplexity_tuned).all()
    rows = tables.membership.query("stratum == 'records' and attack == 'ratio'")
    assert (rows.control == "null trial").all()
    assert rows.auc_control.between(0, 1).all()
    assert list(rows.control_matched) == list(tables.null_trials.matched)
    assert (rows.above_control - (rows.auc - rows.auc_control)).abs().max() < 1e-12
    page = (tmp_path / "run" / "report.html").read_text()
    assert "Trials and their null trials" in page
    _reads_as_an_older_run(tmp_path / "run", prepared.null_trials.planned[0].key)


def _reads_as_an_older_run(folder: Path, key: str) -> None:
    """A plan of earlier versions had one null trial, under `null`, for all trials."""
    plan = json.loads((folder / "plan.json").read_text())
    (null,) = (row for row in plan.pop("nulls") if row["trial"] == key)
    for row in plan["trials"]:
        del row["null"], row["null_of_another_configuration"]
    (folder / "plan.json").write_text(json.dumps({**plan, "null": null}))
    rows = byrote.load(folder).tables.null_trials
    assert list(rows.null_trial) == [key, key]
    assert list(rows.another_configuration) == [False, True]
    assert list(rows.note.str.startswith("of another configuration")) == [False, True]


def a_model_that_knows_the_language(folder: Path) -> Path:
    """The tiny model after forty steps on ten sentences like the records: one that fine-tuning can ruin."""
    save_tiny_model(folder)
    model, tokenizer = tiny_model(), tiny_tokenizer()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for step in range(40):
        ids = torch.tensor([tokenizer(TEXTS[step % len(TEXTS)])["input_ids"]])
        model(input_ids=ids, labels=ids).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    with quiet():
        model.save_pretrained(folder)
    return folder


@pytest.mark.slow
def test_a_collapsed_trial_is_said_first_and_claims_about_it_are_undecided(tiny_study: dict, tmp_path: Path):
    changes = {"model.source": str(a_model_that_knows_the_language(tmp_path / "model")), "training.warmup_steps": 0}
    changes |= {"training.learning_rate": 1e3, "grid.matrices": [["o"], ["down"]]}
    assert pipeline.run(load_study(tiny_study, changes), tmp_path / "run").failures == ()
    tables = byrote.load(tmp_path / "run").tables
    assert list(tables.trials.condition) == ["collapsed"] * 2
    assert (tables.trials.perplexity_tuned_members > tables.trials.perplexity_base_members).all()
    (claim,) = tables.configurations[tables.configurations.verdict.notna()].to_dict("records")
    assert claim["verdict"] == "undecided"
    assert claim["reason"].startswith("the trial of o · rank 2 collapsed; the trial of down · rank 2 collapsed; ")
    page = (tmp_path / "run" / "report.html").read_text()
    warning = page[page.index('<p class="warning">') :]
    assert warning.partition("</strong> ")[2].startswith("2 trials (o · rank 2 · seed 13 and down · rank 2 · seed 13) ")
    assert "does not tell it from guessing" not in page
