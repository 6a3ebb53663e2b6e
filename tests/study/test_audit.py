"""Options of an audit → settings of a study."""

from pathlib import Path

import pytest

from byrote.errors import StudyError
from byrote.study.audit import AuditOptions, audit_settings, audit_study, expanded

GIVEN = {"adapters": ["a"], "members": "m.jsonl", "nonmembers": "n.jsonl"}


def test_options_become_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    options = AuditOptions(**GIVEN, base="b", group="patient", rates=["0.01=0.05", "0.2=0.5"], max_verbatim=0, name="x")
    assert audit_settings(options, study=False) == {
        "subjects": [{"adapter": "a"}],
        "model.source": "b",
        "corpus.source": "files",
        "corpus.members": str(tmp_path / "m.jsonl"),
        "corpus.nonmembers": str(tmp_path / "n.jsonl"),
        "corpus.calibration_half": 0,
        "corpus.group": "patient",
        "decide.max_tpr_at_fpr": {0.01: 0.05, 0.2: 0.5},
        "decide.max_verbatim": 0,
        "membership.false_positive_rates": [0.2, 0.1, 0.01],
        "extraction.prompts.members": "all",
        "name": "x",
    }


def test_what_is_told_wins_over_what_an_audit_takes_by_itself():
    options = AuditOptions(adapters=(), models=["m"], base="none", members="m.jsonl", nonmembers="n.jsonl")
    assert audit_study(options).membership.primary == "min_k_plus_plus"
    told = audit_study(options, None, ["--membership.primary", "loss", "--extraction.samples=3"])
    assert (told.membership.primary, told.extraction.samples) == ("loss", 3)
    assert audit_study(options).extraction.untargeted.completions == 0


def test_a_study_says_what_options_leave_out(tmp_path: Path):
    file = tmp_path / "mine.yaml"
    file.write_text(
        "subjects: [{adapter: a}]\ndecide: {max_auc: 0.7}\n"
        "corpus: {source: files, members: m.jsonl, nonmembers: n.jsonl}\n"
    )
    study = audit_study(AuditOptions(max_auc=0.6), str(file))
    assert (study.name, study.decide.max_auc, study.corpus.calibration_half) == ("mine", 0.6, None)
    assert [subject.adapter for subject in study.subjects] == ["a"]


def test_patterns_are_expanded_by_the_numbers_of_checkpoints(tmp_path: Path):
    for name in ("checkpoint-100", "checkpoint-20", "other"):
        (tmp_path / name).mkdir()
    found = expanded([f"{tmp_path}/checkpoint-*", "org/hub-id"], "--adapter")
    assert found == [f"{tmp_path}/checkpoint-20", f"{tmp_path}/checkpoint-100", "org/hub-id"]
    with pytest.raises(StudyError, match="nothing matches"):
        expanded([f"{tmp_path}/gone-*"], "--adapter")
