"""`byrote plan`: what it prints of time, money and the cut that fits."""

import json
import shlex
from pathlib import Path

import pytest
import yaml

from byrote.cli import main
from byrote.running.forecast import Rates


@pytest.fixture
def study_file(tiny_study: dict, tmp_path: Path) -> Path:
    """Two placements with six seeds each."""
    silent = {"prompts": {"members": 0, "nonmembers": 0}, "untargeted": {"completions": 0}}
    path = tmp_path / "tiny.yaml"
    path.write_text(yaml.safe_dump({**tiny_study, "canaries": {"design": "none"}, "seeds": 6, "extraction": silent}))
    return path


@pytest.fixture
def an_hour_a_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine as slow as that."""
    monkeypatch.setattr("byrote.running.forecast.measured_rates", lambda *_: Rates(3.0, 3.0))


def byrote(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as stop:
        main([str(word) for word in words])
    shown = capsys.readouterr()
    return int(stop.value.code or 0), " ".join(shown.out.split()), shown.err


@pytest.mark.usefixtures("an_hour_a_trial")
def test_the_cut_that_fits_is_named_and_fits(study_file: Path, capsys: pytest.CaptureFixture[str]):
    _, out, _ = byrote(capsys, "plan", study_file, "--no-measure", "--json")
    whole = json.loads(out)
    assert whole["timed"] is False
    assert whole["tokens"]["trained"] == sum(work["tokens"] for work in whole["work"])
    assert "hours" not in whole
    hours = 0.9 * whole["seconds"] / 3600
    _, out, _ = byrote(capsys, "plan", study_file, "--no-measure", "--hours", hours, "--price", "2.5", "--json")
    plan = json.loads(out)
    assert (plan["hours"], plan["fits"], plan["price"]) == (hours, False, 2.5)
    assert plan["money"] == pytest.approx(2.5 * whole["seconds"] / 3600)
    assert plan["cut"]["settings"] == {"seeds": 5}
    options = shlex.split(plan["cut"]["options"])
    _, out, _ = byrote(capsys, "plan", study_file, *options, "--no-measure", "--hours", hours, "--json")
    assert json.loads(out)["fits"] is True
    assert json.loads(out)["seconds"] == pytest.approx(plan["cut"]["seconds"])


@pytest.mark.usefixtures("an_hour_a_trial")
def test_hours_and_money_stand_in_the_lines(study_file: Path, capsys: pytest.CaptureFixture[str]):
    _, out, err = byrote(capsys, "plan", study_file, "--no-measure", "--price", "2.5", "--hours", "0.001")
    assert "at 2.5 an hour" in out
    assert "no cut fits into 0.001 hours" in out
    assert "times are an estimate" in out
    assert "looking for a cut" in err
    _, out, _ = byrote(capsys, "plan", study_file, "--no-measure", "--hours", "1000", "--seeds", "1")
    assert "this fits into 1000 hours" in out
    assert "tokens: " in out
    assert "money" not in out


def test_steps_are_timed_unless_told_otherwise(study_file: Path, capsys: pytest.CaptureFixture[str]):
    _, out, err = byrote(capsys, "plan", study_file, "--seeds", "1")
    assert "times follow from a few steps that were timed here" in out
    assert "timing a few steps on" in err


@pytest.mark.parametrize("words", [("--hours", "0"), ("--price", "-1"), ("--hours", "nan")])
def test_hours_and_prices_are_above_0(study_file: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, str]):
    status, _, err = byrote(capsys, "plan", study_file, *words)
    assert status == 2
    assert f"error: {words[0]} is {words[1]}; give a number above 0, or leave it out" in err
