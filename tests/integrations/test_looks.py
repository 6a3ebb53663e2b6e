"""When looks are, what their bounds say, and how often a bound is crossed by chance."""

import numpy as np
import pandas as pd
import pytest

from byrote.attacks import find_attacks
from byrote.errors import CorpusError, StudyError
from byrote.integrations.looks import Bound, bounds_of, crossings, error_of_each, measure, steps_to_look_at
from byrote.integrations.samples import draw, splits_of, tokenised
from byrote.lm import Tokenizer
from byrote.records import Assignment, Record, Role, TokenScores
from byrote.statistics.roc import auc
from byrote.tables.compared import Compared, compare_stratum, strata_of
from fakes import tiny_tokenizer

LOSS = find_attacks(["loss"])


def compared_of(members: np.ndarray, outside: np.ndarray, calibration: np.ndarray | None = None) -> Compared:
    """Records of one token each, with these log-probabilities."""
    sides = {Role.MEMBER: members, Role.NONMEMBER: outside, Role.CALIBRATION: calibration}
    roles = [
        Assignment(f"{role}{i}", role, 1)
        for role, values in sides.items()
        for i in range(0 if values is None else len(values))
    ]
    values = np.concatenate([v for v in sides.values() if v is not None]).astype(np.float32)
    names, zeros = tuple(a.record for a in roles), np.zeros(len(values), np.float32)
    scores = TokenScores(names, np.arange(len(values) + 1), values, zeros.astype(bool), zeros, zeros)
    records = {name: Record(name, "members", name, "text") for name in names}
    return compare_stratum(next(strata_of(roles)), roles, records, scores, scores, None)


def test_steps() -> None:
    assert steps_to_look_at(None, (), 9) == (9,)
    assert steps_to_look_at(3, (), 9) == (3, 6, 9)
    assert steps_to_look_at(4, (1, 8), 9) == (1, 4, 8, 9)
    assert steps_to_look_at(100, (9,), 9) == (9,)
    with pytest.raises(StudyError, match="at names step 0, but"):
        steps_to_look_at(None, (0,), 9)


def test_bounds_by_name_and_as_text() -> None:
    attacks = ["loss", "ratio"]
    assert bounds_of(None, attacks, (0.1,), False) == ()
    assert bounds_of("max_auc=0.7, max_auc_loss = 0.6", attacks, (0.1,), False) == (
        Bound("max_auc", 0.7, ("loss", "ratio")),
        Bound("max_auc_loss", 0.6, ("loss",)),
    )
    assert bounds_of({"max_tpr_at_fpr_0.1": 0.3}, attacks, (0.1,), True) == (
        Bound("max_tpr_at_fpr_0.1", 0.3, ("loss", "ratio"), 0.1),
    )
    assert error_of_each(0.025, 5, bounds_of("max_auc=0.7", attacks, (), False)) == 0.025 / 10


def test_sides_that_do_not_overlap_cross_a_bound() -> None:
    """A naive twin of the sign test: n pairs all alike have the chance AUCⁿ, which is the error at the bound."""
    compared = compared_of(np.linspace(-1, 0, 30), np.linspace(-3, -2, 20))
    numbers, missing = measure(compared, LOSS, (), 0.95)
    assert numbers["auc_loss"] == 1
    assert "do not overlap" in missing["auc_loss_low"]
    (words,) = crossings(compared, LOSS, [Bound("max_auc", 0.75, ("loss",))], 0.01)
    sure = next(area for area in np.linspace(0, 1, 100001) if area**20 >= 0.01)
    assert f"loss is at least {sure:.3f}, above max_auc = 0.75" in words
    assert not list(crossings(compared, LOSS, [Bound("max_auc", 0.8, ("loss",))], 0.01))


def test_rates_need_calibration_for_an_interval() -> None:
    rng = np.random.default_rng(3)
    members, outside, calibration = rng.normal(0.5, 1, 200), rng.normal(0, 1, 200), rng.normal(0, 1, 200)
    numbers, _ = measure(compared_of(members, outside, calibration), LOSS, (0.1,), 0.95)
    threshold = np.sort(calibration.astype(np.float32))[-20]
    assert numbers["tpr_at_fpr_0.1_loss"] == pytest.approx((members.astype(np.float32) >= threshold).mean())
    assert numbers["tpr_at_fpr_0.1_loss_low"] < numbers["tpr_at_fpr_0.1_loss"] < numbers["tpr_at_fpr_0.1_loss_high"]
    numbers, missing = measure(compared_of(members, outside), LOSS, (0.1, 0.001), 0.95)
    assert "tpr_at_fpr_0.1_loss" not in numbers
    assert numbers["auc_loss"] == pytest.approx(auc(members.astype(np.float32), outside.astype(np.float32)))
    assert "published_tpr_at_fpr_0.1_loss" in numbers
    assert "cannot resolve" in missing["published_tpr_at_fpr_0.001_loss"]


@pytest.mark.slow
def test_a_training_at_its_limit_is_stopped_no_more_often_than_the_error_says() -> None:
    """200 trainings of five looks at fresh scores whose true AUC is the limit, 0.76: at most 2.5% + chance are stopped,
    and of 40 with a true AUC of 0.92 nearly all."""

    def stopped(shift: float, trainings: int) -> int:
        rng = np.random.default_rng(7)
        bounds = [Bound("max_auc", 0.7602, ("loss",))]
        error = error_of_each(0.025, 5, bounds)
        looks = ((rng.normal(shift, 1, 100), rng.normal(0, 1, 100)) for _ in range(5 * trainings))
        crossed = [any(crossings(compared_of(*look), LOSS, bounds, error)) for look in looks]
        return int(np.reshape(crossed, (trainings, 5)).any(axis=1).sum())

    assert stopped(1.0, 200) <= 11  # P[Bin(200, 0.025) > 11] is 0.6%
    assert stopped(2.0, 40) >= 38


def test_a_sample_is_drawn_by_its_seed_from_both_sides() -> None:
    members, outside = ([f"{side} number {i} of many" for i in range(50)] for side in ("in", "out"))
    samples = [draw(splits_of(members, outside, None), size=10, seed=seed) for seed in (1, 1, 2)]
    assert samples[0].records == samples[1].records != samples[2].records
    assert [r.split for r in samples[0].records] == ["members"] * 10 + ["nonmembers"] * 10
    assert len({r.record for r in samples[0].records}) == 20


def test_a_data_frame_is_its_rows_and_a_group_stands_on_one_side() -> None:
    frame = pd.DataFrame({"text": ["one text", "two texts"], "patient": [1, 2]})
    outside = [{"text": "three", "patient": 3}]
    sample = draw(splits_of(frame, outside, None), size=5, seed=0, group="patient")
    assert [(r.text, r.group) for r in sample.records] == [("one text", "1"), ("two texts", "2"), ("three", "3")]
    with pytest.raises(CorpusError, match="1 groups"):
        draw(splits_of(frame, [{"text": "three", "patient": 2}], None), size=5, seed=0, group="patient")


def test_longer_records_are_cut_and_counted() -> None:
    ids = {"input_ids": [5, 6, 7, 8], "labels": [-100, 6, 7, 8]}
    sample = draw(splits_of([ids], ["a text of many tokens"], None), size=5, seed=0)
    cut = tokenised(sample, Tokenizer(tiny_tokenizer(), ""), append_eos=False, max_tokens=3)
    assert [len(r.token_ids) for r in cut.records] == [3, 3]
    assert cut.learned == {"members:1": (False, True, True)}
    assert cut.records[0].text == tiny_tokenizer().decode([6, 7])
    assert any("2 records are longer than 3 tokens" in note for note in cut.notes)
