"""What a trainer's files say of an adapter, and what a shadow of it is trained with."""

import json
import pickle
from pathlib import Path

import pytest

from byrote.errors import ModelError, StudyError
from byrote.lm.trainer_settings import resolved_training, told_by_trainer
from byrote.study import Training

ARGUMENTS = {
    "learning_rate": 2e-4,
    "num_train_epochs": 3.0,
    "max_steps": -1,
    "per_device_train_batch_size": 8,
    "gradient_accumulation_steps": 4,
}
STATE = {
    "epoch": 1.5,
    "train_batch_size": 16,
    "log_history": [{"learning_rate": 1e-5}, {"learning_rate": 1e-3}, {"learning_rate": 5e-4}, {"eval_loss": 2.0}],
}


class Trap:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self):
        return Path.touch, (self.mark,)


@pytest.fixture
def adapter(tmp_path: Path) -> Path:
    folder = tmp_path / "trained" / "adapter"
    folder.mkdir(parents=True)
    return folder


def write(path: Path, content: object) -> None:
    path.write_text(json.dumps(content), encoding="utf-8")


def test_arguments_come_before_the_state_but_for_epochs_that_were_trained(adapter: Path) -> None:
    write(adapter / "trainer_state.json", STATE)
    write(adapter.parent / "training_args.json", ARGUMENTS)
    told = told_by_trainer(adapter)
    assert told.values == {"learning_rate": 2e-4, "epochs": 2, "effective_batch": 8 * 4}
    assert told.sources["effective_batch"] == "training_args.json (one device assumed)"


def test_the_state_alone_gives_the_highest_rate_and_epochs_rounded_up(adapter: Path) -> None:
    write(adapter / "trainer_state.json", STATE)
    told = told_by_trainer(adapter)
    assert told.values == {"learning_rate": 1e-3, "epochs": 2, "effective_batch": 16}
    assert told.sources["learning_rate"] == "trainer_state.json (the highest that was logged)"
    assert told.sources["epochs"] == "trainer_state.json (rounded up from 1.5)"


def test_max_steps_overrule_epochs_and_the_state_says_how_many_they_were(adapter: Path) -> None:
    write(adapter / "training_args.json", ARGUMENTS | {"max_steps": 100})
    assert "epochs" not in told_by_trainer(adapter).values
    write(adapter / "trainer_state.json", STATE)
    assert told_by_trainer(adapter).values["epochs"] == 2


def test_yaml_is_read_and_a_rate_without_a_dot_is_a_number(adapter: Path) -> None:
    (adapter / "training_args.yaml").write_text("learning_rate: 1e-4\n", encoding="utf-8")
    assert told_by_trainer(adapter).values == {"learning_rate": 1e-4}


def test_what_the_study_sets_comes_first(adapter: Path) -> None:
    write(adapter / "training_args.json", ARGUMENTS)
    training, origins = resolved_training(told_by_trainer(adapter), Training(learning_rate=5e-5), "bot")
    assert (training.learning_rate, training.epochs, training.effective_batch) == (5e-5, 3, 32)
    assert origins["learning_rate"] == "the study"
    assert origins["epochs"] == "training_args.json"


def test_a_pickle_is_never_opened_and_the_settings_to_give_are_named(adapter: Path, tmp_path: Path) -> None:
    mark = tmp_path / "sprung"
    (adapter / "training_args.bin").write_bytes(pickle.dumps(Trap(mark)))
    with pytest.raises(StudyError) as error:
        resolved_training(told_by_trainer(adapter), Training(epochs=2), "bot")
    assert not mark.exists()
    assert "training_args.bin is a pickle" in str(error.value)
    assert "--training.learning_rate, --training.effective_batch" in str(error.value)
    assert "--training.epochs" not in str(error.value)
    pickle.loads((adapter / "training_args.bin").read_bytes())
    assert mark.exists()  # the trap does work


def test_a_damaged_file_is_named(adapter: Path) -> None:
    (adapter / "trainer_state.json").write_text("{", encoding="utf-8")
    with pytest.raises(ModelError, match=r"trainer_state\.json cannot be read"):
        told_by_trainer(adapter)
    write(adapter / "trainer_state.json", [1])
    with pytest.raises(ModelError, match="holds no mapping"):
        told_by_trainer(adapter)
