"""Audits that have a limit of time: which documents they draw, and what a longer one uses again."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from byrote.errors import StudyError
from byrote.running import pipeline
from byrote.running.checks import checked_study
from byrote.running.cuts import cut_that_fits
from byrote.running.forecast import Rates
from byrote.running.planning import Prepared, prepare
from byrote.running.sampling import documents_in_order, draw, within_minutes
from byrote.store import Run
from byrote.store.rules import looks_of
from byrote.verdict import audit_of
from fakes import TEXTS, save_tiny_model

pytestmark = pytest.mark.usefixtures("one_figure")
DOCUMENTS = 20  # of each side, of one to three records


@pytest.fixture(scope="module")
def sides(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("sides")
    for side in ("members", "nonmembers", "calibration"):
        rows = [
            {"id": f"{side}{d}.{i}", "group": f"{side}{d}", "text": f"{TEXTS[(d + i) % 10][:-1]}, {side} {d} {i}."}
            for d in range(DOCUMENTS)
            for i in range(1 + d % 3)
        ]
        (folder / f"{side}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    names = {side: str(folder / f"{side}.jsonl") for side in ("members", "nonmembers", "calibration")}
    return {"source": "files", "id": "id", "group": "group", **names}


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_model(tmp_path_factory.mktemp("tuned") / "model", seed=1)


@pytest.fixture
def study(sides: dict[str, Any], tuned: Path, tiny_folder: Path) -> dict[str, Any]:
    return {
        "model": {"source": str(tiny_folder), "precision": "fp32"},
        "subjects": [{"model": str(tuned)}],
        "corpus": sides,
        "membership": {"attacks": ["ratio", "loss"], "primary": "ratio"},
        "statistics": {"bootstrap": 100},
        "extraction": {
            "temperatures": [0.0],
            "prompts": {"members": "all", "nonmembers": 2},
            "untargeted": {"completions": 0},
        },
        "decide": {"max_auc": 0.99, "max_verbatim": 20},
        "machine": {"workers": 1, "device": "cpu"},
    }


def rates(_prepared: Prepared, _threads: int) -> Rates:
    """So slow that records decide how long it takes."""
    return Rates(0.005, 0.005)


def prepared_for(study: dict[str, Any], minutes: float | None = None) -> Prepared:
    return prepare(checked_study({**study, "machine": {**study["machine"], "minutes": minutes}}))


def drawn_groups(prepared: Prepared) -> set[str]:
    return {r.group for r in prepared.scored_records}


def test_the_sides_take_turns_and_documents_are_whole(study: dict[str, Any]) -> None:
    records = prepared_for(study).records
    order = documents_in_order(records)
    assert sorted(r.record for document in order for r in document) == sorted(r.record for r in records)
    for document in order:
        (group,) = {r.group for r in document}
        assert len(document) == sum(r.group == group for r in records)
    splits = [document[0].split for document in order]
    assert splits == ["members", "nonmembers", "calibration"] * DOCUMENTS
    assert documents_in_order(records[::-1]) == [document[::-1] for document in order], "the file's order is nothing"


def test_fewer_minutes_draw_fewer_documents(study: dict[str, Any]) -> None:
    samples = [within_minutes(prepared_for(study, minutes), measure=rates) for minutes in (3, 3.4, 1000)]
    counts = [sample.drawn[-1]["documents"] for sample in samples]
    assert 30 <= counts[0] < counts[1] < counts[2] == 3 * DOCUMENTS
    few, more, everything = (drawn_groups(sample) for sample in samples)
    assert few < more < everything
    order = [document[0].group for document in documents_in_order(samples[0].records)]
    assert [few, more] == [set(order[:count]) for count in counts[:2]], "each is the start of one order"
    (left_out,) = [f for f in samples[0].findings if f.kind == "sample"]
    assert left_out.count == 3 * DOCUMENTS - counts[0]
    assert "of 39 members" in left_out.message
    assert not [f for f in samples[2].findings if f.kind == "sample"]


def test_the_cut_of_an_audit_is_fewer_documents(study: dict[str, Any]) -> None:
    prepared = prepared_for(study)
    cut = cut_that_fits(prepared, rates(prepared, 1), 3 / 60)
    assert cut
    assert cut.options == "--machine.minutes 3.0"
    assert cut.seconds <= 180
    assert cut_that_fits(prepared, rates(prepared, 1), 0.001) is None


def test_without_a_limit_and_with_time_for_all_the_keys_are_the_same(study: dict[str, Any]) -> None:
    plain = prepared_for(study)
    assert within_minutes(plain) is plain
    assert within_minutes(prepared_for(study, 1000), measure=rates).plan() == plain.plan()


def test_what_was_drawn_is_drawn_again_whatever_the_rates(study: dict[str, Any]) -> None:
    history = [{"minutes": 3, "documents": 33}]
    for minutes in (2, 3):
        sample = within_minutes(prepared_for(study, minutes), history, measure=rates)
        assert len(drawn_groups(sample)) == 33
    slower = within_minutes(prepared_for(study, 3.01), history, measure=lambda *_: Rates(1.0, 1.0))
    assert len(drawn_groups(slower)) == 33, "a run never measures less than it has"
    assert len(drawn_groups(within_minutes(prepared_for(study), history))) == 3 * DOCUMENTS


def test_too_little_time_is_one_line(study: dict[str, Any], tiny_study: dict[str, Any]) -> None:
    with pytest.raises(StudyError, match=r"machine\.minutes is 0\.01, but the smallest sample, 30 documents, takes"):
        within_minutes(prepared_for(study, 0.01), measure=rates)
    with pytest.raises(StudyError, match=r"machine\.minutes is 5, but only an audit"):
        checked_study({**tiny_study, "machine": {"minutes": 5}})


@pytest.mark.slow
def test_more_minutes_go_on_from_what_is_stored(study: dict[str, Any], tmp_path: Path) -> None:
    def run(minutes: float | None) -> dict[str, Any]:
        of = {**study, "machine": {**study["machine"], "minutes": minutes}}
        assert pipeline.run(of, tmp_path / "run", measure=rates).failures == ()
        return audit_of(Run.open(tmp_path / "run"))

    first, store = run(3), Run.open(tmp_path / "run")
    plan = store.plan()
    old = {"base": plan["base"]["scores"], "tuned": plan["trials"][0]["scores"]}
    (verbatim,) = [rule for rule in first["rules"] if rule["rule"] == "max_verbatim"]
    assert "of 39 members" in verbatim["reason"]
    assert "of all" not in verbatim["reason"], "no census"
    assert verbatim["high"] > verbatim["value"]
    assert any("documents were not measured" in words for words in first["not_tested"])
    assert "documents were not measured" in (tmp_path / "run" / "report.html").read_text()
    assert run(3)["look"] == 1, "the same sample is no new look"

    second, plan = run(3.4), store.plan()
    assert second["look"] == 2
    assert len(looks_of(store)) == 2
    new = {"base": plan["base"]["scores"], "tuned": plan["trials"][0]["scores"]}
    for model in ("base", "tuned"):
        before, after = store.scores(old[model]), store.scores(new[model])
        assert set(before.records) < set(after.records)
        assert np.array_equal(after.take(before.records).logprob, before.logprob)
        assert store.manifest(new[model])["reused"] == old[model]
        assert store.manifest(new[model])["tokens"] < store.manifest(old[model])["tokens"]
    assert store.scores(new["base"]).records == store.scores(new["tuned"]).records

    last = run(None)
    assert last["look"] == 3
    assert not any("documents were not measured" in words for words in last["not_tested"])
    (verbatim,) = [rule for rule in last["rules"] if rule["rule"] == "max_verbatim"]
    assert "of all 39 members" in verbatim["reason"]


def test_a_subject_without_its_first_scores_is_scored_in_the_same_parts(study: dict[str, Any]) -> None:
    sample = draw(prepared_for(study), [30, 45])
    assert [len({r.group for r in part}) for part in sample.parts] == [30, 15]
    base = sample.base.scores
    tuned = sample.planned[0].stages.scores
    assert set(sample.earlier) == {base, tuned}
    alone = draw(prepared_for(study), [30])
    assert sample.earlier == {base: (alone.base.scores,), tuned: (alone.planned[0].stages.scores,)}
    assert draw(prepared_for(study), [45]).base.scores != base, "other parts are other batches"


def test_a_shadow_is_scored_on_the_documents_drawn(study: dict[str, Any]) -> None:
    with_shadow = prepared_for(
        {**study, "controls": {"shadow": True}, "training": {"learning_rate": 1e-3, "epochs": 1, "effective_batch": 8}}
    )
    both, sampled = with_shadow.null_trials.planned, draw(with_shadow, [30]).null_trials.planned
    larger = draw(with_shadow, [30, 45])
    assert len(both) == len(sampled) == 2, "the second shadow too"
    for whole, sample, more in zip(both, sampled, larger.null_trials.planned, strict=True):
        assert sample.key == whole.key, "what it learns is the same"
        assert sample.stages.scores != whole.stages.scores
        assert more.stages.scores is not None
        assert larger.earlier[more.stages.scores] == (sample.stages.scores,)
