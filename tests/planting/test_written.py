"""Canaries that the base model writes: alike, new, long enough, the same every time, and where they go in a run."""

from pathlib import Path
from typing import Any

import pytest
import torch

from byrote import lm
from byrote.errors import StudyError
from byrote.passes.canaries import LEAST_TOKENS, invent
from byrote.planting.roles import template
from byrote.planting.written import Invented, Recipe, recipe_of, stand_ins
from byrote.records import CANARIES, MEMBERS, Record, Role
from byrote.running import pipeline
from byrote.running.planning import prepare
from byrote.store import Run
from byrote.study import ManyCanaries, load_study
from byrote.study.grid import trials_of
from fakes import TEXTS, tiny_tokenizer

PLAN = {"design": "many", "count": 6, "copies": [1, 2], "references": 3, "seed": 1}
LONG = "The patient developed a mild rash on the third day of the new treatment and it settled."


@pytest.fixture
def base(tiny_folder: Path) -> lm.Base:
    return lm.load_base(lm.resolve_base(str(tiny_folder)), "fp32", "none", torch.device("cpu"))


@pytest.fixture
def tokenizer(tiny_folder: Path) -> lm.Tokenizer:
    return lm.load_tokenizer(lm.resolve_base(str(tiny_folder)))


def recipe(**changes: Any) -> Recipe:
    encode = tiny_tokenizer()
    texts = [LONG, *TEXTS]
    members = tuple(
        Record(f"m{i}", MEMBERS, f"g{i}", text, (), tuple(encode(text).input_ids)) for i, text in enumerate(texts)
    )
    return Recipe(ManyCanaries(**{**PLAN, **changes}), members, frozenset(texts), "key")


@pytest.mark.parametrize("texts", ["synthetic", "reformulated"])
def test_texts_are_new_long_enough_and_the_same_every_time(base: lm.Base, tokenizer: lm.Tokenizer, texts: str) -> None:
    reported: list[int] = []
    written = invent(recipe(texts=texts), base.model, tokenizer, 128, reported.append)
    assert len(written.texts) == len(set(written.texts)) == sum(reported) == 9
    assert not set(written.texts) & {LONG, *TEXTS}
    assert all(len(ids) >= LEAST_TOKENS for ids in tokenizer.encode(list(written.texts), append_eos=False))
    assert all("\n" not in text for text in written.texts) or texts == "reformulated"
    assert invent(recipe(texts=texts), base.model, tokenizer, 128, reported.append) == written
    other = invent(recipe(texts=texts, reserve_seed=1), base.model, tokenizer, 128, reported.append)
    assert not set(other.texts) & set(written.texts)


def test_a_reformulation_redraws_the_share_asked_for(
    base: lm.Base, tokenizer: lm.Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Compared before the text is tokenised again, which may cut it otherwise."""
    prompts: list[tuple[int, ...]] = []
    decode = lm.Tokenizer.decode
    monkeypatch.setattr(lm.Tokenizer, "decode", lambda self, ids: (prompts.append(tuple(ids)), decode(self, ids))[1])
    wanted = recipe(texts="reformulated", changed=0.25)
    ids = template(wanted.members, wanted.plan).token_ids
    invent(wanted, base.model, tokenizer, 128, lambda _: None)
    assert len(prompts) >= 9
    for drawn in prompts:
        assert len(drawn) == len(ids)
        changed = [place for place, (new, old) in enumerate(zip(drawn, ids, strict=True)) if new != old]
        assert len(changed) == round(0.25 * (len(ids) - 1))
        assert 0 not in changed


def test_redrawn_tokens_come_from_what_stands_before_them(base: lm.Base, tokenizer: lm.Tokenizer) -> None:
    """At temperature near 0 a redrawn token is the likeliest other one after the text so far, one pass at a time."""
    wanted = recipe(texts="reformulated", temperature=1e-4, changed=0.2)
    ids = list(template(wanted.members, wanted.plan).token_ids)
    written = invent(wanted, base.model, tokenizer, 128, lambda _: None).texts
    expected = set()
    import numpy as np

    for number in range(30):
        generator = np.random.default_rng([0, number])
        places = set(1 + generator.choice(len(ids) - 1, round(0.2 * (len(ids) - 1)), replace=False))
        text = ids[:1]
        for place in range(1, len(ids)):
            with torch.no_grad():
                logits = base.model(input_ids=torch.tensor([text])).logits[0, -1]
            logits[ids[place]] = -torch.inf
            text.append(int(logits.argmax()) if place in places else ids[place])
        expected.add(tokenizer.decode(text).strip())
    assert set(written) <= expected


def test_too_few_usable_texts_is_an_error_with_the_way_out(base: lm.Base, tokenizer: lm.Tokenizer) -> None:
    """A template of which one token is redrawn at temperature near 0 has few variants."""
    wanted = recipe(texts="reformulated", temperature=1e-4, changed=0.01, count=60)
    with pytest.raises(StudyError, match=r"only \d+ are new .* 63 are needed; raise canaries\.temperature"):
        invent(wanted, base.model, tokenizer, 128, lambda _: None)


def written_study(tiny_study: dict, **changes: Any) -> Any:
    canaries = {**PLAN, "texts": "synthetic", **changes}
    return load_study({**tiny_study, "canaries": canaries, "grid": {"matrices": [["q"]], "rank": [2]}})


@pytest.mark.slow
@pytest.mark.usefixtures("one_figure")
def test_a_run_with_written_canaries(tiny_study: dict, tmp_path: Path) -> None:
    study = written_study(tiny_study)
    outcome = pipeline.run(study, tmp_path / "run")
    assert not outcome.failures
    run = Run.open(tmp_path / "run")
    texts = [r for r in run.records() if r.split == CANARIES]
    assert len(texts) == 9
    assert len({r.group for r in texts}) == 9
    roles = {a.record: a.role for a in run.roles(run.plan()["trials"][0]["roles"])}
    assert {roles[r.record] for r in texts} <= {Role.CANARY_IN, Role.CANARY_OUT, Role.REFERENCE}
    assert sum(role is Role.MEMBER for role in roles.values()) == 12
    (stage,) = (tmp_path / "run" / "base").glob("*/canaries.parquet")
    assert stage.stat().st_mode & 0o077 == 0

    def again(*_: object) -> None:
        raise AssertionError("the canaries are there")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipeline, "write_canaries", again)
        pipeline.run(study, tmp_path / "run")


def test_a_forecast_takes_texts_of_like_length_and_no_weights(tiny_study: dict) -> None:
    prepared = prepare(written_study(tiny_study))
    texts = [r for r in prepared.records if r.split == CANARIES]
    assert len(texts) == 9
    assert {r.text for r in texts} <= {r.text for r in prepared.records if r.split == MEMBERS}


def test_what_was_drawn_again_is_said(tiny_study: dict) -> None:
    def make(recipe: Recipe, precision: str) -> Invented:
        return Invented(stand_ins(recipe, precision).texts, 4)

    findings = prepare(written_study(tiny_study), make=make).findings
    assert [f.count for f in findings if f.kind == "redrawn"] == [4]


@pytest.mark.parametrize("axis", [{"canaries.temperature": [1.0, 2.0]}, {"canaries.texts": ["reserve", "synthetic"]}])
def test_one_set_of_texts_a_run(tiny_study: dict, axis: dict[str, Any]) -> None:
    study = load_study({**tiny_study, "canaries": {**PLAN, "texts": "synthetic"}, "grid": axis})
    with pytest.raises(StudyError, match="one set of canaries per run"):
        recipe_of(trials_of(study), [], "base")


def test_copies_and_seeds_may_vary_over_the_same_texts(tiny_study: dict) -> None:
    axes = {"canaries.copies": [[1], [4]], "canaries.seed": [1, 2]}
    study = load_study({**tiny_study, "canaries": {**PLAN, "texts": "synthetic"}, "grid": axes})
    assert recipe_of(trials_of(study), [], "base") is not None
    plain = load_study({**tiny_study, "grid": {}})
    assert recipe_of(trials_of(plain), [], "base") is None
