"""What became of each trial: its row, its state, its timings. Rows of tables."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from byrote.records import Assignment, Role, TokenScores
from byrote.store import STAGES, Run
from byrote.study.labels import varied_to_text
from byrote.tables.column import TRIAL
from byrote.tables.compared import present
from byrote.tables.perplexity import perplexity_over


@dataclass(frozen=True)
class Measured:
    """One trial with what is stored of it. left_out: roles of records that were not drawn (machine.minutes)."""

    row: Mapping[str, Any]
    roles: list[Assignment]
    tuned: TokenScores | None
    base: TokenScores | None
    left_out: tuple[Assignment, ...] = ()

    @property
    def head(self) -> dict[str, Any]:
        """The columns that every row of this trial starts with."""
        return {name: self.row[name] for name in TRIAL}


def trial_row(run: Run, trial: Measured, failed: set[str]) -> dict[str, Any]:
    planned = trial.row
    done = run.manifest(planned["finetune"]) if run.has(planned["finetune"]) else {}
    members = sum(a.role is Role.MEMBER for a in trial.roles)
    planted = sorted({a.copies for a in trial.roles if a.role in (Role.CANARY_IN, Role.CANARY_OUT)})
    lora, training = planned["settings"]["lora"], planned["settings"]["training"]
    return {
        **trial.head,
        **{name: done.get(name) for name in ("trainable_parameters", "total_parameters", "loss")},
        "steps": done.get("steps", training.get("steps")) if done else None,
        "trainable_share": done["trainable_parameters"] / done["total_parameters"] if done else None,
        "members": members if trial.roles else None,
        **_perplexities(trial),
        "state": state_of(run, planned, failed),
        "label": planned["label"],
        "varied": varied_to_text(planned["label_parts"]),
        **{name: lora.get(name) for name in ("alpha", "scaling")},
        **{name: training.get(name) for name in ("epochs", "learning_rate")},
        "copies": ",".join(map(str, planted)),
    }


def _perplexities(trial: Measured) -> dict[str, Any]:
    """Perplexity under both models, of non-members and of members, and the condition of the trial that follows."""
    held_out, trained_on = ([a.record for a in trial.roles if a.role is role] for role in (Role.NONMEMBER, Role.MEMBER))
    base, tuned = perplexity_over(trial.base, held_out), perplexity_over(trial.tuned, held_out)
    base_members, tuned_members = perplexity_over(trial.base, trained_on), perplexity_over(trial.tuned, trained_on)
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
    """done, damaged, failed or waiting: the state of a planned trial."""
    stages = [planned[name] for name in STAGES if planned.get(name)]
    if run.roles_damage(planned["roles"]) or any(run.damage(stage) for stage in stages):
        return "damaged"
    if all(run.has(stage) for stage in stages):
        return "done"
    return "failed" if failed & set(stages) else "waiting"


def stage_state(run: Run, stage: str | None, failures: Mapping[str, str]) -> str:
    """What `byrote status` says of a stage: not asked for, damaged, done, failed, running, interrupted or waiting."""
    if not stage:
        return "not asked for"
    if run.damage(stage):
        return "damaged"
    if run.has(stage):
        return "done"
    if run.is_being_written(stage):
        return "running" if run.writer() else "interrupted"
    return "failed" if stage in failures else "waiting"


def timing_rows(run: Run, trial: str, planned: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """A row for each finished stage. trial: its key; base for the base model, null for the null trial."""
    for name in STAGES:
        done = run.manifest(planned[name]) if planned.get(name) and run.has(planned[name]) else {}
        if "seconds" in done:  # a subject that is given took none
            yield {
                "trial": trial,
                "stage": name,
                **{column: done[column] for column in ("seconds", "tokens", "device", "peak_memory")},
                "tokens_per_second": done["tokens"] / done["seconds"] if done["seconds"] else None,
                "began": done["created"],
                "finished": done.get("finished") or _after(done["created"], done["seconds"]),
            }


def _after(began: str, seconds: float) -> str:
    """When a stage was finished that an earlier byrote made, which kept no such time."""
    return (datetime.fromisoformat(began) + timedelta(seconds=seconds)).isoformat(timespec="milliseconds")
