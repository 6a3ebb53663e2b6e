"""Attacks: naive twins, cases worked by hand, and a contract that every entry of the table keeps."""

import math
import re
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import byrote.attacks
from byrote.attacks import ATTACKS, Evidence, Need, find_attacks
from byrote.attacks.wbc import WIDTHS
from byrote.errors import StudyError
from byrote.records import TokenScores
from byrote.statistics.roc import auc, rate_at, threshold_at_most

PAGE, OWN = (
    (Path(__file__).parents[2] / "docs" / f"{name}.md").read_text("utf-8") for name in ("attacks", "own-attack")
)


@dataclass(frozen=True)
class Case:
    """One record: log-probabilities under both models; argmax, mean and std under the tuned one."""

    tuned: list[float]
    base: list[float]
    wrong: list[bool] = field(default_factory=list)
    mean: list[float] = field(default_factory=list)
    std: list[float] = field(default_factory=list)
    text: str = "a text"
    base_first: list[bool] = field(default_factory=list)  # the base model's argmax; the tuned one's opposite unless set

    def top1(self, model: str) -> list[bool]:
        if model == "base":
            return self.base_first or self.column("wrong")
        return [not wrong for wrong in self.column("wrong")]

    @property
    def shadow(self) -> list[float]:
        return [x - 0.5 - i % 3 for i, x in enumerate(self.base)]

    def column(self, name: str) -> list[float]:
        filler = {"wrong": True, "mean": -1.0, "std": 1.0}[name]
        return getattr(self, name) or [filler] * len(self.tuned)


def scores(cases: list[Case], model: str) -> TokenScores:
    """Scores under one model; the base model's argmax, mean and std are others, so that taking them shows."""

    def flat(rows: list[list[float]], kind: type) -> np.ndarray:
        return np.array([x for row in rows for x in row], dtype=kind)

    base = model == "base"
    return TokenScores(
        tuple(f"r{i}" for i in range(len(cases))),
        np.cumsum([0, *(len(c.tuned) for c in cases)]).astype(np.int64),
        flat([getattr(c, model) for c in cases], np.float32),
        flat([c.top1(model) for c in cases], np.bool_),
        flat([c.column("mean") for c in cases], np.float32) - 0.5 * base,
        flat([c.column("std") for c in cases], np.float32) + 0.5 * base,
    )


def evidence(cases: list[Case], population: list[Case] | None = None) -> Evidence:
    others = (scores(population, "tuned"), scores(population, "base")) if population else None
    texts = tuple(c.text for c in cases)
    of_shadow = scores(population, "shadow") if population else None
    return Evidence(scores(cases, "tuned"), scores(cases, "base"), texts, others, scores(cases, "shadow"), of_shadow)


def attack(name: str, *cases: Case, population: list[Case] | None = None) -> list[float]:
    return ATTACKS[name].score(evidence(list(cases), population)).tolist()


# Figures that no record drawn below can tie with.
POPULATION = [
    Case([-1.2345671, -0.7654321], [-1.5432117, -0.9123457]),
    Case([-0.3141593], [-0.2718282]),
    Case([], []),
    Case([-2.7182818, -1.4142136, -0.5772157], [-3.1415927, -1.7320508, -1.6180340]),
    Case([-3.3333333], [-1.1111111]),
]
CASES = [
    Case([-0.5, -1, -0.25], [-1, -2, -3], [True, False, True], [-1, -2, -1], [1, 0.5, 2], "The rash returned."),
    Case([-0.75], [-0.5], [True], [-0.5], [2], "Cough."),
    Case([], []),
    Case([-1.0, -3.0], [-4.0, -4.0], [True, True], [-2, -2], [0.5, 0.25], "Pain and pain and pain and pain."),
    Case([-(i % 7) / 4 - 0.125 for i in range(45)], [-(i % 5) / 4 - 0.25 for i in range(45)], text="Itching" * 9),
]


# --- twins: one record, written slowly ---------------------------------------------------------------------------


def mean(values: list[float]) -> float:
    return sum(values) / len(values)


def change(case: Case) -> list[float]:
    return [t - b for t, b in zip(case.tuned, case.base, strict=True)]


def lowest_fifth(values: list[float]) -> float:
    count = 1
    while (count + 1) * 5 <= len(values):
        count += 1
    return mean(sorted(values)[:count])


def standard(case: Case) -> list[float]:
    rows = zip(case.tuned, case.column("mean"), case.column("std"), strict=True)
    return [(x - mu) / sigma for x, mu, sigma in rows if sigma > 0]


def naive_ratio(case: Case) -> float:
    return mean(case.base) / mean(case.tuned) if mean(case.tuned) else math.inf


def error_zone(case: Case, start: int = 0) -> tuple[list[float], float, float]:
    moved = [d for d, wrong in zip(change(case)[start:], case.column("wrong")[start:], strict=True) if wrong]
    return moved, sum(d for d in moved if d > 0), -sum(d for d in moved if d < 0)


def naive_ez(case: Case) -> float:
    moved, up, down = error_zone(case)
    if not moved and len(case.tuned) < 5 and all(case.top1("base")):
        return math.nan
    if down:
        return up / down
    total = sum(change(case))
    return (1e100 if moved else 1e200) * (1 + total if total >= 0 else 1 / (1 - total))


def naive_ez_released(case: Case) -> float:
    _, up, down = error_zone(case, start=1)
    return up / down if down else 0.0


def naive_wbc(case: Case) -> float:
    shares = []
    for width in (2, 3, 4, 6, 9, 13, 18, 25, 32, 40):
        windows = [range(i, i + width) for i in range(len(case.tuned) - width + 1)]
        wins = [-sum(case.base[t] for t in w) > -sum(case.tuned[t] for t in w) for w in windows]
        shares += [sum(wins) / len(wins)] if wins else []
    return mean(shares) if shares else math.nan


def naive_wbc_released(case: Case) -> float:
    shares = []
    for width in (2, 3, 4, 6, 9, 13, 18, 25, 32, 40):
        cut = min(width, len(case.tuned))
        windows = [range(i, i + cut) for i in range(len(case.tuned) - cut + 1)]
        shares.append(mean([-sum(case.base[t] for t in w) > -sum(case.tuned[t] for t in w) for w in windows]))
    return mean(shares)


def naive_rmia(case: Case, a: float, population: list[Case] | None = None) -> float:
    def likelihood_ratio(c: Case) -> float:
        return math.exp(mean(c.tuned)) / (((1 + a) * math.exp(mean(c.base)) + (1 - a)) / 2)

    others = [likelihood_ratio(z) for z in population or POPULATION if z.tuned]
    return sum(likelihood_ratio(case) / z > 1 + 1e-9 for z in others) / len(others)


def on_shadow(case: Case) -> Case:
    """The case with its shadow for a base model."""
    return replace(case, base=case.shadow, base_first=case.top1("shadow"))


TWINS: dict[str, Callable[[Case], float]] = {
    "loss": lambda case: mean(case.tuned),
    "ratio": naive_ratio,
    "difference": lambda case: sum(change(case)),
    "difference_mean": lambda case: mean(change(case)),
    "zlib": lambda case: mean(case.tuned) / len(zlib.compress(case.text.encode())) if case.text else math.nan,
    "zlib_sum": lambda case: sum(case.tuned) / len(zlib.compress(case.text.encode())) if case.text else math.nan,
    "min_k": lambda case: lowest_fifth(case.tuned),
    "min_k_plus_plus": lambda case: lowest_fifth(standard(case)) if standard(case) else math.nan,
    "min_k_difference": lambda case: lowest_fifth(change(case)),
    "ez": naive_ez,
    "ez_released": naive_ez_released,
    "wbc": naive_wbc,
    "wbc_released": naive_wbc_released,
    "rmia": lambda case: naive_rmia(case, 1.0),
    "rmia_a03": lambda case: naive_rmia(case, 0.3),
    "difference_shadow": lambda case: sum(t - s for t, s in zip(case.tuned, case.shadow, strict=True)),
    "ratio_shadow": lambda case: naive_ratio(on_shadow(case)),
    "ez_shadow": lambda case: naive_ez(on_shadow(case)),
    "min_k_difference_shadow": lambda case: lowest_fifth(change(on_shadow(case))),
    "rmia_shadow": lambda case: naive_rmia(on_shadow(case), 1.0, [on_shadow(other) for other in POPULATION]),
}

quarters = st.integers(-20, 0).map(lambda n: n / 4)
spreads = st.sampled_from([0.0, 0.5, 1.0, 2.0])
tokens = st.tuples(quarters, quarters, st.booleans(), quarters, spreads, st.booleans())


def as_case(drawn: tuple[list[tuple], str]) -> Case:
    columns: list[list[Any]] = [[row[k] for row in drawn[0]] for k in range(6)]
    return Case(*columns[:5], text=drawn[1], base_first=columns[5])


records = st.tuples(st.lists(tokens, max_size=12), st.text("abc é", max_size=9)).map(as_case)


def same(value: float, expected: float) -> bool:
    return math.isnan(value) if math.isnan(expected) else value == pytest.approx(expected, rel=1e-6, abs=1e-9)


def test_every_attack_has_a_twin():
    assert set(TWINS) == set(ATTACKS)


@pytest.mark.parametrize("name", ATTACKS)
@settings(max_examples=60, deadline=None)
@given(drawn=st.lists(records, max_size=4))
def test_an_attack_equals_its_naive_twin(name: str, drawn: list[Case]):
    for cases in (CASES, drawn):
        scores = ATTACKS[name].score(evidence(cases, POPULATION))
        assert scores.dtype == np.float64
        assert scores.shape == (len(cases),)
        for value, case in zip(scores, cases, strict=True):
            assert same(value, TWINS[name](case) if case.tuned else math.nan)


# --- the contract ------------------------------------------------------------------------------------------------


NOT_MONOTONE = {"ez_released"}  # a record that loses its negative part falls to 0; see its own test


@pytest.mark.parametrize("name", [name for name in ATTACKS if name not in NOT_MONOTONE])
@settings(max_examples=60, deadline=None)
@given(drawn=st.lists(records, min_size=1, max_size=4), data=st.data())
def test_raising_a_records_log_probabilities_raises_or_keeps_its_score(name: str, drawn: list[Case], data: Any):
    which = data.draw(st.integers(0, len(drawn) - 1))
    steps = [data.draw(st.integers(0, 3)) for _ in drawn[which].tuned]
    learned = [min(x + step / 4, 0.0) for x, step in zip(drawn[which].tuned, steps, strict=True)]
    before = attack(name, *drawn, population=POPULATION)
    raised = [replace(case, tuned=learned) if i == which else case for i, case in enumerate(drawn)]
    for i, (old, new) in enumerate(zip(before, attack(name, *raised, population=POPULATION), strict=True)):
        assert new >= old if i == which and not math.isnan(old) else same(new, old)


@pytest.mark.parametrize("name", ATTACKS)
def test_learning_by_half_raises_some_score(name: str):
    learned = [replace(case, tuned=[x / 2 for x in case.tuned]) for case in CASES]
    before, after = (np.array(attack(name, *cases, population=POPULATION)) for cases in (CASES, learned))
    assert (after > before).any()


@pytest.mark.parametrize("name", ATTACKS)
@settings(max_examples=30, deadline=None)
@given(drawn=st.lists(records, max_size=5), data=st.data())
def test_a_record_is_scored_by_itself(name: str, drawn: list[Case], data: Any):
    order = data.draw(st.permutations(range(len(drawn))))
    together = np.array(attack(name, *drawn, population=POPULATION))
    shuffled = attack(name, *(drawn[i] for i in order), population=POPULATION)
    np.testing.assert_array_equal(shuffled, together[list(order)] if order else [])
    for i, case in enumerate(drawn):
        np.testing.assert_array_equal(attack(name, case, population=POPULATION), together[[i]])


@pytest.mark.parametrize("name", ATTACKS)
def test_no_record_one_record_one_token(name: str):
    assert attack(name) == attack(name, population=POPULATION) == []
    scores = attack(name, Case([-1.0], [-2.0]), population=POPULATION)
    assert math.isnan(scores[0]) == (name == "wbc")
    assert np.isnan(attack(name, Case([], []), population=POPULATION)).all()


@pytest.mark.parametrize("name", ATTACKS)
def test_a_token_score_that_is_not_a_number_makes_its_record_missing(name: str):
    """Sorting would put it last and comparing would call it a loss: a low score where there is none."""
    tuned = [-1.0] * 9
    broken = Case([*tuned, math.nan, -1.0], [-2.0] * 11)
    scores = attack(name, Case(tuned, [-2.0] * 9), broken, Case(tuned, [-2.0] * 9), population=POPULATION)
    assert np.isnan(scores).tolist() == [False, True, False]


@pytest.mark.parametrize("name", ATTACKS)
def test_an_impossible_token_is_no_error(name: str):
    """Log-probability −inf under one model, the other, both."""
    low = -math.inf
    cases = [Case([low, -1.0], [-1.0, -1.0]), Case([-1.0, -1.0], [low, -1.0]), Case([low, -1.0], [low, -1.0])]
    scores = attack(name, *cases, population=[*POPULATION, *cases])
    assert scores[0] <= scores[1]
    compares = ATTACKS[name].needs_base or ATTACKS[name].needs_shadow
    assert math.isnan(scores[2]) == compares or name in ("rmia_a03",)


@pytest.mark.parametrize("name", ATTACKS)
def test_needs_names_what_the_score_depends_on_and_nothing_else(name: str):
    whole = evidence(CASES, POPULATION)
    moved = [replace(case, base=[x * 2 - 0.1 * i for i, x in enumerate(case.base)]) for case in CASES]
    others: dict[Need, Evidence] = {
        "base": replace(whole, base=scores(moved, "base")),
        "calibration": replace(
            whole,
            population=(scores(CASES, "tuned"), scores(CASES, "base")),
            shadow_population=scores(CASES, "shadow"),
        ),
        "shadow": replace(whole, shadow=scores(moved, "base")),
        "text": replace(whole, text_bytes=tuple(c.text + " and 12 more words" for c in CASES)),
    }
    assert tuple(others) == get_args(Need)
    before = ATTACKS[name].score(whole)
    for need, other in others.items():
        unmoved = np.array_equal(ATTACKS[name].score(other), before, equal_nan=True)
        assert unmoved == (need not in ATTACKS[name].needs), need
    assert ATTACKS[name].needs_base == ("base" in ATTACKS[name].needs)


@pytest.mark.parametrize("name", ATTACKS)
def test_the_control_puts_the_base_model_in_the_tuned_models_place(name: str):
    whole = evidence(CASES, POPULATION)
    control = whole.control()
    assert control.tuned is control.base is whole.base
    assert control.population is not None
    assert control.population[0] is control.population[1]
    scores = ATTACKS[name].score(control)
    if ATTACKS[name].needs_base:
        known = scores[~np.isnan(scores)]  # nothing to see: one value for all, or sums of nothing
        # `ez` still tells records known by heart from others, so it is no control either: it needs a null trial.
        assert len(set(known)) <= 1 or name in ("rmia_a03", "ez")
    else:
        of_base = (control.population[1],) * 2
        expected = ATTACKS[name].score(replace(whole, tuned=whole.base, population=of_base))
        np.testing.assert_array_equal(scores, expected)
        assert not np.array_equal(scores, ATTACKS[name].score(whole), equal_nan=True)


@pytest.mark.parametrize("name", ATTACKS)
def test_every_entry_says_its_source_and_what_short_records_get(name: str):
    assert ATTACKS[name].source
    assert re.fullmatch(r"[A-Z][^.]*( \.|[^.])*\.", ATTACKS[name].short_records)
    assert ATTACKS[name].needs <= set(get_args(Need))


# --- evidence ----------------------------------------------------------------------------------------------------


def test_evidence_of_other_records_is_refused():
    tuned, base, texts = scores(CASES, "tuned"), scores(CASES, "base"), tuple(c.text for c in CASES)
    turned = base.take(["r0", "r1", "r3", "r2", "r4"])
    with pytest.raises(ValueError, match="join them by record id"):
        Evidence(tuned, turned, texts)
    with pytest.raises(ValueError, match="join them by record id"):
        Evidence(tuned, base, texts, (tuned, turned))
    with pytest.raises(ValueError, match="4 texts for 5 scored records"):
        Evidence(tuned, base, texts[:4])


def test_texts_are_compressed_as_utf8_and_a_removed_text_is_missing():
    case = Case([-1.0], [-1.0], text="ü" * 30)
    whole = evidence([case, replace(case, text="")])
    assert len(whole) == 2
    np.testing.assert_array_equal(whole.compressed_bytes, [len(zlib.compress(("ü" * 30).encode())), np.nan])
    as_bytes = replace(whole, text_bytes=(("ü" * 30).encode(), b""))
    np.testing.assert_array_equal(as_bytes.compressed_bytes, whole.compressed_bytes)


# --- by hand -----------------------------------------------------------------------------------------------------


def test_known_by_heart_is_the_strongest_member():
    assert attack("ratio", Case([0.0], [-1.0])) == [math.inf]


def test_min_k_of_ten_tokens_takes_two_and_of_nine_one():
    ten = [-float(i) for i in range(10)]
    assert attack("min_k", Case(ten, ten), Case(ten[:9], ten[:9])) == [-8.5, -8.0]


def test_min_k_counts_in_whole_numbers():
    """0.2 · 15 is 3.0000000000000004 and 0.2 · 35 is 7.000000000000001: no fraction may add or take a token."""
    for length in (15, 35, 55):
        values = [-float(i) for i in range(length)]
        assert attack("min_k", Case(values, values)) == [-mean([length - 1 - i for i in range(length // 5)])]


def test_min_k_plus_plus_leaves_out_tokens_without_spread():
    case = Case([-3.0, -1.0, -9.0], [-1.0] * 3, mean=[-1.0, -2.0, -1.0], std=[0.5, 2.0, 0.0])
    assert attack("min_k_plus_plus", case) == [-4.0]
    assert np.isnan(attack("min_k_plus_plus", replace(case, std=[0.0] * 3))).all()


def test_ez_by_hand():
    tuned = [-1.0, -1.0, -1.0, -1.0]
    mixed = Case(tuned, [-3.0, -0.5, -1.5, -0.25], [True, True, True, False])  # +2, −½, +½; the last is right
    risen = Case(tuned, [-3.0, -1.0, -2.0, -0.5], [True, True, True, False])  # no negative part; ΣΔ = 2½
    fallen, still = Case(tuned, [-0.5] * 4), Case(tuned, tuned)
    right = Case(tuned, [-3.0] * 4, [False] * 4)  # no token is wrong; ΣΔ = 8
    scores = attack("ez", mixed, risen, fallen, still, right)
    assert scores == pytest.approx([5.0, 3.5e100, 0.0, 1e100, 9e200])


def test_ez_orders_its_tiers_and_leaves_no_tie_at_the_top():
    """Finite ratios below records without a negative part below records known by heart, each by what was learned."""
    ratios = [Case([-1.0, -1.0], [-1.0 - up, -1.0 + 1e-6]) for up in (1.0, 20.0)]
    risen = [Case([-1.0] * 3, [-1.0, -1.0, -1.0 - up], [True, True, False]) for up in (-0.5, 0.0, 0.001, 90.0)]
    heart = [Case([-0.1] * 6, [-0.1 - up] * 6, [False] * 6) for up in (-0.05, 0.0, 1e-4, 1.0, 1.0001, 300.0)]
    scores = attack("ez", *ratios, *risen, *heart)
    assert scores == sorted(scores)
    assert len(set(scores)) == len(scores)
    endless = Case([-1.0] * 5, [-math.inf, -1.0, -1.0, -1.0, -1.0], [False, True, True, True, True])
    assert scores[5] < attack("ez", endless)[0] < scores[6]


def test_a_short_record_that_both_models_know_is_left_out_of_ez():
    def by_heart(length: int, base_first: list[bool]) -> Case:
        return Case([-0.1] * length, [-0.2] * length, [False] * length, base_first=base_first)

    short, longer, learned = by_heart(4, [True] * 4), by_heart(5, [True] * 5), by_heart(4, [True] * 3 + [False])
    still_wrong = Case([-1.0] * 4, [-2.0] * 4, base_first=[True] * 4)
    missing = np.isnan(attack("ez", short, longer, learned, still_wrong))
    assert missing.tolist() == [True, False, False, False]


def test_the_released_ez_drops_the_first_position_and_puts_what_is_learned_entirely_last():
    fresh = Case([-1.0, -1.0, -1.0], [-9.0, -3.0, -0.5])  # the +8 of the first position does not count
    learned = Case([-1.0, -1.0, -0.5], [-9.0, -3.0, -0.5])  # raised to no negative part
    right, single = Case([-1.0] * 6, [-3.0] * 6, [False] * 6), Case([-1.0], [-2.0])
    assert attack("ez_released", fresh, learned, right, single) == [4.0, 0.0, 0.0, 0.0]


def test_the_released_wbc_cuts_wide_windows_to_the_record():
    three = Case([-1.0, -2.0, -1.0], [-2.0, -1.0, -1.5])  # pairs 0 of 2; the triple wins, and so do nine widths of it
    assert attack("wbc_released", three, Case([-1.0], [-2.0])) == [0.9, 1.0]
    long = Case([-1.0] * 40, [-2.0, *[-0.9] * 39])
    assert attack("wbc_released", long) == attack("wbc", long)


def learned_by_heart(generator: np.random.Generator, side: str) -> Case:
    """40 tokens of a record; of members three in five have every token as the tuned model's argmax."""
    base = -generator.exponential(3.0, 40)
    heart = side == "learned"
    shift = generator.normal(0.21 if side == "other" else 0.2, 0.05)
    tuned = np.minimum(base * generator.uniform(0.75, 0.85), -0.05) if heart else base * (1 - shift)
    noise = generator.normal(0, 0.5, 40)
    wrong = np.zeros(40, bool) if heart else generator.random(40) < 0.6
    return Case(np.minimum(tuned + noise, -0.01).tolist(), base.tolist(), wrong.tolist(), base_first=[False] * 40)


def test_records_learned_by_heart_rank_highest_and_their_rate_is_not_refused():
    """60 of 100 members have no token left to get wrong: dropping them gave an AUC of about a half."""
    generator = np.random.default_rng(0)
    sides = ["learned"] * 60 + ["other"] * 40, ["held out"] * 100, ["held out"] * 200
    members, nonmembers, calibration = ([learned_by_heart(generator, side) for side in group] for group in sides)
    ours, theirs, others = (np.array(attack("ez", *cases)) for cases in (members, nonmembers, calibration))
    assert not np.isnan(ours).any()
    assert auc(ours, theirs) >= 0.8
    assert auc(ours[60:], theirs) < 0.65  # what was left when they were dropped
    hits, of = rate_at(ours, threshold_at_most(others, 0.01))
    assert (hits >= 60, of) == (True, 100)


def test_wbc_by_hand():
    assert WIDTHS == (2, 3, 4, 6, 9, 13, 18, 25, 32, 40)
    three = Case([-1.0, -2.0, -1.0], [-2.0, -1.0, -1.5])  # Δ = 1, −1, ½: pairs 0 (no win) and −½; the triple wins
    assert attack("wbc", three) == [0.5]
    assert attack("wbc", Case([-1.0] * 40, [-2.0] * 40), Case([-1.0] * 41, [-1.0] * 41)) == [1.0, 0.0]


def test_rmia_counts_the_population_below_and_no_ties():
    others = [Case([-1.0], [-1.0 - gain]) for gain in (0.0, 0.5, 1.0, 1.5)]
    cases = [Case([-1.0], [-1.0 - gain]) for gain in (-1.0, 0.25, 0.5, 9.0)]
    assert attack("rmia", *cases, population=others) == [0.0, 0.25, 0.25, 1.0]
    assert attack("rmia", *others, population=others) == [0.0, 0.25, 0.5, 0.75]
    very_long = [Case([-2000.0], [-2001.0]), Case([-2000.0], [-1999.0])]  # exp(−2000) is 0
    assert attack("rmia", *very_long, population=others) == [0.5, 0.0]


def test_rmia_ties_that_differ_by_rounding_are_ties():
    """A gain of half a nat on every token is one ratio, whatever the length; the means differ in their last digit."""
    gains = [[-(4 * i % 7 + 1) / 4 for i in range(n)] for n in range(1, 12)]
    cases = [Case(tuned, [x - 0.5 for x in tuned]) for tuned in gains]
    assert any(mean(case.tuned) - mean(case.base) > 0.5 for case in cases)
    assert attack("rmia", *cases, population=[Case([-1.0], [-1.5])]) == [0.0] * len(cases)


def test_rmia_orders_as_its_relatives_do():
    """a = 1 as difference_mean; a = 0.3 as loss where likelihoods are small beside the constant."""
    generator = np.random.default_rng(0)
    rows = [Case(*(-generator.uniform(6, 12, (2, 3))).tolist()) for _ in range(60)]
    for name, relative in (("rmia", "difference_mean"), ("rmia_a03", "loss")):
        exact, steps = attack(relative, *rows[:30]), attack(name, *rows[:30], population=rows[30:])
        assert (np.diff(np.array(steps)[np.argsort(exact)]) >= 0).mean() > (0.99 if name == "rmia" else 0.9)


@pytest.mark.parametrize("name", ["rmia", "rmia_a03"])
def test_rmia_without_a_population_is_missing(name: str):
    assert np.isnan(attack(name, *CASES)).all()
    assert np.isnan(attack(name, *CASES, population=[Case([], [])])).all()


# --- the table and its page --------------------------------------------------------------------------------------


def test_an_unknown_attack_lists_the_names():
    with pytest.raises(StudyError, match=f"no attack 'zlibb'; there are all, {', '.join(ATTACKS)}"):
        find_attacks(["loss", "zlibb"])
    assert list(find_attacks(["ez", "loss"])) == ["ez", "loss"]
    assert list(find_attacks(["all"], shadow=True)) == list(ATTACKS)
    assert {*ATTACKS} - {*find_attacks(["all"])} == {name for name in ATTACKS if name.endswith("_shadow")}


def test_the_page_has_a_row_for_every_attack():
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in PAGE.splitlines() if line[:3] == "| `"]
    assert [row[0].strip("`") for row in rows] == list(ATTACKS)
    for (_, _, needs, short, source), entry in zip(rows, ATTACKS.values(), strict=True):
        assert needs == (", ".join(sorted(entry.needs)) or "nothing")
        assert (short, source) == (entry.short_records, entry.source)


def test_the_example_of_the_page_on_own_attacks_equals_its_twin():
    script, _, line, twin = re.findall(r"```python\n(.*?)```", OWN, re.DOTALL)
    names: dict[str, Any] = vars(byrote.attacks).copy()
    function = script[script.index("def improved") : script.index("ATTACKS[")]
    exec(f"import numpy as np\nfrom byrote.ragged import mean_by_record, where_known\n{function}", names)
    entry, naive = eval(f"{{{line}}}", names)["improved"], eval(f"{{{twin}}}")["improved"]
    scores = entry.score(evidence(CASES))
    assert entry.needs_base
    for value, case in zip(scores, CASES, strict=True):
        assert same(value, naive(case) if case.tuned else math.nan)
