"""The right answers of `byrote audit` on SmolLM2-135M: an overfitted adapter, and one tuned on other documents."""

import json
from pathlib import Path
from typing import Any

import pytest

import byrote
from byrote.cli import main
from byrote.corpora.adverse_events import read
from byrote.records import CALIBRATION, MEMBERS, NONMEMBERS
from byrote.store import Run
from byrote.study import AdverseEventsCorpus

pytestmark = pytest.mark.real
TUNED_ON = 60


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files of synthetic records: those tuned on, as many members of other documents that nobody was tuned on, and two
    kept-out files."""
    folder = tmp_path_factory.mktemp("data")
    records = read(AdverseEventsCorpus(source="adverse_events", size=2 * TUNED_ON))
    of_members = [record for record in records if record.split == MEMBERS]
    documents = list(dict.fromkeys(record.group for record in of_members))
    half = set(documents[: len(documents) // 2])
    sides = {
        "train": [record for record in of_members if record.group in half],
        "never_seen": [record for record in of_members if record.group not in half],
        **{split: [record for record in records if record.split == split] for split in (NONMEMBERS, CALIBRATION)},
    }
    for name, of_side in sides.items():
        rows = [{"id": r.record, "patient": r.group, "text": r.text} for r in of_side]
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


@pytest.fixture(scope="module")
def adapter(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An adapter of twenty epochs on about sixty records."""
    study: dict[str, Any] = {
        "model": {"source": "smollm2-135m"},
        "corpus": {"source": "files", "path": str(data), "members": "train.jsonl", "nonmembers": "nonmembers.jsonl"},
        "lora": {"matrices": ["q", "v"], "rank": 8},
        "training": {"epochs": 20, "learning_rate": 1e-3, "effective_batch": 8},
        "extraction": {"prompts": {"members": 0, "nonmembers": 0}, "untargeted": {"completions": 0}},
    }
    study["corpus"] |= {"id": "id", "group": "patient"}
    outcome = byrote.run(study, tmp_path_factory.mktemp("tuned") / "run")
    (planned,) = Run.open(outcome.path).plan()["trials"]
    return next((outcome.path / planned["finetune"]).rglob("adapter_config.json")).parent


def audit(adapter: Path, data: Path, members: str, out: Path, *rules: str) -> int:
    words = ["audit", "--adapter", adapter, "--base", "smollm2-135m", "--members", data / members, "--out", out]
    words += ["--nonmembers", data / "nonmembers.jsonl", "--calibration", data / "calibration.jsonl", "--quiet"]
    words += ["--id", "id", "--group", "patient", "--extraction.prompts.members", 5, *rules]
    with pytest.raises(SystemExit) as stop:
        main([str(word) for word in words])
    return int(stop.value.code or 0)


def test_twenty_epochs_on_sixty_records_are_exceeded(adapter: Path, data: Path, tmp_path: Path):
    assert audit(adapter, data, "train.jsonl", tmp_path / "run", "--max-auc", "0.6", "--max-tpr-at-fpr", "0.1=0.3") == 1
    tables = byrote.load(tmp_path / "run").tables
    assert list(tables.rules["verdict"]) == ["exceeded", "exceeded"]
    assert list(tables.trials["condition"]) != ["collapsed"]  # it is overfitted: members' loss fell


def test_an_adapter_tuned_on_other_documents_is_not_exceeded(adapter: Path, data: Path, tmp_path: Path):
    status = audit(
        adapter, data, "never_seen.jsonl", tmp_path / "run", "--max-auc", "0.6", "--max-tpr-at-fpr", "0.1=0.3"
    )
    assert status in (0, 3)
    tables = byrote.load(tmp_path / "run").tables
    assert "exceeded" not in set(tables.rules["verdict"])
    assert (tables.membership["auc_low"].dropna() < 0.6).all()
