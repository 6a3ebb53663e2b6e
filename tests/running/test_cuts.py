"""Cuts that fit into so many hours: their order, and that a study planned anew with their options takes as long."""

import shlex
from typing import Any

import pytest

from byrote.running.cuts import Cut, cut_that_fits, limited, round_numbers
from byrote.running.forecast import Rates, forecast, study_seconds
from byrote.running.planning import Prepared, prepare
from byrote.study import load_study, parse_overrides

SPEED = Rates(5.0, 5.0)  # so slow that tokens decide how long it takes
MATRICES = [["q"], ["k"], ["v"]]


@pytest.fixture
def raw(tiny_study: dict) -> dict[str, Any]:
    """Three placements with eight seeds each, no canaries, nothing written."""
    grid = {"matrices": MATRICES}
    silent = {"prompts": {"members": 0, "nonmembers": 0}, "untargeted": {"completions": 0}}
    return {**tiny_study, "canaries": {"design": "none"}, "grid": grid, "seeds": 8, "extraction": silent}


def seconds(prepared: Prepared) -> float:
    return study_seconds(prepared, 1, SPEED)


def share(prepared: Prepared, of_all: float) -> float:
    """Hours in which this share of a study can be done."""
    return of_all * seconds(prepared) / 3600


def options(cut: Cut | None) -> dict[str, Any]:
    assert cut
    return parse_overrides(shlex.split(cut.options))


def test_seeds_go_first_then_points_then_records(raw: dict[str, Any]):
    prepared = prepare(load_study(raw))
    assert options(cut_that_fits(prepared, SPEED, share(prepared, 0.8))) == {"seeds": 6}
    fewer = {"seeds": 5, "grid.matrices": MATRICES[:2]}
    assert options(cut_that_fits(prepared, SPEED, share(prepared, 0.5))) == fewer
    cut = cut_that_fits(prepared, SPEED, share(prepared, 0.4))
    limit = options(cut)["corpus.limit"]
    assert options(cut) == {**fewer, "corpus.limit": limit}
    assert 10 <= limit < 12
    assert cut
    assert cut.trials == 10
    assert cut.power[0].members == limit
    anew = forecast(prepare(load_study(raw, options(cut))), lambda *_: SPEED)
    assert cut.seconds == pytest.approx(anew.seconds)
    assert cut.power == anew.power
    assert cut_that_fits(prepared, SPEED, share(prepared, 0.05)) is None


def test_the_seeds_of_one_configuration_may_be_fewer_than_five(raw: dict[str, Any]):
    prepared = prepare(load_study({**raw, "grid": {"seed": [3, 1, 2]}, "seeds": None}))
    assert options(cut_that_fits(prepared, SPEED, share(prepared, 0.5))) == {"grid.seed": [3]}


def test_a_configuration_that_a_hypothesis_names_stays(raw: dict[str, Any]):
    v_above_q = {"name": "v", "says": "v leaks more.", "of": [{"matrices": ["v"]}], "against": [{"matrices": ["q"]}]}
    prepared = prepare(load_study({**raw, "claims": {"hypotheses": [v_above_q]}, "seeds": 5}))
    assert list(options(cut_that_fits(prepared, SPEED, share(prepared, 0.95)))) == ["corpus.limit"]


def test_of_several_grids_the_last_is_cut(raw: dict[str, Any]):
    grids = [{"matrices": MATRICES}, {"rank": [1, 4, 8, 64]}]
    prepared = prepare(load_study({**raw, "grid": grids, "seeds": 5}))
    cut = cut_that_fits(prepared, SPEED, share(prepared, 0.9))
    assert options(cut) == {"grid": [{"lora.matrices": MATRICES}, {"lora.rank": [1, 8, 64]}]}
    assert cut
    assert cut.trials == len(prepare(load_study(raw, {**options(cut), "seeds": 5})).planned)


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [
        {"canaries": {"design": "many", "count": 2, "copies": [1, 4], "references": 1, "seed": 0}},
        {"canaries": {"design": "single", "copies": 3, "seed": 2}},
        {"controls": {"null_trial": "each"}},
        {"machine": {"device": "cpu", "threads": 1, "workers": 1, "stack": 3}},
    ],
)
def test_a_limited_study_takes_as_long_as_one_that_is_planned_anew(raw: dict[str, Any], changes: dict[str, Any]):
    raw = {**raw, "seeds": 2, "extraction": {}, **changes}
    some, anew = limited(prepare(load_study(raw)), 11), prepare(load_study(raw, {"corpus.limit": 11}))
    assert [r.record for r in some.records] == [r.record for r in anew.records]
    assert [p.training_ids for p in some.planned] == [p.training_ids for p in anew.planned]
    assert seconds(some) == pytest.approx(seconds(anew))


def test_round_numbers_have_two_digits_and_noughts():
    twin = [n for n in range(7, 2301) if len(str(n).rstrip("0")) <= 2]
    assert round_numbers(7, 2300) == twin
    assert round_numbers(10, 9) == []
