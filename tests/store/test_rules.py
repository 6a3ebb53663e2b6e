"""When rules were set and how often results were looked at, as a run folder keeps it."""

import json
from pathlib import Path

import pytest

from byrote.store import Run
from byrote.store.rules import fix_rules, has_results, look_at, looks_of, rules_history, standing_of
from byrote.study.rules import rules_of
from fake_studies import invented


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path)


def rules(**decide: object) -> list:
    return rules_of(invented({"decide": decide}))


def score(run: Run, stage: str, content: bytes = b"1") -> None:
    """A finished stage of scores with some bytes."""
    if (run.path / stage).is_dir():
        run.remove(stage)
    with run.stage(stage, {}) as draft:
        (draft.folder / "scores.parquet").write_bytes(content)


def test_rules_stand_with_their_time_before_any_score(run: Run) -> None:
    asked = rules(max_auc=0.6, max_verbatim=0)
    fix_rules(run, asked)
    fix_rules(run, asked)
    (entry,) = rules_history(run)
    assert not entry["after_results"]
    assert entry["set"].startswith("20")
    assert [row["setting"] for row in entry["rules"]] == ["max_auc", "max_verbatim"]
    assert [row["sha256"] for row in entry["rules"]] == [rule.sha256 for rule in asked]
    score(run, "trials/a/scores/b")
    assert standing_of(run, asked).before == {rule.sha256 for rule in asked}
    assert standing_of(run, asked).dropped == ()


def test_without_rules_nothing_is_written(run: Run) -> None:
    fix_rules(run, [])
    assert list(run.path.iterdir()) == []


def test_what_is_changed_before_results_counts_as_fixed(run: Run) -> None:
    for limit in (0.6, 0.7):
        fix_rules(run, rules(max_auc=limit))
    standing = standing_of(run, rules(max_auc=0.7))
    assert (len(standing.before), standing.dropped) == (1, ())
    assert standing_of(run, rules(max_auc=0.6)).before.isdisjoint(r.sha256 for r in rules(max_auc=0.6))


def test_what_is_added_or_changed_after_results_is_marked_and_what_is_dropped_is_named(run: Run) -> None:
    first = rules(max_auc=0.6)
    fix_rules(run, first)
    score(run, "base/b")
    changed = rules(max_auc=0.7, max_verbatim=0)
    fix_rules(run, changed)
    assert [entry["after_results"] for entry in rules_history(run)] == [False, True]
    standing = standing_of(run, changed)
    assert standing.before == {first[0].sha256}
    assert [row["limit"] for row in standing.dropped] == [0.6]
    fix_rules(run, first)  # what was fixed beforehand may be taken up again
    assert standing_of(run, first).dropped == ()
    assert len(rules_history(run)) == 3


def test_rules_that_are_not_written_down_were_not_fixed(run: Run) -> None:
    score(run, "base/b")
    fix_rules(run, rules(max_auc=0.6))
    assert standing_of(run, rules(max_auc=0.6)).before == frozenset()


def test_a_stage_that_is_not_finished_or_holds_canaries_is_no_result(run: Run) -> None:
    assert not has_results(run)
    with run.stage("base/written", {}) as draft:
        (draft.folder / "canaries.parquet").write_bytes(b"1")
    (run.path / "trials/a/scores/.part-c").mkdir(parents=True)
    (run.path / "trials/a/scores/.part-c/scores.parquet").write_bytes(b"1")
    assert not has_results(run)
    score(run, "trials/a/scores/b")
    assert has_results(run)


def test_looks_are_counted_by_what_was_looked_at(run: Run) -> None:
    stages = ["base/b", "trials/a/scores/b", "trials/c/scores/b"]
    score(run, stages[0])
    score(run, stages[1])
    assert look_at(run, stages, keep=False) == 1
    assert looks_of(run) == []
    assert [look_at(run, stages, keep=True) for _ in "abc"] == [1, 1, 1]
    score(run, stages[2])
    assert look_at(run, stages, keep=False) == 2
    assert look_at(run, stages, keep=True) == 2
    score(run, stages[2], b"other bytes")
    assert look_at(run, stages, keep=True) == 3
    run.remove(stages[2])
    assert look_at(run, stages, keep=True) == 1, "the results of the first look again"
    assert [look["look"] for look in json.loads((run.path / "looks.json").read_text())] == [1, 2, 3]
