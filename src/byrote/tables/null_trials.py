"""What stands beside a trial as its null trial or second shadow, and whether they are alike enough to be compared."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from byrote.records import Role, TokenScores
from byrote.store import Run
from byrote.tables.compared import present
from byrote.tables.membership import NULL_TRIAL, SECOND_SHADOW
from byrote.tables.perplexity import perplexity_over
from byrote.tables.trials import Measured, state_of

MOST_APART = 0.10  # of the trial's perplexity on non-members: a null trial further away is no likeness of the trial
Row = dict[str, Any]


@dataclass(frozen=True, eq=False)
class NullTrial:
    """A null trial with what is stored of it. another: it was planned for another configuration than the trial's ·
    kind: as the column `control` names it, null trial or second shadow."""

    row: Mapping[str, Any]
    scores: TokenScores | None
    another: bool
    kind: str = NULL_TRIAL


@dataclass(frozen=True, eq=False)
class NullTrials:
    """The null trials of a run, each read once."""

    run: Run
    rows: Mapping[str, Mapping[str, Any]]
    read: dict[str, TokenScores | None] = field(default_factory=dict[str, TokenScores | None])

    @classmethod
    def of(cls, run: Run, rows: Sequence[Mapping[str, Any]]) -> "NullTrials":
        """rows: `nulls` of plan.json."""
        return cls(run, {row["trial"]: row for row in rows})

    def beside(self, planned: Mapping[str, Any]) -> NullTrial | None:
        """The null trial of a planned trial; None where none was asked for."""
        return self._of(planned.get("null"), NULL_TRIAL, planned.get("null_of_another_configuration", False))

    def second_beside(self, planned: Mapping[str, Any]) -> NullTrial | None:
        """The second shadow of a planned trial; None where none was asked for."""
        return self._of(planned.get("second_shadow"), SECOND_SHADOW, False)

    def _of(self, key: str | None, kind: str, another: bool) -> NullTrial | None:
        row = self.rows.get(key or "")
        if row is None:
            return None
        stage = row["scores"]
        if stage not in self.read:
            self.read[stage] = self.run.scores(stage) if self.run.has(stage) else None
        return NullTrial(row, self.read[stage], another, kind)


def null_trial_row(run: Run, trial: Measured, null: NullTrial, failed: set[str]) -> Row:
    """Epochs, steps and perplexity on non-members of a null trial, beside its trial's."""
    stages = null.row["finetune"], trial.row["finetune"]
    done, of_trial = (run.manifest(stage) if run.has(stage) else {} for stage in stages)
    held_out = [a.record for a in trial.roles if a.role is Role.NONMEMBER]
    perplexity, null_perplexity = perplexity_over(trial.tuned, held_out), perplexity_over(null.scores, held_out)
    unmatched = why_unmatched(perplexity, null_perplexity)
    known = null.scores is not None and trial.tuned is not None
    settings = trial.row["settings"]["training"]
    steps = of_trial.get("steps", settings.get("steps"))  # of a given subject those that its trainer wrote down
    return {
        "trial": trial.row["trial"],
        "null_trial": null.row["trial"],
        "kind": null.kind,
        "another_configuration": null.another,
        "epochs": settings.get("epochs"),
        "steps": steps,
        **present(perplexity=perplexity),
        "null_epochs": null.row["settings"]["training"]["epochs"],
        "null_steps": done.get("steps"),
        **present(null_perplexity=null_perplexity),
        "matched": not unmatched if known else None,
        "state": state_of(run, null.row, failed),
        "note": _note(null.another, unmatched if known else "", steps, done.get("steps")),
    }


def why_unmatched(perplexity: float, null_perplexity: float) -> str:
    """Why a null trial does not resemble its trial, by their perplexities on the same records; '' where it does."""
    if math.isnan(perplexity) or math.isnan(null_perplexity):
        return "unmatched: no held-out perplexity to compare"
    if abs(null_perplexity - perplexity) <= MOST_APART * perplexity:
        return ""
    return f"unmatched: its held-out perplexity is {null_perplexity:.4g}, the trial's {perplexity:.4g}"


def _note(another: bool, unmatched: str, steps: int | None, null_steps: int | None) -> str:
    fewer = steps is not None and null_steps is not None and null_steps < steps
    capped = f"{null_steps} steps, the trial {steps}" if fewer else ""
    return "; ".join(filter(None, ("of another configuration" if another else "", unmatched, capped)))


def with_null_trial(row: Row, beside: Mapping[str, Row]) -> Row:
    """A row of `membership` whose control is the null trial or the second shadow, with what to know about that trial.

    beside: rows of `null_trials` of the trial, by kind.
    """
    null = beside.get(row["control"])
    if null is None:
        return row
    note = "; ".join(filter(None, (null["note"], row["control_note"])))
    return {**row, "control_matched": null["matched"], "control_note": note}
