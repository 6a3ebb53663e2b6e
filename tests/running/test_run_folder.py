"""A run folder over time: damage is healed, another study is refused, killed trainings go on, leftovers are cleaned."""

import json
import os
import shutil
import signal
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

import byrote
from byrote.errors import StoreError
from byrote.render import render
from byrote.running import pipeline
from byrote.running.local import Processes
from byrote.running.workers import run_tasks
from byrote.store import STAGES, Run
from byrote.store.leftovers import clean, leftovers
from byrote.study import Study, load_study
from byrote.tables.trials import stage_state
from fake_listener import Recorder, tables
from fakes import tiny_study as tiny_study_of

SMALL = {
    "grid.matrices": [["q"], ["v"]],
    "membership.attacks": ["ratio"],
    "statistics.bootstrap": 100,
    "extraction.temperatures": [0.0],
    "extraction.untargeted.completions": 2,
    "extraction.untargeted.attacks": ["loss"],
}


@pytest.fixture(scope="module")
def small(tiny_folder: Path, corpus_folder: Path) -> Study:
    """A study of two trials with little to tabulate."""
    return load_study(tiny_study_of(tiny_folder, corpus_folder), SMALL)


def changed(study: Study, **overrides: Any) -> Study:
    """The study with settings by dotted name, written with `__`."""
    raw = study.model_dump(mode="json", exclude={"provenance"})
    return load_study(raw, {name.replace("__", "."): value for name, value in overrides.items()})


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, small: Study) -> Path:
    out = tmp_path_factory.mktemp("folder") / "run"
    assert pipeline.run(small, out).failures == ()
    return out


@pytest.fixture
def copy(finished: Path, tmp_path: Path) -> Path:
    """A copy of the finished run, to be damaged."""
    return Path(shutil.copytree(finished, tmp_path / "run"))


def trial_of(out: Path, matrices: str = "q") -> dict[str, Any]:
    return next(row for row in Run.open(out).plan()["trials"] if row["matrices"] == matrices)


def adapters(out: Path) -> dict[str, bytes]:
    return {str(p.relative_to(out)): p.read_bytes() for p in sorted(out.glob("trials/*/adapter/*"))}


def logs(out: Path) -> dict[str, list[dict[str, Any]]]:
    """Every log's steps without their seconds."""
    lines = {p.parent.name: p.read_text().splitlines() for p in out.glob("trials/*/log.jsonl")}
    return {name: [{**json.loads(line), "seconds": 0} for line in log] for name, log in lines.items()}


# --- damage -----------------------------------------------------------------------------------------------------


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


def overwrite(path: Path) -> None:
    """Other bytes, no fewer."""
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2] + bytes(255 - b for b in data[len(data) // 2 :]))


def without_hashes(path: Path) -> None:
    """Truncated, in a run of a version that kept no hashes."""
    manifest = path.parent / "manifest.json"
    manifest.write_text(json.dumps({k: v for k, v in json.loads(manifest.read_text()).items() if k != "files"}))
    truncate(path)


def test_what_is_damaged_is_done_again_and_nothing_else(finished: Path, copy: Path, small: Study):
    q, v, base = trial_of(copy, "q"), trial_of(copy, "v"), Run.open(copy).plan()["base"]
    truncate(copy / q["scores"] / "scores.parquet")
    overwrite(copy / q["completions"] / "suffixes.parquet")
    without_hashes(copy / v["scores"] / "scores.parquet")
    truncate(copy / v["untargeted"] / "manifest.json")
    (copy / base["scores"] / "scores.parquet").unlink()
    truncate(copy / "records.parquet")
    truncate(next((copy / "roles").iterdir()))
    (copy / "plan.json").write_text("{")
    listener = Recorder()
    assert pipeline.run(small, copy, listener=listener).failures == ()
    redone = {label.split(" · ")[0] for label in listener.done}
    assert redone == {"score base model", "score q", "prompt q", "score v", "write v"}
    assert sum("is damaged and is done again: " in line for line in listener.said) == 5
    assert any("plan.json" in line and "written again" in line for line in listener.said)
    assert tables(copy) == tables(finished)


def test_a_damaged_adapter_is_trained_again_with_all_that_was_measured_on_it(finished: Path, copy: Path, small: Study):
    overwrite(copy / trial_of(copy)["finetune"] / "adapter" / "adapter_model.safetensors")
    listener = Recorder()
    assert pipeline.run(small, copy, listener=listener).failures == ()
    assert {label.split(" · ")[0] for label in listener.done} == {"fine-tune q", "score q", "prompt q", "write q"}
    assert adapters(copy) == adapters(finished)
    assert tables(copy) == tables(finished)


@pytest.mark.parametrize("harm", [truncate, overwrite, without_hashes])
def test_a_damaged_trial_keeps_the_report_from_no_other(copy: Path, harm: Callable[[Path], object]):
    trial = trial_of(copy)
    harm(copy / trial["scores"] / "scores.parquet")
    page = render(Run.open(copy)).read_text()
    tables = byrote.load(copy).tables
    assert dict(zip(tables.trials.matrices, tables.trials.state, strict=True)) == {"q": "damaged", "v": "done"}
    assert set(tables.membership.matrices) == {"v"}
    assert "q · rank 2 · seed 13, scores: damaged: scores.parquet" in page
    assert stage_state(Run.open(copy), trial["scores"], {}) == "damaged"


@pytest.mark.slow
def test_damaged_roles_cost_their_trial_alone(tmp_path: Path, small: Study):
    out = tmp_path / "run"
    grid = changed(small, grid={"matrices": [["q"]], "canaries.seed": [2, 3]})
    pipeline.run(grid, out)
    first, second = Run.open(out).plan()["trials"]
    overwrite(out / "roles" / f"{first['roles']}.parquet")
    render(Run.open(out))
    tables = byrote.load(out).tables
    assert list(tables.trials.state) == ["damaged", "done"]
    assert tables.trials.members.isna().tolist() == [True, False]
    assert set(tables.membership.trial) == {second["trial"]}


def test_a_run_without_a_finished_trial_still_reports(copy: Path):
    run = Run.open(copy)
    for trial in run.plan()["trials"]:
        shutil.rmtree(copy / trial["finetune"])
    for stage in run.plan()["base"].values():
        shutil.rmtree(copy / stage)
    assert "0 of 2 trials finished; 2 are waiting." in render(run).read_text()


# --- another study ------------------------------------------------------------------------------------------------


def seen(out: Path) -> dict[str, bytes]:
    return {name: (out / name).read_bytes() for name in ("study.yaml", "plan.json", "report.html", "records.parquet")}


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (
            {"grid__matrices": [["v"]]},
            r"another study; 1 planned trial would be dropped: q · rank 2 · seed 13\. .*--out",
        ),
        ({"lora__alpha": 8}, "2 planned trials would be dropped: q · rank 2 · seed 13; v · rank 2 · seed 13"),
        ({"corpus__limit": 11}, r"\(the corpus is another\); 2 planned trials"),
        ({"model__precision": "bf16"}, r"\(model\.precision is bf16 but was fp32\); 2 planned trials"),
    ],
)
def test_another_study_in_the_folder_is_refused_and_changes_nothing(
    copy: Path, small: Study, overrides: dict, words: str
):
    before, listener = seen(copy), Recorder()
    with pytest.raises(StoreError, match=words):
        pipeline.run(changed(small, **overrides), copy, listener=listener)
    assert seen(copy) == before
    assert listener.done == {}


def test_another_model_is_refused(copy: Path, small: Study, tmp_path: Path):
    from fakes import save_tiny_model

    other = changed(small, model__source=str(save_tiny_model(tmp_path / "other", seed=7)))
    with pytest.raises(StoreError, match=r"the base model is another\); 2 planned trials would be dropped"):
        pipeline.run(other, copy)


def test_canaries_that_the_base_model_would_write_are_refused_before_it_writes(copy: Path, small: Study):
    planted = {"design": "many", "count": 3, "copies": [1], "references": 1, "texts": "synthetic"}
    listener = Recorder()
    with pytest.raises(StoreError, match="the base model would write other canaries"):
        pipeline.run(changed(small, canaries=planted), copy, listener=listener)
    assert listener.done == {}


@pytest.mark.slow
def test_additions_go_on_and_a_dropped_trial_stays_until_it_is_cleaned(copy: Path, small: Study):
    more = changed(small, grid__matrices=[["k"], ["q"], ["v"]], membership__attacks=["ratio", "loss"], name="other")
    assert pipeline.run(more, copy).failures == ()
    assert leftovers(Run.open(copy)) == []
    gone = trial_of(copy, "q")
    pipeline.run(changed(small, grid__matrices=[["k"], ["v"]]), copy, replace=True)
    run = Run.open(copy)
    assert [(left.path, left.label) for left in leftovers(run)] == [(gone["finetune"], "q · rank 2 · seed 13")]
    assert leftovers(run)[0].size > 1000
    assert run.has(gone["scores"])
    (copy / "checkpoints").mkdir(exist_ok=True)
    (copy / "checkpoints" / f"{gone['trial']}.safetensors").write_bytes(b"x")
    assert len(clean(run)) == 2
    assert leftovers(run) == []
    assert not (copy / gone["finetune"]).exists()
    assert all(run.has(stage) for stage in run.planned_stages())


@pytest.mark.slow
def test_stages_that_are_no_longer_planned_are_leftovers_and_written_canaries_are_not(tmp_path: Path, small: Study):
    out = tmp_path / "run"
    planted = {"design": "many", "count": 3, "copies": [1], "references": 1, "texts": "synthetic"}
    planted_study = changed(small, canaries=planted, grid={"matrices": [["q"]]})
    pipeline.run(planted_study, out)
    plan = Run.open(out).plan()
    pipeline.run(changed(planted_study, extraction__temperatures=[0.5]), out)
    left = [leftover.path for leftover in leftovers(Run.open(out))]
    assert sorted(left) == sorted([plan["base"]["completions"], plan["trials"][0]["completions"]])
    clean(Run.open(out))
    assert Run.open(out).has(plan["canaries"])


# --- killed and interrupted -----------------------------------------------------------------------------------------


def interrupted(study: Study, out: Path, label: str = "fine-tune q", after: int = 3) -> None:
    with pytest.raises(KeyboardInterrupt):
        pipeline.run(study, out, listener=Recorder(label, after, KeyboardInterrupt()))


def often(study: Study, **overrides: Any) -> Study:
    """The study with a checkpoint at every step."""
    return changed(study, machine__checkpoint_minutes=1e-9, **overrides)


def test_a_killed_training_goes_on_from_its_checkpoint_to_the_same_bytes(finished: Path, small: Study, tmp_path: Path):
    out = tmp_path / "run"
    interrupted(often(small), out)
    kept = next((out / "checkpoints").iterdir())
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    steps = [step[0] for step in Run(out).checkpoint(f"trials/{kept.stem}")[1]["steps"]]  # type: ignore[index]
    listener = Recorder()
    assert pipeline.run(small, out, listener=listener).failures == ()
    assert any(line.endswith("training continues after step 3 of 6") for line in listener.said)
    log = [json.loads(line) for line in (out / "trials" / kept.stem / "log.jsonl").read_text().splitlines()]
    assert log[:3] == steps  # seconds and all: these steps were not done again
    assert adapters(out) == adapters(finished)
    assert logs(out) == logs(finished)
    assert tables(out) == tables(finished)
    assert not list((out / "checkpoints").iterdir())
    weights = next(out.glob("trials/*/adapter/*.safetensors"))
    assert stat.S_IMODE(weights.stat().st_mode) == 0o600


def test_folders_are_closed_to_others_and_so_is_what_repeats_records(finished: Path):
    folders = [finished, *(path for path in finished.rglob("*") if path.is_dir())]
    assert {stat.S_IMODE(folder.stat().st_mode) for folder in folders} == {0o700}
    private = [finished / "records.parquet", *finished.glob("*/**/scores/*.parquet"), *finished.rglob("*.safetensors")]
    private += finished.rglob("completions.parquet")
    assert len(private) > 3
    assert [file for file in private if stat.S_IMODE(file.stat().st_mode) != 0o600] == []


@pytest.mark.slow
def test_a_stack_goes_on_from_its_checkpoint(small: Study, tmp_path: Path):
    stacked = often(small, machine__stack=2)
    pipeline.run(stacked, tmp_path / "whole")
    interrupted(stacked, tmp_path / "run", "fine-tune 2 trials")
    listener = Recorder()
    pipeline.run(stacked, tmp_path / "run", listener=listener)
    assert "2 trials in one pass: training continues after step 3 of 6" in listener.said
    assert adapters(tmp_path / "run") == adapters(tmp_path / "whole")
    assert logs(tmp_path / "run") == logs(tmp_path / "whole")


@pytest.mark.slow
def test_a_checkpoint_that_is_damaged_or_of_other_trials_is_not_read_and_that_is_said(
    finished: Path, small: Study, tmp_path: Path
):
    out = tmp_path / "run"
    interrupted(often(small), out)
    kept = next((out / "checkpoints").iterdir())
    whole = kept.read_bytes()
    for data in (whole[:-30], whole[:-1] + bytes([whole[-1] ^ 1])):
        kept.write_bytes(data)
        listener = Recorder("fine-tune q", 0, KeyboardInterrupt())
        with pytest.raises(KeyboardInterrupt):
            pipeline.run(small, out, listener=listener)
        assert any("training starts again: the checkpoint " in line for line in listener.said)
    kept.write_bytes(whole)
    listener = Recorder("fine-tune 2 trials", 0, KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        pipeline.run(changed(small, machine__stack=2), out, listener=listener)
    assert any("training starts again: its checkpoint is of other trials" in line for line in listener.said)
    kept.unlink()
    pipeline.run(small, out)
    assert adapters(out) == adapters(finished)


def test_checkpoints_are_as_far_apart_as_asked(small: Study, tmp_path: Path):
    for minutes in (2, None):
        interrupted(changed(small, machine__checkpoint_minutes=minutes), tmp_path / "run")
        assert not (tmp_path / "run" / "checkpoints").exists()


def states(run: Run) -> set[str]:
    failures = {failure["stage"]: failure["error"] for failure in run.failures()}
    return {stage_state(run, row[name], failures) for row in run.plan()["trials"] for name in STAGES}


def test_status_says_running_while_the_lock_is_held_and_interrupted_once_it_is_not(copy: Path):
    run, trial = Run.open(copy), trial_of(copy)
    shutil.rmtree(copy / trial["scores"])
    with run.locked():
        (copy / trial["scores"]).with_name(f".part-{Path(trial['scores']).name}-1").mkdir()
        assert states(run) == {"done", "running"}
        assert run.writer() == f"process {os.getpid()} on {os.uname().nodename}"
    assert states(run) == {"done", "interrupted"}
    assert run.writer() is None


def test_a_training_that_left_a_checkpoint_is_interrupted(small: Study, tmp_path: Path):
    interrupted(often(small), tmp_path / "run")
    assert not list((tmp_path / "run").rglob(".part-*"))
    assert states(Run.open(tmp_path / "run")) == {"interrupted", "waiting"}


class Interrupting(Recorder):
    """Presses Ctrl-C: the workers hear it while they train, the parent a moment later, when one scores."""

    def task(self, label: str, total: int, *rest: Any):
        if label.startswith("fine-tune"):
            for worker in psutil.Process().children():
                worker.send_signal(signal.SIGINT)
        elif label.startswith("score"):
            os.kill(os.getpid(), signal.SIGINT)
        return super().task(label, total, *rest)


@pytest.fixture
def heard() -> Iterator[None]:
    """Ctrl-C is heard: a process that a shell started in the background ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("heard")
@pytest.mark.slow
def test_ctrl_c_ends_the_workers_and_loses_no_task(small: Study, tmp_path: Path):
    prepared, store, listener = pipeline.prepare(small), Run(tmp_path / "run"), Interrupting()
    lost: list[tuple[str, str]] = []
    with store.locked():
        pipeline._write_plan(store, prepared)
        with pytest.raises(KeyboardInterrupt):
            run_tasks(["0", "1"], Processes((store.path, prepared), 1), 1, listener, lambda *task: lost.append(task))
    assert lost == []
    assert not psutil.Process().children()
    assert states(store) == {"done", "interrupted", "waiting"}
