"""A run with rules, from the study to exit status and audit.json."""

import json
import shutil
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pytest

import byrote
from byrote import cli
from byrote.errors import StoreError
from byrote.render import render
from byrote.running import pipeline
from byrote.store import Run
from byrote.store.rules import looks_of, rules_history
from byrote.study import Study, dump_study, load_study
from byrote.verdict import audit_of, exit_status, status_of
from fakes import TEXTS, save_tiny_model
from fakes import tiny_study as tiny_study_of

SMALL = {
    "grid.matrices": [["v"]],
    "membership.attacks": ["ratio", "loss"],
    "statistics.bootstrap": 100,
    "extraction.temperatures": [1.0],
    "extraction.prompts.members": 3,
    "extraction.untargeted.completions": 0,
    "canaries": {"design": "none"},
}
DECIDE = {"decide.max_auc": 1.0, "decide.max_verbatim": 12, "decide.equivalent_within": 0.49}


@pytest.mark.parametrize(
    ("verdicts", "failed", "status"),
    [
        ([], False, 0),
        (["held", "held"], False, 0),
        (["held", "undecided"], False, 3),
        (["undecided", "exceeded", "held"], False, 1),
        (["exceeded"], True, 2),
        ([], True, 2),
    ],
)
def test_the_exit_status(verdicts: list[str], failed: bool, status: int) -> None:
    assert exit_status(verdicts, failed) == status


@pytest.fixture(scope="module")
def decided(tiny_folder: Path, corpus_folder: Path) -> Study:
    return load_study(tiny_study_of(tiny_folder, corpus_folder), {**SMALL, **DECIDE})


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, decided: Study) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        _one_figure(patch)
        out = tmp_path_factory.mktemp("decided") / "run"
        assert pipeline.run(decided, out).failures == ()
    return out


@pytest.fixture
def copy(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the finished run, to go on with."""
    _one_figure(monkeypatch)
    return Path(shutil.copytree(finished, tmp_path / "run"))


def _one_figure(patch: pytest.MonkeyPatch) -> None:
    from byrote import figures

    patch.setattr(figures, "FIGURES", {"roc": figures.FIGURES["roc"]})


def again(study: Study, run: Path, **changes: Any) -> dict[str, Any]:
    """Run the study with other settings, `__` for a dot, in the same folder; its audit.json."""
    overrides = {name.replace("__", "."): value for name, value in changes.items()}
    assert pipeline.run(load_study(dump_study(study), overrides), run).failures == ()
    return audit_of(Run.open(run))


def verdicts(audit: dict[str, Any]) -> dict[str, str]:
    return {rule["rule"]: rule["verdict"] for rule in audit["rules"]}


def test_a_run_states_its_verdict(finished: Path) -> None:
    audit = audit_of(Run.open(finished))
    assert verdicts(audit) == {
        "max_auc": "held",
        "equivalent_within": audit["rules"][1]["verdict"],
        "max_verbatim": "held",
    }
    assert audit["exit_status"] == status_of(Run.open(finished))
    assert (audit["look"], audit["error_of_this_look"]) == (1, pytest.approx(0.025))
    assert audit["provenance"]["corpus_sha256"]
    assert {control["attack"] for control in audit["controls"]} == {"ratio", "loss", "auditor"}
    table = byrote.load(finished).tables.rules
    assert list(table["verdict"]) == [rule["verdict"] for rule in audit["rules"]]
    page = (finished / "report.html").read_text()
    assert page.index("Verdict</h2>") < page.index("Summary</h2>")
    assert "each of 2 attacks reaches an AUC of at most 1 (before results)" in page


def test_the_rules_stood_in_the_run_before_any_score(finished: Path) -> None:
    (entry,) = rules_history(Run.open(finished))
    created = [json.loads(p.read_text())["created"] for p in finished.rglob("manifest.json")]
    assert entry["set"] <= min(created)
    assert not entry["after_results"]


def test_audit_json_holds_no_text_and_no_record(finished: Path) -> None:
    text = (finished / "audit.json").read_text()
    assert not any(words[:20] in text for words in TEXTS)
    assert not any(f'"{r.record}"' in text for r in Run.open(finished).records())
    assert not any(word in text for word in ("anonymous", "compliant", "safe"))


def test_the_same_results_again_are_no_new_look(copy: Path) -> None:
    run = Run.open(copy)
    before = (copy / "audit.json").read_bytes()
    byrote.load(copy).tables  # noqa: B018
    render(run)
    assert len(looks_of(run)) == 1
    assert (copy / "audit.json").read_bytes() == before


@pytest.mark.slow
def test_new_results_are_a_new_look_and_spend_half_of_the_error(copy: Path, decided: Study) -> None:
    audit = again(decided, copy, extraction__prompts__members="all")
    assert (audit["look"], audit["error_of_this_look"]) == (2, pytest.approx(0.0125))
    assert {rule["set"] for rule in audit["rules"]} == {"before results"}, "a larger sample is no other rule"
    assert "of all 12 members" in audit["rules"][2]["reason"]
    assert verdicts(again(decided, copy, extraction__prompts__members="all"))["max_verbatim"] == "held"
    assert len(looks_of(Run.open(copy))) == 2


def test_a_rule_changed_after_results_cannot_end_in_status_0(copy: Path, decided: Study) -> None:
    alone = {"decide__equivalent_within": None, "decide__max_verbatim": None}
    audit = again(decided, copy, decide__max_auc=0.99, **alone)
    rows = {(rule["rule"], rule["limit"]): rule for rule in audit["rules"]}
    assert rows["max_auc", 0.99]["set"] == "after results"
    assert rows["max_auc", 0.99]["verdict"] == "undecided"
    assert {rule["rule"] for rule in audit["rules"] if rule["subject"] is None} == set(verdicts(audit))
    assert audit["exit_status"] == 3
    assert [entry["after_results"] for entry in audit["rules_set"]] == [False, True]


def test_a_stage_that_failed_is_status_2(copy: Path) -> None:
    run = Run.open(copy)
    (stage,) = [row["scores"] for row in run.plan()["trials"]]
    (copy / stage / "scores.parquet").write_bytes(b"broken")
    render(run)
    assert audit_of(run)["exit_status"] == 2
    assert audit_of(run)["verdict"] == "failed"
    assert verdicts(audit_of(run))["max_auc"] == "undecided"


def test_without_rules_nothing_is_decided(tmp_path: Path, decided: Study, one_figure: None) -> None:  # noqa: ARG001
    nothing = dict.fromkeys((name.replace(".", "__") for name in DECIDE), None)
    audit = again(decided, tmp_path / "run", **nothing)
    assert (audit["verdict"], audit["exit_status"], audit["rules"], audit["look"]) == ("nothing asked", 0, [], None)
    assert not (tmp_path / "run" / "rules.json").exists()
    assert not (tmp_path / "run" / "looks.json").exists()
    assert "nothing was asked" in (tmp_path / "run" / "report.html").read_text()
    assert_fits(audit)


def test_the_command_line_ends_with_the_verdicts(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words in ([], ["--json"]):
        with pytest.raises(SystemExit):
            cli.main(["report", str(copy), "--quiet", *words])
    shown = capsys.readouterr().out
    assert "held: v · rank 2 · seed 13: each of 2 attacks reaches an AUC of at most 1: " in shown
    audit = json.loads(shown[shown.index('{\n "run"') :])
    assert audit["verdict"] == audit_of(Run.open(copy))["verdict"]
    assert [rule["rule"] for rule in audit["rules"]] == ["max_auc", "equivalent_within", "max_verbatim"]


def test_a_given_model_without_a_base_is_decided_by_the_attacks_that_need_none(
    tmp_path: Path,
    tiny_study: dict[str, Any],
    one_figure: None,  # noqa: ARG001
) -> None:
    subject = {"model": str(save_tiny_model(tmp_path / "given", seed=1)), "name": "given"}
    raw = {name: part for name, part in tiny_study.items() if name not in ("grid", "training", "canaries")}
    raw |= {"subjects": [subject], "model": {"source": "none", "precision": "fp32"}}
    alone = {"membership.attacks": ["all"], "membership.primary": "loss", "extraction.untargeted.completions": 0}
    decide = {"decide.max_auc": 1.0, "decide.max_verbatim": 0, "extraction.prompts.members": "all"}
    assert (
        pipeline.run(load_study(raw, {**alone, **decide, "statistics.bootstrap": 100}), tmp_path / "run").failures == ()
    )
    audit = audit_of(Run.open(tmp_path / "run"))
    assert_fits(audit)
    assert verdicts(audit) == {"max_auc": "held", "max_verbatim": "held"}
    by_rule = {rule["rule"]: rule for rule in audit["rules"]}
    assert by_rule["max_auc"]["words"].startswith("each of 5 attacks")
    assert "missing for 5 attacks: there is no base model" in by_rule["max_auc"]["control"]
    assert "there is no base model" in by_rule["max_verbatim"]["reason"]


def test_a_run_without_audit_json_says_how_to_get_one(copy: Path) -> None:
    (copy / "audit.json").unlink()
    with pytest.raises(StoreError, match="writes it"):
        status_of(Run.open(copy))


def test_an_error_that_nobody_foresaw_is_status_2_and_never_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], finished: Path
) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError("nobody foresaw this")

    monkeypatch.setattr("byrote.render.render", broken)
    with pytest.raises(SystemExit) as stop:
        cli.main(["report", str(finished)])
    assert stop.value.code == 2
    assert "RuntimeError: nobody foresaw this" in capsys.readouterr().err


# --- the published schema -----------------------------------------------------------------------------------------

SCHEMA = json.loads(files("byrote").joinpath("schemas/audit.schema.json").read_text("utf-8"))
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)


def misfits(audit: Any) -> list[str]:
    """Where a document is not what the schema says, and why."""
    return [f"{error.json_path}: {error.validator}" for error in VALIDATOR.iter_errors(audit)]


def assert_fits(audit: dict[str, Any]) -> None:
    assert misfits(audit) == []


def test_audit_json_fits_its_schema_and_a_wrong_one_does_not(finished: Path) -> None:
    audit = audit_of(Run.open(finished))
    assert_fits(audit)
    assert set(SCHEMA["required"]) == set(SCHEMA["properties"]) == set(audit)
    assert misfits({**audit, "text": "of a record"}) == ["$: additionalProperties"]
    assert misfits({**audit, "exit_status": 4}) == ["$.exit_status: enum"]
    rules = [{**audit["rules"][0], "verdict": "safe"}, *audit["rules"][1:]]
    assert misfits({**audit, "rules": rules}) == ["$.rules[0].verdict: enum"]
    assert misfits({name: audit[name] for name in audit if name != "looks"}) == ["$: required"]
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


# --- the report in other formats ----------------------------------------------------------------------------------

REPORT_SCHEMA = json.loads(files("byrote").joinpath("schemas/report.schema.json").read_text("utf-8"))


def test_a_run_writes_what_is_asked_for_and_no_text(copy: Path) -> None:
    run = Run.open(copy)
    with pytest.raises(SystemExit) as stop:
        cli.main(["report", str(copy), "--format", "md, json", "--quiet"])
    assert not stop.value.code
    document = json.loads((copy / "report.json").read_text())
    jsonschema.validate(document, REPORT_SCHEMA)
    assert document["audit"] == json.loads((copy / "audit.json").read_text())
    assert len(document["cards"]) > 1
    text = (copy / "report.md").read_text() + json.dumps(document)
    assert not any(record.text[:20] in text or record.record in text for record in run.records())
    assert not (copy / "report.pdf").exists()


def test_a_format_that_there_is_not_is_one_line(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.main(["report", str(copy), "--format", "docx"])
    assert stop.value.code == 2
    assert "--format docx: no such format; there are html, pdf, md, json" in capsys.readouterr().err


def test_a_page_with_text_is_the_owners_alone_on_paper_too(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("byrote.render.find_browser", lambda: "chromium")
    monkeypatch.setattr("byrote.render.print_pdf", lambda page, to: to.write_bytes(page.read_bytes()))
    render(Run.open(copy), {"report.include_text": True}, ["pdf"])
    assert (copy / "report.pdf").stat().st_mode & 0o777 == 0o600
