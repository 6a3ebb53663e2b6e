"""Shadows of given subjects: adapters that are tuned like them on half of the calibration documents. A shadow is the
null trial of its subject, and the reference of an attacker who has such documents (SPV-MIA, arXiv 2311.06062). A second
shadow, of the same documents with another seed, takes the subject's place as the control of that attacker's attacks."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from byrote import lm
from byrote.corpora import Finding
from byrote.lm.adapter_lora import lora_of
from byrote.lm.trainer_settings import resolved_training, told_by_trainer
from byrote.planting.roles import training_records
from byrote.records import CALIBRATION, Record, Role
from byrote.running.null_trials import MOST_EPOCHS, NullTrials, in_steps, trained_on
from byrote.study import Lora, NoCanaries, Study, Training
from byrote.study.grid import Keys, Trial
from byrote.study.schedule import settle_warmup, steps_of

if TYPE_CHECKING:
    from byrote.running.planning import Planned


@dataclass(frozen=True)
class Shadow:
    """The shadow of one subject. wanted: the subject's optimizer steps · taken: setting → where it was taken from, in
    words."""

    subject: str
    planned: "Planned"
    wanted: int
    taken: Mapping[str, str]

    @property
    def steps(self) -> int:
        """Its own optimizer steps."""
        return steps_of(len(self.planned.training_ids), self.planned.trained.training)


def plan_shadows(
    study: Study, planned: Sequence["Planned"], records: Sequence[Record], keys: Keys, base: lm.BaseFiles
) -> NullTrials:
    """One shadow for each different configuration of the subjects, all on the records that have the role.

    Raises StudyError where a subject's training is not known, ModelError where its matrices are not.
    """
    of_role = {a.record for a in planned[0].roles if a.role is Role.SHADOW}
    learned = [r for r in records if r.record in of_role]
    shadows = [_shadow(study, subject, (records, learned), keys, base) for subject in planned]
    first = {shadow.planned.key: shadow for shadow in reversed(shadows)}
    distinct = [first[key] for key in dict.fromkeys(shadow.planned.key for shadow in shadows)]
    names = {d.planned.key: [s.subject for s in shadows if s.planned.key == d.planned.key] for d in distinct}
    of_subjects = {key: f" of {', '.join(of)}" if len(distinct) > 1 else "" for key, of in names.items()}
    second = {
        d.planned.key: _second(d.planned, planned[0], learned, keys) for d in distinct if study.controls.second_shadow
    }
    return NullTrials(
        planned=(*(shadow.planned for shadow in distinct), *second.values()),
        of={subject.key: (shadow.planned.key, False) for subject, shadow in zip(planned, shadows, strict=True)},
        findings=(
            _cut(study, records, learned),
            *(f for s in shadows for f in _findings(s)),
            *([_of_second(distinct)] if second else []),
        ),
        shadow={
            "seed": study.seed,
            "records": len(learned),
            "documents": len({r.group for r in learned}),
            "taken": {shadow.subject: dict(shadow.taken) for shadow in shadows},
        },
        labels={
            **{key: f"shadow{of}" for key, of in of_subjects.items()},
            **{planned.key: f"second shadow{of_subjects[key]}" for key, planned in second.items()},
        },
        second={key: planned.key for key, planned in second.items()},
    )


def _shadow(
    study: Study,
    subject: "Planned",
    records: tuple[Sequence[Record], Sequence[Record]],
    keys: Keys,
    base: lm.BaseFiles,
) -> Shadow:
    """records: all of them, and those that a shadow learns."""
    assert subject.given
    every, learned = records
    files, name = subject.given.files, subject.trial.label
    lora, of_lora = _lora(study, files, base)
    lm.check_matrices(base, [lora.matrices])
    training, taken = resolved_training(told_by_trainer(files.folder), study.training, name)
    taken = dict(taken)
    members = len(training_records(every, subject.roles, subject.trial.canaries))
    wanted, taken["steps"] = _steps(training, lm.steps_in(files.folder), members)
    seed = study.seed if study.training.seed is None else study.training.seed
    own = _training(training.model_copy(update={"seed": seed}), wanted, len(learned))
    trial = Trial(lora, own, NoCanaries(design="none"), ())
    return Shadow(
        name, trained_on(subject, trial, subject.roles_key, learned, keys), wanted, {"lora": of_lora, **taken}
    )


def _second(shadow: "Planned", like: "Planned", learned: Sequence[Record], keys: Keys) -> "Planned":
    """A second shadow: the first one's training on the same records, with the seed after its own."""
    first = shadow.trained
    training = first.training.model_copy(update={"seed": first.seed + 1})
    return trained_on(shadow, replace(first, training=training), like.roles_key, learned, keys)


def _lora(study: Study, files: lm.AdapterFiles | lm.BaseFiles, base: lm.BaseFiles) -> tuple[Lora, str]:
    """The adapter's own settings and where they are from, or the study's and why."""
    found = lora_of(files, base) if isinstance(files, lm.AdapterFiles) else "is a whole model"
    return (
        (found, "adapter_config.json") if isinstance(found, Lora) else (study.lora, f"the study: {files.name} {found}")
    )


def _steps(training: Training, known: int | None, members: int) -> tuple[int, str]:
    """The subject's optimizer steps, and where they are from: the study, its trainer, else epochs and batch."""
    if training.steps is not None:
        return training.steps, "the study"
    if known:
        return known, "trainer_state.json"
    return steps_of(members, training), f"epochs and batch on {members} members"


def _training(training: Training, wanted: int, records: int) -> Training:
    """The subject's training on the shadow's records, in as many steps, up to MOST_EPOCHS times the epochs."""
    most, warmup = MOST_EPOCHS * training.epochs, training.warmup_steps
    if isinstance(warmup, int):
        return in_steps(training, wanted, most, records)
    cold = in_steps(training.model_copy(update={"warmup_steps": 0}), wanted, most, records)
    return settle_warmup(records, cold.model_copy(update={"warmup_steps": warmup}))


def _cut(study: Study, records: Sequence[Record], learned: Sequence[Record]) -> Finding:
    every = [r for r in records if r.split == CALIBRATION]
    message = (
        f"{len(learned)} of {len(every)} calibration records, half of their documents by seed {study.seed}, are what a "
        "shadow learns; they set no threshold and are in no population or comparison"
    )
    return Finding("shadow", len(learned), message)


def _of_second(shadows: Sequence[Shadow]) -> Finding:
    many = f"the {len(shadows)} shadows have" if len(shadows) > 1 else "the shadow has"
    of = "seconds" if len(shadows) > 1 else "a second"
    message = (
        f"{many} {of} of the same documents with seed {shadows[0].planned.trained.seed + 1}, the control of attacks on "
        "a shadow; it costs as much again (controls.second_shadow: false leaves it out)"
    )
    return Finding("shadow", len(shadows), message)


def _findings(shadow: Shadow) -> Iterator[Finding]:
    trial = shadow.planned.trained
    told = {"lora": f"{trial.matrices}, rank {trial.rank}, alpha {trial.lora.alpha:g}", "steps": str(shadow.wanted)}
    parts = [
        f"{name} {told.get(name) or getattr(trial.training, name)} ({source})"
        for name, source in shadow.taken.items()
        if name != "epochs"  # the subject's; the shadow's follow from the steps
    ]
    message = f"the shadow of {shadow.subject} is tuned like it: {'; '.join(parts)}; the rest is byrote's default"
    yield Finding("shadow", 1, message)
    if shadow.steps < shadow.wanted:
        message = (
            f"the shadow of {shadow.subject} takes {shadow.steps} optimizer steps, its subject {shadow.wanted}: more "
            f"than {MOST_EPOCHS} times the epochs on {len(shadow.planned.training_ids)} records would overfit them"
        )
        yield Finding("shadow", 1, message)
