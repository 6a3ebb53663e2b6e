"""Study → trials, and the content keys of everything a run stores.

A key is the start of a sha256 over canonical JSON of what changes the result, and nothing else: never paths, device,
workers, batch sizes or package versions. Raise a stage's METHOD_VERSION when its results change for the same inputs.
"""

import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Protocol

from pydantic import ValidationError

from byrote.errors import StudyError
from byrote.study.dotted import set_dotted
from byrote.study.labels import Labelled, label_parts
from byrote.study.mistakes import explain_all
from byrote.study.settings import (
    Canaries,
    Extraction,
    Lora,
    ManifestCanaries,
    ManyCanaries,
    SingleCanary,
    Study,
    Training,
)

METHOD_VERSION: Mapping[str, int] = {
    "roles": 1,
    "finetune": 5,
    "scores": 5,
    "completions": 4,
    "untargeted": 2,
    "canaries": 2,
    "given": 1,
}


@dataclass(frozen=True)
class Trial(Labelled):
    """One fine-tuning configuration; every seed is a number. `axes` are the values that set it apart in the grid."""

    lora: Lora
    training: Training
    canaries: Canaries
    axes: tuple[tuple[str, Any], ...]

    @property
    def seed(self) -> int:
        """The seed of initialisation, order and dropout."""
        if self.training.seed is None:
            raise ValueError("a trial's training seed is always set")
        return self.training.seed

    @property
    def matrices(self) -> str:
        """The adapted matrices as one word, such as `q,k`."""
        return ",".join(self.lora.matrices)

    @property
    def rank(self) -> int:
        """LoRA's rank."""
        return self.lora.rank

    @property
    def settings(self) -> dict[str, dict[str, Any]]:
        """What this trial is made with, as plain values."""
        return {name: getattr(self, name).model_dump(mode="json") for name in ("lora", "training", "canaries")}

    @property
    def label_parts(self) -> list[tuple[str, str]]:
        """Matrices, rank, what else varies in the grid, and seed."""
        return label_parts(self.matrices, self.lora.rank, self.seed, self.axes)


def trials_of(study: Study) -> tuple[Trial, ...]:
    """The trials of a study: the product of the axes of each of its grids, in order; what two grids share is there
    once.

    Raises StudyError where a value of an axis does not fit, stands twice, or makes the same trial as another of the
    same grid.
    """
    trials: dict[str, Trial] = {}
    for grid in study.grids:
        own: dict[str, Trial] = {}
        _refuse_repeats(list(grid.items()))
        for values in itertools.product(*grid.values()):
            trial = trial_at(study, tuple(zip(grid, values, strict=True)))
            key = same_trial(trial)
            if key in own:
                raise StudyError(repeated(own[key], trial))
            own[key] = trial
        trials |= {key: trial for key, trial in own.items() if key not in trials}
    return tuple(trials.values())


def same_trial(trial: Trial) -> str:
    """Equal for trials that train alike; the order in which matrices are named is no difference."""
    lora = trial.lora.model_copy(update={"matrices": tuple(sorted(trial.lora.matrices))})
    return key_of(lora, trial.training, trial.canaries)


def repeated(first: Trial, second: Trial) -> str:
    """What is wrong with a grid of which two points are one trial: the axes and their values."""
    pairs = [(name, a, b) for (name, a), (_, b) in zip(first.axes, second.axes, strict=True)]
    differences = "; ".join(f"grid.{name}: {a!r} and {b!r}" for name, a, b in pairs if a != b)
    return f"{differences} make the same trial ({first.label}); remove one"


def _refuse_repeats(axes: Sequence[tuple[str, Sequence[Any]]]) -> None:
    for name, values in axes:
        for place, value in enumerate(values):
            if value in values[:place]:
                raise StudyError(f"grid.{name}: {value!r} is listed twice; remove one")


def trial_at(study: Study, point: Sequence[tuple[str, Any]], place: str = "grid") -> Trial:
    """The trial of a study with these settings, by dotted name, in the place of its own; `place` names them in errors.

    Raises StudyError where a setting is unknown or a value does not fit.
    """
    raw = study.model_dump(exclude={"grid", "seeds", "provenance"})
    for name, value in point:
        _fits(raw, name, place)
        set_dotted(raw, name, value)
    try:
        at_point = Study.model_validate(raw)
    except ValidationError as error:
        where = ", ".join(f"{name}: {value!r}" for name, value in point)
        raise StudyError(explain_all(error, f"{place} ({where})")) from None
    training, canaries = at_point.training, at_point.canaries
    if training.seed is None:
        training = training.model_copy(update={"seed": at_point.seed})
    if isinstance(canaries, SingleCanary | ManyCanaries) and canaries.seed is None:
        canaries = canaries.model_copy(update={"seed": at_point.seed})
    return Trial(at_point.lora, training, canaries, tuple(point))


def _fits(raw: Mapping[str, Any], name: str, place: str) -> None:
    room, _, leaf = name.partition(".")
    if room == "canaries" and leaf not in raw["canaries"]:
        raise StudyError(
            f"{place}: axis {name!r} does not fit canaries.design {raw['canaries']['design']!r}; "
            "set canaries.design to single or many"
        )


def key_of(*parts: Any) -> str:
    """16 hexadecimal digits of the sha256 of the parts as canonical JSON."""
    plain = [part.model_dump(mode="json") if hasattr(part, "model_dump") else part for part in parts]
    return sha256(json.dumps(plain, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()).hexdigest()[:16]


class Sequenced(Protocol):
    """Something with an id and token ids: a record, or a prompt of one."""

    @property
    def record(self) -> str:
        """The record's id."""
        ...

    @property
    def token_ids(self) -> Sequence[int]:
        """Its token ids."""
        ...

    @property
    def answer_mask(self) -> Sequence[bool]:
        """Which of them the loss is on; empty for all of them."""
        ...


def sequences_digest(
    ids: Sequence[str], token_ids: Sequence[Sequence[int]], masks: Sequence[Sequence[bool]] | None = None
) -> str:
    """sha256 over record ids and token ids, in order, and the answer masks of those that have one."""
    digest = sha256()
    for record, tokens, mask in zip(ids, token_ids, masks or [()] * len(ids), strict=True):
        loss_on = f"|{''.join('01'[inside] for inside in mask)}" if mask else ""
        digest.update(f"{len(record)}:{record}:{','.join(map(str, tokens))}{loss_on};".encode())
    return digest.hexdigest()


def digest_of(sequences: Sequence[Sequenced]) -> str:
    """`sequences_digest` of records or prompts."""
    ids, tokens = [s.record for s in sequences], [s.token_ids for s in sequences]
    return sequences_digest(ids, tokens, [s.answer_mask for s in sequences])


def configuration_key(settings: Mapping[str, Mapping[str, Any]]) -> str:
    """What makes two trials one configuration: all its settings but the seeds of training and canaries."""
    plain = {part: {k: v for k, v in settings[part].items() if k != "seed"} for part in sorted(settings)}
    return json.dumps(plain, sort_keys=True)


def roles_key(members_digest: str, canaries: Canaries, shadow: int | None = None) -> str:
    """Key of a role file: the records it assigns, written canaries too, and the canary plan with its seeds, or the
    digest of its manifest. shadow: the seed that parts the calibration documents; None where there is no shadow."""
    if isinstance(canaries, ManifestCanaries) and canaries.sha256 is None:
        raise ValueError("the digest of a manifest is settled before the key of its roles is made")
    no_part = {"temperature", "changed", "path"}  # what came of these is in the records, or in the manifest
    plan = canaries.model_dump(mode="json", exclude=no_part)
    return key_of("roles", METHOD_VERSION["roles"], members_digest, plan, *([] if shadow is None else [shadow]))


def canaries_key(base: str, members: Sequence[Sequence[str]], settings: Mapping[str, Any]) -> str:
    """Key of canaries that the base model writes: the model, the members (id and text) that it writes after, how."""
    return key_of("canaries", METHOD_VERSION["canaries"], base, members, settings)


def base_key(base_content: str, tokenizer_content: str, precision: str, quantization: str) -> str:
    """Key of a base model as it is used here: weights, tokenizer, resolved precision and quantization."""
    return key_of("base", base_content, tokenizer_content, precision, quantization)


def trial_key(base: str, roles: str, training_digest: str, lora: Lora, training: Training) -> str:
    """Key of a trained adapter: its base, roles, the sequences it trains on, LoRA, training and seed.

    The warm-up stands in it as a whole number of steps, so a share and the number that it comes to are one trial.
    """
    if isinstance(training.warmup_steps, float):
        raise ValueError(f"the warm-up of a trial is settled before its key is made, got {training.warmup_steps}")
    how = training.model_dump(mode="json", exclude={"steps"} if training.steps is None else None)
    return key_of("finetune", METHOD_VERSION["finetune"], base, roles, training_digest, lora, how)


def scores_key(parent: str, records_digest: str) -> str:
    """Key of token scores: the model (base or trial) and the sequences scored."""
    return key_of("scores", METHOD_VERSION["scores"], parent, records_digest)


def completions_key(parent: str, prompts_digest: str, extraction: Extraction) -> str:
    """Key of completions: the model, the sequences prompted, and how they are decoded."""
    decoding = extraction.model_dump(mode="json", exclude={"prompts", "thresholds", "draws", "chances", "untargeted"})
    return key_of("completions", METHOD_VERSION["completions"], parent, prompts_digest, decoding)


def untargeted_key(parent: str, start: int, extraction: Extraction) -> str:
    """Key of completions of an empty prompt: the model, the start token, and how they are decoded."""
    decoding = {
        **extraction.untargeted.model_dump(mode="json", exclude={"least", "attacks"}),
        **extraction.model_dump(mode="json", include={"top_k", "top_p", "seed"}),
    }
    return key_of("untargeted", METHOD_VERSION["untargeted"], parent, start, decoding)


@dataclass(frozen=True, kw_only=True)
class Stages:
    """Where one model's stages are in a run folder; None where it has no such stage. The base model is not tuned; of a
    subject that is given, `finetune` says what it is."""

    finetune: str | None = None
    scores: str | None = None
    completions: str | None = None
    untargeted: str | None = None

    def row(self) -> dict[str, str | None]:
        """What plan.json says of them."""
        measured = {"scores": self.scores, "completions": self.completions, "untargeted": self.untargeted}
        return measured if self.finetune is None else {"finetune": self.finetune, **measured}

    def asked_for(self) -> tuple[str, ...]:
        """Those that there are, in the order in which they are done."""
        return tuple(stage for stage in self.row().values() if stage)


@dataclass(frozen=True)
class Keys:
    """The content keys of one study's results, computed from what they name.

    base: the base model's key · records: the digest of the sequences that are scored · start: the token that an empty
    prompt consists of, None where nothing is written from one · extraction: how completions are decoded
    """

    base: str
    records: str
    start: int | None
    extraction: Extraction

    def roles(self, canaries: Canaries, shadow: int | None = None) -> str:
        """Key of the roles of all records under a canary plan; shadow: the seed of its documents."""
        return roles_key(self.records, canaries, shadow)

    def trial(self, trial: Trial, roles: str, training_digest: str) -> str:
        """Key of the adapter that a trial trains on the sequences of this digest; roles: their key."""
        return trial_key(self.base, roles, training_digest, trial.lora, trial.training)

    def given(self, content: str, roles: str) -> str:
        """Key of a trial whose subject is given; content: the digest of its files · roles: their key."""
        return key_of("given", METHOD_VERSION["given"], self.base, roles, content)

    def base_stages(self, prompts: Sequence[Sequenced]) -> Stages:
        """The base model's stages."""
        return Stages(
            scores=f"base/{scores_key(self.base, self.records)}",
            completions=self._completions("base", self.base, prompts),
            untargeted=self._untargeted("base", self.base),
        )

    def trial_stages(self, trial: str, prompts: Sequence[Sequenced]) -> Stages:
        """The stages of the trial with this key."""
        place = f"trials/{trial}"
        return Stages(
            finetune=place,
            scores=f"{place}/scores/{scores_key(trial, self.records)}",
            completions=self._completions(f"{place}/completions", trial, prompts),
            untargeted=self._untargeted(f"{place}/untargeted", trial),
        )

    def null_stages(self, null: str) -> Stages:
        """The stages of the null trial with this key, which is scored and writes nothing."""
        place = f"trials/{null}"
        return Stages(finetune=place, scores=f"{place}/scores/{scores_key(null, self.records)}")

    def _completions(self, place: str, parent: str, prompts: Sequence[Sequenced]) -> str | None:
        return f"{place}/{completions_key(parent, digest_of(prompts), self.extraction)}" if prompts else None

    def _untargeted(self, place: str, parent: str) -> str | None:
        return None if self.start is None else f"{place}/{untargeted_key(parent, self.start, self.extraction)}"
