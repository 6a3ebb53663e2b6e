"""Completions of an empty prompt in a study on a tiny model: what is stored, redone, off, kept if failed."""

import json
import stat
from pathlib import Path

import numpy as np
import pytest
import torch

import byrote
from byrote import lm
from byrote.records import Role
from byrote.running import pipeline
from byrote.running.forecast import forecast
from byrote.running.planning import prepare
from byrote.store import Run
from byrote.study import load_study
from byrote.tables import Tables
from fake_listener import Recorder, tables
from fakes import EOS_ID, save_tiny_model
from fakes import tiny_study as tiny_study_of

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, tiny_folder: Path, corpus_folder: Path) -> Path:
    """An undisturbed run of the tiny study, ranked by attacks of every need."""
    out = tmp_path_factory.mktemp("untargeted") / "run"
    changes = {"extraction.untargeted.attacks": ["loss", "ratio", "zlib", "rmia"]}
    assert pipeline.run(tiny_study_of(tiny_folder, corpus_folder), out, changes).failures == ()
    return out


@pytest.fixture(scope="module")
def results(finished: Path) -> Tables:
    return byrote.load(finished).tables


def stages(path: Path) -> list[str]:
    plan = Run.open(path).plan()
    return [row["untargeted"] for row in (plan["base"], *plan["trials"])]


def test_completions_are_scored_token_by_token_under_the_model_that_wrote_them(finished: Path):
    run = Run.open(finished)
    for stage in stages(finished):
        written, scores = run.free_completions(stage), run.scores(stage)
        assert [c.sample for c in written] == list(range(12))
        assert list(scores.records) == [str(n) for n in range(12)]
        assert scores.lengths.tolist() == [len(c.token_ids) for c in written]
        np.testing.assert_allclose(scores.logprob, np.concatenate([c.logprob for c in written]), atol=1e-4)
        assert all(len(c.token_ids) == 20 or c.token_ids[-1] == EOS_ID for c in written)


def test_the_base_models_scores_are_those_of_the_base_model_itself(finished: Path, tiny_folder: Path):
    """Fresh from its files, and where the trial's adapter was trained in the same process."""
    run = Run.open(finished)
    base = lm.load_base(lm.resolve_base(str(tiny_folder)), "fp32", "none", torch.device("cpu"))
    for stage in stages(finished)[1:]:
        written, scores = run.free_completions(stage), run.scores(stage, "base")
        for completion, span in zip(written, scores.spans(), strict=True):
            with torch.no_grad():
                ids = torch.tensor([[EOS_ID, *completion.token_ids]])
                logp = base.model(input_ids=ids).logits[0, :-1].log_softmax(-1)
            direct = logp.gather(-1, ids[0, 1:, None])[:, 0].numpy()
            np.testing.assert_allclose(scores.logprob[span], direct, atol=1e-4)
        assert np.abs(scores.logprob - run.scores(stage).logprob).max() > 0.01


@pytest.mark.slow
def test_an_adapter_loaded_again_is_taken_off_too(finished: Path, study: byrote.Study, tmp_path: Path):
    """Written in a later run than the training, on the adapter as stored: the same completions and base scores."""
    out = tmp_path / "run"
    off = study.extraction.model_copy(update={"untargeted": study.extraction.untargeted.model_copy(
        update={"completions": 0})})  # fmt: skip
    pipeline.run(study.model_copy(update={"extraction": off}), out)
    listener = Recorder()
    assert pipeline.run(study, out, listener=listener).failures == ()
    assert {label.split()[0] for label in listener.done} == {"write"}
    for stage in stages(out):
        run, reference = (Run.open(path) for path in (out, finished))
        assert run.free_completions(stage) == reference.free_completions(stage)
        for name in ("scores", "base") if stage.startswith("trials") else ("scores",):
            np.testing.assert_array_equal(run.scores(stage, name).logprob, reference.scores(stage, name).logprob)


def test_every_trial_stands_beside_the_base_model(results: Tables):
    rows, rates = results.untargeted, results.untargeted_rates
    assert len(rows) == 2 * 2 * 12
    assert (rows.groupby(["trial", "model"])["sample"].nunique() == 12).all()
    assert (rates.groupby(["trial", "model", "attack"])["first"].apply(list).apply(tuple) == (10, 12)).all()
    base = rows[rows.model == "base"].drop(columns=["trial", "matched", "matched_tokens"])
    first, second = (part.reset_index(drop=True) for _, part in base.groupby(rows.trial))
    assert first.equals(second)


def test_the_tables_say_what_a_search_by_hand_finds(finished: Path, results: Tables):
    run = Run.open(finished)
    ids = {r.record: r.token_ids for r in run.records()}
    for trial in run.plan()["trials"]:
        roles = {a.record: a.role for a in run.roles(trial["roles"])}
        rows = results.untargeted[(results.untargeted.trial == trial["trial"]) & (results.untargeted.model == "tuned")]
        sides = ((Role.MEMBER, Role.CANARY_IN), "matched"), ((Role.NONMEMBER,), "nonmember")
        for wanted, column in sides:
            for completion, row in zip(run.free_completions(trial["untargeted"]), rows.to_dict("records"), strict=True):
                longest = max(shared(completion.token_ids, ids[r]) for r, role in roles.items() if role in wanted)
                assert (row[f"{column}_tokens"] if longest >= 2 else 0) == (longest if longest >= 2 else 0)
                if longest >= 2:
                    assert roles[row[column]] in wanted
                    assert shared(completion.token_ids, ids[row[column]]) == longest
    assert results.untargeted.matched.notna().any()


def shared(a: tuple[int, ...], b: tuple[int, ...]) -> int:
    runs = {b[i:j] for i in range(len(b)) for j in range(i + 1, len(b) + 1)}
    return max((j - i for i in range(len(a)) for j in range(i + 1, len(a) + 1) if a[i:j] in runs), default=0)


def test_reference_attacks_rank_the_tuned_models_completions_and_leave_the_base_models(results: Tables):
    rates = results.untargeted_rates.set_index(["model", "attack"])
    for attack in ("ratio", "rmia"):
        assert rates.loc[("base", attack)].matches.isna().all()
        assert rates.loc[("base", attack)].reason.str.contains("cannot be ranked").all()
        assert rates.loc[("tuned", attack)].matches.notna().all()
    assert rates.loc[("base", "loss")].matches.notna().all()
    whole = results.untargeted_rates[results.untargeted_rates["first"] == 12].dropna(subset=["matches"])
    assert set(whole.model) == {"base", "tuned"}
    assert (whole.groupby(["trial", "model"]).matches.nunique() == 1).all()
    assert whole.low.notna().all()
    assert (whole.left_out == 0).all()


def test_no_text_in_tables_and_files_of_completions_are_private(finished: Path):
    for stage in stages(finished):
        for file in (finished / stage).glob("*.parquet"):
            assert stat.S_IMODE(file.stat().st_mode) == 0o600
    texts = [c.text for stage in stages(finished) for c in Run.open(finished).free_completions(stage)]
    for name in ("untargeted", "untargeted_rates"):
        table = (finished / "tables" / f"{name}.csv").read_text()
        assert not any(text in table for text in texts if len(text) > 12)


def test_none_are_written_where_none_are_wanted(study: byrote.Study, tiny_study: dict, tmp_path: Path):
    off = load_study(tiny_study, {"extraction.untargeted.completions": 0, "grid.matrices": [["v"]]})
    listener = Recorder()
    assert pipeline.run(off, tmp_path / "run", listener=listener).failures == ()
    assert not any(label.startswith("write") for label in listener.done)
    assert stages(tmp_path / "run") == [None, None]
    results = byrote.load(tmp_path / "run").tables
    assert results.untargeted.empty
    assert results.untargeted_rates.empty
    assert list(results.trials.state) == ["done"]
    assert "untargeted" not in set(results.timings.stage)
    assert forecast(prepare(off)).seconds < forecast(prepare(load_study(tiny_study, {
        "extraction.untargeted.completions": 10**6, "grid.matrices": [["v"]]}))).seconds  # fmt: skip
    kept = {p.key: (p.stages.scores, p.stages.completions) for p in prepare(study).planned}
    assert all(kept[p.key] == (p.stages.scores, p.stages.completions) for p in prepare(off).planned)


@pytest.mark.slow
def test_a_failure_is_kept_and_mended_by_the_next_run(finished: Path, tiny_study: dict, tmp_path: Path):
    out, study = (
        tmp_path / "run",
        load_study(tiny_study, {"extraction.untargeted.attacks": ["loss", "ratio", "zlib", "rmia"]}),
    )
    (failure,) = pipeline.run(study, out, listener=Recorder("write q", 0, RuntimeError("no such luck"))).failures
    assert failure["error"] == "RuntimeError: no such luck"
    assert "/untargeted/" in failure["stage"]
    after_failure = byrote.load(out).tables
    assert sorted(after_failure.trials.state) == ["done", "failed"]
    assert after_failure.untargeted.trial.nunique() == 1
    listener = Recorder()
    assert pipeline.run(study, out, listener=listener).failures == ()
    assert [label.split(" (")[0] for label in listener.done] == ["write q · rank 2 · seed 13"]
    assert tables(out) == tables(finished)


def test_a_tokenizer_without_a_start_token_has_no_such_stage_and_says_so(tiny_study: dict, tmp_path: Path):
    folder = save_tiny_model(tmp_path / "model")
    for name in ("tokenizer_config.json", "special_tokens_map.json"):
        if (folder / name).is_file():
            values = json.loads((folder / name).read_text())
            (folder / name).write_text(json.dumps({k: v for k, v in values.items() if k != "eos_token"}))
    study = load_study(tiny_study, {"model.source": str(folder), "grid.matrices": [["v"]]})
    listener = Recorder()
    assert pipeline.run(study, tmp_path / "run", listener=listener).failures == ()
    assert stages(tmp_path / "run") == [None, None]
    (finding,) = [f for f in Run.open(tmp_path / "run").plan()["findings"] if f["kind"] == "untargeted"]
    assert finding["message"].startswith("nothing is written from an empty prompt: the tokenizer has neither")
    assert finding["message"] in listener.said
    assert finding["message"] in (tmp_path / "run" / "report.html").read_text()


def test_the_null_trial_writes_none(tiny_study: dict):
    prepared = prepare(load_study(tiny_study, {"controls.null_trial": True}))
    (null,) = prepared.null_trials.planned
    assert null.stages.untargeted is None
    assert all(p.stages.untargeted for p in prepared.planned)
