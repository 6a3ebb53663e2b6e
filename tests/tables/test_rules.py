"""The verdict on each rule, from scores of made-up strata and rows of other tables."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from byrote.records import Assignment, Record, Role, TokenScores
from byrote.statistics.verdicts import two_sided_p
from byrote.study import dump_study, load_study
from byrote.study.rules import Rule, rules_of
from byrote.tables.rule_controls import LEVEL, Control, Controls, controls_of_attacks, in_words, off_tests
from byrote.tables.rules import dropped_rows, verdict_rows
from byrote.tables.subjects import Subject
from byrote.tables.trials import Measured
from fake_subjects import ALIKE, NONE, N, judged, only, stratum_of, study_of, subject

WEAK, LEAK = {"loss": 0.1, "zlib": 0.0}, {"loss": 0.1, "zlib": 1.2}


@pytest.mark.parametrize(
    ("decide", "lifts", "verdict", "attack"),
    [
        ({"max_auc": 0.6}, LEAK, "exceeded", "zlib"),
        ({"max_auc": 0.7}, WEAK, "held", "loss"),
        ({"max_auc": 0.6}, WEAK, "undecided", "loss"),
        ({"max_auc": 0.6, "attack": "loss"}, {"loss": 0.1, "zlib": math.inf}, "undecided", "loss"),
        ({"max_auc": 0.9}, {"loss": 0.1, "zlib": math.inf}, "exceeded", "zlib"),
        ({"max_tpr_at_fpr": {0.1: 0.2}}, LEAK, "exceeded", "zlib"),
        ({"max_tpr_at_fpr": {0.1: 0.8}}, WEAK, "held", "loss"),
        ({"equivalent_within": 0.2}, WEAK, "held", "loss"),
        ({"equivalent_within": 0.1}, WEAK, "undecided", "loss"),
        ({"equivalent_within": 0.1}, LEAK, "exceeded", "zlib"),
        ({"equivalent_within": 0.1}, {"loss": 0.1, "zlib": -1.2}, "exceeded", "zlib"),
    ],
)
def test_rules_on_attacks(decide: dict[str, Any], lifts: dict[str, float], verdict: str, attack: str) -> None:
    row = only(study_of(**decide), subject(lifts))
    assert (row["verdict"], row["attack"]) == (verdict, attack)
    assert row["low"] <= row["value"] <= row["high"]
    assert bool(row["would_decide"]) == (verdict == "undecided")
    assert row["set"] == "before results"


def test_an_attack_without_bounds_leaves_a_rule_undecided() -> None:
    row = only(study_of(max_auc=0.9), subject({"loss": 0.0, "zlib": math.nan}))
    assert (row["verdict"], row["attack"], row["value"]) == ("undecided", "zlib", None)
    assert "zlib has no bounds: no AUC: a side is empty" in row["reason"]
    row = only(study_of(max_tpr_at_fpr={0.01: 0.9}), subject(WEAK))
    assert row["verdict"] == "undecided"
    assert row["would_decide"] == "at least 400 calibration records (now 90)"


@pytest.mark.parametrize("decide", [{"max_auc": 0.7}, {"max_tpr_at_fpr": {0.1: 0.8}}])
def test_members_that_look_less_learned_than_nonmembers_leave_a_rule_undecided(decide: dict[str, Any]) -> None:
    swapped = {"loss": 0.1, "zlib": -1.2}
    row = only(study_of(**decide), subject(swapped))
    assert row["verdict"] == "undecided"
    assert row["reason"].startswith("the AUC of zlib lies below 0.5")
    assert "swapped" in row["reason"]
    assert row["would_decide"]
    assert only(study_of(**decide, attack="loss"), subject(swapped))["verdict"] == "held"
    assert only(study_of(max_auc=0.7), subject({"loss": 1.2, "zlib": -1.2}))["verdict"] == "exceeded"


def test_the_sample_that_would_decide_does() -> None:
    study = study_of(max_auc=0.6)
    row = only(study, subject(WEAK))
    factor = float(row["would_decide"].split("(")[1].split(" times")[0])
    assert f"about {math.ceil(factor * N)} members" in row["would_decide"].replace(",", "") or factor * N % 1 < 0.1
    # The twin: the width on the logit scale, divided by the root of the factor, ends at the limit.
    scale = [math.log(x / (1 - x)) for x in (row["value"], row["high"], 0.6)]
    assert scale[0] + (scale[1] - scale[0]) / math.sqrt(factor) == pytest.approx(scale[2], abs=0.01)


def test_the_error_is_shared_over_looks_subjects_and_families_of_bounds() -> None:
    study = study_of(max_auc=0.6)
    assert only(study, subject(WEAK))["error"] == pytest.approx(0.025)
    assert only(study, subject(WEAK), look=3)["error"] == pytest.approx(0.025 / 4)
    rows = judged(study, subject(WEAK), subject(WEAK, key="u"))
    assert [row["error"] for row in rows] == pytest.approx([0.0125] * 2)
    widths = [row["high"] - row["low"] for row in (only(study, subject(WEAK)), rows[0])]
    assert widths[0] < widths[1]
    sampled = subject(WEAK, chances=chances("m0"))
    both = judged(study_of(prompts=30, max_auc=0.6, max_verbatim=1), sampled)
    assert [row["error"] for row in both] == pytest.approx([0.0125] * 2)
    many = subject(WEAK, settings={"canaries": {"design": "many", "inclusion": 0.5}})
    for of, error in ((many, 0.0125), (subject(WEAK), 0.025)):
        rows = judged(study_of(max_auc=0.6, max_epsilon=1), of)
        assert [row["error"] for row in rows] == pytest.approx([error] * 2)


def test_a_subject_without_scores_is_undecided() -> None:
    rows = judged(study_of(max_auc=0.6, max_verbatim=0, max_epsilon=1, equivalent_within=0.1), subject())
    assert {row["verdict"] for row in rows} == {"undecided"}
    assert all("failed" in row["reason"] for row in rows)


def test_a_rule_set_after_results_may_be_exceeded_but_never_held() -> None:
    held, exceeded = (
        only(study_of(max_auc=0.7), subject(lifts), fixed=False) for lifts in (WEAK, {"loss": 3, "zlib": 0})
    )
    assert (held["verdict"], held["set"]) == ("undecided", "after results")
    assert held["reason"].startswith("set after results: no upper bound is above the limit")
    assert exceeded["verdict"] == "exceeded"


def test_a_rule_dropped_after_results_stays_undecided() -> None:
    (row,) = dropped_rows([rule.row() for rule in rules_of(study_of(max_tpr_at_fpr={0.01: 0.05}))], 2)
    assert (row["rule"], row["verdict"], row["look"]) == ("max_tpr_at_fpr 0.01", "undecided", 2)
    assert row["words"] == "each of 2 attacks finds at most 5% of the members at 1% FPR"


# --- controls -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lifts", [WEAK, {"loss": 3.0, "zlib": 0.0}])
def test_a_control_that_is_off_leaves_a_rule_undecided(lifts: dict[str, float]) -> None:
    off = {"zlib": {"auc_control": 0.65, "auc_control_se": 0.03}}
    row = only(study_of(max_auc=0.75), subject(lifts, rows=off))
    assert row["verdict"] == "undecided"
    assert "a control is off (zlib on the base model: AUC 0.65" in row["reason"]
    assert row["control"].startswith("off: zlib on the base model")
    named = only(study_of(max_auc=0.75, attack="loss"), subject(lifts, rows=off))
    assert named["verdict"] != "undecided", "the rule does not read zlib"


def test_a_missing_control_blocks_nothing_and_is_named() -> None:
    rows = {"loss": NONE, "zlib": {**NONE, "auc_blind": None, "blind_note": "none: not tried"}}
    row = only(study_of(max_auc=0.7), subject(WEAK, rows=rows))
    assert row["verdict"] == "held"
    assert "missing for loss, zlib: needs a null trial (controls.null_trial)" in row["control"]


def control(p_value: float, test: Any, kind: str = "base model") -> Control:
    return Control(kind, "loss", 0.6, p_value, (test,))


def test_the_level_is_shared_over_the_tests_and_the_blind_one_has_half() -> None:
    five = [control(LEVEL / 5 - 1e-9, i) for i in range(5)]
    assert all(off_tests(five).values())
    assert not any(off_tests([*five, *five, control(1.0, "another")]).values()), "the same test counts once"
    blind = control(0.002, "blind", "blind")  # the smallest p of 499 permutations
    assert off_tests([blind, control(0.5, 1)]) == {("blind",): True, (1,): False}
    assert off_tests([control(0.006, "b", "blind")]) == {("b",): True}
    assert off_tests([control(0.006, "b", "blind"), control(0.5, 1)])[("b",)] is False
    several = [control(p, i, "blind") for i, p in enumerate((0.002, 0.009))]
    assert off_tests(several) == {(0,): False, (1,): False}, "twice the mean is 0.011"
    untested = Controls((control(math.nan, 1),), {})
    assert off_tests(untested.measured) == {}
    assert in_words(untested, {}) == "not tested: loss"
    missing = Controls((), {"no null trial": ("ez", "wbc", "ratio", "difference"), "not tried": ("blind classifier",)})
    assert in_words(missing, {}) == "missing for 4 attacks: no null trial; missing for blind classifier: not tried"


def test_p_of_a_control() -> None:
    assert two_sided_p(0.5 + 1.959964 * 0.02, 0.02, 50) == pytest.approx(0.05)
    assert two_sided_p(1.0, 0.0, 5) == pytest.approx(2 / 32)
    assert two_sided_p(0.5, 0.0, 5) == 1
    assert math.isnan(two_sided_p(0.6, None, 5))


def test_null_trials_are_controls_of_their_own() -> None:
    scored = stratum_of(WEAK)
    for kind in ("null trial", "second shadow"):
        rows = {name: {"control": kind, "auc_control": 0.5, "auc_control_se": 0.1, **ALIKE} for name in WEAK}
        measured = [controls_of_attacks(scored, list(WEAK), rows, {kind: key}).measured for key in ("a", "b")]
        tests = [{control.test for control in controls} for controls in measured]
        assert len(tests[0] & tests[1]) == 1, "the blind classifier alone"
        assert f"under the {kind}: AUC 0.5" in measured[0][0].words


# --- suffixes -----------------------------------------------------------------------------------------------------


def chances(*likely: str, members: int = 30, base: Sequence[str] = (), others: int = 5) -> list[dict[str, Any]]:
    """Rows of `draws` at two temperatures: a likely suffix comes at the lower one in about 700 draws."""
    asked = [f"m{i}" for i in range(members)] + [f"n{i}" for i in range(others)]
    return [
        {
            **{"model": model, "record": record, "prefix": 0.5, "temperature": temperature},
            "log_probability": math.log(1e-3 if record in easy and temperature < 1 else 1e-6),
        }
        for model, easy in (("tuned", likely), ("base", base))
        for record in asked
        for temperature in (0.5, 1.0)
    ]


def verbatim(limit: int, of: Subject, prompts: Any = "all", **more: Any) -> dict[str, Any]:
    return only(study_of(prompts=prompts, max_verbatim=limit, **more), of)


def test_a_census_is_decided_by_the_count() -> None:
    two = subject(chances=chances("m1", "m2", "m3", members=N, base=("m3",)))
    assert [verbatim(limit, two)["verdict"] for limit in (0, 1, 2)] == ["exceeded", "exceeded", "held"]
    row = verbatim(2, two)
    assert (row["value"], row["low"], row["high"]) == (2, 2, 2)
    assert "2 of all 90 members come within 10,000 draws" in row["reason"]
    assert verbatim(0, subject(chances=chances("n1", members=N)))["reason"].endswith("; of 5 non-members, 1")
    fewer = verbatim(0, two, draws=100)
    assert (fewer["verdict"], fewer["value"]) == ("held", 0)


def test_members_too_short_to_be_prompted_are_said_and_are_no_gap_in_a_census() -> None:
    row = verbatim(0, subject(chances=chances(members=80)))
    assert row["verdict"] == "held"
    assert "0 of all 80 members" in row["reason"]
    assert "10 are too short to be prompted" in row["reason"]


def test_of_a_sample_a_limit_of_0_is_exceeded_or_undecided() -> None:
    row = verbatim(0, subject(chances=chances(members=89)), prompts=89)
    assert (row["verdict"], row["low"], row["high"]) == ("undecided", 0, 0)
    assert row["would_decide"] == "1 member still to compute"
    assert verbatim(0, subject(chances=chances("m0")), prompts=30)["verdict"] == "exceeded"


def test_of_a_sample_other_limits_are_held_by_a_bound() -> None:
    row = verbatim(20, subject(chances=chances("m0", members=60)), prompts=60)
    assert (row["verdict"], row["value"]) == ("held", 1)
    assert row["low"] == 1 < row["high"] <= 20
    assert verbatim(2, subject(chances=chances("m0", members=60)), prompts=60)["verdict"] == "undecided"


def test_a_greedy_completion_counts_and_another_prefix_too() -> None:
    greedy = [{"model": "tuned", "record": "m4", "prefix": 0.5, "verbatim": True}]
    assert verbatim(0, subject(chances=chances(members=N), greedy=greedy))["verdict"] == "exceeded"
    of_base = [*greedy, {**greedy[0], "model": "base"}]
    assert verbatim(0, subject(chances=chances(members=N), greedy=of_base))["verdict"] == "held"
    longer = [*greedy, {**greedy[0], "model": "base", "prefix": 0.75}]
    assert verbatim(0, subject(chances=chances(members=N), greedy=longer))["verdict"] == "exceeded"


def test_without_a_base_model_a_count_can_be_held_and_not_exceeded() -> None:
    of = subject(chances=chances("m1", members=N), has_base=False)
    assert [verbatim(limit, of)["verdict"] for limit in (0, 1)] == ["undecided", "held"]
    assert "there is no base model" in verbatim(0, of)["reason"]


@pytest.mark.parametrize(("prompts", "verdict"), [("all", "held"), (9, "held"), (8, "undecided")])
def test_canaries_are_counted_where_the_stratum_names_them(prompts: Any, verdict: str) -> None:
    """Four planted with 4 copies, two with 1, three left out; one of one copy comes."""
    roles = [Assignment(f"m{i}", Role.CANARY_IN, 4 if i < 4 else 1) for i in range(6)]
    roles += [Assignment(f"x{i}", Role.CANARY_OUT, 4) for i in range(3)]
    of = Subject(Measured({"trial": "t"}, roles, None, None), "done", chances=chances("m5", members=3 + (prompts != 8)))
    study = study_of(max_verbatim=0, stratum="canaries@4")
    row = only(load_study(dump_study(study), {"extraction.prompts.canaries": prompts}), of)
    assert (row["verdict"], row["value"]) == (verdict, 0)


def test_suffixes_that_were_not_computed_are_not_held() -> None:
    row = verbatim(0, replace(subject(WEAK), chances=()))
    assert (row["verdict"], row["value"]) == ("undecided", None)
    assert "set extraction.prompts.members to all" in row["reason"]


# --- epsilon ------------------------------------------------------------------------------------------------------


def canaries(right: float, copies: int = 1, references: int = 100) -> tuple[Subject, dict[str, Record]]:
    """200 canaries, each in or out by a coin, of which a share `right` scores as its coin fell."""
    generator = np.random.default_rng(1)
    is_in, kept = generator.random(200) < 0.5, generator.random(200) < right
    roles = [
        Assignment(f"k{i}", Role.CANARY_IN if planted else Role.CANARY_OUT, copies) for i, planted in enumerate(is_in)
    ]
    roles += [Assignment(f"f{i}", Role.REFERENCE, 0) for i in range(references)]
    level = np.concatenate([np.where(is_in == kept, -2.0, -4.0), np.full(references, -3.0)])
    logprob = (level + generator.random(len(level)) / 10).astype(np.float32)
    ones = np.ones(len(roles), np.float32)
    ids = tuple(a.record for a in roles)
    scores = TokenScores(ids, np.arange(len(ids) + 1), logprob, ones < 0, -ones, ones)
    row = {"trial": "t", "settings": {"canaries": {"design": "many", "inclusion": 0.5}}}
    return Subject(Measured(row, roles, scores, scores), "done"), {i: Record(i, "", i, "a text") for i in ids}


def epsilon(limit: float, right: float, copies: int = 1, **decide: Any) -> dict[str, Any]:
    study = study_of(max_epsilon=limit, **decide)
    of, records = canaries(right, copies)
    rules = rules_of(study)
    (row,) = verdict_rows(rules, [of], records, study, 1, frozenset(rule.sha256 for rule in rules))
    return row


def test_epsilon_is_exceeded_or_undecided_and_never_held() -> None:
    assert epsilon(1.0, 0.97)["verdict"] == "exceeded"
    low = epsilon(5.0, 0.5)
    assert (low["verdict"], low["high"]) == ("undecided", None)
    assert "lower bounds on epsilon alone" in low["reason"]
    assert low["would_decide"] == "no sample can hold it"
    assert "none of 1 is off (references)" in low["control"]


def test_epsilon_of_groups_is_read_where_the_stratum_names_them() -> None:
    assert "no canary has 1 copy" in epsilon(1.0, 0.97, copies=4)["reason"]
    row = epsilon(1.0, 0.97, copies=4, stratum="canaries@4")
    assert row["verdict"] == "exceeded"
    assert "group of 4" in row["reason"]
    assert "the subject has no canaries" in only(study_of(max_epsilon=1), subject(WEAK))["reason"]


# --- rules --------------------------------------------------------------------------------------------------------


def digest(**decide: Any) -> str:
    (rule,) = rules_of(study_of(**decide))
    return rule.sha256


def test_a_rule_is_another_where_anything_that_its_verdict_depends_on_is() -> None:
    others = [
        digest(max_auc=0.7),
        digest(max_auc=0.6, attack="loss"),
        digest(max_auc=0.6, stratum="canaries@2"),
        digest(max_auc=0.6, level=0.9),
        digest(max_auc=0.6, attacks=("loss", "zlib", "ratio")),
        digest(max_verbatim=0),
        digest(max_verbatim=0, draws=7),
        digest(max_tpr_at_fpr={0.1: 0.6}),
        digest(max_tpr_at_fpr={0.01: 0.6}),
        digest(max_epsilon=0.6),
        digest(equivalent_within=0.4),
    ]
    assert len({digest(max_auc=0.6), *others}) == len(others) + 1
    assert digest(max_verbatim=0, prompts=10) == digest(max_verbatim=0), "a larger sample is the same rule"
    assert digest(max_auc=0.6, draws=7) == digest(max_auc=0.6)


def test_the_rules_read_every_attack_of_an_outsider() -> None:
    rules: list[Rule] = rules_of(study_of(("all",), max_auc=0.6, max_tpr_at_fpr={0.1: 0.2, 0.01: 0.1}))
    assert [rule.name for rule in rules] == ["max_tpr_at_fpr 0.01", "max_tpr_at_fpr 0.1", "max_auc"]
    assert {len(rule.attacks) for rule in rules} == {15}
    assert not any("auditor" in rule.attacks for rule in rules)
