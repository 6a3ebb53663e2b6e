"""Hypotheses of a study: which configurations they name, and what is wrong with them before anything is trained."""

import re
from typing import Any

import pytest

from byrote.errors import StudyError
from byrote.study import load_study
from byrote.study.checks import check_names
from byrote.study.hypotheses import named_hypotheses

GRID = [
    {"matrices": [["q"], ["v"], ["q", "k"]], "rank": [4], "lora.scaling": ["fixed", "rslora"]},
    {"matrices": [["v"]], "rank": [1, 2, 4]},
]
V_ABOVE_Q = {
    "name": "v-above-q",
    "says": "v leaks more than q",
    "of": [{"matrices": ["v"]}],
    "against": [{"matrices": ["q"]}],
}


def study(hypothesis: dict[str, Any], **more: Any) -> Any:
    raw = {"corpus": {"source": "adverse_events", "size": 30}, "grid": GRID, "seeds": 5, **more}
    return load_study({**raw, "claims": {"hypotheses": [hypothesis]}})


def mistakes(hypothesis: dict[str, Any], **more: Any) -> str:
    with pytest.raises(StudyError) as refused:
        check_names(study(hypothesis, **more))
    return str(refused.value)


def test_configurations_are_named_by_settings_and_the_study_gives_the_rest():
    stated = {**V_ABOVE_Q, "where": {"rank": 4}}
    (named,) = named_hypotheses(study(stated))
    assert (named.of, named.against) == (("v · rank 4 · scaling fixed",), ("q · rank 4 · scaling fixed",))
    assert len(check_names(study(stated))) == 40
    (other,) = named_hypotheses(study({**stated, "where": {"lora.rank": 4, "lora.scaling": "rslora"}}))
    assert other.of == ("v · rank 4 · scaling rslora",)
    pair = {**stated, "of": [{"matrices": ["k", "q"]}]}
    assert named_hypotheses(study(pair))[0].of == ("q,k · rank 4 · scaling fixed",)


def test_configurations_in_order_level_off():
    ranks = [{"rank": 1}, {"rank": 2}, {"rank": 4}]
    stated = {
        "name": "rank",
        "says": "Rank levels off",
        "rule": "levels_off",
        "of": ranks,
        "where": {"matrices": ["v"]},
    }
    (named,) = named_hypotheses(study(stated))
    assert named.of == ("v · rank 1", "v · rank 2", "v · rank 4 · scaling fixed")
    for broken in ({"of": ranks[:2]}, {"against": ranks[:1]}):
        with pytest.raises(StudyError, match="levels_off takes three configurations or more"):
            study({**stated, **broken})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"where": {"rank": 8}}, r"no trial of the grid has lora.rank: 8, lora.matrices: \['v'\]; add it to the grid"),
        ({"where": {"rank": 4, "seed": 1}}, "'seed' makes no configuration; name settings under lora, training"),
        ({"where": {"rank": 4, "lora.rnk": 1}}, "lora.rnk"),
        ({"where": {"rank": "much"}}, "lora.rank"),
        ({"where": {"rank": 4}, "against": [{"matrices": ["v"]}]}, "v · rank 4 · scaling fixed is named twice"),
        ({"where": {"rank": 4}, "attack": "los"}, "no attack 'los'.*did you mean 'loss'"),
    ],
)
def test_a_wrong_hypothesis_is_one_line_with_its_name(changes: dict[str, Any], message: str):
    said = mistakes({**V_ABOVE_Q, **changes})
    assert said.startswith("claims.hypotheses (v-above-q)")
    assert re.search(message, said), said
    assert "\n" not in said


def test_other_mistakes():
    unmeasured = {"membership": {"attacks": ["ratio"]}}
    assert "'loss' is not one of membership.attacks (ratio)" in mistakes(
        {**V_ABOVE_Q, "where": {"rank": 4}, "attack": "loss"}, **unmeasured
    )
    with pytest.raises(StudyError, match="above compares: name one configuration or more in `against`"):
        study({**V_ABOVE_Q, "against": []})
    with pytest.raises(StudyError, match="each hypothesis has a name of its own, got v-above-q, v-above-q"):
        load_study({"corpus": {"source": "adverse_events"}, "claims": {"hypotheses": [V_ABOVE_Q, V_ABOVE_Q]}})
