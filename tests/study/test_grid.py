"""The grid's trials, and content keys: frozen, with what is in and what is out."""

from typing import Any

import pytest

from byrote.errors import StudyError
from byrote.study import Lora, Training, Untargeted, grid, load_study
from byrote.study.grid import trials_of
from byrote.study.schedule import settle_warmup
from fake_studies import invented


def test_the_grid_is_the_product_of_its_axes():
    study = invented({"grid": {"rank": [1, 2], "matrices": [["q"], "v", ["q", "k"]], "seed": [13, 7]}})
    trials = trials_of(study)
    assert len(trials) == 2 * 3 * 2
    assert {(t.lora.rank, t.matrices, t.seed) for t in trials} == {
        (r, m, s) for r in (1, 2) for m in ("q", "v", "q,k") for s in (13, 7)
    }
    assert trials[0].label == "q · rank 1 · seed 13"


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        ({"grid": {"seed": [1, 1]}}, "grid.seed: 1 is listed twice"),
        ({"grid": {"rank": [1, 2], "matrices": [["q"], ["q"]]}}, r"grid.lora.matrices: \['q'\] is listed twice"),
        ({"grid": {"matrices": ["q", ["q"]]}}, r"grid.lora.matrices: 'q' and \['q'\] make the same trial"),
        ({"grid": {"matrices": [["q", "v"], ["v", "q"]]}}, "make the same trial"),
        ({"training": {"seed": 3}, "grid": {"seed": [1, 2]}}, "grid.seed: 1 and 2 make the same trial"),
    ],
)
def test_a_repeat_in_an_axis_is_named(raw: dict, words: str):
    with pytest.raises(StudyError, match=words):
        trials_of(invented(raw))


def test_several_grids_are_one_study_and_what_two_share_is_there_once():
    grids = [{"matrices": [["q"], ["v"]], "rank": [1]}, {"matrices": [["v"]], "rank": [1, 4]}, {"lora.dropout": [0.1]}]
    trials = trials_of(invented({"grid": grids}))
    alone = [trial for axes in grids for trial in trials_of(invented({"grid": axes}))]
    assert [grid.same_trial(trial) for trial in trials] == list(dict.fromkeys(map(grid.same_trial, alone)))
    assert len(trials) == len(alone) - 1
    with pytest.raises(StudyError, match="make the same trial"):
        trials_of(invented({"grid": [{"matrices": [["q", "v"], ["v", "q"]]}]}))


def test_seeds_are_an_axis_of_every_grid():
    study = invented({"seed": 5, "seeds": 3, "grid": [{"rank": [1]}, {"rank": [2]}]})
    assert [(t.rank, t.seed) for t in trials_of(study)] == [(r, s) for r in (1, 2) for s in (5, 6, 7)]
    assert [t.seed for t in trials_of(invented({"seeds": 2}))] == [13, 14]
    with pytest.raises(StudyError, match="leave one of the two out"):
        invented({"seeds": 2, "grid": {"seed": [1]}})
    with pytest.raises(StudyError, match="make the same trial"):
        trials_of(invented({"seeds": 2, "training": {"seed": 1}}))


def test_an_axis_on_the_command_line_is_one_of_every_grid():
    study = load_study({"corpus": {"source": "adverse_events"}, "grid": [{"rank": [1]}, {}]}, {"grid.rank": 8})
    assert study.grid == [{"lora.rank": [8]}, {"lora.rank": [8]}]


@pytest.mark.parametrize(("raw", "message"), [({"rank": 1}, "is a list of values"), ([1], "or a list of such grids")])
def test_what_is_no_grid(raw: Any, message: str):
    with pytest.raises(StudyError, match=message):
        invented({"grid": raw})


def test_no_grid_is_one_trial():
    assert len(trials_of(invented({}))) == 1


def test_seed_sets_training_and_canaries_together_or_either_alone():
    planted = {"canaries": {"design": "single", "copies": 2}}
    both = trials_of(invented({**planted, "grid": {"seed": [5]}}))[0]
    assert (both.training.seed, both.canaries.seed) == (5, 5)  # type: ignore[union-attr]
    alone = trials_of(invented({**planted, "training": {"seed": 9}, "grid": {"seed": [5]}}))[0]
    assert (alone.training.seed, alone.canaries.seed) == (9, 5)  # type: ignore[union-attr]
    axis = trials_of(invented({**planted, "grid": {"canaries.seed": [1, 2]}}))
    assert [(t.training.seed, t.canaries.seed) for t in axis] == [(13, 1), (13, 2)]  # type: ignore[union-attr]


def test_labels_tell_trials_apart():
    study = invented({"canaries": {"design": "single"}, "grid": {"copies": [1, 8], "lora.dropout": [0.0, 0.1]}})
    labels = [t.label for t in trials_of(study)]
    assert len(set(labels)) == 4
    assert "copies 8" in labels[-1]


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        ({"grid": {"rank": [1, 0]}}, ["lora.rank", "got 0"]),
        ({"grid": {"matrices": [["v"], ["w"]]}}, ["'w'"]),
        ({"grid": {"copies": [2]}}, ["canaries.copies", "'none'", "single"]),
        ({"grid": {"lora.rnk": [2]}}, ["lora.rnk", "lora.rank"]),
    ],
)
def test_a_wrong_value_of_an_axis_is_named(raw: dict, words: list[str]):
    with pytest.raises(StudyError) as error:
        trials_of(invented(raw))
    for word in words:
        assert word in str(error.value)


KEYS = {
    "base": grid.base_key("w", "t", "fp32", "none"),
    "roles": grid.roles_key("digest", invented({"canaries": {"design": "single", "seed": 3}}).canaries),
    "trial": grid.trial_key("base", "roles", "training", Lora(), Training(seed=1, warmup_steps=100)),
    "scores": grid.scores_key("parent", "records"),
    "completions": grid.completions_key("parent", "prompts", invented({}).extraction),
    "untargeted": grid.untargeted_key("parent", 0, invented({}).extraction),
    "canaries": grid.canaries_key("base", [["a", "text"]], {"texts": "synthetic"}),
    "sequences": grid.sequences_digest(["a", "b"], [[1, 2], []])[:16],
}


def test_a_key_takes_a_warmup_in_steps_alone():
    share = Training(seed=1, warmup_steps=0.1)
    with pytest.raises(ValueError, match="settled before its key"):
        grid.trial_key("base", "roles", "training", Lora(), share)
    for records in (2898, 10):
        steps = settle_warmup(records, share)
        whole = share.model_copy(update={"warmup_steps": steps.warmup_steps})
        keys = {grid.trial_key("base", "roles", "training", Lora(), settle_warmup(records, t)) for t in (share, whole)}
        assert len(keys) == 1


def test_keys_are_frozen():
    """A change here makes every stored run stale: raise METHOD_VERSION only when results change."""
    assert KEYS == GOLDEN


def test_everything_that_changes_the_result_changes_the_key():
    base = grid.trial_key("base", "roles", "training", Lora(), Training(seed=1, warmup_steps=100))
    others = [
        grid.trial_key("base2", "roles", "training", Lora(), Training(seed=1, warmup_steps=100)),
        grid.trial_key("base", "roles2", "training", Lora(), Training(seed=1, warmup_steps=100)),
        grid.trial_key("base", "roles", "training2", Lora(), Training(seed=1, warmup_steps=100)),
        *(
            grid.trial_key("base", "roles", "training", Lora(**{name: value}), Training(seed=1, warmup_steps=100))
            for name, value in {
                "matrices": ["q"],
                "rank": 2,
                "alpha": 8,
                "scaling": "rslora",
                "dropout": 0.0,
            }.items()
        ),
        *(
            grid.trial_key(
                "base", "roles", "training", Lora(), Training(**{"seed": 1, "warmup_steps": 100, name: value})
            )
            for name, value in {
                "epochs": 1,
                "learning_rate": 1e-4,
                "effective_batch": 8,
                "warmup_steps": 1,
                "weight_decay": 0.1,
                "max_grad_norm": 2.0,
                "steps": 5,
                "seed": 2,
            }.items()
        ),
    ]
    assert len({base, *others}) == len(others) + 1
    assert set(Lora.model_fields) == {"matrices", "rank", "alpha", "scaling", "dropout"}
    assert len(Training.model_fields) == 8


def test_how_many_records_are_prompted_is_in_the_prompts_not_in_the_decoding():
    some, more = ({"extraction": {"prompts": {"members": n}}} for n in (1, 2))
    keys = {grid.completions_key("p", "same prompts", invented(raw).extraction) for raw in (some, more)}
    assert len(keys) == 1
    warm = invented({"extraction": {"temperatures": [0.7]}}).extraction
    assert grid.completions_key("p", "same prompts", warm) not in keys


def test_how_canaries_are_written_is_in_the_records_not_in_the_roles():
    def keys(**changes: object) -> tuple[str, str]:
        plan = invented({"canaries": {"design": "many", "seed": 1, **changes}}).canaries
        return grid.roles_key("digest", plan), grid.canaries_key("base", [], plan.model_dump(mode="json"))

    plain = keys(texts="synthetic")
    for changes in ({"temperature": 2.0}, {"changed": 0.5}):
        roles, texts = keys(texts="synthetic", **changes)
        assert roles == plain[0]
        assert texts != plain[1]
    assert keys(texts="reserve")[0] != plain[0]
    assert keys(texts="synthetic", copies=[1])[0] != plain[0]


def test_completions_of_an_empty_prompt_have_a_key_of_their_own():
    def key(start: int = 0, parent: str = "p", **changes: object) -> str:
        return grid.untargeted_key(parent, start, invented({"extraction": changes}).extraction)

    base = key()
    wanted = ({"completions": 5}, {"tokens": 5}, {"temperature": 0.7})
    decoding = ({"top_k": 5}, {"top_p": 0.9}, {"seed": 1})
    others = [key(1), key(parent="p2"), *(key(untargeted=u) for u in wanted), *(key(**d) for d in decoding)]
    assert len({base, *others}) == len(others) + 1
    same = [key(untargeted={"least": 3}), key(untargeted={"attacks": ["loss"]}), key(temperatures=[0.3], samples=9)]
    assert {base} == set(same)
    assert set(Untargeted.model_fields) == {"completions", "tokens", "temperature", "least", "attacks"}
    prompted = {
        grid.completions_key("p", "prompts", invented({"extraction": {"untargeted": u}}).extraction)
        for u in ({}, {"completions": 0}, {"tokens": 3}, {"temperature": 0.1}, {"least": 2}, {"attacks": ["zlib"]})
    }
    assert len(prompted) == 1


GOLDEN = {
    "base": "e47834bbc344e264",
    "roles": "f0eb96153a99ac76",
    "trial": "e7a7012677291058",
    "scores": "2498314dc000d53c",
    "completions": "ea2b7cc0736f86f6",
    "untargeted": "246e21fad5d65da4",
    "canaries": "6c83a8f06af554b1",
    "sequences": "f25e47afc8e5b09a",
}
