"""Text of records stays in the files that hold it: no other output of a run or an audit has a piece of it."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from byrote.cli import main
from byrote.store import Run
from fakes import save_tiny_model

pytestmark = pytest.mark.slow
HOLDING = ("records.parquet", "completions.parquet", "canaries.parquet")
FILES = {split: f"{split}.jsonl" for split in ("members", "nonmembers", "calibration")}
PLANTED = "Zyrqa{number}vex was given to the Quolthan patient, who grew Brindlemox afterwards; {split} {number}."
CHEAP = ("--machine.device", "cpu", "--machine.threads", "1", "--machine.workers", "1", "--model.precision", "fp32")
CHEAP += ("--statistics.bootstrap", "100", "--extraction.prompts.members", "6", "--extraction.prompts.nonmembers", "3")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files of records with words that stand nowhere else, a base model and another tuned from it."""
    folder = tmp_path_factory.mktemp("planted")
    save_tiny_model(folder / "base")
    save_tiny_model(folder / "tuned", seed=1)
    for split, count in (("members", 24), ("nonmembers", 12), ("calibration", 12)):
        rows = [
            {"id": f"{split}{i}", "who": f"{split}{i // 2}", "text": PLANTED.format(number=i, split=split)}
            for i in range(count)
        ]
        (folder / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def command(*words: object) -> int:
    with pytest.raises(SystemExit) as stop:
        main([str(word) for word in words])
    return int(stop.value.code or 0)


def words_of(path: Path) -> bytes:
    words = path.read_bytes()
    if path.suffix == ".parquet":
        words += json.dumps(pq.read_table(path).to_pylist(), default=str, ensure_ascii=False).encode()
    return words


def telling(run: Path) -> Iterator[str]:
    """Outputs that hold a planted word, but for the files that are for it."""
    for path in sorted(path for path in run.rglob("*") if path.is_file()):
        if path.name not in HOLDING and any(word in words_of(path) for word in (b"Zyrqa", b"Quolthan", b"Brindlemox")):
            yield path.relative_to(run).as_posix()


def study(place: Path) -> Path:
    path = place / "study.yaml"
    settings: dict[str, Any] = {
        "model": {"source": str(place / "base")},
        "corpus": {"source": "files", "path": str(place), "id": "id", "group": "who", **FILES},
        "canaries": {"design": "many", "count": 4, "copies": [4], "references": 3},
        "lora": {"matrices": ["q"], "rank": 2},
        "training": {"epochs": 1, "learning_rate": 1e-2, "effective_batch": 8},
        "extraction": {"untargeted": {"completions": 4}},
    }
    path.write_text(json.dumps(settings))
    return path


def test_no_output_of_a_run_holds_a_record(place: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    out = tmp_path / "run"
    assert command("run", study(place), *CHEAP, "--out", out) == 0
    run = Run(out)
    trial = run.plan()["trials"][0]
    run.fail(trial["finetune"], trial["trial"], ValueError("a failure of another kind"))
    assert command("report", out, "--format", "html,md,json") == 0
    assert command("status", out) == 0
    assert command("plan", study(place), *CHEAP) == 0
    said = "".join(capfd.readouterr())
    assert list(telling(out)) == []
    assert not any(word in said for word in ("Zyrqa", "Quolthan", "Brindlemox"))
    assert any(b"Zyrqa" in words_of(path) for path in out.rglob("records.parquet"))  # the test sees what it looks for

    formats = ("report.html", "report.md", "report.json")
    id_of_a_record = re.compile(r"\b(members|nonmembers|calibration)\d+\b")
    assert id_of_a_record.search((out / "report.html").read_text())
    for ids in ("none", "hashed"):
        assert command("report", out, "--report.ids", ids, "--format", "html,md,json") == 0
        assert not any(id_of_a_record.search((out / name).read_text()) for name in formats)
    key = json.loads((out / "report-ids.json").read_text())
    assert (out / "report-ids.json").stat().st_mode & 0o777 == 0o600
    exposed = pq.read_table(out / "tables" / "records.parquet")["record"][0].as_py()
    (digest,) = (digest for digest, name in key["ids"].items() if name == exposed)
    page = (out / "report.html").read_text()
    assert digest in page
    assert key["salt"] not in page
    assert command("report", out, "--report.ids", "hashed") == 0
    assert json.loads((out / "report-ids.json").read_text()) == key  # the salt stays, and so do the hashes


def test_no_output_of_an_audit_holds_a_record(place: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    out = tmp_path / "audit"
    words = ["audit", "--model", place / "tuned", "--base", place / "base", "--group", "who", "--id", "id"]
    words += [
        word for split in ("members", "nonmembers", "calibration") for word in (f"--{split}", place / f"{split}.jsonl")
    ]
    assert command(*words, *CHEAP, "--check") == 0
    assert command(*words, *CHEAP, "--max-auc", "0.99", "--max-verbatim", "0", "--out", out) in (0, 3)
    assert command("report", out, "--format", "html,md,json") == 0
    said = "".join(capfd.readouterr())
    assert list(telling(out)) == []
    assert not any(word in said for word in ("Zyrqa", "Quolthan", "Brindlemox"))
