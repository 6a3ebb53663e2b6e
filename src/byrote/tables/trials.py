"""What became of each trial: its row, its state, its timings. Rows of tables."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from byrote.records import Assignment, Role, TokenScores
from byrote.store import STAGES, Run
from byrote.tables.columns import TRIAL
from byrote.tables.compared import present
from byrote.tables.perplexity import perplexity_over


@dataclass(frozen=True)
class Measured:
    """One trial with what is stored of it."""

    row: Mapping[str, Any]
    roles: list[Assignment]
    tuned: TokenScores | None
    base: TokenScores | None

    @property
    def head(self) -> dict[str, Any]:
        """The columns that every row of this trial starts with."""
        return {name: self.row[name] for name in TRIAL}


def trial_row(run: Run, trial: Measured, failed: set[str]) -> dict[str, Any]:
    planned = trial.row
    done = run.manifest(planned["finetune"]) if run.has(planned["finetune"]) else {}
    planted = sorted({a.copies for a in trial.roles if a.role in (Role.CANARY_IN, Role.CANARY_OUT)})
    lora, training = planned["settings"]["lora"], planned["settings"]["training"]
    return {
        **trial.head,
        **{name: done.get(name) for name in ("trainable_parameters", "total_parameters", "steps", "loss")},
        "trainable_share": done["trainable_parameters"] / done["total_parameters"] if done else None,
        "members": sum(a.role is Role.MEMBER for a in trial.roles),
        **_perplexities(trial),
        "state": state_of(run, planned, failed),
        "label": planned["label"],
        "alpha": lora["alpha"],
        "scaling": lora["scaling"],
        "epochs": training["epochs"],
        "learning_rate": training["learning_rate"],
        "copies": ",".join(map(str, planted)),
    }


def _perplexities(trial: Measured) -> dict[str, Any]:
    """Perplexity under both models, of non-members and of members, and the condition of the trial that follows."""
    held_out, seen = ([a.record for a in trial.roles if a.role is role] for role in (Role.NONMEMBER, Role.MEMBER))
    base, tuned = perplexity_over(trial.base, held_out), perplexity_over(trial.tuned, held_out)
    base_members, tuned_members = perplexity_over(trial.base, seen), perplexity_over(trial.tuned, seen)
    numbers = {"perplexity_base": base, "perplexity_tuned": tuned}
    numbers |= {"perplexity_base_members": base_members, "perplexity_tuned_members": tuned_members}
    return {**present(**numbers), "condition": condition_of(base, tuned, base_members, tuned_members)}


def condition_of(base: float, tuned: float, base_members: float, tuned_members: float) -> str:
    """`collapsed` where fine-tuning left the model worse on non-members and on members alike, `overfitted` where it is
    worse on non-members and better on members, else ''. Perplexities; NaN where one is not known decides nothing."""
    if not tuned > base:
        return ""
    if tuned_members > base_members:
        return "collapsed"
    return "overfitted" if tuned_members < base_members else ""


def state_of(run: Run, planned: Mapping[str, Any], failed: set[str]) -> str:
    """done, failed or waiting: the state of a planned trial."""
    stages = [planned[name] for name in STAGES if planned.get(name)]
    if all(run.has(stage) for stage in stages):
        return "done"
    return "failed" if failed & set(stages) else "waiting"


def stage_state(run: Run, stage: str | None, failures: Mapping[str, str]) -> str:
    """What `byrote status` says of a stage: not asked for, done, failed, running or waiting."""
    if not stage:
        return "not asked for"
    if run.has(stage):
        return "done"
    if stage in failures:
        return "failed"
    return "running" if run.is_being_written(stage) else "waiting"


def timing_rows(run: Run, trial: str, planned: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for name in STAGES:
        if planned.get(name) and run.has(planned[name]):
            done = run.manifest(planned[name])
            yield {
                "trial": trial or "base",
                "stage": name,
                **{column: done[column] for column in ("seconds", "tokens", "device", "peak_memory")},
                "tokens_per_second": done["tokens"] / done["seconds"] if done["seconds"] else None,
            }
