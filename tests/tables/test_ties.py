"""Scores that tie at the top under rules on low false-positive rates."""

import math
from dataclasses import replace

import numpy as np
import pytest

from byrote.statistics.roc import auc, threshold_at_most
from byrote.tables.compared import Scored, ScoredStratum
from byrote.tables.ties import ties_at_top, ties_broken
from fake_subjects import ROLES, N, only, stratum_of, study_of, subject


def capped(stratum: ScoredStratum, name: str, cap: float) -> ScoredStratum:
    """The stratum with the scores of one attack cut off at the top, so that they tie there."""
    old = stratum.scores[name]
    new = Scored(name, *(np.minimum(side, cap) for side in (old.members, old.nonmembers, old.calibration)))
    return replace(stratum, scores={**stratum.scores, name: new})


@pytest.mark.parametrize(("cap", "tied"), [(0.0, True), (1.0, True), (9.0, False)])
def test_ties_are_seen_where_no_threshold_keeps_the_rate(cap: float, tied: bool) -> None:
    scored = capped(stratum_of({"loss": 0.0}), "loss", cap).scores["loss"]
    assert ties_at_top(scored, 0.1) is tied
    assert not ties_at_top(replace(scored, calibration=scored.calibration[:9]), 0.1)  # too few, which is another reason


def test_broken_ties_keep_the_order_of_what_differs_and_every_gap() -> None:
    stratum = capped(stratum_of({"loss": 0.0}), "loss", 0.5)
    scored = stratum.scores["loss"]
    scored.members[3] = math.nan
    broken = ties_broken(stratum.compared, scored)
    before = np.concatenate([scored.members, scored.nonmembers, scored.calibration])
    after = np.concatenate([broken.members, broken.nonmembers, broken.calibration])
    assert np.isnan(after).tolist() == np.isnan(before).tolist()
    pairs = [(a, b) for a in range(len(before)) for b in range(len(before)) if before[a] < before[b]]
    assert all(after[a] < after[b] for a, b in pairs)
    assert len(set(after[~np.isnan(after)].tolist())) == len(before) - 1
    assert threshold_at_most(broken.calibration, 0.1) > 0
    again = ties_broken(stratum.compared, scored)
    assert (again.members[4:] == broken.members[4:]).all()


def test_chance_knows_nothing_of_who_is_a_member() -> None:
    stratum = stratum_of({"loss": 0.0})
    level = Scored("loss", np.ones(N), np.ones(N), np.ones(N))
    broken = ties_broken(stratum.compared, level)
    assert abs(auc(broken.members, broken.nonmembers) - 0.5) < 3 * math.sqrt(1 / (6 * N))
    assert len(ROLES) == 3 * N


def test_a_rule_that_reads_an_attack_with_ties_is_decided() -> None:
    study = study_of(max_tpr_at_fpr={0.1: 0.8})
    weak = subject({"loss": 0.1, "zlib": 0.0})
    tied = replace(weak, strata={"records": capped(weak.strata["records"], "zlib", 0.2)})
    row = only(study, tied)
    assert row["verdict"] == "held"
    assert row["reason"].endswith("; scores of zlib tie at the top, and chance decides which of these are called")
    assert "tie at the top" not in only(study, weak)["reason"]


def test_chance_finds_no_more_than_its_share_of_those_that_tie() -> None:
    study = study_of(max_tpr_at_fpr={0.1: 0.5}, attack="zlib")
    leak = subject({"loss": 0.1, "zlib": 3.0})
    assert only(study, leak)["verdict"] == "exceeded"
    tied = replace(leak, strata={"records": capped(leak.strata["records"], "zlib", -0.5)})
    row = only(
        study, tied
    )  # nearly all members tie with about two in three non-members: a tenth is about a seventh of these
    assert row["verdict"] == "held"
    assert row["value"] == pytest.approx(0.15, abs=0.1)
