"""A study and its corpus are judged together before torch is imported, a model is loaded or a canary is written."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from byrote.errors import ByroteError, CorpusError, StudyError
from byrote.running.checks import check_study
from byrote.running.planning import prepare
from byrote.study import Study, load_study


def few_records(study: Study) -> list[str]:
    """What is said of sides with few records, up to the comma."""
    return [f.message.split(",")[0] for f in check_study(study).corpus.findings if f.kind == "few_records"]


def test_the_warmup_is_settled_in_steps_and_equal_ones_are_one_trial(tiny_study: dict):
    def planned(steps: float) -> list[tuple[str, float]]:
        study = load_study(tiny_study, {"training.warmup_steps": steps, "grid.matrices": [["v"]]})
        return [(p.key, p.trial.training.warmup_steps) for p in prepare(study).planned]

    assert planned(0.3) == planned(2)
    assert planned(0.3)[0][1] == 2
    assert planned(0.3) != planned(1)


def test_a_share_and_the_number_that_it_comes_to_are_a_repeat(tiny_study: dict):
    study = load_study(tiny_study, {"grid.training.warmup_steps": [0.3, 1, 2]})
    with pytest.raises(StudyError, match=r"grid\.training\.warmup_steps: 0\.3 and 2 make the same trial"):
        check_study(study)


@pytest.mark.parametrize("split", ["members", "nonmembers"])
def test_one_record_on_a_side_is_an_error(tiny_study: dict, corpus_folder: Path, tmp_path: Path, split: str):
    lone = tmp_path / "lone.jsonl"
    lone.write_text((corpus_folder / f"{split}.jsonl").read_text().splitlines()[0] + "\n")
    study = load_study(tiny_study, {f"corpus.{split}": str(lone), "canaries": {"design": "none"}})
    with pytest.raises(CorpusError, match=rf"corpus\.{split} .*lone\.jsonl'\) has 1 record; a comparison takes"):
        check_study(study)


def test_fewer_than_ten_on_a_side_are_a_finding(tiny_study: dict):
    plain = {"canaries": {"design": "none"}}
    assert few_records(load_study(tiny_study, plain)) == []
    assert few_records(load_study(tiny_study, {**plain, "corpus.limit": 9})) == [
        "there are only 9 members",
        "there are only 9 non-members",
        "there are only 9 calibration records",
    ]
    assert few_records(load_study(tiny_study)) == ["there are only 9 members"]  # two of twelve are overwritten


def test_copies_that_no_canary_gets_are_a_finding(tiny_study: dict):
    study = load_study(tiny_study, {"canaries": {"design": "many", "count": 2, "copies": [1, 2, 4], "references": 1}})
    (unused,) = [f for f in check_study(study).corpus.findings if f.kind == "copies_unused"]
    assert unused.count == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"training.warmup_steps": 100},
        {"claims.stratum": "canaries@3"},
        {"canaries.count": 50, "canaries.texts": "reserve"},
        {"extraction.untargeted.tokens": 128},
        {"lora.matrices": ["qkv"], "grid": {"lora.matrices": [["up"], ["gate_up"]]}, "model.source": "/nowhere"},
    ],
)
def test_no_canary_is_written_before_the_study_holds(tiny_study: dict, changes: dict):
    written = {"design": "many", "count": 4, "copies": [1], "references": 2, "texts": "synthetic"}

    def refuse(recipe: object) -> None:
        raise AssertionError(f"canaries were written: {recipe}")

    with pytest.raises(ByroteError):
        prepare(load_study({**tiny_study, "canaries": written}, changes), make=refuse)  # type: ignore[arg-type]


def test_mistakes_are_told_without_torch(tiny_study: dict, tmp_path: Path):
    """In a process of its own, for here torch is imported already."""
    studies = [
        str(tmp_path / "nowhere.yaml"),
        {**tiny_study, "corpus": {**tiny_study["corpus"], "members": "nowhere.jsonl"}},
        {**tiny_study, "model": {"source": "/nowhere"}},
        {**tiny_study, "training": {"warmup_steps": 1000}},
    ]
    code = f"""
import json, sys, byrote
for study in json.loads({json.dumps(json.dumps(studies))}):
    try:
        byrote.run(study)
    except byrote.ByroteError as error:
        print(error)
assert "torch" not in sys.modules
"""
    printed = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    ).stdout.splitlines()
    words = ["no study", "nowhere.jsonl", "no such folder", "warmup_steps is 1000"]
    assert [word in line for word, line in zip(words, printed, strict=True)] == [True] * 4
