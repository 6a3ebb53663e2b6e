"""A study end to end on a tiny model: what is stored, what is done again, what survives a kill or a failure."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

import byrote
from byrote.errors import CorpusError, ModelError, StageError, StoreError, StudyError
from byrote.records import Role
from byrote.running import pipeline
from byrote.running.local import Processes
from byrote.running.workers import run_tasks
from byrote.store import Run
from byrote.study import load_study, packaged_studies
from byrote.tables.build import COLUMNS
from fake_listener import Recorder, tables
from fakes import tiny_study as tiny_study_of

CONTRACT = {
    "trials": "trial matrices rank seed trainable_parameters total_parameters trainable_share members steps loss "
    "perplexity_base perplexity_tuned state",
    "membership": "trial matrices rank seed stratum copies attack n_members n_nonmembers auc auc_low auc_high interval "
    "auc_control auc_control_low auc_control_high control auc_blind",
    "operating_points": "trial stratum attack target_fpr threshold_source threshold tpr tpr_low tpr_high realised_fpr "
    "realised_fpr_low realised_fpr_high refused_because",
    "untargeted": "trial model sample tokens output_perplexity matched matched_tokens nonmember nonmember_tokens",
    "untargeted_rates": "trial model attack first matches nonmember_matches precision low high nonmember_precision "
    "left_out reason",
    "extraction": "trial model record role copies prefix temperature sample prefix_tokens suffix_tokens longest_ngram "
    "ngram_share verbatim perplexity_base perplexity_tuned output_perplexity",
    "timings": "trial stage seconds tokens tokens_per_second device peak_memory",
}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, tiny_folder: Path, corpus_folder: Path) -> Path:
    """An undisturbed run of the tiny study."""
    out = tmp_path_factory.mktemp("finished") / "run"
    assert pipeline.run(tiny_study_of(tiny_folder, corpus_folder), out).failures == ()
    return out


@pytest.fixture
def copied(finished: Path, tmp_path: Path) -> Path:
    """A copy of it that a test may change."""
    return Path(shutil.copytree(finished, tmp_path / "run"))


def test_a_run_holds_what_the_design_says(finished: Path):
    run = Run.open(finished)
    plan = run.plan()
    assert {p.name for p in finished.iterdir()} >= {
        "study.yaml", "records.parquet", "roles", "base", "trials", "tables", "figures", "report.html",
    }  # fmt: skip
    for trial in plan["trials"]:
        folder = finished / "trials" / trial["trial"]
        assert (folder / "adapter" / "adapter_model.safetensors").is_file()
        assert len((folder / "log.jsonl").read_text().splitlines()) == 6
        assert len(list(folder.glob("scores/*/scores.parquet"))) == 1
        assert len(list(folder.glob("completions/*/completions.parquet"))) == 1
        assert {p.name for p in folder.glob("untargeted/*/*.parquet")} == {
            "completions.parquet", "scores.parquet", "base.parquet",
        }  # fmt: skip
    files = [sorted(p.name for p in (finished / stage).glob("*.parquet")) for stage in plan["base"].values()]
    assert files == [
        ["scores.parquet"],
        ["completions.parquet", "suffixes.parquet"],
        ["completions.parquet", "scores.parquet"],
    ]
    provenance = run.study().provenance or {}
    assert len(provenance["corpus_sha256"]) == len(provenance["base_model_sha256"]) == 64
    assert provenance["precision"] == "fp32"
    assert provenance["versions"]["byrote"] == byrote.__version__


@pytest.mark.parametrize("name", CONTRACT)
def test_tables_have_the_columns_others_rely_on(finished: Path, name: str):
    for frame in (
        pd.read_parquet(finished / "tables" / f"{name}.parquet"),
        pd.read_csv(finished / "tables" / f"{name}.csv"),
    ):
        assert set(CONTRACT[name].split()) <= set(frame.columns)
        assert list(frame.columns) == list(COLUMNS[name])
        assert len(frame)


def test_every_record_has_one_role_and_is_scored_once(finished: Path):
    run = Run.open(finished)
    records = [r.record for r in run.records()]
    for trial in run.plan()["trials"]:
        assert [a.record for a in run.roles(trial["roles"])] == records
        assert list(run.scores(trial["scores"]).records) == records


def test_strata_are_apart_and_overwritten_records_are_nowhere(finished: Path):
    tables = byrote.load(finished).tables
    roles = Run.open(finished).roles(Run.open(finished).plan()["trials"][0]["roles"])
    count = {role: sum(a.role is role for a in roles) for role in Role}
    assert count[Role.OVERWRITTEN] == 2
    records = tables.membership[tables.membership.stratum == "records"]
    assert set(records.n_members) == {count[Role.MEMBER]} == {12 - 3}
    assert set(records.n_nonmembers) == {12}
    canary = tables.membership[tables.membership.stratum == "canaries@3"]
    assert set(canary.n_members) == {1}
    assert canary.auc.isna().all()
    out = {a.record for a in roles if a.role is Role.OVERWRITTEN}
    assert not out & set(tables.extraction.record)


def test_the_base_control_exists_for_single_model_attacks_only(finished: Path):
    membership = byrote.load(finished).tables.membership
    membership = membership[membership.stratum == "records"].set_index("attack")
    assert membership.loc["loss", "auc_control"].between(0, 1).all()
    assert membership.loc[["ratio", "difference"], "auc_control"].isna().all()
    assert membership.auc_blind.between(0, 1).all()


def test_thresholds_come_from_calibration_and_rates_it_cannot_resolve_are_refused(finished: Path):
    points = byrote.load(finished).tables.operating_points
    points = points[(points.stratum == "records") & (points.attack != "auditor")]
    fixed = points[(points.threshold_source == "calibration") & (points.target_fpr == 0.1)]
    assert "ratio" in set(fixed.attack)
    assert fixed.threshold.notna().all()
    assert fixed.realised_fpr.between(0, 1).all()
    refused = points[points.target_fpr == 0.01]
    assert "ratio" in set(refused.attack)
    assert refused.tpr.isna().all()
    assert refused.refused_because.str.contains("cannot resolve a false-positive rate of 0.01; needs 100").all()


def test_every_completion_stands_beside_the_base_models(finished: Path):
    extraction = byrote.load(finished).tables.extraction
    keys = ["trial", "record", "temperature", "sample"]
    base, tuned = (extraction[extraction.model == m][keys].apply(tuple, axis=1) for m in ("base", "tuned"))
    assert list(base) == list(tuned)
    assert set(extraction.role) == {"canary_in", "member", "nonmember"}


def test_the_adapter_loads_with_plain_peft_and_gives_the_same_log_probabilities(finished: Path, tiny_folder: Path):
    run = Run.open(finished)
    records = {r.record: r for r in run.records()}
    for trial in run.plan()["trials"]:
        scores = run.scores(trial["scores"])
        plain = AutoModelForCausalLM.from_pretrained(tiny_folder, dtype=torch.float32)
        model = PeftModel.from_pretrained(plain, finished / "trials" / trial["trial"] / "adapter").eval()
        for record, span in zip(scores.records, scores.spans(), strict=True):
            ids = torch.tensor([records[record].token_ids])
            with torch.no_grad():
                logp = model(input_ids=ids).logits[0, :-1].log_softmax(-1)
            expected = logp.gather(-1, ids[0, 1:, None])[:, 0].numpy()
            assert abs(expected - scores.logprob[span]).max() < 1e-4


def test_a_second_run_does_nothing_again_and_gives_the_same_bytes(finished: Path, study: byrote.Study):
    before, listener = tables(finished), Recorder()
    pipeline.run(study, finished, listener=listener)
    assert listener.done == {}
    assert tables(finished) == before


def test_two_runs_of_one_study_agree_to_the_byte(finished: Path, study: byrote.Study, tmp_path: Path):
    pipeline.run(study, tmp_path / "again")
    assert tables(tmp_path / "again") == tables(finished)
    weights = [sorted(p.glob("trials/*/adapter/*.safetensors")) for p in (finished, tmp_path / "again")]
    assert [p.read_bytes() for p in weights[0]] == [p.read_bytes() for p in weights[1]]


@pytest.mark.parametrize(
    ("label", "after"),
    [
        ("score base", 1),
        ("fine-tune v", 2),
        *(pytest.param(label, 0, marks=pytest.mark.slow) for label in ("score q", "prompt v", "write base", "write q")),
    ],
)
def test_interrupted_anywhere_it_resumes_to_the_same_tables(
    finished: Path, study: byrote.Study, tmp_path: Path, label: str, after: int
):
    out = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        pipeline.run(study, out, listener=Recorder(label, after, KeyboardInterrupt()))
    assert pipeline.run(study, out).failures == ()
    assert tables(out) == tables(finished)


@pytest.mark.slow
def test_killed_outright_it_resumes_to_the_same_tables(
    finished: Path, tiny_study: dict, study: byrote.Study, tmp_path: Path
):
    out = tmp_path / "run"
    code = f"""
import os, signal
from byrote.running import pipeline
from byrote.running.workers import run_tasks
class Killer(pipeline.Silent):
    def task(self, label, total, unit, cost):
        if label.startswith("fine-tune v"):
            os.kill(os.getpid(), signal.SIGKILL)
        return super().task(label, total, unit, cost)
pipeline.run({tiny_study!r}, {str(out)!r}, listener=Killer())
"""
    killed = subprocess.run([sys.executable, "-c", code], check=False, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert killed.returncode == -signal.SIGKILL
    assert list(out.rglob(".part-*"))
    listener = Recorder()
    assert pipeline.run(study, out, listener=listener).failures == ()
    assert listener.steps() == 6  # q was finished, v is trained again
    assert tables(out) == tables(finished)


@pytest.mark.slow
def test_a_failure_in_generation_costs_neither_adapter_nor_scores(finished: Path, study: byrote.Study, tmp_path: Path):
    out = tmp_path / "run"
    outcome = pipeline.run(study, out, listener=Recorder("prompt q", 0, RuntimeError("no such luck")))
    (failure,) = outcome.failures
    assert failure["error"] == "RuntimeError: no such luck"
    assert "Traceback" in failure["traceback"]
    after = byrote.load(out).tables
    assert sorted(after.trials.state) == ["done", "failed"]
    assert len(after.membership) == len(byrote.load(finished).tables.membership)
    assert "no such luck" in outcome.report.read_text()
    listener = Recorder()
    assert pipeline.run(study, out, listener=listener).failures == ()
    assert [label.split(" (")[0] for label in listener.done] == ["prompt q · rank 2 · seed 13"]
    assert tables(out) == tables(finished)


def test_a_failure_in_training_leaves_the_other_trials(study: byrote.Study, tmp_path: Path):
    outcome = pipeline.run(study, tmp_path / "run", listener=Recorder("fine-tune q", 1, ValueError("broken")))
    assert len(outcome.failures) == 1
    assert sorted(byrote.load(tmp_path / "run").tables.trials.state) == ["done", "failed"]


@pytest.mark.slow
def test_failures_of_trials_that_are_no_longer_asked_for_do_not_count(
    study: byrote.Study, tiny_study: dict, tmp_path: Path
):
    out = tmp_path / "run"
    assert pipeline.run(study, out, listener=Recorder("fine-tune q", 1, ValueError("broken"))).failures
    assert pipeline.run(load_study(tiny_study, {"grid.matrices": [["v"]]}), out, replace=True).failures == ()


def test_a_failure_of_the_base_model_ends_the_run(study: byrote.Study, tmp_path: Path):
    with pytest.raises(StageError, match="broken"):
        pipeline.run(study, tmp_path / "run", listener=Recorder("score base", 0, ValueError("broken")))
    assert len(Run(tmp_path / "run").failures()) == 1


@pytest.mark.parametrize(
    ("override", "redone"),
    [
        ({"extraction.temperatures": [0.0, 0.3]}, {"prompt"}),
        ({"membership.attacks": ["ratio"]}, set()),
        ({"extraction.untargeted.tokens": 9}, {"write"}),
        ({"extraction.untargeted.least": 3, "extraction.untargeted.attacks": ["all"]}, set()),
        ({"membership.false_positive_rates": [0.2]}, set()),
        ({"machine.micro_batch_tokens": 64, "machine.scoring_batch_tokens": 99}, set()),
        ({"name": "other"}, set()),
        ({"lora.dropout": 0.5}, {"fine-tune", "score", "prompt", "write"}),
    ],
)
def test_a_change_redoes_what_depends_on_it_and_nothing_else(
    tiny_study: dict, copied: Path, override: dict, redone: set
):
    listener = Recorder()
    pipeline.run(load_study(tiny_study, override), copied, listener=listener, replace="lora.dropout" in override)
    assert {label.split()[0] for label in listener.done} == redone
    assert listener.steps() == (12 if "fine-tune" in redone else 0)


@pytest.mark.slow
def test_reading_results_needs_no_torch(finished: Path):
    code = f"""
import sys, byrote
from byrote.render import render
from byrote.store import Run
byrote.load({str(finished)!r}).tables
render(Run.open({str(finished)!r}))
assert not {{"torch", "transformers", "peft"}} & set(sys.modules), sorted(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_report_shows_no_record_text_unless_asked(finished: Path):
    texts = [r.text for r in Run.open(finished).records()]
    html = (finished / "report.html").read_text()
    assert not any(text in html for text in texts)
    assert "http://" not in html.replace("http://www.w3.org", "")


def test_many_canaries_have_strata_of_their_own(tiny_study: dict, tmp_path: Path):
    # Under this seed of the coin canaries@1 is one in and one out, and canaries@2 has nothing to compare with.
    planted = {"design": "many", "count": 3, "copies": [1, 2], "references": 1, "seed": 1}
    outcome = pipeline.run({**tiny_study, "canaries": planted, "grid": {"matrices": [["v"]]}}, tmp_path / "run")
    assert outcome.failures == ()
    membership = byrote.load(outcome.path).tables.membership
    assert set(membership.stratum) == {"records", "canaries@1", "canaries@2"}
    pair, alone = membership[membership.stratum == "canaries@1"], membership[membership.stratum == "canaries@2"]
    assert set(pair.n_members) == set(pair.n_nonmembers) == {1}
    assert pair.set_index("attack").auc["ratio"] in (0, 1)
    assert pair.auc_low.isna().all()
    assert pair.interval.str.startswith("none: ").all()
    assert set(alone.n_nonmembers) == {0}
    assert alone.auc.isna().all()


@pytest.mark.parametrize(
    ("override", "kind", "words"),
    [
        ({"training.warmup_steps": 100}, StudyError, "warmup_steps is 100"),
        ({"grid.copies": [99]}, StudyError, "99"),
        ({"membership.attacks": ["ratio", "lira"]}, StudyError, "no attack 'lira'"),
        ({"extraction.untargeted.attacks": ["lira"]}, StudyError, "extraction.untargeted.attacks: no attack 'lira'"),
        ({"extraction.untargeted.tokens": 128}, StudyError, "context holds 128 tokens .* set it to 127 or less"),
        ({"corpus.members": "nonmembers.jsonl", "corpus.nonmembers": "nonmembers.jsonl"}, CorpusError, "nonmembers"),
        ({"model.source": "/nowhere"}, ModelError, "/nowhere"),
    ],
)
def test_what_would_fail_later_fails_before_anything_is_trained(
    tiny_study: dict, tmp_path: Path, override: dict, kind: type[Exception], words: str
):
    listener = Recorder()
    with pytest.raises(kind, match=words):
        pipeline.run(tiny_study, tmp_path / "run", override, listener)
    assert listener.done == {}
    assert not (tmp_path / "run").exists()


PACKAGED = [
    pytest.param(name, marks=pytest.mark.phee if load_study(name).corpus.source == "phee" else pytest.mark.slow)
    for name in packaged_studies()
]


@pytest.mark.parametrize("name", PACKAGED)
def test_each_packaged_study_runs(name: str, tiny_folder: Path, tmp_path: Path, request: pytest.FixtureRequest):
    """On the tiny model, at the study's own design: one trial, sixty records, one epoch."""
    changes: dict[str, object] = {
        "model.source": str(tiny_folder),
        "model.precision": "fp32",
        "corpus.limit": 60,
        "grid": {},
        "seeds": None,
        "claims.hypotheses": [],
        "training.epochs": 1,
        "training.warmup_steps": 0,
        "extraction.prompts.members": 2,
        "extraction.prompts.nonmembers": 2,
        "extraction.untargeted.completions": 2,
    }
    if name in ("small/canaries", "small/copies"):
        changes |= {"canaries.count": 10, "canaries.references": 5}
    study = load_study(name, changes)
    if study.corpus.source == "phee":
        study = load_study(name, changes | {"corpus.path": str(request.getfixturevalue("published_phee"))})
    outcome = pipeline.run(study, tmp_path / "run")
    assert outcome.failures == ()
    tables = byrote.load(outcome.path).tables
    assert list(tables.trials.state) == ["done"]
    records = tables.membership[tables.membership.stratum == "records"]
    assert "ratio" in set(records.attack)
    assert records.auc.notna().all()


def test_a_record_that_is_cut_is_counted_and_keeps_its_end(tiny_study: dict, tmp_path: Path):
    changes = {"corpus.max_tokens": 9, "corpus.append_eos": True, "grid.matrices": [["v"]]}
    pipeline.run(tiny_study, tmp_path / "run", changes)
    run = Run.open(tmp_path / "run")
    assert all(len(r.token_ids) == 9 and r.token_ids[-1] == 0 for r in run.records())
    assert any(f["kind"] == "truncated" and f["count"] == 34 for f in run.plan()["findings"])
    assert "34" in (run.path / "report.html").read_text()


@pytest.mark.slow
def test_workers_side_by_side_give_the_same_tables(finished: Path, study: byrote.Study, tmp_path: Path):
    two = study.model_copy(update={"machine": study.machine.model_copy(update={"threads": 2, "workers": 2})})
    listener = Recorder()
    assert pipeline.run(two, tmp_path / "run", listener=listener).failures == ()
    assert "2 workers side by side, 1 thread each" in listener.said
    assert listener.steps() > 0
    assert tables(tmp_path / "run") == tables(finished)
    again = Recorder()
    pipeline.run(two, tmp_path / "run", listener=again)
    assert not again.done


@pytest.mark.slow
def test_a_worker_that_dies_costs_its_trial_alone(study: byrote.Study, tmp_path: Path):
    two = study.model_copy(update={"machine": study.machine.model_copy(update={"threads": 2, "workers": 2})})
    prepared = pipeline.prepare(two)
    store = Run(tmp_path / "run")
    lost: list[tuple[str, str]] = []
    with store.locked():
        pipeline._write_plan(store, prepared)
        run_tasks(
            ["0", "no such task", "1"], Processes((store.path, prepared), 1), 1, Recorder(), lambda *a: lost.append(a)
        )
    assert [task for task, _ in lost] == ["no such task"]
    assert "the worker process ended with status 1" in lost[0][1]
    assert all(store.has(p.stages.scores) for p in prepared.planned)


@pytest.mark.slow
def test_a_base_model_that_fails_in_a_worker_ends_the_run(study: byrote.Study, tmp_path: Path):
    two = study.model_copy(update={"machine": study.machine.model_copy(update={"threads": 2, "workers": 2})})
    weights = pipeline.prepare(two).files.folder / "model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[: len(whole) // 2])
    try:
        with pytest.raises(StageError, match=r"base/\w+ failed: .* cannot be loaded"):
            pipeline.run(two, tmp_path / "run")
    finally:
        weights.write_bytes(whole)


@pytest.mark.slow
def test_an_error_that_ends_the_run_leaves_a_worker_with_its_class(study: byrote.Study, tmp_path: Path):
    prepared = pipeline.prepare(study)
    store = Run(tmp_path / "run")
    with store.locked():
        pipeline._write_plan(store, prepared)
        (store.path / "base").write_text("a file where a folder belongs")
        with pytest.raises(StoreError, match=r"cannot write to .*; name another --out"):
            run_tasks(["base"], Processes((store.path, prepared), 1), 1, Recorder(), lambda *_: None)


@pytest.mark.slow
def test_a_stack_in_one_pass_gives_the_same_tables(finished: Path, study: byrote.Study, tmp_path: Path):
    stacked = study.model_copy(update={"machine": study.machine.model_copy(update={"stack": 2})})
    listener = Recorder()
    assert pipeline.run(stacked, tmp_path / "run", listener=listener).failures == ()
    assert "fine-tune 2 trials in one pass" in listener.done
    resumed, whole = (byrote.load(path).tables for path in (tmp_path / "run", finished))
    assert [p.name for p in (tmp_path / "run" / "trials").iterdir()]
    pd.testing.assert_frame_equal(resumed.trials, whole.trials, rtol=1e-3)
    pd.testing.assert_series_equal(resumed.membership.auc, whole.membership.auc, atol=0.02)


@pytest.mark.slow
def test_prefixes_in_shares_and_tokens_are_each_prompted(study: byrote.Study, tmp_path: Path):
    grid = study.extraction.model_copy(update={"prefix": (0.25, 3.0)})
    assert pipeline.run(study.model_copy(update={"extraction": grid}), tmp_path / "run").failures == ()
    extraction = byrote.load(tmp_path / "run").tables.extraction
    assert set(extraction.prefix) == {0.25, 3.0}
    assert set(extraction[extraction.prefix == 3.0].prefix_tokens) == {3}
    assert (extraction.groupby(["trial", "model", "record", "temperature", "sample"]).prefix.nunique() == 2).all()
