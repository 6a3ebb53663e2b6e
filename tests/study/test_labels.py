"""Parts of labels: joined to be shown, kept apart in a plan, and read from plans that kept the label alone."""

import pytest

from byrote.study.grid import Trial, trials_of
from byrote.study.labels import (
    label_of_parts,
    label_without_seeds,
    parts_of_an_older_label,
    varied_from_text,
    varied_to_text,
)
from fake_studies import invented


def last_trial(grid: dict) -> Trial:
    return trials_of(invented({"canaries": {"design": "single"}, "grid": grid}))[-1]


CASES = [
    ({}, "", []),
    ({"rank": [1, 2], "matrices": ["q", ["q", "v"]], "seed": [5]}, "", []),
    ({"copies": [8], "training.seed": [7]}, "copies 8", ["copies 8"]),
    ({"canaries.seed": [7], "training.learning_rate": [0.01]}, "learning rate 0.01", ["seed 7", "learning rate 0.01"]),
    ({"lora.dropout": [0.0, 0.1], "copies": [1, 8]}, "dropout 0.1 · copies 8", ["dropout 0.1", "copies 8"]),
]


@pytest.mark.parametrize(("grid", "configuration", "varied"), CASES)
def test_a_label_holds_what_varies_and_its_parts_are_known_apart(grid: dict, configuration: str, varied: list[str]):
    trial = last_trial(grid)
    head = f"{trial.matrices} · rank {trial.lora.rank}"
    assert trial.label == " · ".join([head, *varied, f"seed {trial.seed}"])
    assert trial.configuration_label == " · ".join([head, *filter(None, [configuration])])
    assert varied_from_text(varied_to_text(trial.label_parts)) == varied


@pytest.mark.parametrize("grid", [grid for grid, _, _ in CASES])
def test_an_older_label_gives_the_same_words(grid: dict):
    trial = last_trial(grid)
    older = parts_of_an_older_label(trial.label)
    assert label_of_parts(older) == trial.label
    assert label_without_seeds(older) == trial.configuration_label
    assert varied_to_text(older) == varied_to_text(trial.label_parts)


def test_nothing_varied_is_an_empty_cell():
    assert varied_to_text(last_trial({}).label_parts) == ""
    assert varied_from_text("") == varied_from_text(None) == varied_from_text(float("nan")) == []
