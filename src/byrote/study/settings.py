# pyright: reportIncompatibleVariableOverride=false
"""A study and its parts: small, frozen, strict models. Every field can be set in YAML and on the command line."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, cast

from pydantic import BaseModel, ConfigDict, Discriminator, Field, ValidationInfo, field_validator, model_validator

SMOLLM2 = "smollm2-135m"
FROM_ADAPTER, NO_BASE = "adapter", "none"  # values of model.source where subjects are given
MATRICES = ("q", "k", "v", "o", "gate", "up", "down", "qkv", "gate_up", "all-linear")
Matrix = Literal["q", "k", "v", "o", "gate", "up", "down", "qkv", "gate_up", "all-linear"]
Rate = Annotated[float, Field(gt=0, lt=1)]
AXIS_SHORT = {"matrices": "lora.matrices", "rank": "lora.rank", "copies": "canaries.copies"}
AXIS_ROOMS = ("lora", "training", "canaries")


_SOURCE = "where the records come from: phee, files, hub, or adverse_events (synthetic)"
_DESIGN = (
    "none; single (one record overwrites others); many (planted or left out by a coin); manifest (put into the "
    "members' file by `byrote canaries make`)"
)
Tracker = Literal["mlflow", "tensorboard", "trackio", "wandb"]
_PUBLISHED = Literal["table-3.1", "figure-3.6"]


class Part(BaseModel):
    """A frozen part of a study that refuses unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Model(Part):
    """The base model."""

    source: str = Field(
        default=SMOLLM2,
        description="smollm2-135m, a hub id, a local directory or a .gguf file; where subjects are given also adapter "
        "(the base that the adapter's configuration names) or none",
    )
    revision: str | None = Field(default=None, description="branch, tag or commit of a hub id")
    precision: Literal["auto", "fp32", "bf16", "fp16"] = Field(
        default="auto",
        description="auto is bf16 where it multiplies fast, else fp32; a run keeps its format",
    )
    quantization: Literal["none", "int8", "nf4"] = Field(
        default="none", description="of the frozen base, by bitsandbytes"
    )


class Subject(Part):
    """A fine-tuned model that exists already and is measured as it is: an adapter on the base model, or a whole
    model."""

    adapter: str | None = Field(default=None, description="a PEFT adapter: a folder or a hub id")
    model: str | None = Field(default=None, description="a whole model: a folder, a hub id or a .gguf file")
    revision: str | None = Field(default=None, description="branch, tag or commit of a hub id")
    name: str | None = Field(default=None, min_length=1, description="what tables call it; null for its folder's name")

    @model_validator(mode="after")
    def _adapter_or_model(self) -> "Subject":
        if (self.adapter is None) == (self.model is None):
            raise ValueError("a subject is either an adapter or a model; set one of the two")
        return self

    @property
    def source(self) -> str:
        """The folder, hub id or file."""
        source = self.adapter or self.model
        assert source
        return source


@dataclass(frozen=True, kw_only=True)
class Columns:
    """Which columns of a row hold what a record is made of: `text`; or `prompt` and `completion`; or `messages`. And
    where the loss was, in records of the two last kinds."""

    text: str | None = None
    prompt: str | None = None
    completion: str | None = None
    messages: str | None = None
    id: str | None = None
    group: str | None = None
    loss_on: Literal["all", "completion", "assistant"] = "all"

    @property
    def shape(self) -> dict[str, str]:
        """What the columns that hold what the model reads are for (`text`, `prompt` …), and their names."""
        return {use: column for use, column in self.named.items() if use not in ("id", "group")}

    @property
    def named(self) -> dict[str, str]:
        """All columns that are named, by what they are for: the setting under `corpus`."""
        uses = ("text", "prompt", "completion", "messages", "id", "group")
        return {use: column for use in uses if (column := getattr(self, use)) is not None}


class CorpusPart(Part):
    """What every corpus has. Splits name files, hub splits or the published parts, by source."""

    members: str = Field(default="train", description="split to fine-tune on")
    nonmembers: str = Field(default="test", description="split held out and evaluated")
    calibration: str | None = Field(default="dev", description="split held out to fix thresholds; null for none")
    calibration_half: int | None = Field(
        default=None,
        ge=0,
        description="seed by which half of the non-members' documents fix thresholds where corpus.calibration is "
        "null; null for none",
    )
    limit: int | None = Field(default=None, ge=1, description="first records of each split to take; null for all")
    shared_groups: Literal["refuse", "allow"] = Field(
        default="refuse", description="a document with both members and non-members"
    )
    append_eos: bool | None = Field(
        default=None,
        description="end every record with the end-of-text token; null does so after completions that are strings, as "
        "TRL does",
    )
    max_tokens: int | None = Field(
        default=None, ge=2, description="longest record in tokens; null for the model's context"
    )
    long_records: Literal["truncate", "refuse"] = Field(
        default="truncate", description="what happens to longer records"
    )

    @property
    def loss_is_on(self) -> Literal["all", "completion", "assistant"]:
        """Where the loss was in each record."""
        return "all"

    @property
    def masks_prompts(self) -> bool:
        """Whether records have a prompt that the loss was not on."""
        return self.loss_is_on != "all"


class RowsCorpus(CorpusPart):
    """A corpus whose records are rows with named columns."""

    text: str | None = Field(
        default="text", description="the column that holds a record's text; null where other columns do"
    )
    prompt: str | None = Field(default=None, description="the column of prompts, strings or messages, with completion")
    completion: str | None = Field(default=None, description="the column of completions, strings or messages")
    messages: str | None = Field(
        default=None, description="the column of messages, each with role and content, as TRL and OpenAI have them"
    )
    loss_on: Literal["all", "completion", "assistant"] | None = Field(
        default=None,
        description="where the loss was: all; completion, or the last assistant message; every assistant message; null "
        "is completion for prompt and completion, assistant for messages",
    )
    id: str | None = Field(default=None, description="column with a unique id; null to use file and row")
    group: str | None = Field(default=None, description="column with the document; null for one group per record")

    @model_validator(mode="before")
    @classmethod
    def _no_text_beside_others(cls, raw: Any) -> Any:
        if not isinstance(raw, dict):
            return raw
        settings = cast(dict[str, Any], raw)
        others = any(settings.get(name) for name in ("prompt", "completion", "messages"))
        return {"text": None, **settings} if others else settings

    @model_validator(mode="after")
    def _one_kind(self) -> "RowsCorpus":
        named = {name: getattr(self, name) for name in ("text", "prompt", "completion", "messages")}
        there = [name for name, column in named.items() if column is not None]
        if there not in (["text"], ["prompt", "completion"], ["messages"]):
            raise ValueError(
                "name the columns of one kind of record: corpus.text; corpus.prompt and corpus.completion; or "
                f"corpus.messages; got {', '.join(f'corpus.{name}' for name in there) or 'none of them'}"
            )
        if self.text is not None and self.loss_on not in (None, "all"):
            raise ValueError(
                f"corpus.loss_on is {self.loss_on!r}, but records of corpus.text have no prompt; set it to null, or "
                "name corpus.prompt and corpus.completion, or corpus.messages"
            )
        return self

    @property
    def columns(self) -> Columns:
        """The columns, with where the loss was."""
        names = ("text", "prompt", "completion", "messages", "id", "group")
        return Columns(**{name: getattr(self, name) for name in names}, loss_on=self.loss_is_on)

    @property
    def loss_is_on(self) -> Literal["all", "completion", "assistant"]:
        """Where the loss was in each record."""
        default = "all" if self.text is not None else "assistant" if self.messages is not None else "completion"
        return self.loss_on or default


class PheeCorpus(CorpusPart):
    """PHEE: a local folder, else the published files."""

    source: Literal["phee"] = Field(description=_SOURCE)
    text: str = Field(default="context", description="the field that holds a record's text")
    path: str | None = Field(default=None, description="folder with train.json, dev.json, test.json; else $BYROTE_PHEE")


class FilesCorpus(RowsCorpus):
    """JSONL, JSON, CSV, Parquet or plain text, also .gz or .zip; `members` and so on are file names, or values of the
    column `split` of one `file`."""

    source: Literal["files"] = Field(description=_SOURCE)
    path: str | None = Field(default=None, description="folder that file names are relative to; else the study file's")
    members: str = Field(description="file to fine-tune on")
    nonmembers: str = Field(description="file held out and evaluated")
    calibration: str | None = Field(default=None, description="file held out to fix thresholds")
    file: str | None = Field(default=None, description="one file that holds every split; needs corpus.split")
    split: str | None = Field(
        default=None, description="column of that file whose values are members, nonmembers and calibration"
    )

    @model_validator(mode="after")
    def _file_and_split(self) -> "FilesCorpus":
        if self.file is not None and self.split is None:
            raise ValueError(f"corpus.file is {self.file!r}; set corpus.split to its column that names the split")
        if self.split is not None and self.file is None:
            raise ValueError(f"corpus.split is {self.split!r}; set corpus.file to the file that has this column")
        return self


class HubCorpus(RowsCorpus):
    """Any data set of the Hugging Face hub, or a local folder in its layout."""

    source: Literal["hub"] = Field(description=_SOURCE)
    path: str = Field(description="id of the data set, such as sarus-tech/phee")
    subset: str | None = Field(default=None, description="configuration of the data set")
    revision: str | None = Field(default=None, description="branch, tag or commit")
    id: str | None = Field(default=None, description="column with a unique id; null to use split and row")


class AdverseEventsCorpus(CorpusPart):
    """Synthetic case-report sentences in PHEE's manner."""

    source: Literal["adverse_events"] = Field(description=_SOURCE)
    text: Literal["context"] = Field(default="context", description="always context")
    members: Literal["train"] = Field(default="train", description="always train")
    nonmembers: Literal["test"] = Field(default="test", description="always test")
    calibration: Literal["dev"] | None = Field(default="dev", description="dev; null for none")
    size: int = Field(default=300, ge=2, description="number of members, of non-members and of calibration records")
    seed: int = Field(default=0, ge=0, description="of the generator")


Corpus = Annotated[PheeCorpus | FilesCorpus | HubCorpus | AdverseEventsCorpus, Discriminator("source")]


class NoCanaries(Part):
    """Nothing is planted."""

    design: Literal["none"] = Field(description=_DESIGN)


class SingleCanary(Part):
    """The reference study's design: one record overwrites `copies` − 1 others."""

    design: Literal["single"] = Field(description=_DESIGN)
    copies: int = Field(default=1, ge=1, description="how often the canary occurs in the training records")
    seed: int | None = Field(default=None, ge=0, description="of Python's random; null for the study's seed")


class ManyCanaries(Part):
    """Several canaries in one trial: records of documents reserved out of the members' split, or texts that the base
    model writes."""

    design: Literal["many"] = Field(description=_DESIGN)
    count: int = Field(default=100, ge=1, description="canaries, in and out together")
    copies: tuple[Annotated[int, Field(ge=1)], ...] = Field(
        default=(1, 2, 4, 8, 16, 32, 64, 128),
        min_length=1,
        description="numbers of copies, assigned to the canaries in turn; a list",
    )
    inclusion: float = Field(default=0.5, gt=0, le=1, description="chance that a canary is planted")
    references: int = Field(default=100, ge=0, description="records of the reserve that are never planted")
    texts: Literal["reserve", "synthetic", "reformulated"] = Field(
        default="reserve",
        description="reserved records; synthetic ones by the base model; or variants of one record",
    )
    temperature: float = Field(default=1.2, gt=0, description="at which the base model writes them")
    changed: float = Field(default=0.3, gt=0, le=1, description="share of the tokens that a reformulation redraws")
    seed: int | None = Field(default=None, ge=0, description="of copies and coin; null for the study's seed")
    reserve_seed: int = Field(
        default=0, ge=0, description="of the reserve, or of what is written; the same for all trials of a run"
    )

    @field_validator("copies", mode="before")
    @classmethod
    def _one_is_a_list(cls, value: Any) -> Any:
        return [value] if isinstance(value, int) else value


class ManifestCanaries(Part):
    """Canaries that `byrote canaries make` put into the members' file before anything was trained."""

    design: Literal["manifest"] = Field(description=_DESIGN)
    path: str = Field(description="the manifest that `byrote canaries make` wrote")
    sha256: str | None = Field(
        default=None,
        description="of the manifest's file, which is refused where it has another; null takes it as it is",
    )


Canaries = Annotated[NoCanaries | SingleCanary | ManyCanaries | ManifestCanaries, Discriminator("design")]


class Lora(Part):
    """The adapter (Hu et al. 2021). The update's scale is alpha/r, alpha, or alpha/√r by `scaling`."""

    matrices: tuple[Matrix, ...] = Field(
        default=("v",), min_length=1, description="q k v o gate up down, qkv, all-linear"
    )
    rank: int = Field(default=1, ge=1, description="r, the inner dimension of the update")
    alpha: float = Field(default=16, gt=0, description="numerator of the update's scale")
    scaling: Literal["fixed", "proportional", "rslora"] = Field(
        default="fixed", description="update's scale: fixed alpha/r, proportional alpha, rslora alpha/sqrt(r)"
    )
    dropout: float = Field(default=0.05, ge=0, lt=1, description="chance that an input of the update is dropped")

    @field_validator("matrices", mode="before")
    @classmethod
    def _one_is_a_list(cls, value: Any) -> Any:
        return [value] if isinstance(value, str) else value

    @field_validator("matrices")
    @classmethod
    def _once_each(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(value)) != len(value):
            raise ValueError(f"each matrix may be listed once, got {', '.join(value)}")
        return value


class Training(Part):
    """AdamW with linear warm-up and linear decay to 0."""

    epochs: int = Field(default=3, ge=1, description="passes over the training records")
    learning_rate: float = Field(default=1e-3, gt=0, description="the highest, at the end of the warm-up")
    effective_batch: int = Field(default=64, ge=1, description="records an optimizer step, whatever the micro-batch")
    warmup_steps: int | float = Field(
        default=0.1, description="a whole number of steps (0 for none), or a share of all steps between 0 and 1"
    )
    weight_decay: float = Field(default=0.0, ge=0, description="of AdamW, on all weights of the adapter")
    max_grad_norm: float = Field(default=1.0, gt=0, description="a longer gradient is scaled down to this norm")
    steps: int | None = Field(
        default=None, ge=1, description="stop after this many optimizer steps; null for all steps of the epochs"
    )
    seed: int | None = Field(
        default=None, ge=0, description="of initialisation, order and dropout; null for the study's seed"
    )

    @field_validator("warmup_steps")
    @classmethod
    def _steps_or_share(cls, value: int | float) -> int | float:
        if isinstance(value, float) and not 0 < value < 1:
            raise ValueError(
                f"{value} is neither a whole number of steps (such as {max(0, round(value))}) nor a share of them "
                "strictly between 0 and 1"
            )
        if value < 0:
            raise ValueError(f"{value} is below 0; set 0 for no warm-up")
        return value


class Membership(Part):
    """Membership inference."""

    attacks: tuple[str, ...] = Field(default=("all",), min_length=1, description="names, or all; docs/attacks.md")
    false_positive_rates: tuple[Rate, ...] = Field(default=(0.1, 0.01), min_length=1, description="upper limits of FPR")
    primary: str = Field(default="ratio", description="the attack on which claims rest")


class Prompts(Part):
    """How many records of each kind are prompted."""

    canaries: Literal["all"] | Annotated[int, Field(ge=0)] = Field(
        default="all", description="canaries prompted, in and out together: a number, or all"
    )
    members: Literal["all"] | Annotated[int, Field(ge=0)] = Field(
        default=100, description="members prompted, at most: a number, or all"
    )
    nonmembers: int = Field(default=100, ge=0, description="non-members prompted, at most")


class Untargeted(Part):
    """Completions of an empty prompt, ranked by attacks and looked up among the records (Carlini et al. 2021)."""

    completions: int = Field(default=100, ge=0, description="texts written from an empty prompt; 0 for none")
    tokens: int = Field(default=64, ge=1, description="most tokens of each text")
    temperature: float = Field(default=1.0, gt=0, description="of their sampling")
    least: int = Field(default=10, ge=1, description="tokens in a shared run that count as a match")
    attacks: tuple[str, ...] = Field(
        default=("loss", "ratio", "zlib", "min_k"), min_length=1, description="that rank the texts: names, or all"
    )


class Extraction(Part):
    """Prompted generation: the first part of a record's token ids is the prompt. And generation from no prompt."""

    prompts: Prompts = Prompts()
    untargeted: Untargeted = Untargeted()
    prefix: tuple[Annotated[float, Field(gt=0)], ...] = Field(
        default=(0.5,),
        min_length=1,
        description="the prompt: a share of the token ids below 1, tokens from 1 on; a list",
    )
    temperatures: tuple[Annotated[float, Field(ge=0)], ...] = Field(
        default=(0.0, 0.5, 1.0), min_length=1, description="at which completions are drawn; 0 takes the likeliest token"
    )
    samples: int = Field(default=1, ge=1, description="completions a prompt at each temperature above 0")
    top_k: int = Field(default=0, ge=0, description="0 for all tokens")
    top_p: float = Field(default=1.0, gt=0, le=1, description="1 for all tokens")
    seed: int = Field(default=0, ge=0, description="of the records prompted and of sampling")
    thresholds: tuple[Annotated[float, Field(gt=0, le=1)], ...] = Field(
        default=(0.5, 1.0), description="a metric at or above this counts as extracted"
    )
    draws: tuple[Annotated[int, Field(ge=1)], ...] = Field(
        default=(1, 100, 10_000), description="numbers of draws within which a suffix must appear to count"
    )
    chances: tuple[Rate, ...] = Field(
        default=(0.5,), description="chances with which a suffix must appear within the draws; each is tabulated"
    )

    @field_validator("prefix", mode="before")
    @classmethod
    def _one_is_a_list(cls, value: Any) -> Any:
        return [value] if isinstance(value, int | float) else value

    @field_validator("prefix")
    @classmethod
    def _whole_tokens(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        broken = [prefix for prefix in value if prefix >= 1 and prefix != int(prefix)]
        if broken:
            raise ValueError(f"{broken[0]} is neither a share below 1 nor a whole number of tokens")
        return value


class Statistics(Part):
    """Intervals and tests."""

    level: float = Field(default=0.95, gt=0.5, lt=1, description="of every interval in tables, figures and report")
    bootstrap: int = Field(default=1000, ge=100, description="resamples of documents")
    seed: int = Field(default=0, ge=0, description="of resampling and of the auditor's folds")


class Hypothesis(Part):
    """A claim about configurations of the grid that is stated before the results: each of `of` against each of
    `against`, both with the settings of `where`."""

    name: str = Field(pattern=r"^[\w.\-]+$", description="letters, digits, dot, dash")
    says: str = Field(min_length=1, description="the claim in a sentence")
    rule: Literal["above", "same", "levels_off"] = Field(
        default="above",
        description="above: every difference is above the margin; same: every one is inside it; levels_off: of "
        "configurations in order, the last is above the first by the margin, and inside it with the last but one",
    )
    of: tuple[dict[str, Any], ...] = Field(
        min_length=1, description="configurations: settings under lora, training or canaries and their values; a list"
    )
    against: tuple[dict[str, Any], ...] = Field(
        default=(), description="configurations that they are compared with; a list, empty for levels_off"
    )
    where: dict[str, Any] = Field(default_factory=dict, description="settings that all of these configurations share")
    attack: str | None = Field(default=None, description="null for membership.primary")
    published: str | None = Field(default=None, description="what was found elsewhere, shown beside the verdict")

    @field_validator("of", "against", "where", mode="before")
    @classmethod
    def _long_names(cls, value: Any) -> Any:
        if isinstance(value, dict):
            return {AXIS_SHORT.get(name, name): setting for name, setting in cast(dict[str, Any], value).items()}
        if isinstance(value, list | tuple):
            return [cls._long_names(item) for item in cast("list[Any]", value)]
        return value

    @model_validator(mode="after")
    def _sides(self) -> "Hypothesis":
        if self.rule == "levels_off" and (self.against or len(self.of) < 3):
            raise ValueError("levels_off takes three configurations or more in `of`, in order, and none in `against`")
        if self.rule != "levels_off" and not self.against:
            raise ValueError(f"{self.rule} compares: name one configuration or more in `against`")
        return self

    @property
    def sides(self) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """`of` and `against`, each with the settings of `where`."""
        return [{**self.where, **point} for point in self.of], [{**self.where, **point} for point in self.against]


class Claims(Part):
    """What claims about configurations are made of, fixed before the results; their attack is membership.primary."""

    stratum: str = Field(
        default="records", description="records, prompts (what was masked), or canaries@C for C copies"
    )
    margin: float = Field(default=0.02, gt=0, description="smallest difference in AUC that counts as one")
    hypotheses: tuple[Hypothesis, ...] = Field(
        default=(), description="claims stated before the results, judged together as one family: a list"
    )

    @field_validator("hypotheses")
    @classmethod
    def _each_name_once(cls, value: tuple[Hypothesis, ...]) -> tuple[Hypothesis, ...]:
        names = [hypothesis.name for hypothesis in value]
        if len(set(names)) != len(names):
            raise ValueError(f"each hypothesis has a name of its own, got {', '.join(names)}")
        return value


class Controls(Part):
    """What decides whether a figure means anything."""

    null_trial: Literal["none", "first", "each"] = Field(
        default="none",
        description="tune an adapter on the calibration records, as control for attacks that compare with the base "
        "model: one with the first trial's settings, or one for each configuration",
    )
    shadow: bool = Field(
        default=False,
        description="where subjects are given: tune an adapter like each on half of the calibration documents, by the "
        "study's seed, as reference of attacks and as control",
    )
    second_shadow: bool = Field(
        default=True,
        description="with controls.shadow: tune a second shadow on the same documents with another seed, as control of "
        "the attacks on the first, at the same cost again; without it these have no control",
    )

    @field_validator("null_trial", mode="before")
    @classmethod
    def _true_is_first(cls, value: Any) -> Any:
        return {True: "first", False: "none"}[value] if isinstance(value, bool) else value


class Audit(Part):
    """The lower bound on epsilon from one run (Steinke et al. 2023), for canaries of `many`."""

    guesses: Annotated[int, Field(ge=2)] | Literal["all"] | None = Field(
        default=None,
        description="fixed beforehand, for canaries of each number of copies: a number, or all; null for a quarter of "
        "them, at least 20",
    )
    delta: float = Field(default=1e-5, ge=0, lt=1, description="δ of the (ε, δ) that is bounded")
    level: float = Field(default=0.05, gt=0, lt=0.25, description="chance that any bound of the run is above the truth")
    attack: str | None = Field(default=None, description="null for membership.primary")


class Decide(Part):
    """Rules that a verdict is made of, fixed before the results (docs/verdicts.md). Without one nothing is decided."""

    max_tpr_at_fpr: Mapping[Rate, Annotated[float, Field(ge=0, le=1)]] = Field(
        default_factory=dict[Rate, float],
        description="false-positive rate: highest true-positive rate at it, such as {0.01: 0.05}, or 0.01=0.05",
    )
    max_auc: float | None = Field(default=None, ge=0.5, le=1, description="highest AUC")
    max_verbatim: int | None = Field(
        default=None, ge=0, description="most records whose suffix the subject gives within decide.draws, the base not"
    )
    max_epsilon: float | None = Field(default=None, ge=0, description="highest epsilon; exceeded or undecided")
    equivalent_within: float | None = Field(
        default=None, gt=0, lt=0.5, description="margin about 0.5 in which every AUC must lie"
    )
    draws: int = Field(default=10_000, ge=1, description="of max_verbatim: draws that give a suffix with chance 1/2")
    attack: str | None = Field(default=None, description="that the rules read; null for every attack of an outsider")
    stratum: str = Field(default="records", description="that the rules read: records, or canaries@C for C copies")

    @field_validator("max_tpr_at_fpr", mode="before")
    @classmethod
    def _pairs(cls, value: Any) -> Any:
        """`0.01=0.05`, as on the command line, several with commas between them."""
        if not isinstance(value, str):
            return value
        pairs = [pair.partition("=") for pair in value.split(",")]
        if not all(equals for _, equals, _ in pairs):
            raise ValueError(f"write a false-positive rate, = and the highest true-positive rate, got {value!r}")
        return {rate.strip(): limit.strip() for rate, _, limit in pairs}

    @property
    def asks(self) -> bool:
        """Whether there is any rule."""
        limits = (self.max_auc, self.max_verbatim, self.max_epsilon, self.equivalent_within)
        return bool(self.max_tpr_at_fpr) or any(limit is not None for limit in limits)


class Report(Part):
    """What the report shows."""

    include_text: bool = Field(default=False, description="show the text of records")
    ids: Literal["plain", "hashed", "none"] = Field(
        default="plain",
        description="how the report names records: by id, by a hash whose key stays in the run folder, or by a number",
    )
    figure_width: float = Field(
        default=174,
        ge=60,
        le=400,
        description="of figures, in millimetres; 174 for a page of a journal, 85 for a column",
    )
    compare_to: _PUBLISHED | None = Field(
        default=None, description="published figures to compare with: table-3.1 or figure-3.6"
    )


class RayPart(Part):
    """How a study is given to Ray (machine.backend ray). Nothing of this enters a key."""

    address: str | None = Field(
        default=None,
        description="HOST:PORT of a Ray cluster; auto for the one that this machine belongs to; null for RAY_ADDRESS "
        "where it is set, else a Ray of this machine alone",
    )
    cores: int = Field(default=1, ge=1, description="processor cores of a worker, which are its threads")
    memory_gib: float | None = Field(
        default=None, gt=0, description="memory that each worker is declared to need; null for what plan counts"
    )
    silent_minutes: float = Field(
        default=30, gt=0, description="a worker that tells of no progress for so long is given up for lost"
    )


class Machine(Part):
    """How the work is done here. Nothing of this enters a key."""

    backend: Literal["local", "ray"] = Field(
        default="local", description="who works: processes of this machine, or actors of a Ray cluster"
    )
    ray: RayPart = RayPart()
    device: str = Field(default="auto", description="auto, cpu, cuda or cuda:N")
    threads: int | None = Field(default=None, ge=1, description="processor threads in all; null for all cores")
    workers: int | None = Field(
        default=None, ge=1, description="trials side by side, sharing the threads; null: one per core, one on a GPU"
    )
    stack: int = Field(default=1, ge=1, description="trials trained alike whose adapters are trained in one pass")
    micro_batch_tokens: int | None = Field(
        default=None, ge=1, description="most tokens in one forward pass of training; null for what is fast and fits"
    )
    scoring_batch_tokens: int = Field(default=512, ge=1, description="most tokens in one forward pass of scoring")
    generation_batch: int = Field(default=200, ge=1, description="completions written side by side")
    minutes: float | None = Field(
        default=None,
        gt=0,
        description="an audit draws as many documents as can be measured in this time; null for all of them",
    )
    checkpoint_minutes: float | None = Field(
        default=2, gt=0, description="between checkpoints, from which a killed training continues; null for none"
    )


class Study(Part):
    """Corpus, base model, grid of trials, measurements."""

    name: str = Field(default="study", pattern=r"^[\w.\-]+$", description="letters, digits, dot, dash")
    seed: int = Field(default=13, ge=0, description="training.seed and canaries.seed where these are null")
    model: Model = Model()
    subjects: tuple[Subject, ...] = Field(
        default=(),
        description="fine-tuned models to measure, where none is to be trained: a list, each with adapter or model",
    )
    corpus: Corpus
    canaries: Canaries = NoCanaries(design="none")
    grid: dict[str, list[Any]] | list[dict[str, list[Any]]] = Field(
        default_factory=dict,
        description="axes: dotted names under lora, training, canaries; seed; rank, matrices, copies; or a list of "
        "such grids, a trial that two of them name being trained once",
    )
    seeds: int | None = Field(
        default=None,
        ge=1,
        description="train each point of the grid with so many seeds, from the study's seed on; null for those of the "
        "grid",
    )
    lora: Lora = Lora()
    training: Training = Training()
    membership: Membership = Membership()
    extraction: Extraction = Extraction()
    statistics: Statistics = Statistics()
    claims: Claims = Claims()
    controls: Controls = Controls()
    audit: Audit = Audit()
    decide: Decide = Decide()
    report: Report = Report()
    machine: Machine = Machine()
    report_to: tuple[Tracker, ...] = Field(
        default=(),
        description="trackers of experiments that are told each trial's figures: mlflow, tensorboard, trackio, wandb; "
        "a list",
    )
    provenance: dict[str, Any] | None = Field(default=None, description="written into a run's copy; not read")

    @field_validator("report_to", mode="before")
    @classmethod
    def _one_tracker_is_a_list(cls, value: Any) -> Any:
        return [value] if isinstance(value, str) else value

    @field_validator("report_to")
    @classmethod
    def _each_tracker_once(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(value)) != len(value):
            raise ValueError(f"each tracker may be listed once, got {', '.join(value)}")
        return value

    @model_validator(mode="before")
    @classmethod
    def _base_of_the_adapters(cls, raw: Any) -> Any:
        """Where subjects are given, the base model is the one that the adapters name, unless the study names one."""
        if not isinstance(raw, dict):
            return raw
        study: dict[str, Any] = {**cast(dict[str, Any], raw)}
        model: Any = study.get("model")
        model = {} if model is None else model
        if study.get("subjects") and isinstance(model, dict) and "source" not in model:
            study["model"] = {**cast(dict[str, Any], model), "source": FROM_ADAPTER}
        return study

    @field_validator("grid", mode="before")
    @classmethod
    def _axes_of_grids(cls, raw: Any) -> Any:
        grids = cast("list[Any]", raw) if isinstance(raw, list) else [raw]
        if not all(isinstance(grid, dict) for grid in grids):
            raise ValueError("a grid is axes with their values, such as {rank: [1, 8]}, or a list of such grids")
        axes = [cls._axes(grid) for grid in grids]
        return axes if isinstance(raw, list) else axes[0]

    @classmethod
    def _axes(cls, grid: dict[str, Any]) -> dict[str, list[Any]]:
        axes: dict[str, list[Any]] = {}
        for name, values in grid.items():
            if not isinstance(values, list):
                raise ValueError(f"axis {name!r} is a list of values, such as [1, 2]; got {values!r}")
            axis = AXIS_SHORT.get(name, name)
            if axis in axes:
                raise ValueError(f"axis {axis!r} is given twice (once as {name!r})")
            if axis != "seed" and axis.split(".")[0] not in AXIS_ROOMS:
                raise ValueError(
                    f"axis {name!r} cannot vary within a study; axes are seed and dotted names under "
                    f"{', '.join(AXIS_ROOMS)} (short: {', '.join(AXIS_SHORT)})"
                )
            if not values:
                raise ValueError(f"axis {name!r} is empty; give at least one value or remove it")
            axes[axis] = values
        return axes

    @field_validator("seeds")
    @classmethod
    def _one_kind_of_seeds(cls, seeds: int | None, info: ValidationInfo) -> int | None:
        if seeds is not None and any({"seed", "training.seed"} & set(grid) for grid in _listed(info.data.get("grid"))):
            raise ValueError("the grid has an axis of seeds; leave one of the two out")
        return seeds

    @property
    def grids(self) -> list[dict[str, list[Any]]]:
        """The grids whose trials together are the study's, each with the axis of `seeds`."""
        seeds = {} if self.seeds is None else {"seed": [self.seed + number for number in range(self.seeds)]}
        return [{**grid, **seeds} for grid in _listed(self.grid) or [{}]]


def _listed(grid: Any) -> list[dict[str, list[Any]]]:
    """The grids of a study as a list; none where the setting is wrong."""
    return cast("list[dict[str, list[Any]]]", grid) if isinstance(grid, list) else [grid or {}]
