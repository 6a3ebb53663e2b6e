"""What a run leaves and prints holds no token of the environment, and no home folder but in its settings."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from byrote.store import Run
from byrote.visible import without_home
from fake_contents import contents
from fakes import tiny_study as tiny_study_of

pytestmark = pytest.mark.slow

TOKENS = {name: f"Zyr{name}qavex" for name in ("HF_TOKEN", "WANDB_API_KEY", "AWS_SECRET_ACCESS_KEY", "OPENAI_API_KEY")}
USER = "zyrhomer"


@pytest.fixture
def home(tiny_folder: Path, corpus_folder: Path, tmp_path: Path) -> Path:
    """A home folder with a model, a corpus and a study in it."""
    place = tmp_path / USER
    shutil.copytree(tiny_folder, place / "model")
    shutil.copytree(corpus_folder, place / "corpus")
    study = tiny_study_of(place / "model", place / "corpus")
    (place / "study.yaml").write_text(yaml.safe_dump({**study, "grid": {"lora.rank": [2, 3]}}))
    return place


def byrote(home: Path, *words: str) -> subprocess.CompletedProcess[bytes]:
    environment = {**os.environ, **TOKENS, "HOME": str(home), "USER": USER, "LOGNAME": USER}
    command = [sys.executable, "-m", "byrote", *words]
    return subprocess.run(command, cwd=home, env=environment, capture_output=True, check=False)


def test_no_token_and_no_home_folder_is_in_what_a_run_leaves_and_prints(home: Path):
    ran = byrote(home, "run", "study.yaml", "--out", "run")
    assert ran.returncode == 0, ran.stderr.decode()
    trial = Run(home / "run").plan()["trials"][0]
    shutil.copytree(home / "run" / trial["finetune"] / "adapter", home / "models/tuned")
    sides = [f"--{side}={home}/corpus/{side}.jsonl" for side in ("members", "nonmembers")]
    audited = byrote(
        home, "audit", f"--adapter={home}/models/tuned", f"--base={home}/model", *sides, "--out", "audited"
    )
    assert audited.returncode == 0, audited.stderr.decode()
    (home / "run" / trial["scores"] / "scores.parquet").write_bytes(b"broken")
    written = [byrote(home, "report", name, "--format", "md,json") for name in ("run", "audited")]
    printed = [stream for done in (ran, audited, *written) for stream in (done.stdout, done.stderr)]
    outputs = [*contents(home / "run"), *contents(home / "audited"), *(("printed", words) for words in printed)]
    assert len(outputs) > 100
    assert [name for name, words in outputs for token in TOKENS.values() if token.encode() in words] == []
    naming = [name for name, words in outputs if USER.encode() in words]
    assert naming == ["study.yaml", "study.yaml"]
    assert b"~/corpus" in (home / "run/report.html").read_bytes()


def test_an_error_is_kept_without_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HOME", str(tmp_path / USER))
    run = Run(tmp_path / "run")
    run.fail("base/a", "base", FileNotFoundError(f"{tmp_path / USER}/model/config.json is gone"))
    (failure,) = (run.path / "failures").glob("*.json")
    assert USER not in failure.read_text()
    assert "FileNotFoundError: ~/model/config.json is gone" in failure.read_text()
    assert without_home(f"{tmp_path / USER}/a and {tmp_path / USER}er/b") == f"~/a and {tmp_path / USER}er/b"
