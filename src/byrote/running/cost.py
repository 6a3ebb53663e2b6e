"""What the stages of a study cost, counted so that unlike stages can be added up and timed on any machine.

A token read forward costs one unit of products (2 FLOP a weight that multiplies) and one of passes: all that is no
product (norms, activations, attention, softmax), which no matrix unit makes faster. The other figures are
SmolLM2-135M's, from a processor with AMX, where passes take most of the time (docs/log.md).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from byrote.passes.finetune import steps_of
from byrote.passes.generation import Prompt
from byrote.running.planning import Planned, Prepared

_BACKWARD_PRODUCTS = 1.0  # the gradient passes back through the frozen weights
_BACKWARD_PASSES = 1.6
_WRITTEN_PASSES = 3.0  # a token that is written, in a batch of few rows


@dataclass(frozen=True)
class Cost:
    """Tokens that are trained on, that are read forward (such as those of records that are scored), and that the model
    writes."""

    trained: float = 0.0
    read: float = 0.0
    written: float = 0.0

    @property
    def products(self) -> float:
        """Tokens read forward, as far as matrix products go."""
        return self.trained * (1 + _BACKWARD_PRODUCTS) + self.read + self.written

    @property
    def passes(self) -> float:
        """The same as far as the rest goes."""
        return self.trained * (1 + _BACKWARD_PASSES) + self.read + self.written * _WRITTEN_PASSES

    @property
    def units(self) -> float:
        """One number for both, as on a processor without matrix units, where they take about as long."""
        return self.products + self.passes

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(self.trained + other.trained, self.read + other.read, self.written + other.written)


def costs(prepared: Prepared) -> dict[str, Cost]:
    """Stage → cost, of every stage of a study that is asked for, the base model's first."""
    stages = base_costs(prepared)
    for planned in prepared.all_planned.values():
        stages |= trial_costs(prepared, planned)
    return stages


def base_costs(prepared: Prepared) -> dict[str, Cost]:
    """The same of the base model's stages."""
    return _asked_for(
        {
            prepared.base.scores: Cost(read=scored_tokens(prepared)),
            prepared.base.completions: _prompting(prepared, prepared.base_prompts),
            prepared.base.untargeted: Cost(written=free_tokens(prepared), read=free_tokens(prepared)),
        }
    )


def trial_costs(prepared: Prepared, planned: Planned) -> dict[str, Cost]:
    """The same of one trial's stages; what it writes freely is read by the base model too."""
    return _asked_for(
        {
            planned.stages.finetune: Cost() if planned.given else Cost(trained=trained_tokens(planned)),
            planned.stages.scores: Cost(read=scored_tokens(prepared)),
            planned.stages.completions: _prompting(prepared, planned.prompts),
            planned.stages.untargeted: Cost(written=free_tokens(prepared), read=2 * free_tokens(prepared)),
        }
    )


def _asked_for(stages: dict[str | None, Cost]) -> dict[str, Cost]:
    return {stage: cost for stage, cost in stages.items() if stage}


def trained_tokens(planned: Planned) -> int:
    """About how many tokens a trial trains on, in all of its steps."""
    records, training = len(planned.training_ids), planned.trained.training
    epochs = steps_of(records, training) / math.ceil(records / training.effective_batch)
    return round(epochs * planned.epoch_tokens)


def scored_tokens(prepared: Prepared) -> int:
    """Tokens of all records that are scored."""
    return prepared.scored_tokens


def free_tokens(prepared: Prepared) -> int:
    """The most tokens that one model writes from an empty prompt."""
    wanted = prepared.study.extraction.untargeted
    return wanted.completions * wanted.tokens if prepared.base.untargeted else 0


def prompted_tokens(prepared: Prepared, prompts: Sequence[Prompt]) -> int:
    """The tokens that one model writes after these prompts."""
    extraction = prepared.study.extraction
    rows = sum(extraction.samples if t > 0 else 1 for t in extraction.temperatures)
    return rows * sum(len(p.suffix) for p in prompts)


def _prompting(prepared: Prepared, prompts: Sequence[Prompt]) -> Cost:
    """Completions of the prompts; a prompt is read once before they are written and once with its true suffix."""
    return Cost(written=prompted_tokens(prepared, prompts), read=2 * sum(len(p.token_ids) for p in prompts))
