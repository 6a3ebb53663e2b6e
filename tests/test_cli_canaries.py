"""`byrote canaries make` as a person meets it: what it prints, and one line for what is wrong."""

import json
from pathlib import Path

import pytest
import yaml

from byrote.cli import main
from fakes import TEXTS


def byrote(*words: str | Path) -> int:
    with pytest.raises(SystemExit) as stop:
        main([str(w) for w in words])
    return int(stop.value.code or 0)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "train.csv"
    path.write_text("note,who\n" + "".join(f'"{text[:-1]}, {i}.",{i}\n' for i, text in enumerate(TEXTS * 2)))
    return path


def test_make_then_run(
    data: Path, tiny_folder: Path, tiny_study: dict, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "with.csv"
    command = ["canaries", "make", "--data", data, "--text", "note", "--model", tiny_folder, "--count", "12"]
    assert byrote(*command, "--copies", "1,2", "--references", "4", "--group", "who", "--seed", "7", "--out", out) == 0
    shown = capsys.readouterr()
    assert "with.csv: 20 rows of the data and" in shown.out
    assert "largest ε" in shown.out
    assert "with.manifest.json (readable by you alone" in shown.out
    assert "seed 7" in shown.out
    assert "write canaries" in shown.err
    kept = {"source": "files", "path": str(tmp_path), "text": "note", "members": "with.csv", "nonmembers": "out.csv"}
    (tmp_path / "out.csv").write_text(
        "note\n" + "".join(f'"{text[:-1]}, again {i}."\n' for i, text in enumerate(TEXTS))
    )
    study = tmp_path / "study.yaml"
    canaries = {"design": "manifest", "path": "with.manifest.json"}
    untold = {"prompts": {"members": 0, "nonmembers": 0, "canaries": 0}, "untargeted": {"completions": 0}}
    study.write_text(yaml.safe_dump({**tiny_study, "corpus": kept, "canaries": canaries, "extraction": untold}))
    assert byrote("plan", study, "--grid.matrices", "[[v]]", "--no-measure") == 0
    assert "canaries@2" in capsys.readouterr().out


def test_json_alone_is_on_standard_output(
    data: Path, tiny_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["canaries", "make", "--data", data, "--text", "note", "--model", tiny_folder, "--count", "8"]
    assert byrote(*command, "--references", "0", "--out", tmp_path / "with.csv", "--json", "--quiet") == 0
    shown = capsys.readouterr()
    told = json.loads(shown.out)
    assert shown.err == ""
    assert told["rows"] == 20 + told["canaries"][0]["planted"]
    assert told["canaries"][0]["planted"] + told["canaries"][0]["left_out"] == 8
    manifest = json.loads(Path(told["manifest"]).read_text())
    assert manifest["seed"] == told["seed"]  # drawn afresh, and kept


def test_a_seed_is_drawn_afresh_unless_told(
    data: Path, tiny_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    seeds = set()
    for name in ("a.csv", "b.csv"):
        command = ["canaries", "make", "--data", data, "--text", "note", "--model", tiny_folder, "--count", "6"]
        assert byrote(*command, "--references", "0", "--out", tmp_path / name, "--json", "--quiet") == 0
        seeds.add(json.loads(capsys.readouterr().out)["seed"])
    assert len(seeds) == 2


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--count", "2"], "--count 2 canaries of each number of copies can show no ε above 0"),
        (["--copies", "one"], "--copies must be whole numbers such as 1,4,16, got 'one'"),
        (["--copies", "0"], "--copies must be different numbers of at least 1"),
        (["--text", "nota"], "no column 'nota' (--text); it has note, who; did you mean 'note'?"),
        (["--messages", "note"], "a canary goes into --text, into --completion after --prompt, or into --messages"),
        (["--id", "number"], "no column 'number' (--id)"),
        (["--out", "with.jsonl"], "with.jsonl does not end in .csv"),
        (["--out", "nowhere/with.csv"], "there is no folder nowhere"),
        (["--out", "train.csv"], "train.csv already exists; name another file with --out"),
        (["--data", "other.csv"], "no file other.csv"),
        (["--model", "/no/model"], "no such folder: '/no/model'"),
        (["--references", "-1"], "--references must be at least 0, got -1"),
    ],
)
def test_bad_input_is_one_line(
    words: list[str],
    told: str,
    data: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    plain = {"--data": data.name, "--text": "note", "--out": "with.csv"} | dict([words])
    assert byrote("canaries", "make", *(word for pair in plain.items() for word in pair)) == 2
    error = capsys.readouterr().err
    assert told in error
    assert len(error.strip().splitlines()) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["train.csv"]
