"""`byrote audit`: models tuned by plain PEFT, Trainer and transformers, measured by one command."""

import json
import math
import shutil
from pathlib import Path
from typing import Any

import jsonschema
import pandas as pd
import peft
import pytest
import torch
from transformers import AutoModelForCausalLM

import byrote
from byrote.corpora.adverse_events import read
from byrote.figures import FIGURES, Options
from byrote.lm.library import quiet
from byrote.records import CALIBRATION, MEMBERS, NONMEMBERS
from byrote.store import Run
from byrote.study import AdverseEventsCorpus
from fake_audits import CHEAP, audit, train
from fake_remote import on_machine
from fakes import tiny_tokenizer

pytestmark = pytest.mark.usefixtures("one_figure")
SCHEMA = Path(byrote.__file__).parent / "schemas" / "audit.schema.json"
FILES = {MEMBERS: "train.jsonl", NONMEMBERS: "heldout.jsonl", CALIBRATION: "heldout2.jsonl"}


@pytest.fixture(scope="module")
def rows() -> dict[str, list[dict[str, str]]]:
    """Synthetic records as a user has them: id, patient and text."""
    records = read(AdverseEventsCorpus(source="adverse_events", size=24))
    return {
        split: [{"id": r.record, "patient": r.group, "text": r.text} for r in records if r.split == split]
        for split in FILES
    }


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory, rows: dict[str, list[dict[str, str]]]) -> Path:
    folder = tmp_path_factory.mktemp("data")
    for split, name in FILES.items():
        (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows[split]))
    return folder


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory, rows: dict[str, Any], tiny_folder: Path) -> Path:
    """A folder with an adapter that Trainer tuned on the members until it overfitted."""
    folder, texts = tmp_path_factory.mktemp("tuned"), [row["text"] for row in rows[MEMBERS]]
    model = AutoModelForCausalLM.from_pretrained(tiny_folder)
    config = peft.LoraConfig(r=16, lora_alpha=64, target_modules="all-linear", task_type="CAUSAL_LM")
    with torch.random.fork_rng(devices=[]), quiet():
        torch.manual_seed(0)
        train(peft.get_peft_model(model, config), texts, folder / "adapter")
    return folder


def sides(data: Path) -> list[object]:
    return ["--members", data / FILES[MEMBERS], "--nonmembers", data / FILES[NONMEMBERS], "--group", "patient"]


def test_an_adapter_by_peft_and_trainer_is_audited_by_one_command(
    tuned: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    words = ["--adapter", tuned / "adapter", *sides(data), "--id", "id", *CHEAP, "--out", tmp_path / "run"]
    words += ["--calibration", data / FILES[CALIBRATION]]
    assert audit(*words, "--max-auc", "0.6") == 1
    shown = capsys.readouterr()
    assert "exceeded: adapter: " in shown.out
    assert "told apart by their texts alone" in shown.err
    tables = byrote.load(tmp_path / "run").tables
    assert tables.membership.set_index("attack").loc["ratio", "auc"] > 0.9
    assert audit(*words, "--max-auc", "0.6", "--quiet") == 1  # nothing is measured again


@pytest.mark.slow
def test_a_fully_tuned_model_beside_its_base_and_without_one(
    rows: dict[str, Any], data: Path, tiny_folder: Path, tmp_path: Path
):
    whole = tmp_path / "whole"
    with torch.random.fork_rng(devices=[]), quiet():
        torch.manual_seed(0)
        train(AutoModelForCausalLM.from_pretrained(tiny_folder), [row["text"] for row in rows[MEMBERS]], whole)
    tiny_tokenizer().save_pretrained(whole)
    words = ["--model", whole, *sides(data), *CHEAP, "--quiet"]
    assert audit(*words, "--base", tiny_folder, "--out", tmp_path / "beside", "--max-auc", "0.6") == 1
    assert audit(*words, "--base", "none", "--out", tmp_path / "alone", "--json") == 0
    beside, alone = (byrote.load(tmp_path / name).tables.membership for name in ("beside", "alone"))
    assert "ratio" in set(beside["attack"])
    assert "ratio" not in set(alone["attack"])
    assert Run.open(tmp_path / "alone").study().membership.primary == "min_k_plus_plus"


def test_several_checkpoints_by_a_pattern(tuned: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    for name in ("checkpoint-10", "checkpoint-9"):
        shutil.copytree(tuned / "adapter", tmp_path / name, ignore=shutil.ignore_patterns("out"))
        config = tmp_path / name / "adapter_config.json"
        config.write_text(json.dumps({**json.loads(config.read_text()), "lora_alpha": len(name)}))
    words = ["--adapter", f"{tmp_path}/checkpoint-*", *sides(data), *CHEAP, "--check", "--json"]
    assert audit(*words) == 0
    assert json.loads(capsys.readouterr().out)["trials"] == ["checkpoint-9", "checkpoint-10"]


def test_the_check_loads_no_weights_and_decides_nothing(
    tuned: Path, data: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    from byrote import lm

    for name in ("load_base", "open_model", "open_adapter"):
        monkeypatch.setattr(lm, name, None)
    monkeypatch.chdir(tmp_path)
    assert audit("--adapter", tuned / "adapter", *sides(data), *CHEAP, "--max-auc", "0.5", "--check") == 0
    shown = capsys.readouterr().out
    assert "records (24/12)" in shown
    assert "told apart by their texts alone: AUC" in shown
    assert "no calibration records are given: 12 of 24 non-members" in shown
    assert not (tmp_path / "runs").exists()


def test_swapped_sides_are_said_before_prompting_and_in_the_report(
    tuned: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    words = ["--adapter", tuned / "adapter", "--members", data / FILES[NONMEMBERS], "--nonmembers"]
    words += [data / FILES[MEMBERS], *CHEAP, "--out", tmp_path / "run"]
    assert audit(*words) == 0
    told = capsys.readouterr().err
    assert told.index("members and non-members swapped?") < told.index("prompt adapter")
    assert "members and non-members swapped?" in (tmp_path / "run" / "report.html").read_text()


def test_an_error_that_nobody_foresaw_is_never_a_verdict(
    tuned: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    from byrote.running import pipeline

    def broken(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError("injected")

    monkeypatch.setattr(pipeline, "render", broken)
    words = ["--adapter", tuned / "adapter", *sides(data), *CHEAP, "--quiet", "--out", tmp_path / "run"]
    assert audit(*words, "--max-auc", "0.5") == 2
    monkeypatch.setattr(pipeline, "prepare", _interrupted)
    assert audit(*words, "--max-auc", "0.5") == 130


def _interrupted(*_: Any, **__: Any) -> None:
    raise KeyboardInterrupt


@pytest.mark.slow
def test_checkpoints_of_one_training_stand_side_by_side(
    data: Path, rows: dict[str, Any], tiny_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    texts, steps = [row["text"] for row in rows[MEMBERS]], 12 * len(rows[MEMBERS])
    model = AutoModelForCausalLM.from_pretrained(tiny_folder)
    config = peft.LoraConfig(r=16, lora_alpha=64, target_modules="all-linear", task_type="CAUSAL_LM")
    with torch.random.fork_rng(devices=[]), quiet():
        torch.manual_seed(0)
        tuned = peft.get_peft_model(model, config)
        train(tuned, texts, tmp_path, save_strategy="steps", save_steps=steps // 3)
    shutil.copytree(tmp_path / "out" / f"checkpoint-{steps}", tmp_path / "final")
    (tmp_path / "final" / "trainer_state.json").unlink()
    config_file = tmp_path / "final" / "adapter_config.json"  # no two subjects hold the same to the byte
    config_file.write_text(json.dumps({**json.loads(config_file.read_text()), "lora_alpha": 63}))
    words = ["--adapter", tmp_path / "out" / "checkpoint-*", "--adapter", tmp_path / "final"]
    words += [*sides(data), *CHEAP, "--out", tmp_path / "run"]
    assert audit(*words, "--max-auc", "0.6") == 1
    capsys.readouterr()
    run = byrote.load(tmp_path / "run")
    table, trials = run.tables.checkpoints, run.tables.trials.set_index("trial")
    assert list(table["steps"]) == [steps // 3, 2 * steps // 3, steps]
    assert list(table["label"]) == [f"checkpoint-{n}" for n in table["steps"]]
    assert set(table["series"]) == {"out"}
    assert table["verdict"].iloc[-1] == "exceeded"
    assert table["rules"].iloc[-1] == "max_auc: exceeded"
    assert table["control"].iloc[-1]
    assert not table["last_held"].any()
    for row in table.itertuples():
        assert math.exp(row.loss_nonmembers) == pytest.approx(trials.loc[row.trial, "perplexity_tuned"])
        assert row.auc_low < row.auc < row.auc_high or pd.isna(row.auc_low)
    assert table["loss_members"].is_monotonic_decreasing
    document = json.loads((tmp_path / "run" / "audit.json").read_text())
    assert [entry["steps"] for entry in document["checkpoints"]] == list(table["steps"])
    jsonschema.validate(document, json.loads(SCHEMA.read_text()))
    page = (tmp_path / "run" / "report.html").read_text()
    assert "At none of 3 checkpoints is every rule held." in page
    assert "1 subject stands in no order of steps: final (its files do not say" in page
    assert any(words.startswith("Leakage over training steps of final: ") for words in document["not_tested"])
    drawn = FIGURES["leakage_by_step"].function(run.tables, Options())
    assert [axes.get_ylabel() for axes in drawn.axes] == ["AUC (dashed: guessing)", "loss, nats a token"]


@pytest.mark.parametrize("kind", ["texts", "dicts", "frame", "dataset", "path"])
def test_from_python_with_rows_in_memory(
    kind: str, tuned: Path, data: Path, rows: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    from byrote.running import pipeline

    def of(split: str) -> Any:
        if kind == "texts":
            return [row["text"] for row in rows[split]]
        if kind == "frame":
            return pd.DataFrame(rows[split])
        if kind == "dataset":
            import datasets

            return datasets.Dataset.from_list(rows[split])
        return rows[split] if kind == "dicts" else data / FILES[split]

    settings = dict(zip((name[2:] for name in CHEAP[::2]), (1 if v == "1" else v for v in CHEAP[1::2]), strict=True))
    settings |= {f"extraction.prompts.{side}": 2 for side in (MEMBERS, NONMEMBERS)} | {"statistics.bootstrap": 100}
    sides = {split: of(split) for split in FILES}
    words = {"out": tmp_path / "run", "settings": settings, "group": None if kind == "texts" else "patient"}
    file = tmp_path / "run" / "given" / "members.jsonl"
    if kind in ("texts", "frame", "dataset"):  # what is read is what counts here
        monkeypatch.setattr(pipeline, "run", _stop)
        with pytest.raises(_ReachedError):
            byrote.audit(adapter=tuned / "adapter", **sides, **words)
        read_back = [json.loads(line) for line in file.read_text().splitlines()]
        assert read_back == ([{"text": row["text"]} for row in rows[MEMBERS]] if kind == "texts" else rows[MEMBERS])
        assert file.stat().st_mode & 0o777 == 0o600
        return
    found = byrote.audit(adapter=[tuned / "adapter"], **sides, **words, max_auc=0.6)
    assert (found.verdict, found.exit_status) == ("exceeded", 1)
    assert found.rules[0]["rule"].startswith("max_auc")
    assert found.tables.membership.set_index("attack").loc["ratio", "auc"] > 0.9
    assert file.exists() == (kind == "dicts")
    if kind == "dicts":
        before = file.read_bytes()
        with pytest.raises(byrote.StudyError, match="whose members were other rows; name another folder"):
            byrote.audit(adapter=tuned / "adapter", **{**sides, "members": rows[MEMBERS][1:]}, **words)
        assert file.read_bytes() == before


@pytest.mark.slow
def test_from_python_at_a_url_and_again_from_another_machine(tuned: Path, rows: dict[str, Any], tmp_path: Path):
    settings = dict(zip((name[2:] for name in CHEAP[::2]), (1 if v == "1" else v for v in CHEAP[1::2]), strict=True))
    settings |= {f"extraction.prompts.{side}": 2 for side in (MEMBERS, NONMEMBERS)} | {"statistics.bootstrap": 100}
    words = {"out": f"memory:/{tmp_path}/run", "settings": settings, "group": "patient", "max_auc": 0.6}
    sides = {split: rows[split] for split in FILES}
    found = list[Any]()
    for machine in ("first", "second"):
        with on_machine(machine, tmp_path):
            found.append(byrote.audit(adapter=tuned / "adapter", **sides, **words))
            assert (found[-1].verdict, found[-1].exit_status) == ("exceeded", 1)
            with pytest.raises(
                byrote.StudyError, match=f"^{words['out']} holds an audit whose members were other rows"
            ):
                byrote.audit(adapter=tuned / "adapter", **{**sides, "members": rows[MEMBERS][1:]}, **words)
    assert found[0].path != found[1].path
    assert [(audited.path / "given" / "members.jsonl").stat().st_mode & 0o777 for audited in found] == [0o600] * 2
    stage = Run(found[0].path).plan()["base"]["scores"]
    first, second = (Run(audited.path).manifest(stage) for audited in found)
    assert first == second, "measured once"


@pytest.mark.parametrize("rows", [3, {"text": "A rash."}, [3], [{"text": "A rash.", "at": object()}]])
def test_rows_that_are_none(rows: Any, tmp_path: Path):
    with pytest.raises(byrote.CorpusError, match=r"^members"):
        byrote.audit(adapter="gone", members=rows, nonmembers=["A rash."], out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


class _ReachedError(Exception):
    pass


def _stop(*_: Any, **__: Any) -> None:
    raise _ReachedError


@pytest.mark.slow
def test_the_audit_of_an_adapter_of_byrotes_own_gives_the_tables_of_its_run(
    tiny_study: dict[str, Any], corpus_folder: Path, tiny_folder: Path, tmp_path: Path
):
    changes = {"canaries": {"design": "none"}, "grid": {"matrices": [["q"]]}, "statistics": {"bootstrap": 100}}
    trained = byrote.run({**tiny_study, **changes}, tmp_path / "run")
    adapter = next((trained.path / "trials").glob("*/*/adapter"), None) or next(
        (trained.path / "trials").glob("*/adapter")
    )
    study = Run.open(trained.path).study()
    settings = {"extraction": study.extraction.model_dump(), "membership": study.membership.model_dump()}
    settings |= {"machine": study.machine.model_dump(), "statistics": study.statistics.model_dump()}
    audited = byrote.audit(
        adapter=adapter,
        base=tiny_folder,
        **{side: corpus_folder / f"{side}.jsonl" for side in FILES},
        id="id",
        group="group",
        out=tmp_path / "audit",
        settings={**settings, "model.precision": "fp32"},
    )
    before = byrote.load(trained.path).tables
    for name in ("membership", "operating_points", "extraction"):
        own, theirs = (
            getattr(tables, name).drop(columns=["trial", "seed", "label"], errors="ignore")
            for tables in (before, audited.tables)
        )
        assert len(own)
        assert theirs.equals(own), name
