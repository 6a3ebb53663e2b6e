"""What can be wrong with a study, found before torch is imported, a model is loaded or a canary is written."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from byrote.corpora import Finding, LoadedCorpus, content_of, load_corpus, read_corpus, records_of_rows
from byrote.corpora.shadow import shadow_roles
from byrote.errors import CorpusError, StudyError
from byrote.planting.manifest import Manifest, canary_records, check_planted, read_manifest, without_canaries
from byrote.planting.roles import assign_all, training_records
from byrote.planting.written import recipe_of, stand_ins
from byrote.records import MEMBERS, NONMEMBERS, RECORDS_STRATUM, Assignment, Record, Role, canary_stratum
from byrote.study import Machine, ManifestCanaries, ManyCanaries, Study, load_study
from byrote.study.checks import canary_mistakes, check_names
from byrote.study.given import GivenTrial
from byrote.study.grid import Trial, repeated, same_trial
from byrote.study.schedule import settle_warmup
from byrote.trackers.backends import check_installed

FEW_RECORDS = 10
"""With fewer on a side, an interval of the AUC spans most of the scale and says little."""


@dataclass(frozen=True)
class Checked:
    """A study without mistakes, its trials with the warm-up in steps, its corpus, and the manifest of its canaries.

    The canaries and references of a manifest are records of the corpus, in a split of their own.
    """

    study: Study
    trials: tuple[Trial | GivenTrial, ...]
    corpus: LoadedCorpus
    manifest: Manifest | None = None


def checked_study(study: Study | str | Path | Mapping[str, Any], overrides: Mapping[str, Any] | None = None) -> Checked:
    """`check_study` of a study as `load_study` takes it; `overrides` are for what is not a Study yet."""
    return check_study(study if isinstance(study, Study) else load_study(study, overrides))


def check_study(study: Study) -> Checked:
    """Judge a study by itself, then read its corpus and judge both together; needs no torch.

    Raises StudyError, ModelError or CorpusError for what the user must fix first.
    """
    trials = check_names(study)
    check_installed(study.report_to)
    _check_backend(study.machine)
    manifest = None
    if isinstance(study.canaries, ManifestCanaries):
        manifest, study, trials = _with_manifest(study, study.canaries, trials)
    corpus = load_corpus(study.corpus) if manifest is None else _planted_corpus(study, manifest)
    _refuse_lone_records(study, corpus.records)
    records = _with_stand_ins(trials, corpus.records)
    roles = assign_all(records, [trial.canaries for trial in trials], manifest)
    if study.controls.shadow:
        roles = {plan: shadow_roles(assigned, records, study.seed) for plan, assigned in roles.items()}
    counts = {plan: len(training_records(records, assigned, plan)) for plan, assigned in roles.items()}
    settled = tuple(
        replace(trial, training=settle_warmup(counts[trial.canaries], trial.training))
        if isinstance(trial, Trial)
        else trial
        for trial in trials
    )
    _refuse_equal([trial for trial in settled if isinstance(trial, Trial)])
    findings = (*_few_records(study, list(roles.values())), *_copies_unused(trials), *corpus.findings)
    return Checked(study, settled, LoadedCorpus(corpus.records, findings, corpus.content), manifest)


def _check_backend(machine: Machine) -> None:
    """StudyError where the backend's package is missing."""
    if machine.backend == "ray" and find_spec("ray") is None:
        raise StudyError(
            "machine.backend is ray, which is not installed: pip install 'byrote[ray]', or set machine.backend to local"
        )


def _with_manifest(
    study: Study, plan: ManifestCanaries, trials: Sequence[Trial | GivenTrial]
) -> tuple[Manifest, Study, tuple[Trial | GivenTrial, ...]]:
    """The manifest that the canaries follow; the study and its trials with its sha256."""
    manifest, found = read_manifest(plan.path, plan.sha256)
    strata = [RECORDS_STRATUM, *(canary_stratum(copies) for copies in sorted(manifest.of_copies))]
    mistakes = list(canary_mistakes(study, strata, manifest.of_copies))
    if mistakes:
        raise StudyError("\n".join(mistakes))
    settled = plan.model_copy(update={"sha256": found})
    study = study.model_copy(update={"canaries": settled})
    return manifest, study, tuple(replace(trial, canaries=settled) for trial in trials)


def _planted_corpus(study: Study, manifest: Manifest) -> LoadedCorpus:
    """The corpus without the copies of planted canaries, and every canary of the manifest once."""
    plan, corpus = study.canaries, study.corpus
    assert isinstance(plan, ManifestCanaries)
    records = read_corpus(corpus)
    canaries = canary_records(manifest, records_of_rows(corpus, plan.path, [c.content for c in manifest.canaries]))
    check_planted(manifest, canaries, records, corpus.members)
    kept = without_canaries(records, canaries)
    planted = sum(c.role is Role.CANARY_IN for c in manifest.canaries)
    message = (
        f"{len(records) - len(kept)} rows of the members are copies of {planted} canaries; they are measured as "
        "canaries and are no members"
    )
    checked = load_corpus(corpus, kept)
    whole = (*checked.records, *canaries)
    return LoadedCorpus(whole, (Finding("planted", planted, message), *checked.findings), content_of(whole))


def _with_stand_ins(trials: Sequence[Trial | GivenTrial], records: Sequence[Record]) -> tuple[Record, ...]:
    """Records with texts in the place of the canaries that the base model has yet to write."""
    recipe = recipe_of(trials, records, "")
    return (*records, *(stand_ins(recipe).records() if recipe else ()))


def _refuse_lone_records(study: Study, records: Sequence[Record]) -> None:
    named = {MEMBERS: study.corpus.members, NONMEMBERS: study.corpus.nonmembers}
    for split, name in named.items():
        count = sum(r.split == split for r in records)
        if count < 2:
            raise CorpusError(
                f"corpus.{split} ({name!r}) has {count} record; a comparison takes at least 2 on each side, and "
                f"{FEW_RECORDS} to say anything: name a split that has more, or raise corpus.limit"
            )


def _refuse_equal(trials: Sequence[Trial]) -> None:
    """StudyError where a warm-up as a share comes to the whole number that another trial has."""
    first: dict[str, Trial] = {}
    for trial in trials:
        if (key := same_trial(trial)) in first:
            raise StudyError(repeated(first[key], trial))
        first[key] = trial


def _calibrates(study: Study) -> bool:
    return study.corpus.calibration is not None or study.corpus.calibration_half is not None


def _few_records(study: Study, of_plans: Sequence[Sequence[Assignment]]) -> Iterator[Finding]:
    """Sides with too few records under some canary plan; canaries leave fewer members than the corpus has."""
    words = {Role.MEMBER: "members", Role.NONMEMBER: "non-members"}
    words |= {Role.CALIBRATION: "calibration records"} if _calibrates(study) else {}
    for role, name in words.items():
        count = min(sum(a.role is role for a in roles) for roles in of_plans)
        if count < FEW_RECORDS:
            message = (
                f"there are only {count} {name}, fewer than {FEW_RECORDS}: AUCs, rates and their intervals say next to "
                "nothing; give more records"
            )
            yield Finding("few_records", count, message)


def _copies_unused(trials: Sequence[Trial | GivenTrial]) -> Iterator[Finding]:
    plans = [trial.canaries for trial in trials if isinstance(trial.canaries, ManyCanaries)]
    unused = max((len(plan.copies) - plan.count for plan in plans), default=0)
    if unused > 0:
        message = f"the last {unused} of canaries.copies are assigned to no canary: canaries.count is too low for them"
        yield Finding("copies_unused", unused, message)
