"""Which configurations of the grid a hypothesis speaks of."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from byrote.attacks import ATTACKS
from byrote.errors import StudyError
from byrote.study.grid import Trial, configuration_key, trial_at, trials_of
from byrote.study.labels import label_without_seeds
from byrote.study.mistakes import nearest
from byrote.study.settings import AXIS_ROOMS, Hypothesis, Study

_SEEDS = ("training.seed", "canaries.seed")


@dataclass(frozen=True)
class Named:
    """A hypothesis and the labels of the configurations on its two sides; `against` is empty for levels_off."""

    hypothesis: Hypothesis
    of: tuple[str, ...]
    against: tuple[str, ...]


def named_hypotheses(study: Study) -> list[Named]:
    """Each hypothesis of a study with the labels of its configurations (`label_without_seeds`).

    Raises StudyError where one names settings that no trial of the grid has, or one configuration on both sides.
    """
    if not study.claims.hypotheses:
        return []
    labels = _labels(trials_of(study))
    return [_named(study, hypothesis, labels) for hypothesis in study.claims.hypotheses]


def hypothesis_mistakes(study: Study, trials: Sequence[Any]) -> Iterator[str]:
    """What is wrong with the hypotheses of a study, a line each."""
    if not study.claims.hypotheses:
        return
    if study.subjects:
        yield "claims.hypotheses are about trials that are trained here, but subjects are given; leave either out"
        return
    measured, labels = study.membership.attacks, _labels(trials)
    for hypothesis in study.claims.hypotheses:
        where, attack = f"claims.hypotheses ({hypothesis.name})", hypothesis.attack
        if attack is not None and attack not in ATTACKS:
            yield f"{where}: no attack {attack!r}; there are {', '.join(ATTACKS)}{nearest(attack, list(ATTACKS))}"
        elif attack is not None and not {attack, "all"} & {*measured, study.membership.primary}:
            yield f"{where}: {attack!r} is not one of membership.attacks ({', '.join(measured)}); add it there"
        try:
            _named(study, hypothesis, labels)
        except StudyError as error:
            yield str(error)


def _labels(trials: Sequence[Trial]) -> dict[str, str]:
    """The label of each configuration of the grid, by `_configuration`."""
    return {_configuration(trial): label_without_seeds(trial.label_parts) for trial in trials}


def _named(study: Study, hypothesis: Hypothesis, labels: Mapping[str, str]) -> Named:
    of, against = (
        tuple(_label(study, hypothesis.name, point, labels) for point in points) for points in hypothesis.sides
    )
    every = [*of, *against]
    for label in every:
        if every.count(label) > 1:
            raise StudyError(
                f"claims.hypotheses ({hypothesis.name}): {label} is named twice, and nothing differs from itself; "
                "remove it from one place"
            )
    return Named(hypothesis, of, against)


def _label(study: Study, name: str, point: Mapping[str, Any], labels: Mapping[str, str]) -> str:
    where = f"claims.hypotheses ({name})"
    for setting in point:
        if setting.partition(".")[0] not in AXIS_ROOMS or setting in _SEEDS:
            raise StudyError(
                f"{where}: {setting!r} makes no configuration; name settings under {', '.join(AXIS_ROOMS)}, seeds apart"
            )
    label = labels.get(_configuration(trial_at(study, tuple(point.items()), where)))
    if label is None:
        words = ", ".join(f"{setting}: {value}" for setting, value in point.items())
        raise StudyError(
            f"{where}: no trial of the grid has {words}; add it to the grid, take the hypothesis out, or name settings "
            f"that are there: {'; '.join(list(labels.values())[:5])}{' …' if len(labels) > 5 else ''}"
        )
    return label


def _configuration(trial: Trial) -> str:
    """Equal for trials that differ in seeds alone; the order in which matrices are named is no difference."""
    settings = trial.settings
    lora = {**settings["lora"], "matrices": sorted(settings["lora"]["matrices"])}
    return configuration_key({**settings, "lora": lora})
