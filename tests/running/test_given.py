"""Subjects that are given: measured like those that are trained, with a base model or without."""

from pathlib import Path
from typing import Any

import pytest

import byrote
from byrote.errors import ModelError, StudyError
from byrote.running.checks import checked_study
from byrote.running.planning import prepare
from byrote.running.subject import series_of
from byrote.store import Run
from byrote.study import Subject, load_study
from byrote.study.given import subject_names
from fakes import save_tiny_model

pytestmark = pytest.mark.usefixtures("one_figure")
COMPARED = ("membership", "operating_points", "roc", "extraction", "draws", "untargeted")
OWN = ["trial", "seed", "label"]  # columns that name the trial


def given(study: dict[str, Any], subjects: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    """The study with subjects in the place of what it trains."""
    kept = {name: value for name, value in study.items() if name not in ("grid", "training", "canaries")}
    return {**kept, "subjects": subjects, **more}


@pytest.fixture
def plain(tiny_study: dict[str, Any]) -> dict[str, Any]:
    """The tiny study without canaries."""
    return {**tiny_study, "canaries": {"design": "none"}}


@pytest.mark.slow
def test_an_audit_of_trained_adapters_gives_the_tables_of_their_run(plain: dict[str, Any], tmp_path: Path):
    trained = byrote.run(plain, tmp_path / "run")
    plan = Run.open(trained.path).plan()["trials"]
    subjects = [{"adapter": str(trained.path / row["finetune"] / "adapter"), "name": row["label"]} for row in plan]
    study = given({**plain, "model": {**plain["model"]}}, subjects)
    audited = byrote.run(study, tmp_path / "audit")
    assert not audited.failures
    before, after = byrote.load(trained.path).tables, byrote.load(audited.path).tables
    for name in COMPARED:
        expected, table = (getattr(tables, name).drop(columns=OWN, errors="ignore") for tables in (before, after))
        assert len(table)
        assert table.equals(expected), name
    assert list(after.trials["matrices"]) == ["q", "v"]
    assert list(after.trials["rank"]) == [2, 2]
    assert after.trials["seed"].isna().all()
    assert list(after.trials["trainable_parameters"]) == list(before.trials["trainable_parameters"])
    assert list(after.trials["perplexity_tuned"]) == list(before.trials["perplexity_tuned"])
    assert set(after.timings["stage"]) == {"scores", "completions", "untargeted"}
    again = byrote.run(study, tmp_path / "audit")
    assert byrote.load(again.path).tables.membership.equals(after.membership)


@pytest.mark.slow
def test_a_whole_model_beside_its_base_and_alone(plain: dict[str, Any], tmp_path: Path):
    tuned = save_tiny_model(tmp_path / "tuned", seed=1)
    beside = byrote.load(byrote.run(given(plain, [{"model": str(tuned)}]), tmp_path / "beside").path).tables
    without = given(
        plain,
        [{"model": str(tuned)}],
        model={"source": "none", "precision": "fp32"},
        membership={"primary": "min_k_plus_plus"},
    )
    outcome = byrote.run(without, tmp_path / "alone")
    assert not outcome.failures
    alone = byrote.load(outcome.path).tables
    assert list(beside.trials["matrices"]) == ["all weights"]
    assert "ratio" in set(beside.membership["attack"])
    assert beside.membership.set_index("attack").loc["loss", "control"] == "base model"
    areas = (tables.membership.set_index("attack")["auc"] for tables in (beside, alone))
    of_beside, of_alone = areas
    assert set(of_alone.index) == {"loss", "zlib", "zlib_sum", "min_k", "min_k_plus_plus", "auditor"}
    for attack in ("loss", "zlib", "min_k"):
        assert of_alone[attack] == of_beside[attack]
    assert alone.trials["perplexity_base"].isna().all()
    assert alone.membership["auc_control"].isna().all()
    assert any(finding["kind"] == "no_base" for finding in Run.open(outcome.path).plan()["findings"])
    assert "no base model" in outcome.report.read_text()


def test_the_base_model_is_the_one_that_the_adapter_names(plain: dict[str, Any], tmp_path: Path):
    trained = byrote.run({**plain, "grid": {}, "extraction": {"untargeted": {"completions": 0}}}, tmp_path / "run")
    adapter = next((trained.path / "trials").glob("*/adapter"))
    config = (adapter / "adapter_config.json").read_text()
    source = plain["model"]["source"]
    (adapter / "adapter_config.json").write_text(config.replace(f'"{Path(source).name}"', f'"{source}"'))
    study = given(plain, [{"adapter": str(adapter)}], model={"precision": "fp32"})
    assert load_study(study).model.source == "adapter"
    prepared = prepare(checked_study(study))
    assert prepared.files.folder == Path(source).resolve()
    (adapter / "adapter_config.json").write_text(config.replace(f'"{Path(source).name}"', '"/gone/base"'))
    with pytest.raises(ModelError, match=r"/gone/base.*--base"):
        prepare(checked_study(study))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"grid": {"rank": [1]}}, r"grid \(lora.rank\) says what to train, but subjects are given"),
        ({"canaries": {"design": "single"}}, "has been trained already"),
        ({"controls": {"null_trial": "first"}}, "controls.null_trial"),
        ({"model": {"source": "none"}}, "works on a base model alone"),
        ({"subjects": [{"model": "TINY"}], "model": {}}, "does not say what it was tuned from"),
        ({"subjects": [{"model": "TINY"}], "model": {"source": "none"}}, "'ratio' compares with a base model"),
        ({"subjects": [{"adapter": "a", "name": "x"}, {"adapter": "b", "name": "x"}]}, "'x' stands 2 times"),
        ({"subjects": [{"adapter": "a", "model": "b"}]}, "either an adapter or a model"),
        ({"subjects": [{}]}, "either an adapter or a model"),
    ],
)
def test_what_cannot_be_asked_of_given_subjects(
    plain: dict[str, Any], tiny_folder: Path, changes: dict[str, Any], message: str
):
    study = {**given(plain, [{"adapter": "somewhere"}]), **changes}
    for subject in study["subjects"]:
        if subject.get("model") == "TINY":
            subject["model"] = str(tiny_folder)
    with pytest.raises(StudyError, match=message):
        checked_study(study)


@pytest.mark.parametrize("source", ["adapter", "none"])
def test_a_study_that_trains_needs_a_base_model(plain: dict[str, Any], source: str):
    with pytest.raises(StudyError, match="is for studies of given subjects"):
        checked_study({**plain, "model": {"source": source}})


def test_names_tell_subjects_apart_and_are_short():
    sources = ["out/a/checkpoint-1", "out/a/checkpoint-2", "out/b/checkpoint-2"]
    assert subject_names([Subject(adapter=source) for source in sources]) == [
        "checkpoint-1",
        "a/checkpoint-2",
        "b/checkpoint-2",
    ]
    assert subject_names([Subject(model="x/y", name="mine")]) == ["mine"]


def test_subjects_of_one_folder_are_of_one_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for name in ("a/out/checkpoint-1", "a/out/checkpoint-2", "b/out/checkpoint-1", "checkpoint-9"):
        (tmp_path / name).mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "a" / "out")
    sources = ["checkpoint-1", f"{tmp_path}/a/out/checkpoint-2", "../../b/out/checkpoint-1", "hub/one", "hub/other"]
    assert series_of([Subject(adapter=source) for source in sources]) == ["a/out", "a/out", "b/out", "one", "other"]
    assert series_of([Subject(adapter="checkpoint-1")]) == ["out"]
