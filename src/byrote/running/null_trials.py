"""The null trials of a study: adapters tuned like its trials on the calibration records, whose documents are in neither
of the sets compared. Attacks that compare with the base model have no other control."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from byrote.corpora import Finding
from byrote.passes.finetune import steps_of
from byrote.records import CALIBRATION, Record, masks_of
from byrote.study import Study, Training
from byrote.study.grid import Keys, Trial, configuration_key, digest_of

if TYPE_CHECKING:
    from byrote.running.planning import Planned

MOST_EPOCHS = 2  # times the trial's: more would overfit the calibration records, and be no likeness of the trial


@dataclass(frozen=True)
class NullTrials:
    """The null trials of a study, or why there are none. `of`: trial → its null trial, by key, and whether that was
    planned for another configuration. shadow: what plan.json says of them where they are shadows; labels: null trial,
    by key → what it is then called; second: shadow → the second shadow of the same subjects, by key."""

    planned: tuple["Planned", ...] = ()
    of: Mapping[str, tuple[str, bool]] | None = None
    missing: str = ""
    findings: tuple[Finding, ...] = ()
    shadow: Mapping[str, Any] | None = None
    labels: Mapping[str, str] | None = None
    second: Mapping[str, str] | None = None


def null_training(trial: Training, trial_records: int, records: int) -> Training:
    """How a null trial on `records` is trained: in as many steps as a trial on `trial_records`, as far as MOST_EPOCHS
    times that one's epochs go, with the same share of them as warm-up."""
    plain = trial.model_copy(update={"warmup_steps": 0})
    wanted, batch = steps_of(trial_records, plain), trial.effective_batch
    most = MOST_EPOCHS * math.ceil(wanted / math.ceil(trial_records / batch))
    return in_steps(trial, wanted, most, records)


def in_steps(like: Training, wanted: int, most: int, records: int) -> Training:
    """A training on so many records in `wanted` steps, as far as `most` epochs go, with the same share of warm-up."""
    in_epoch = math.ceil(records / like.effective_batch)
    epochs = min(math.ceil(wanted / in_epoch), most)
    steps = min(wanted, epochs * in_epoch)
    warmup = min(round(like.warmup_steps * steps / wanted), steps - 1)
    cap = steps if steps < epochs * in_epoch else None
    return like.model_copy(update={"epochs": epochs, "steps": cap, "warmup_steps": warmup})


def plan_null_trials(study: Study, planned: Sequence["Planned"], records: Sequence[Record], keys: Keys) -> NullTrials:
    """One null trial with the settings and the seed of the first trial, or of the first trial of each configuration;
    configurations that train alike, such as those that differ in canaries alone, share one."""
    wanted = study.controls.null_trial
    if wanted == "none":
        return NullTrials(missing="controls.null_trial is none")
    training = [r for r in records if r.split == CALIBRATION]
    if not training:
        why = "there are no calibration records to tune a null trial on"
        return NullTrials(missing=why, findings=(Finding("null_trial", 1, f"there is no null trial: {why}"),))
    first_of: dict[str, Planned] = {}
    for trial in planned:
        first_of.setdefault(configuration_key(trial.trial.settings), trial)
    own = {name: _plan_null(like, planned[0].roles_key, training, keys) for name, like in first_of.items()}
    every = list({null.key: null for null in own.values()}.values())
    nulls = {null.key: null for null in (every if wanted == "each" else every[:1])}
    of: dict[str, tuple[str, bool]] = {}
    for trial in planned:
        key = own[configuration_key(trial.trial.settings)].key
        of[trial.key] = (key, False) if key in nulls else (every[0].key, True)
    capped = {own[name].key: _capped(own[name], like) for name, like in first_of.items() if own[name].key in nulls}
    return NullTrials(tuple(nulls.values()), of, "", tuple(finding for finding in capped.values() if finding))


def _plan_null(like: "Planned", roles_key: str, training: Sequence[Record], keys: Keys) -> "Planned":
    trial = replace(like.trained, training=null_training(like.trained.training, len(like.training_ids), len(training)))
    return trained_on(like, trial, roles_key, training, keys)


def trained_on(like: "Planned", trial: Trial, roles_key: str, training: Sequence[Record], keys: Keys) -> "Planned":
    """A null trial on these records, which is scored and nothing else; the rest is that of a planned trial."""
    key = keys.trial(trial, roles_key, digest_of(training))
    return replace(
        like,
        trial=trial,
        given=None,
        key=key,
        training_ids=tuple(r.token_ids for r in training),
        training_masks=masks_of(training),
        prompts=(),
        stages=keys.null_stages(key),
    )


def _capped(null: "Planned", like: "Planned") -> Finding | None:
    """A remark where a null trial takes fewer steps than the trial it is like."""
    plain = like.trained.training.model_copy(update={"warmup_steps": 0})
    steps, wanted = steps_of(len(null.training_ids), null.trained.training), steps_of(len(like.training_ids), plain)
    if steps == wanted:
        return None
    return Finding(
        "null_trial",
        1,
        f"the null trial of {like.trial.configuration_label} takes {steps} optimizer steps, its trial {wanted}: "
        f"more than {MOST_EPOCHS} times the epochs on {len(null.training_ids)} calibration records would overfit them",
    )
