"""Subjects that rules are judged on, with what the other tables hold of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from byrote.tables.compared import ScoredStratum
from byrote.tables.trials import Measured

Row = dict[str, Any]


@dataclass(frozen=True, eq=False)
class Subject:
    """A subject with what is stored of it, as the tables have it.

    strata: scored strata by name · membership: rows of that table by stratum and attack · chances, greedy: its rows of
    `draws`, and of `extraction` at temperature 0 · has_base: whether the base model was asked the same prompts.
    """

    trial: Measured
    state: str
    strata: Mapping[str, ScoredStratum] = field(default_factory=dict[str, ScoredStratum])
    membership: Mapping[tuple[str, str], Row] = field(default_factory=dict[tuple[str, str], Row])
    chances: Sequence[Row] = ()
    greedy: Sequence[Row] = ()
    has_base: bool = True


def subjects_of(
    trials: Sequence[Measured],
    scored_strata: Sequence[ScoredStratum],
    rows: Mapping[str, Sequence[Row]],
    has_base: bool,
) -> list[Subject]:
    """Trials as subjects, with their rows of the tables `trials`, `membership`, `draws` and `extraction`."""
    states = {row["trial"]: row["state"] for row in rows["trials"]}
    return [
        Subject(
            trial,
            states[key],
            {scored.compared.stratum.name: scored for scored in scored_strata if scored.trial == key},
            membership={(row["stratum"], row["attack"]): row for row in rows["membership"] if row["trial"] == key},
            chances=[row for row in rows["draws"] if row["trial"] == key],
            greedy=[row for row in rows["extraction"] if row["trial"] == key and row["temperature"] == 0],
            has_base=has_base,
        )
        for trial in trials
        for key in [trial.row["trial"]]
    ]
