"""Names and combinations are judged by reading a study alone; a wrong name is answered with the nearest right one."""

import re
from pathlib import Path

import pytest

from byrote.errors import ModelError, StudyError
from byrote.study.checks import check_names, strata_planned
from fake_studies import invented

MANY = {"design": "many", "count": 12, "copies": [1, 1, 4], "references": 2}


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        ({"membership": {"attacks": ["all", "ratioo"]}}, ["membership.attacks: no attack 'ratioo'", "mean 'ratio'"]),
        ({"membership": {"primary": "mink"}}, ["membership.primary: no attack 'mink'", "did you mean 'min_k'"]),
        ({"membership": {"primary": "all"}}, ["membership.primary: no attack 'all'"]),
        ({"membership": {"primary": "zlib", "attacks": ["loss", "ratio"]}}, ["'zlib'", "(loss, ratio)", "add it"]),
        ({"extraction": {"untargeted": {"attacks": ["zlip"]}}}, ["extraction.untargeted.attacks", "mean 'zlib'"]),
        ({"audit": {"attack": "los"}}, ["audit.attack: no attack 'los'", "did you mean 'loss'"]),
        ({"decide": {"attack": "los", "max_auc": 0.6}}, ["decide.attack: no attack 'los'", "did you mean 'loss'"]),
        (
            {"membership": {"attacks": ["ratio"]}, "decide": {"attack": "zlib", "max_auc": 0.6}},
            ["decide.attack is 'zlib', not one of membership.attacks (ratio)", "add it there"],
        ),
        ({"decide": {"stratum": "canaries@4", "max_auc": 0.6}}, ["decide.stratum 'canaries@4'", "has records"]),
        ({"claims": {"stratum": "record"}}, ["claims.stratum 'record'", "canaries@COPIES", "mean 'records'"]),
        (
            {"claims": {"stratum": "canaries@4"}},
            ["not in this study", "prompts or canaries@COPIES", "has records"],
        ),
        (
            {"canaries": MANY, "claims": {"stratum": "canaries@2"}},
            ["not in this study", "has records, canaries@1, canaries@4"],
        ),
        ({"canaries": MANY, "audit": {"guesses": 10}}, ["audit.guesses is 10", "at most 8"]),
        ({"machine": {"device": "cuda:x"}}, ["machine.device must be auto, cpu, cuda or cuda:N, got 'cuda:x'"]),
        ({"machine": {"device": "cpuu"}}, ["did you mean 'cpu'"]),
        ({"membership": {"attacks": ["loss", "ratio", "loss"]}}, ["membership.attacks: 'loss' is listed 2 times"]),
        ({"membership": {"false_positive_rates": [0.1, 0.1]}}, ["membership.false_positive_rates: 0.1 is listed 2"]),
        ({"extraction": {"untargeted": {"attacks": ["loss", "loss"]}}}, ["extraction.untargeted.attacks: 'loss'"]),
        ({"extraction": {"temperatures": [0, 0.0]}}, ["extraction.temperatures: 0.0 is listed 2 times"]),
        ({"extraction": {"prefix": [0.5, 0.5]}}, ["extraction.prefix: 0.5"]),
        ({"extraction": {"thresholds": [1, 1]}}, ["extraction.thresholds: 1.0"]),
        ({"extraction": {"draws": [5, 5]}}, ["extraction.draws: 5"]),
        ({"extraction": {"chances": [0.5, 0.5]}}, ["extraction.chances: 0.5"]),
        ({"grid": {"seed": [1, 1]}}, ["grid.seed: 1 is listed twice"]),
    ],
)
def test_a_wrong_name_or_combination_is_one_line(raw: dict, words: list[str]):
    with pytest.raises(StudyError) as error:
        check_names(invented(raw))
    assert "\n" not in str(error.value)
    for word in words:
        assert word in str(error.value)


def test_all_mistakes_are_told_at_once():
    wrong = {"membership": {"primary": "mink"}, "audit": {"attack": "los"}, "grid": {"seed": [1, 1]}}
    with pytest.raises(StudyError) as error:
        check_names(invented(wrong))
    assert len(str(error.value).splitlines()) == 3


def test_strata_are_those_of_the_copies_that_are_dealt():
    few = {**MANY, "count": 2}
    assert strata_planned(check_names(invented({"canaries": MANY}))) == ["records", "canaries@1", "canaries@4"]
    assert strata_planned(check_names(invented({"canaries": few}))) == ["records", "canaries@1"]
    axis = invented({"canaries": MANY, "grid": {"copies": [1, [2, 8]]}, "claims": {"stratum": "canaries@8"}})
    assert strata_planned(check_names(axis)) == ["records", "canaries@1", "canaries@2", "canaries@8"]
    single = invented({"canaries": {"design": "single", "copies": 8}})
    assert strata_planned(check_names(single)) == ["records"]


@pytest.mark.parametrize("source", ["/nowhere", "./nowhere", "nowhere.gguf", "~/nowhere-at-all"])
def test_a_model_at_a_path_has_to_be_there(source: str):
    with pytest.raises(ModelError, match=f"no such .*{re.escape(source)}"):
        check_names(invented({"model": {"source": source}}))


def test_a_revision_is_for_hub_ids(tmp_path: Path):
    for source in (str(tmp_path), "smollm2-135m"):
        with pytest.raises(ModelError, match=r"model\.revision 'main' is for hub ids"):
            check_names(invented({"model": {"source": source, "revision": "main"}}))
    assert check_names(invented({"model": {"source": "owner/name", "revision": "main"}}))
