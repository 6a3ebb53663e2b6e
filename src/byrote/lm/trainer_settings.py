"""How a given adapter was tuned, as far as its trainer wrote it down in files that can be read without running code."""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from byrote.errors import ModelError, StudyError
from byrote.lm.trainer_state import STATE
from byrote.study import Training

ARGUMENTS = ("training_args.json", "training_args.yaml", "training_args.yml")
PICKLED = "training_args.bin"  # torch.save of a Python object: to open it is to run whatever it says
NEEDED = ("learning_rate", "epochs", "effective_batch")


@dataclass(frozen=True)
class Told:
    """What the files of a trainer say. values: fields of Training · sources: where each of them was taken from, in
    words · pickled: whether there is a training_args.bin, which is never opened."""

    values: Mapping[str, float | int]
    sources: Mapping[str, str]
    pickled: bool = False


def told_by_trainer(folder: Path) -> Told:
    """Learning rate, epochs and records an optimizer step of an adapter in `folder`, from files in it or one folder
    up, the adapter's folder first. training_args.json or .yaml comes before trainer_state.json, but for the epochs:
    a checkpoint has had those of its state, which may be fewer than were planned.

    trainer_state.json logs the learning rate at some steps, whose highest is taken, and the batch of one device before
    accumulation. Neither file says how many devices there were: one is assumed. The sources say so. ModelError where
    such a file is no mapping.
    """
    folders = (folder, folder.resolve().parent)
    arguments, state = _first(folders, ARGUMENTS, _of_arguments), _first(folders, (STATE,), _of_state)
    found = state | arguments
    if "epochs" in state:
        found["epochs"] = state["epochs"]
    values = {field: value for field, (value, _) in found.items()}
    sources = {field: source for field, (_, source) in found.items()}
    return Told(values, sources, any((place / PICKLED).is_file() for place in folders))


def _first(
    folders: Sequence[Path],
    names: Sequence[str],
    read: Callable[[Mapping[str, Any]], dict[str, tuple[float | int, str]]],
) -> dict[str, tuple[float | int, str]]:
    """What the first of these files says that says it, each with the file's name before the remark."""
    found: dict[str, tuple[float | int, str]] = {}
    for path in (place / name for place in folders for name in names):
        if path.is_file():
            said = {field: (value, path.name + remark) for field, (value, remark) in read(_mapping(path)).items()}
            found = said | found
    return found


def resolved_training(told: Told, study: Training, subject: str) -> tuple[Training, dict[str, str]]:
    """The training settings of a shadow of `subject`, and where each came from: what the study sets explicitly, else
    what the trainer's files say, else, of what is not in NEEDED, the default. StudyError where one of NEEDED is
    unknown."""
    explicit = {field for field in study.model_fields_set if getattr(study, field) is not None}
    unknown = [field for field in NEEDED if field not in explicit and field not in told.values]
    if unknown:
        flags = ", ".join(f"--training.{field}" for field in unknown)
        why = f"; {PICKLED} is a pickle, which byrote does not open" if told.pickled else ""
        raise StudyError(f"the files of {subject} do not say how it was tuned{why}; give {flags} for its shadow")
    taken = {field: value for field, value in told.values.items() if field not in explicit}
    origins = {field: told.sources[field] for field in taken} | dict.fromkeys(sorted(explicit), "the study")
    return study.model_copy(update=taken), origins


def _mapping(path: Path) -> dict[str, Any]:
    """The mapping that a JSON or YAML file holds."""
    try:
        text = path.read_text(encoding="utf-8")
        content = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
    except (OSError, ValueError, yaml.YAMLError) as error:
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise ModelError(f"{path} cannot be read ({first}); mend it or move it away") from error
    if not isinstance(content, dict):
        raise ModelError(f"{path} holds no mapping of settings; mend it or move it away")
    return content


def _of_arguments(content: Mapping[str, Any]) -> dict[str, tuple[float | int, str]]:
    """By the names of transformers' TrainingArguments."""
    found: dict[str, tuple[float | int, str]] = {}
    if rate := _positive(content.get("learning_rate")):
        found["learning_rate"] = rate, ""
    # max_steps above 0 overrules num_train_epochs
    if not _positive(content.get("max_steps")) and (epochs := _positive(content.get("num_train_epochs"))):
        found["epochs"] = _whole(epochs)
    micro = _positive(content.get("per_device_train_batch_size"))
    accumulation = _positive(content.get("gradient_accumulation_steps", 1))
    if micro and accumulation and micro * accumulation >= 1:
        found["effective_batch"] = int(micro * accumulation), " (one device assumed)"
    return found


def _of_state(content: Mapping[str, Any]) -> dict[str, tuple[float | int, str]]:
    """By the names of transformers' TrainerState."""
    found: dict[str, tuple[float | int, str]] = {}
    history = content.get("log_history")
    entries = [entry for entry in history if isinstance(entry, dict)] if isinstance(history, list) else []
    logged = [_positive(entry.get("learning_rate")) for entry in entries]
    if rates := [rate for rate in logged if rate]:
        found["learning_rate"] = max(rates), " (the highest that was logged)"
    if epochs := _positive(content.get("epoch")):
        found["epochs"] = _whole(epochs)
    if (batch := _positive(content.get("train_batch_size"))) and batch >= 1:
        found["effective_batch"] = int(batch), " (one device and no gradient accumulation assumed)"
    return found


def _whole(epochs: float) -> tuple[int, str]:
    """Epochs as a whole number, at least 1, and a remark where they were rounded up."""
    whole = math.ceil(epochs)
    return whole, "" if whole == epochs else f" (rounded up from {epochs:g})"


def _positive(value: Any) -> float | None:
    """A finite number above 0, also one that YAML reads as text, such as 1e-4; else None."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except ValueError:
        return None
    return number if math.isfinite(number) and number > 0 else None
