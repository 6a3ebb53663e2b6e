"""What became of each trial: its row, its state, its timings. Rows of tables."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np

from byrote.records import Assignment, Role, TokenScores
from byrote.store import STAGES, Run
from byrote.tables.columns import TRIAL


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
    held_out = [a.record for a in trial.roles if a.role is Role.NONMEMBER]
    planted = sorted({a.copies for a in trial.roles if a.role in (Role.CANARY_IN, Role.CANARY_OUT)})
    lora, training = planned["settings"]["lora"], planned["settings"]["training"]
    return {
        **trial.head,
        **{name: done.get(name) for name in ("trainable_parameters", "total_parameters", "steps", "loss")},
        "trainable_share": done["trainable_parameters"] / done["total_parameters"] if done else None,
        "members": sum(a.role is Role.MEMBER for a in trial.roles),
        "perplexity_base": _perplexity(trial.base, held_out),
        "perplexity_tuned": _perplexity(trial.tuned, held_out),
        "state": _state(run, planned, failed),
        "label": planned["label"],
        "alpha": lora["alpha"],
        "scaling": lora["scaling"],
        "epochs": training["epochs"],
        "learning_rate": training["learning_rate"],
        "copies": ",".join(map(str, planted)),
    }


def _state(run: Run, planned: Mapping[str, Any], failed: set[str]) -> str:
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


def _perplexity(scores: TokenScores | None, records: list[str]) -> float | None:
    """exp of the mean NLL over all tokens of these records."""
    if scores is None or not records:
        return None
    logprob = scores.take(records).logprob
    return float(np.exp(-logprob.mean(dtype=np.float64))) if len(logprob) else None


def timing_rows(run: Run, trial: str, planned: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """A row for each finished stage. trial: its key; base for the base model, null for the null trial."""
    for name in STAGES:
        if planned.get(name) and run.has(planned[name]):
            done = run.manifest(planned[name])
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
