"""Names and combinations of settings that can be judged by reading the study alone: no corpus, no model, no torch."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from byrote.attacks import ATTACKS
from byrote.errors import ModelError, StudyError
from byrote.records import PROMPTS_STRATUM, RECORDS_STRATUM, canary_stratum, copies_in
from byrote.study.given import GivenTrial, given_trials, subject_names
from byrote.study.grid import Trial, trials_of
from byrote.study.hypotheses import hypothesis_mistakes
from byrote.study.mistakes import nearest, short
from byrote.study.paths import is_there
from byrote.study.settings import (
    FROM_ADAPTER,
    NO_BASE,
    SMOLLM2,
    Canaries,
    ManifestCanaries,
    ManyCanaries,
    Model,
    NoCanaries,
    RowsCorpus,
    Study,
)

DEVICE = re.compile(r"auto|cpu|cuda(:\d+)?")


def check_names(study: Study) -> tuple[Trial, ...] | tuple[GivenTrial, ...]:
    """The trials of a study whose names and combinations all hold; where subjects are given, one for each.

    Raises StudyError with every mistake, one a line, each with the setting, the value and the way out; ModelError where
    `model.source` is a path at which there is nothing.
    """
    mistakes = [*_attacks(study), *_repeats(study), *_device(study), *_decide(study)]
    try:
        trials = given_trials(study) if study.subjects else trials_of(study)
    except StudyError as error:
        raise StudyError("\n".join([*mistakes, str(error)])) from None
    mistakes += [*_manifests(trials), *_subjects(study), *_written_canaries(study, trials)]
    mistakes += hypothesis_mistakes(study, trials)
    if not isinstance(study.canaries, ManifestCanaries):  # which has to be read first
        mistakes += canary_mistakes(study, strata_planned(trials), dealt(study.canaries))
    if mistakes:
        raise StudyError("\n".join(mistakes))
    if study.model.source not in (FROM_ADAPTER, NO_BASE):
        local_base(study.model)
    return trials


def _subjects(study: Study) -> Iterator[str]:
    """Subjects that are given, and what cannot be asked of a study that has them, or only of one that has."""
    source, subjects = study.model.source, study.subjects
    if not subjects:
        if study.machine.minutes is not None:
            yield (
                f"machine.minutes is {study.machine.minutes:g}, but only an audit of given subjects can draw a part of "
                "its documents; set it to null, or give subjects"
            )
        if source in (FROM_ADAPTER, NO_BASE):
            yield (
                f"model.source {source!r} is for studies of given subjects; name the base model that is fine-tuned, or "
                "give subjects"
            )
        if study.controls.shadow:
            yield "controls.shadow is for given subjects; for trials that are trained here set controls.null_trial"
        return
    adapters = [subject.source for subject in subjects if subject.adapter is not None]
    axes = list(dict.fromkeys(axis for grid in study.grids for axis in grid))
    if axes:
        yield f"grid ({', '.join(axes)}) says what to train, but subjects are given; leave one of the two out"
    if not isinstance(study.canaries, NoCanaries | ManifestCanaries):
        yield (
            f"canaries.design is {study.canaries.design!r}, but a subject that is given has been trained already; "
            "set it to none, or to manifest where `byrote canaries make` put canaries into its data"
        )
    if study.controls.null_trial != "none":
        yield (
            "controls.null_trial tunes like the study's trials, but subjects are given; set it to none "
            "(controls.shadow tunes like a subject)"
        )
    if study.controls.shadow and source == NO_BASE:
        yield "controls.shadow tunes an adapter on the base model, but model.source is none; name that model"
    if study.controls.shadow and study.corpus.calibration is None and study.corpus.calibration_half is None:
        yield "controls.shadow learns half of the calibration documents, but corpus.calibration is null; name a split"
    if adapters and source == NO_BASE:
        yield f"model.source is none, but the adapter {adapters[0]!r} works on a base model alone; name that model"
    if len(adapters) < len(subjects) and source == FROM_ADAPTER:
        yield "model.source: a whole model does not say what it was tuned from; name its base model, or none"
    if source == NO_BASE:
        yield from _without_base(study)
    for name, times in Counter(subject_names(subjects)).items():
        if times > 1:
            yield f"subjects: {name!r} stands {times} times; leave one out, or give them a name each"


def _without_base(study: Study) -> Iterator[str]:
    """Attacks that the study asks for by name and that compare with a base model, which there is not."""
    alone = ", ".join(name for name, attack in ATTACKS.items() if not (attack.needs_base or attack.needs_shadow))
    asked = {"membership.primary": [study.membership.primary], "membership.attacks": study.membership.attacks}
    for setting, names in asked.items():
        for name in names:
            if name in ATTACKS and ATTACKS[name].needs_base:
                yield f"{setting}: {name!r} compares with a base model, and model.source is none; there are {alone}"


def local_base(model: Model) -> Path | None:
    """The file or folder that `model.source` names; None for the embedded model and for an id of the hub.

    Raises ModelError where there is nothing at the path, and for a revision of what is no hub id.
    """
    source, path = model.source, Path(model.source).expanduser()
    local = source != SMOLLM2 and (is_there(path) or _looks_like_path(source))
    if model.revision is not None and (local or source == SMOLLM2):
        raise ModelError(
            f"model.revision {model.revision!r} is for hub ids, but {source!r} is on this machine; set it to null"
        )
    if not local:
        return None
    if not is_there(path):
        raise ModelError(
            f"no such {'file' if path.suffix == '.gguf' else 'folder'}: {short(repr(source))} (model.source)"
        )
    return path


def _looks_like_path(source: str) -> bool:
    return source in (".", "..") or source.startswith(("/", "./", "../", "~")) or source.endswith(".gguf")


def strata_planned(trials: Sequence[Trial | GivenTrial]) -> list[str]:
    """The strata that can have two sides in these trials: `records`, and canaries of each number of copies dealt."""
    plans = [trial.canaries for trial in trials if isinstance(trial.canaries, ManyCanaries)]
    return [RECORDS_STRATUM, *(canary_stratum(copies) for copies in sorted({c for plan in plans for c in dealt(plan)}))]


def dealt(plan: Canaries) -> Counter[int]:
    """Copies → how many canaries of `many` get so many, planted and left out together."""
    if not isinstance(plan, ManyCanaries):
        return Counter()
    return Counter(plan.copies[i % len(plan.copies)] for i in range(plan.count))


def _attacks(study: Study) -> Iterator[str]:
    membership, ranking = study.membership, study.extraction.untargeted.attacks
    for setting, names in (("membership.attacks", membership.attacks), ("extraction.untargeted.attacks", ranking)):
        yield from (message for name in names for message in _unknown(setting, name, ["all", *ATTACKS]))
    yield from _unknown("membership.primary", membership.primary, list(ATTACKS))
    if study.audit.attack is not None:
        yield from _unknown("audit.attack", study.audit.attack, list(ATTACKS))
    yield from _of_a_shadow(study)
    if membership.primary in ATTACKS and not {membership.primary, "all"} & set(membership.attacks):
        yield (
            f"membership.primary is {membership.primary!r}, not one of membership.attacks "
            f"({', '.join(membership.attacks)}); add it there, or name one of them"
        )


def _of_a_shadow(study: Study) -> Iterator[str]:
    """Attacks that compare with a shadow, asked for where there is none to compare with."""
    membership = study.membership
    named = {"membership.attacks": membership.attacks, "membership.primary": [membership.primary]}
    for setting, names in named.items() if not study.controls.shadow else ():
        for name in names:
            if name in ATTACKS and ATTACKS[name].needs_shadow:
                yield f"{setting}: {name!r} compares with a shadow; set controls.shadow, or leave it out"
    of_canaries = study.decide.attack or study.audit.attack or membership.primary
    unscored = {
        "extraction.untargeted.attacks": study.extraction.untargeted.attacks,
        "audit.attack": [study.audit.attack, of_canaries if isinstance(study.canaries, ManifestCanaries) else None],
    }
    for setting, names in unscored.items():
        for name in names:
            if name in ATTACKS and ATTACKS[name].needs_shadow:
                yield f"{setting}: {name!r} compares with a shadow, which does not score these; name another attack"


def _unknown(setting: str, name: str, known: Sequence[str]) -> Iterator[str]:
    if name not in known:
        yield f"{setting}: no attack {name!r}; there are {', '.join(known)}{nearest(name, known)}"


def _repeats(study: Study) -> Iterator[str]:
    """Lists of which an item that stands twice would be measured and tabulated twice."""
    membership, extraction = study.membership, study.extraction
    lists: dict[str, Sequence[Any]] = {
        "membership.attacks": membership.attacks,
        "membership.false_positive_rates": membership.false_positive_rates,
        "extraction.untargeted.attacks": extraction.untargeted.attacks,
        **{f"extraction.{name}": getattr(extraction, name) for name in ("prefix", "temperatures")},
        **{f"extraction.{name}": getattr(extraction, name) for name in ("thresholds", "draws", "chances")},
    }
    for setting, values in lists.items():
        for value, times in Counter(values).items():
            if times > 1:
                yield f"{setting}: {value!r} is listed {times} times; once is enough"


def _device(study: Study) -> Iterator[str]:
    if not DEVICE.fullmatch(study.machine.device):
        known = ("auto", "cpu", "cuda")
        yield (
            f"machine.device must be auto, cpu, cuda or cuda:N, got {study.machine.device!r}"
            f"{nearest(study.machine.device, known)}"
        )


def canary_mistakes(study: Study, strata: Sequence[str], of_copies: Mapping[int, int]) -> Iterator[str]:
    """What is wrong with the settings that speak of canaries, where these strata are planned.

    of_copies: copies → how many canaries have so many, planted and left out together.
    """
    yield from _guesses(study, max(of_copies.values(), default=0))
    if study.corpus.masks_prompts:
        strata = [strata[0], PROMPTS_STRATUM, *strata[1:]]
    yield from _stratum("claims.stratum", study.claims.stratum, strata)
    if study.decide.asks:
        yield from _stratum("decide.stratum", study.decide.stratum, strata)


def _manifests(trials: Sequence[Trial | GivenTrial]) -> Iterator[str]:
    plans = [trial.canaries for trial in trials]
    if any(isinstance(plan, ManifestCanaries) for plan in plans) and any(plan != plans[0] for plan in plans):
        yield (
            "grid: canaries of a manifest are in the members' file, the same for every trial; leave canaries out of "
            "the grid"
        )


def _guesses(study: Study, most: int) -> Iterator[str]:
    guesses = study.audit.guesses
    if isinstance(guesses, int) and most and guesses > most:
        yield (
            f"audit.guesses is {guesses}, but at most {most} canaries have the same number of copies; lower it, or "
            "raise canaries.count"
        )


def _decide(study: Study) -> Iterator[str]:
    attack, measured = study.decide.attack, study.membership.attacks
    if study.decide.max_epsilon is not None and not isinstance(study.canaries, ManyCanaries | ManifestCanaries):
        yield (
            f"decide.max_epsilon is {study.decide.max_epsilon:g}, but only canaries that a coin put in or left out "
            "bound epsilon: --canaries manifest.json of `byrote canaries make` for an audit, else canaries.design many"
        )
    if attack is None:
        return
    yield from _unknown("decide.attack", attack, list(ATTACKS))
    if attack in ATTACKS and not {attack, "all"} & {*measured, study.membership.primary}:
        yield (
            f"decide.attack is {attack!r}, not one of membership.attacks ({', '.join(measured)}); add it there, or "
            "name one of them"
        )


def _stratum(setting: str, stratum: str, there: Sequence[str]) -> Iterator[str]:
    if stratum in there:
        return
    known = stratum in (RECORDS_STRATUM, PROMPTS_STRATUM) or copies_in(stratum) is not None
    what = "is not in this study" if known else "is no stratum"
    yield (
        f"{setting} {stratum!r} {what}; strata are written records, prompts or canaries@COPIES, and this "
        f"study has {', '.join(there)}{'' if known else nearest(stratum, there)}"
    )


def _written_canaries(study: Study, trials: Sequence[Trial | GivenTrial]) -> Iterator[str]:
    """Canaries that the base model writes are plain text, which no record of messages could be told from."""
    texts = {trial.canaries.texts for trial in trials if isinstance(trial.canaries, ManyCanaries)} - {"reserve"}
    if texts and isinstance(study.corpus, RowsCorpus) and study.corpus.text is None:
        yield (
            f"canaries.texts is {min(texts)!r}, which is for records of plain text; with corpus.messages or "
            "corpus.prompt set it to reserve"
        )
