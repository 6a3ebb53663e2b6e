"""Shadows of given subjects: what they are tuned like, what they learn, and what a run makes of them."""

import json
from pathlib import Path
from typing import Any

import pytest

import byrote
from byrote import lm
from byrote.attacks import ATTACKS
from byrote.cli import main
from byrote.errors import CorpusError, StudyError
from byrote.passes.finetune import steps_of
from byrote.records import CALIBRATION, Role
from byrote.running.checks import checked_study
from byrote.running.planning import Prepared, prepare
from byrote.store import Run
from byrote.study import Lora
from fake_adapters import edit, save_peft
from fakes import save_tiny_model

STATE = {"global_step": 6, "epoch": 2.0, "train_batch_size": 4, "log_history": [{"learning_rate": 0.02}]}


def subject(base: lm.Base, folder: Path, case: str = "lora", **state: Any) -> Path:
    adapter = save_peft(base, case, folder)
    (adapter / "trainer_state.json").write_text(json.dumps({**STATE, **state}))
    return adapter


@pytest.fixture
def base(tiny_folder: Path) -> lm.Base:
    return lm.load_base(lm.resolve_base(str(tiny_folder), None), "fp32", "none", lm.pick_device("cpu"))


@pytest.fixture
def study(tiny_study: dict[str, Any]) -> dict[str, Any]:
    """The tiny study with one shadow, still without subjects."""
    kept = {name: value for name, value in tiny_study.items() if name not in ("grid", "training", "canaries")}
    return {**kept, "controls": {"shadow": True, "second_shadow": False}, "seed": 5}


def planned(study: dict[str, Any], *subjects: dict[str, str], **more: Any) -> Prepared:
    return prepare(checked_study({**study, "subjects": list(subjects), **more}))


def messages(prepared: Prepared) -> list[str]:
    return [finding.message for finding in prepared.findings if finding.kind == "shadow"]


def test_a_shadow_is_tuned_like_its_subject_on_half_of_the_calibration_documents(
    base: lm.Base, study: dict[str, Any], tmp_path: Path
):
    prepared = planned(study, {"adapter": str(subject(base, tmp_path / "mine"))})
    (shadow,), (trial,) = prepared.null_trials.planned, prepared.planned
    assert shadow.trained.lora == Lora(matrices=("q", "v"), rank=4, alpha=8, dropout=0.1, scaling="fixed")
    training = shadow.trained.training
    assert (training.learning_rate, training.effective_batch, training.seed) == (0.02, 4, 5)
    roles = {a.record: a.role for a in trial.roles}
    calibration = [r for r in prepared.records if r.split == CALIBRATION]
    learned = [r for r in calibration if roles[r.record] is Role.SHADOW]
    assert list(shadow.training_ids) == [r.token_ids for r in learned]
    assert len({r.group for r in learned}) == len({r.group for r in calibration}) // 2 == 2
    assert not {r.group for r in learned} & {r.group for r in calibration if roles[r.record] is Role.CALIBRATION}
    assert len(learned) == 4
    assert steps_of(len(learned), training) == 4  # one batch of four an epoch, at most twice the subject's two epochs
    assert "takes 4 optimizer steps, its subject 6" in messages(prepared)[-1]
    assert messages(prepared)[0].startswith("4 of 10 calibration records, half of their documents by seed 5,")
    told = (
        "lora q,v, rank 4, alpha 8 (adapter_config.json); learning_rate 0.02 (trainer_state.json (the highest that was"
    )
    assert told in messages(prepared)[1]
    plan = prepared.plan()
    assert plan["shadow"]["seed"] == 5
    assert plan["shadow"]["taken"]["mine"]["steps"] == "trainer_state.json"
    assert plan["trials"][0]["null"] == plan["nulls"][0]["trial"] == shadow.key
    assert plan["nulls"][0]["label"] == "shadow"


def test_another_seed_cuts_otherwise_and_no_shadow_leaves_keys_as_they_were(
    base: lm.Base, study: dict[str, Any], tmp_path: Path
):
    adapter = {"adapter": str(subject(base, tmp_path / "mine"))}
    keys = {p.planned[0].roles_key for p in (planned(study, adapter, seed=seed) for seed in (5, 6))}
    assert len(keys) == 2
    without = planned(study, adapter, controls={})
    assert without.planned[0].roles_key not in keys
    assert without.planned[0].roles_key == planned(study, adapter, controls={"shadow": False}).planned[0].roles_key
    assert "shadow" not in without.plan()


def test_subjects_of_one_configuration_share_a_shadow(base: lm.Base, study: dict[str, Any], tmp_path: Path):
    first, second = subject(base, tmp_path / "one"), subject(base, tmp_path / "two", "rslora")
    third = subject(base, tmp_path / "three")
    edit(third, lora_bias=False, layers_pattern=None, lora_dropout=0.1, init_lora_weights="gaussian")
    prepared = planned(study, *({"adapter": str(path)} for path in (first, second, third)))
    assert [s.trained.lora.scaling for s in prepared.null_trials.planned] == ["fixed", "rslora"]
    rows = prepared.plan()["trials"]
    assert rows[0]["null"] == rows[2]["null"] != rows[1]["null"]
    labels = [row["label"] for row in prepared.plan()["nulls"]]
    assert labels == ["shadow of one, three", "shadow of two"]


def test_second_shadows_are_shared_and_named_as_the_first_are(base: lm.Base, study: dict[str, Any], tmp_path: Path):
    subjects = [
        {"adapter": str(subject(base, tmp_path / name, case))} for name, case in (("one", "lora"), ("two", "rslora"))
    ]
    third = subject(base, tmp_path / "three")
    edit(third, lora_bias=False, layers_pattern=None, lora_dropout=0.1, init_lora_weights="gaussian")
    prepared = planned(study, *subjects, {"adapter": str(third)}, controls={"shadow": True})
    plan = prepared.plan()
    shadows = ["shadow of one, three", "shadow of two"]
    assert [row["label"] for row in plan["nulls"]] == [*shadows, *(f"second {label}" for label in shadows)]
    beside = [row["second_shadow"] for row in plan["trials"]]
    assert beside[0] == beside[2] != beside[1]
    firsts, seconds = prepared.null_trials.planned[:2], prepared.null_trials.planned[2:]
    for first, second in zip(firsts, seconds, strict=True):
        assert (second.training_ids, second.trained.lora) == (first.training_ids, first.trained.lora)
        assert second.trained.training == first.trained.training.model_copy(update={"seed": 6})
        assert second.key != first.key
    alone = planned(study, *subjects, {"adapter": str(third)})
    assert [shadow.key for shadow in alone.null_trials.planned] == [shadow.key for shadow in firsts]
    assert "second_shadow" not in alone.plan()["trials"][0]
    assert not any("a second" in message for message in messages(alone))


@pytest.mark.parametrize(
    ("case", "why"),
    [("dora", "is no plain LoRA"), ("ia3", "is no plain LoRA"), ("one-layer", "adapts 2 of the 4 modules")],
)
def test_an_adapter_that_no_study_describes_has_a_shadow_by_the_studys_lora(
    case: str, why: str, base: lm.Base, study: dict[str, Any], tmp_path: Path
):
    adapter = subject(base, tmp_path / "mine", case)
    prepared = planned(study, {"adapter": str(adapter)}, lora={"matrices": ["o"], "rank": 3})
    assert prepared.null_trials.planned[0].trained.lora == Lora(matrices=("o",), rank=3)
    assert f"lora o, rank 3, alpha 16 (the study: mine {why}" in messages(prepared)[1]


def test_a_whole_model_has_one_too_and_flags_say_how_it_was_tuned(study: dict[str, Any], tmp_path: Path):
    tuned = {"model": str(save_tiny_model(tmp_path / "tuned", seed=1))}
    with pytest.raises(
        StudyError, match=r"give --training.learning_rate, --training.epochs, --training.effective_batch"
    ):
        planned(study, tuned)
    told = {"learning_rate": 0.01, "epochs": 3, "effective_batch": 6}
    prepared = planned(study, tuned, training=told)
    assert prepared.null_trials.shadow
    assert prepared.null_trials.shadow["taken"]["tuned"]["lora"] == "the study: tuned is a whole model"
    assert prepared.null_trials.shadow["taken"]["tuned"]["steps"] == "epochs and batch on 12 members"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"subjects": []}, "controls.shadow is for given subjects"),
        (
            {"model": {"source": "none"}, "subjects": [{"model": "TINY"}]},
            "controls.shadow tunes an adapter on the base",
        ),
        ({"corpus.calibration": None}, "controls.shadow learns half of the calibration documents"),
        ({"controls": {}, "membership": {"primary": "ratio_shadow"}}, "'ratio_shadow' compares with a shadow; set"),
        ({"extraction": {"untargeted": {"attacks": ["difference_shadow"]}}}, "does not score these"),
    ],
)
def test_what_cannot_be_asked_of_a_shadow(
    changes: dict[str, Any], message: str, study: dict[str, Any], tiny_folder: Path
):
    asked = {**study, "subjects": [{"adapter": "somewhere"}], **{k: v for k, v in changes.items() if "." not in k}}
    if "corpus.calibration" in changes:
        asked["corpus"] = {**study["corpus"], "calibration": None}
    for given in asked["subjects"]:
        given |= {"model": str(tiny_folder)} if "model" in given else {}
    with pytest.raises(StudyError, match=message):
        checked_study(asked)


def test_one_calibration_document_cannot_be_parted(
    base: lm.Base, study: dict[str, Any], tmp_path: Path, corpus_folder: Path
):
    few = tmp_path / "few.jsonl"
    few.write_text("".join((corpus_folder / "calibration.jsonl").read_text().splitlines(keepends=True)[:2]))
    corpus = {**study["corpus"], "calibration": str(few)}
    with pytest.raises(CorpusError, match=r"of 1 document, and a shadow learns half.*--calibration"):
        planned(study, {"adapter": str(subject(base, tmp_path / "mine"))}, corpus=corpus)


@pytest.mark.slow
def test_a_run_measures_with_the_shadow_and_resumes(base: lm.Base, study: dict[str, Any], tmp_path: Path):
    asked = {
        **study,
        "subjects": [{"adapter": str(subject(base, tmp_path / "mine"))}],
        "extraction": {"prompts": {"members": 0, "nonmembers": 0}, "untargeted": {"completions": 0}},
        "membership": {"attacks": ["loss", "difference", "rmia", "difference_shadow", "ratio_shadow"]}
        | {"primary": "difference", "false_positive_rates": [0.25]},
        "statistics": {"bootstrap": 100},
    }
    outcome = byrote.run(asked, tmp_path / "run")
    assert not outcome.failures
    store, tables = Run.open(outcome.path), byrote.load(outcome.path).tables
    plan = store.plan()
    (null,), (trial,) = plan["nulls"], plan["trials"]
    rows = tables.membership.set_index("attack")
    assert {"difference_shadow", "ratio_shadow", "auditor"} < set(rows.index)
    assert rows.loc[["difference", "rmia"], "control"].tolist() == ["null trial"] * 2
    assert str(rows.loc["ratio_shadow", "control"]).startswith("none: needs a second shadow")
    assert rows["attacker"].to_dict() == {
        "loss": "subject only",
        "difference": "base model too",
        **dict.fromkeys(("rmia", "difference_shadow", "ratio_shadow"), "documents of their own too"),
        "auditor": "auditor",
    }
    roles = {a.record: a.role for a in store.roles(trial["roles"])}
    sides = [[r for r, role in roles.items() if role is wanted] for wanted in (Role.MEMBER, Role.NONMEMBER)]
    tuned, shadow = store.scores(trial["scores"]), store.scores(null["scores"])
    own = [[sum_of(tuned, r) - sum_of(shadow, r) for r in side] for side in sides]
    wins = [(m > n) + (m == n) / 2 for m in own[0] for n in own[1]]
    assert rows.loc["difference_shadow", "auc"] == pytest.approx(sum(wins) / len(wins))
    points = tables.operating_points.query("threshold_source == 'calibration' and attack == 'loss'")
    threshold = sorted(sum_of(tuned, r, mean=True) for r, role in roles.items() if role is Role.CALIBRATION)
    assert len(threshold) == 6
    assert points["threshold"].iloc[0] > threshold[-2]  # one of six may be above at a rate of 0.25
    (beside,) = tables.null_trials.to_dict("records")
    assert (beside["steps"], beside["null_steps"], beside["null_trial"]) == (6, 4, null["trial"])
    assert store.study().training.model_fields_set == set()  # as asked: its copy does not overrule the trainer's files
    before = (outcome.path / null["finetune"] / "adapter" / "adapter_model.safetensors").stat().st_mtime_ns
    byrote.run(asked, tmp_path / "run")
    assert (outcome.path / null["finetune"] / "adapter" / "adapter_model.safetensors").stat().st_mtime_ns == before
    audit = json.loads((outcome.path / "audit.json").read_text())
    assert any("tune several models" in line for line in audit["not_tested"])


@pytest.mark.slow
def test_a_second_shadow_is_the_control_of_attacks_on_the_first(base: lm.Base, study: dict[str, Any], tmp_path: Path):
    asked = {
        **study,
        "controls": {"shadow": True},
        "subjects": [{"adapter": str(subject(base, tmp_path / "mine"))}],
        "extraction": {"prompts": {"members": 0, "nonmembers": 0}, "untargeted": {"completions": 0}},
        "membership": {"attacks": ["loss", "difference", "difference_shadow", "rmia_shadow"], "primary": "difference"},
        "statistics": {"bootstrap": 100},
        "decide": {"max_auc": 0.9},
    }
    outcome = byrote.run(asked, tmp_path / "run")
    assert not outcome.failures
    store, tables = Run.open(outcome.path), byrote.load(outcome.path).tables
    first, second = store.plan()["nulls"]
    (trial,) = store.plan()["trials"]
    assert (first["label"], second["label"]) == ("shadow", "second shadow")
    assert (trial["null"], trial["second_shadow"]) == (first["trial"], second["trial"])
    rows = tables.membership.set_index("attack")
    assert rows["control"].to_dict() == {
        "loss": "base model",
        "difference": "null trial",
        **dict.fromkeys(("difference_shadow", "rmia_shadow"), "second shadow"),
        "auditor": "none: the auditor's folds are its control",
    }
    roles = {a.record: a.role for a in store.roles(trial["roles"])}
    sides = [[r for r, role in roles.items() if role is wanted] for wanted in (Role.MEMBER, Role.NONMEMBER)]
    of_first, of_second = (store.scores(null["scores"]) for null in (first, second))
    own = [[sum_of(of_second, r) - sum_of(of_first, r) for r in side] for side in sides]
    wins = [(m > n) + (m == n) / 2 for m in own[0] for n in own[1]]
    assert rows.loc["difference_shadow", "auc_control"] == pytest.approx(sum(wins) / len(wins))
    assert tables.null_trials["kind"].tolist() == ["null trial", "second shadow"]
    assert "second shadow" in tables.rules["control"].iloc[0]
    assert set(tables.attackers["attacker"]) == {
        *("subject only", "base model too", "documents of their own too", "auditor")
    }
    of_documents = tables.attackers.set_index("attacker").loc["documents of their own too"]
    assert of_documents["attacks"] == 4
    best = rows.drop(index="auditor")["auc"]
    assert (of_documents["attack"], of_documents["auc"]) == (best.idxmax(), best.max())
    audit = json.loads((outcome.path / "audit.json").read_text())
    assert [row["attacker"] for row in audit["attackers"]] == tables.attackers["attacker"].tolist()
    assert "What each attacker reaches" in (outcome.path / "report.html").read_text()
    weights = [outcome.path / null["finetune"] / "adapter" / "adapter_model.safetensors" for null in (first, second)]
    assert weights[0].read_bytes() != weights[1].read_bytes()
    before = [path.stat().st_mtime_ns for path in weights]
    byrote.run(asked, tmp_path / "run")
    assert [path.stat().st_mtime_ns for path in weights] == before


def test_the_check_of_an_audit_says_what_a_shadow_would_be(
    base: lm.Base, study: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    adapter, corpus = subject(base, tmp_path / "mine"), Path(study["corpus"]["path"])
    sides = [
        word for side in ("members", "nonmembers", "calibration") for word in (f"--{side}", corpus / f"{side}.jsonl")
    ]
    words = ["audit", "--adapter", adapter, "--base", study["model"]["source"], *sides, "--group", "group", "--shadow"]
    words += ["--check", "--json", "--machine.device", "cpu", "--model.precision", "fp32"]
    assert exit_of(words) == 0
    findings = json.loads(capsys.readouterr().out)["findings"]
    assert any(finding.startswith("the shadow of mine is tuned like it: lora q,v, rank 4") for finding in findings)
    assert any("half of their documents by seed 13" in finding for finding in findings)
    (adapter / "trainer_state.json").unlink()
    assert exit_of(words) == 2
    assert "give --training.learning_rate, --training.epochs" in capsys.readouterr().err


def exit_of(words: list[Any]) -> int:
    with pytest.raises(SystemExit) as stop:
        main([str(word) for word in words])
    return int(stop.value.code or 0)


def sum_of(scores: Any, record: str, *, mean: bool = False) -> float:
    logprob = scores.take([record]).logprob.tolist()
    return sum(logprob) / (len(logprob) if mean else 1)


def test_without_a_shadow_its_attacks_are_not_run(tiny_study: dict[str, Any]):
    from byrote.study import load_study
    from byrote.study.rules import attacks_of

    assert set(ATTACKS) - set(attacks_of(load_study(tiny_study))) == {
        *("difference_shadow", "ratio_shadow", "ez_shadow", "min_k_difference_shadow", "rmia_shadow")
    }
