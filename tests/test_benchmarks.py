"""The benchmark's arithmetic on made-up rates: composition, MFU, bounds and JSON. Nothing is measured here."""

import importlib.util
import json
import math
import runpy
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import ttest_1samp

from fake_tables import fake_tables

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
WEIGHTS = 1000


def load(name: str) -> Any:
    """A file of benchmarks/, which is no package."""
    spec = importlib.util.spec_from_file_location(f"benchmarks_{name}", BENCHMARKS / f"{name}.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


common, workers = load("common"), load("workers")
rate = st.floats(0.1, 1e5)
three_rates = st.fixed_dictionaries(dict.fromkeys(common.STAGES, rate))


def a_round(reference: float = 1.0, tuned: float = 2.0, byrote: float = 10.0, side: float | None = 12.0) -> dict:
    """All stages at the same rates; products of 1e5 FLOP/s in bf16 and 5e4 in fp32."""
    rates: dict = {
        stage: {"reference": reference, "tuned": tuned, "byrote": byrote}
        for stage in ("fine-tuning", "scoring", "generation")
    }
    if side is not None:
        rates["side by side"] = {"byrote": side}
    return {"rates": rates, "peaks": {"bf16": {"1 thread": 6e4, "2 threads": 1e5}, "fp32": {"2 threads": 5e4}}}


def figures(rounds: list[dict]) -> dict:
    return common.figures(rounds, common.Workload(300, 200, 100), WEIGHTS)


def test_whole_trial_by_hand() -> None:
    # 600/60 + 200/100 + 90/30 = 10 + 2 + 3
    workload = common.Workload(trained=600, scored=200, written=90)
    assert workload.seconds({"fine-tuning": 60.0, "scoring": 100.0, "generation": 30.0}) == pytest.approx(15.0)


def test_workload_in_tokens_by_hand() -> None:
    # Records of 4 and 7 tokens: 5.5 a record; second halves of 2 and 4: 3 a completion.
    counts = common.Counts(members=10, epochs=2, scored=6, prompts=5, temperatures=3)
    assert common.workload_of(counts, [[0] * 4, [0] * 7]) == common.Workload(trained=110, scored=33, written=45)


def test_the_stated_workload_is_that_of_phee() -> None:
    assert common.Counts() == common.Counts(members=2898, epochs=3, scored=3866, prompts=300, temperatures=3)


@given(ours=three_rates, theirs=three_rates)
def test_whole_trial_ratio_lies_between_the_stages_and_follows_them(ours: dict, theirs: dict) -> None:
    rates = {s: {"reference": theirs[s], "tuned": theirs[s], "byrote": ours[s]} for s in common.STAGES}
    measured = figures([{"rates": rates, "peaks": a_round()["peaks"]}])
    ratio = measured["whole trial"]["byrote/reference"].median
    stages = [ours[s] / theirs[s] for s in common.STAGES]
    assert min(stages) * (1 - 1e-9) <= ratio <= max(stages) * (1 + 1e-9)
    # The twin: seconds of each stage, one after the other.
    took = {"ours": 0.0, "theirs": 0.0}
    for stage, tokens in (("fine-tuning", 300), ("scoring", 200), ("generation", 100)):
        took["ours"] += tokens / ours[stage]
        took["theirs"] += tokens / theirs[stage]
    assert ratio == pytest.approx(took["theirs"] / took["ours"])


def test_figures_by_hand() -> None:
    measured = figures([a_round()])
    tuning, side = measured["fine-tuning"], measured["side by side"]
    assert (tuning["byrote/reference"].median, tuning["byrote/tuned"].median) == (10.0, 5.0)
    # 4 · 1000 weights · 10 tokens/s of 1e5 FLOP/s; the best product counts, not the first.
    assert tuning["MFU byrote"].median == pytest.approx(0.4)
    assert measured["scoring"]["MFU byrote"].median == pytest.approx(0.2)
    assert measured["generation"]["MFU byrote"].median == pytest.approx(0.2)
    # Against the best product of any format, its own or not: 4 · 1000 · 1 of 1e5.
    assert tuning["MFU reference"].median == pytest.approx(0.04)
    # At the best product 25 tokens a second could be trained, 25 times the reference's one.
    assert tuning["limit byrote/reference"].median == pytest.approx(25.0)
    # 300 tokens trained at 25 a second, 200 scored and 100 written at 50: 18 s; the reference takes 600 s.
    assert measured["whole trial"]["limit byrote/reference"].median == pytest.approx(600 / 18)
    # Side by side stands against the one fine-tuning of the others.
    assert (side["byrote/reference"].median, side["byrote/one process"].median) == (12.0, pytest.approx(1.2))
    assert side["MFU byrote"].median == pytest.approx(0.48)


def test_without_a_matrix_unit_the_vector_mfu_is_the_mfu() -> None:
    for stage, figure in figures([a_round()]).items():
        if stage != "whole trial":
            assert figure["vector MFU byrote"].median == pytest.approx(figure["MFU byrote"].median)


def test_a_matrix_unit_is_counted_at_the_vector_units_rate() -> None:
    # Products eight times as fast as fp32's 5e4: 0.01 of 0.1 s a trained token; vectors would take 0.04 of 0.13 s.
    fast = a_round() | {"peaks": {"bf16": {"2 threads": 4e5}, "fp32": {"2 threads": 5e4}}}
    tuning = figures([fast])["fine-tuning"]
    assert tuning["MFU byrote"].median == pytest.approx(0.1)
    assert tuning["vector MFU byrote"].median == pytest.approx(0.04 / 0.13)
    # Nothing outside products: both are 1.
    perfect = a_round(byrote=100.0) | {"peaks": fast["peaks"]}
    assert figures([perfect])["fine-tuning"]["vector MFU byrote"].median == pytest.approx(1.0)


def test_the_gain_of_bf16() -> None:
    in_fp32_alone = a_round() | {"peaks": {"fp32": {"1 thread": 3e4, "2 threads": 5e4}}}
    assert common.gain([a_round(), a_round()]) == pytest.approx(2.0)
    assert common.gain([in_fp32_alone]) == 1.0
    assert figures([in_fp32_alone])["fine-tuning"]["MFU byrote"].median == pytest.approx(0.8)


def test_ratios_are_taken_within_their_round() -> None:
    # The machine is twice as slow in the second round: the ratio of each round is 10, whatever the medians of rates.
    measured = figures([a_round(), a_round(reference=0.5, byrote=5.0), a_round(reference=2.0, byrote=30.0)])
    ratio = measured["fine-tuning"]["byrote/reference"]
    assert (ratio.median, ratio.low, ratio.high) == (10.0, 10.0, 15.0)
    rates = common.medians([a_round(byrote=b) for b in (3.0, 1.0, 2.0)])["scoring"]["byrote"]
    assert (rates.median, rates.low, rates.high) == (2.0, 1.0, 3.0)


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=5), st.randoms())
def test_spread_ignores_order(values: list[float], random: Any) -> None:
    shuffled = random.sample(values, len(values))
    spread = common.spread(shuffled)
    ordered = sorted(values)
    middle = (ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2
    assert (spread.median, spread.low, spread.high) == (pytest.approx(middle), ordered[0], ordered[-1])


def test_one_missing_round_is_not_hidden() -> None:
    assert math.isnan(common.spread([1.0, math.nan, 3.0]).median)


def exact() -> dict:
    """Every bounded figure exactly on its bound."""
    measured: dict = {}
    for b in (*common.BOUNDS, *common.REFERENCE_BOUNDS):
        measured.setdefault(b.stage, {})[b.figure] = common.Spread(b.least, b.least, b.least)
    return measured


def test_bounds_as_stated() -> None:
    def rows(bounds: Any) -> list[tuple]:
        return [(b.stage, b.figure, b.least) for b in bounds]

    assert rows(common.BOUNDS) == [
        ("fine-tuning", "vector MFU byrote", 0.55),
        ("fine-tuning", "byrote/tuned", 1.25),
        ("side by side", "vector MFU byrote", 0.58),
        ("scoring", "vector MFU byrote", 0.58),
        ("scoring", "byrote/tuned", 1.2),
        ("generation", "byrote/tuned", 2.4),
    ]
    assert rows(common.REFERENCE_BOUNDS) == [
        ("fine-tuning", "byrote/reference", 4.5),
        ("side by side", "byrote/reference", 5.5),
        ("scoring", "byrote/reference", 4.5),
        ("generation", "byrote/reference", 12.0),
        ("whole trial", "byrote/reference", 4.5),
    ]
    assert rows(common.AIMS) == [
        ("fine-tuning", "vector MFU byrote", 0.7),
        ("scoring", "vector MFU byrote", 0.75),
    ]


ALL = (*common.BOUNDS, *common.REFERENCE_BOUNDS)


def test_every_bound_and_aim_names_a_figure_that_is_computed() -> None:
    measured = figures([a_round()])
    assert all(b.figure in measured[b.stage] for b in (*ALL, *common.AIMS))


def test_a_figure_on_its_bound_passes_and_one_below_fails_alone() -> None:
    assert all(v.passed for v in common.judge(exact(), 1.0, {}, 2.0))
    for bound in ALL:
        measured = exact()
        measured[bound.stage][bound.figure] = common.Spread(bound.least * 0.99, 0.0, 1e9)
        failed = [(v.stage, v.figure) for v in common.judge(measured, 1.0, {}, 2.0) if not v.passed]
        assert failed == [(bound.stage, bound.figure)]
        assert all(v.passed for v in common.judge(measured, 0.6, {}, 2.0))


def test_ratios_to_the_reference_are_judged_where_bf16_gains() -> None:
    measured = exact()
    for bound in common.REFERENCE_BOUNDS:
        measured[bound.stage][bound.figure] = common.Spread(1.0, 1.0, 1.0)
    low, high = (common.judge(measured, 1.0, {}, gain) for gain in (1.49, 1.5))
    assert [v.passed for v in low] == [True] * 6 + [None] * 5
    assert [v.passed for v in high] == [True] * 6 + [False] * 5
    assert "bf16 is 1.49 times as fast as fp32; judged from 1.5 on" in common.verdict_lines(low)[-1]


def test_a_ratio_to_the_reference_stands_beside_its_limit() -> None:
    measured = figures([a_round()])
    lines = common.verdict_lines(common.judge(measured, 1.0, {}, 2.0))
    assert "ok         fine-tuning, byrote/reference: 10.00, at least 4.50, limit 25.0" in lines
    assert "aim        fine-tuning, vector MFU byrote: 0.40 of 0.70, not reached" in common.aim_lines(measured)


@pytest.mark.parametrize("gone", ["absent", "nan"])
def test_what_was_not_measured_fails_unless_excused(gone: str) -> None:
    measured = exact()
    if gone == "absent":
        del measured["side by side"]
    else:
        measured["side by side"] = dict.fromkeys(measured["side by side"], common.spread([math.nan]))
    sides = [v for v in common.judge(measured, 1.0, {}, 2.0) if v.stage == "side by side"]
    assert [v.passed for v in sides] == [False, False]
    excused = common.judge(measured, 1.0, {"side by side": "it needs two threads"}, 2.0)
    assert [v.passed for v in excused if v.stage == "side by side"] == [None, None]
    assert all(v.passed for v in excused if v.stage != "side by side")
    assert "not judged" in "".join(common.verdict_lines(excused))
    assert "it needs two threads" in "".join(common.verdict_lines(excused))
    assert {v.passed for v in common.judge(measured, 1.0, {"all": "a GPU"}, 2.0)} == {None}


def test_lines_name_the_failed_bound() -> None:
    measured = exact()
    measured["scoring"]["vector MFU byrote"] = common.Spread(0.5, 0.5, 0.5)
    failed = [line for line in common.verdict_lines(common.judge(measured, 1.0, {}, 2.0)) if line.startswith("FAILED")]
    assert failed == ["FAILED     scoring, vector MFU byrote: 0.50, at least 0.58"]


def test_the_table_has_a_line_for_every_stage() -> None:
    rounds = [a_round(), a_round(byrote=12.0)]
    lines = common.table(figures(rounds), common.medians(rounds))
    assert [line[:13].strip() for line in lines[1:]] == [
        "fine-tuning",
        "scoring",
        "generation",
        "side by side",
        "whole trial",
    ]
    assert "11.0 (10.0–12.0)" in lines[1]
    # 600 tokens at 1 and at 2 a second.
    assert "600 s" in lines[5]
    assert "300 s" in lines[5]


def test_json_is_strict_and_comes_back() -> None:
    record = {
        "bounds": common.judge(exact() | {"whole trial": {}}, 1.0, {}, 2.0),
        "figures": {"scoring": {"MFU byrote": common.spread([math.nan])}},
        "rounds": (a_round(),),
        "infinite": math.inf,
    }
    record_read = json.loads(json.dumps(common.as_json(record), allow_nan=False))
    assert record_read["rounds"] == [a_round()]
    assert record_read["figures"]["scoring"]["MFU byrote"] == {"median": None, "low": None, "high": None}
    assert record_read["infinite"] is None
    assert record_read["bounds"][0] == {
        "stage": "fine-tuning",
        "figure": "vector MFU byrote",
        "least": 0.55,
        "median": 0.55,
        "passed": True,
        "reason": "",
        "limit": None,
    }
    assert record_read["bounds"][-1]["median"] is None
    assert record_read["bounds"][-1]["passed"] is False


@pytest.mark.parametrize("name", ["speed", "exactness"])
def test_a_benchmark_without_its_corpus_names_the_way_out(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BYROTE_PHEE", str(tmp_path))
    monkeypatch.setattr(sys, "argv", [name])
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    with pytest.raises(SystemExit, match=r"error: no PHEE file .*train\.json .*set corpus\.path or BYROTE_PHEE to a"):
        runpy.run_path(str(BENCHMARKS / f"{name}.py"), run_name="__main__")


def test_peak_memory_counts_bytes() -> None:
    block = b"x" * 2**26
    assert workers.peak_memory() >= len(block)
    assert workers.peak_memory() < 2**40


@pytest.mark.slow
def test_a_killed_audit_loses_nothing():
    assert load("kills").killed(3, seed=5) == []


def test_placements_are_compared_seed_by_seed() -> None:
    tables = fake_tables(("q", "v"), (1,), seeds=(1, 2, 3), canaries=0)
    areas = tables.membership[(tables.membership["stratum"] == "records")]
    areas = pd.concat([areas, areas[areas["attack"] == "difference"].assign(attack="ez")])
    printed = load("placements").differences(areas).splitlines()
    of = {
        name: [
            areas[(areas["attack"] == "ratio") & (areas["matrices"] == name) & (areas["seed"] == seed)]["auc"].item()
            for seed in (1, 2, 3)
        ]
        for name in ("q", "v")
    }
    apart = [v - q for q, v in zip(of["q"], of["v"], strict=True)]
    expected = ttest_1samp(apart, 0).confidence_interval(0.95)
    above = f"above 0 in {sum(a > 0 for a in apart)} of 3"
    cell = f"{sum(apart) / 3:+.3f} [{expected.low:+.3f}, {expected.high:+.3f}], {above}"
    assert printed[2].startswith(f"| v − q | {cell} |")
