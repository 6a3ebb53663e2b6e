"""Studies on records of messages and of prompt and completion, end to end on a tiny model."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from byrote.errors import CorpusError, StudyError
from byrote.records import Assignment, Record, Role
from byrote.running import pipeline
from byrote.running.planning import Prepared, prepare
from byrote.running.prompts import prompts_of
from byrote.store import Run
from byrote.study import Study, load_study
from byrote.study.checks import check_names
from byrote.study.grid import digest_of
from byrote.tables import build
from byrote.tables.compared import Parts, compare_stratum, strata_of
from fakes import save_chat_corpus, save_chat_model, tiny_study
from test_cli import byrote


def messages(question: str, answer: str) -> dict[str, Any]:
    """Every second question is longer."""
    question += " When?" if int(question[1]) % 2 else ""
    turns = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    return {"messages": turns, "prompt": question, "completion": answer}


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The tiny study on messages, one trial without canaries."""
    folder = tmp_path_factory.mktemp("chat")
    study = tiny_study(save_chat_model(folder / "model"), save_chat_corpus(folder / "corpus", messages))
    corpus = {**study["corpus"], "messages": "messages"}
    return {**study, "corpus": corpus, "canaries": {"design": "none"}, "grid": {}, "statistics": {"bootstrap": 100}}


@pytest.fixture(scope="module")
def finished(raw: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Run:
    out = tmp_path_factory.mktemp("finished") / "run"
    null = {**raw, "controls": {"null_trial": "first"}}
    with pytest.MonkeyPatch.context() as patch:
        from byrote import figures

        patch.setattr(figures, "FIGURES", {"roc": figures.FIGURES["roc"]})
        assert pipeline.run(load_study(null), out).failures == ()
    return Run.open(out)


def naive_loss(run: Run, record: Record, stage: str, *, answer: bool) -> float:
    """The mean log-probability over the part's tokens, one token at a time."""
    scores = run.scores(stage).take([record.record])
    part = [
        float(scores.logprob[place - 1])
        for place in range(1, len(record.token_ids))
        if record.answer_mask[place] == answer
    ]
    return sum(part) / len(part)


def test_answers_and_prompts_are_strata_of_the_same_records(finished: Run):
    tables, records = build(finished), {r.record: r for r in finished.records()}
    assert all(r.answer_mask for r in records.values())
    membership = tables.membership[tables.membership["attack"] == "loss"].set_index("stratum")
    assert list(membership.index) == ["records", "prompts"]
    assert (membership[["n_members", "n_nonmembers", "left_out"]] == [10, 10, 0]).all(axis=None)
    stage = finished.plan()["trials"][0]["scores"]
    for stratum, answer in (("records", True), ("prompts", False)):
        inside, outside = (
            [naive_loss(finished, r, stage, answer=answer) for r in records.values() if r.split == split]
            for split in ("members", "nonmembers")
        )
        wins = np.mean([(a > b) + 0.5 * (a == b) for a in inside for b in outside])
        assert membership.loc[stratum, "auc"] == pytest.approx(wins)
    null = tables.membership[tables.membership["attack"] == "ratio"].set_index("stratum")["control"]
    assert null.to_dict() == {"records": "null trial", "prompts": "null trial"}
    assert set(tables.records["record"]) == {r.record for r in records.values() if r.split == "members"}
    assert set(tables.records["role"]) == {"member"}


def test_perplexities_are_those_of_the_answers(finished: Run):
    records, stage = finished.records(), finished.plan()["trials"][0]["scores"]
    scores = finished.scores(stage)
    held_out = [r for r in records if r.split == "nonmembers"]
    logprobs = [
        float(x)
        for r in held_out
        for x, inside in zip(scores.take([r.record]).logprob, r.answer_mask[1:], strict=True)
        if inside
    ]
    (perplexity,) = build(finished).trials["perplexity_tuned"]
    assert perplexity == pytest.approx(np.exp(-np.mean(logprobs)), rel=1e-5)


def test_the_true_prompt_comes_first_then_shares_of_the_answer(finished: Run):
    rows = build(finished).extraction
    records = {r.record: r for r in finished.records()}
    assert sorted(rows["prefix"].unique()) == [0.0, 0.5]
    for row in rows.to_dict("records"):
        mask = records[row["record"]].answer_mask
        start, answer = mask.index(True), sum(mask)
        given = int(answer * row["prefix"])
        assert (row["prefix_tokens"], row["suffix_tokens"]) == (start + given, answer - given)
    run_suffixes = finished.completions(finished.plan()["trials"][0]["completions"])
    assert {c.suffix_text for c in run_suffixes if c.prefix == 0.0} <= {
        f"{r.text_of(answer=True)}<eos>" for r in records.values()
    }
    report = (finished.path / "report.html").read_text()
    for words in ("the true prompt", "prompts (masked)", "By their prompts alone, which the loss was not on: AUC"):
        assert words in report


def test_zlib_reads_the_text_of_the_part(finished: Run):
    records = {r.record: r for r in finished.records()}
    planned = finished.plan()["trials"][0]
    roles, scores, parts = finished.roles(planned["roles"]), finished.scores(planned["scores"]), Parts(records)
    answers, prompts = parts.answers(scores), parts.prompts(scores)
    assert answers is not None
    assert (answers.lengths + prompts.lengths).tolist() == scores.lengths.tolist()
    members = [r for r in records.values() if r.split == "members"]
    for stratum, part in zip(strata_of(roles, prompts=True), (answers, prompts), strict=True):
        shown = compare_stratum(stratum, roles, records, part, part, None).sides[0].text_bytes
        assert list(shown) == [r.text_of(answer=stratum.name == "records") for r in members]


def test_training_sees_the_mask_and_the_key_knows_it(raw: dict[str, Any]):
    study = load_study(raw)
    masked, whole = prepare(study), prepare(load_study(raw, {"corpus.loss_on": "all"}))
    assert masked.planned[0].training_ids == whole.planned[0].training_ids
    assert [r.answer_mask for r in masked.records[:10]] == list(masked.planned[0].training_masks)
    assert whole.planned[0].training_masks == ()
    assert masked.planned[0].key != whole.planned[0].key
    assert digest_of(masked.records) != digest_of(whole.records)


def planned(raw: dict[str, Any], **changes: Any) -> Prepared:
    return prepare(load_study(raw, {name.replace("__", "."): value for name, value in changes.items()}))


def test_a_cut_answer_keeps_its_mask_and_a_lost_one_is_told(raw: dict[str, Any]):
    prompts = [r.answer_mask.index(True) for r in planned(raw).records]
    cut = planned(raw, corpus__max_tokens=max(prompts) + 3)
    assert all(len(r.token_ids) == len(r.answer_mask) == max(prompts) + 3 for r in cut.records)
    assert min(sum(r.answer_mask) for r in cut.records) == 3
    some = planned(raw, corpus__max_tokens=max(prompts))
    lost = [r for r in some.records if not any(r.answer_mask)]
    (finding,) = (f for f in some.findings if f.kind == "answers_cut")
    assert 0 < finding.count == len(lost) < len(some.records)
    assert not {p.record for p in some.base_prompts} & {r.record for r in lost}
    with pytest.raises(CorpusError, match=r"no member any token of its answer.*raise corpus\.max_tokens"):
        planned(raw, corpus__max_tokens=min(prompts))


def test_the_last_of_several_answers_is_prompted(study: Study):
    mask = (False, True, True, False, False, True, True, True, True, False)
    record = Record("a", "members", "g", "", (), tuple(range(10)), answer_mask=mask)
    more = study.extraction.model_copy(update={"prefix": (0.5, 3.0, 0.1)})
    prompts = prompts_of(study.model_copy(update={"extraction": more}), [record], [Assignment("a", Role.MEMBER, 1)])
    assert [(p.prefix, p.start, p.suffix) for p in prompts] == [
        (0.0, (0, 1, 2, 3, 4), (5, 6, 7, 8)),
        (0.5, (0, 1, 2, 3, 4, 5, 6), (7, 8)),
        (3.0, (0, 1, 2, 3, 4, 5, 6, 7), (8,)),
    ]  # a tenth of four tokens is none: the true prompt once more, left out


def test_prompt_and_completion_are_read_and_tokens_shown(
    raw: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    path = tmp_path / "study.yaml"
    path.write_text(yaml.safe_dump(raw))
    assert byrote("plan", path, "--show-tokens") == 0
    shown = capsys.readouterr().out
    assert "members0: " in shown
    assert "masked |<|u|>|m|0|?|" in shown
    assert "loss   |" in shown
    pair = {"corpus": {**raw["corpus"], "messages": None, "prompt": "prompt", "completion": "completion"}}
    path.write_text(yaml.safe_dump({**raw, **pair}))
    assert byrote("plan", path, "--show-tokens") == 0
    assert "masked |m|0|?|" in capsys.readouterr().out


def test_strata_and_canaries_are_judged_from_the_study_alone(raw: dict[str, Any]):
    check_names(load_study({**raw, "claims": {"stratum": "prompts"}}))
    whole = {**raw, "corpus": {**raw["corpus"], "loss_on": "all"}, "claims": {"stratum": "prompts"}}
    with pytest.raises(StudyError, match="'prompts' is not in this study"):
        check_names(load_study(whole))
    written = {"design": "many", "count": 4, "copies": [1], "texts": "synthetic"}
    with pytest.raises(StudyError, match=r"canaries\.texts is 'synthetic'.*set it to reserve"):
        check_names(load_study({**raw, "canaries": written}))
