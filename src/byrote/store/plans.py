"""plan.json, whichever version wrote it: the trials of a run and their stages."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from byrote.study.grid import Stages
from byrote.study.labels import parts_of_an_older_label

STAGES = tuple(field.name for field in fields(Stages))  # of a trial; the base model has all but the first


def planned_rows(plan: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The rows of a plan: its trials, then its null trials, of which earlier versions had at most one."""
    single = plan.get("null")
    return [*plan["trials"], *plan.get("nulls", [single] if single else [])]


def stages_of(plan: Mapping[str, Any]) -> dict[str, str]:
    """Every stage that a plan names → its trial, or `base`."""
    rows = [("base", stage) for stage in (*plan["base"].values(), plan.get("canaries"))]
    rows += [(row["trial"], row.get(name)) for row in planned_rows(plan) for name in STAGES]
    return {stage: trial for trial, stage in rows if stage}


def of_today(plan: dict[str, Any]) -> dict[str, Any]:
    """A plan in today's form, whichever version wrote it."""
    plan = {**plan, "trials": [_with_parts(row) for row in plan["trials"]]}
    return plan if "nulls" in plan else _with_nulls(plan)


def _with_parts(row: dict[str, Any]) -> dict[str, Any]:
    """A trial's row of a plan of earlier versions, which kept its label alone."""
    if "label_parts" in row or "label" not in row:
        return row
    return {**row, "label_parts": parts_of_an_older_label(row["label"])}


def _with_nulls(plan: dict[str, Any]) -> dict[str, Any]:
    """A plan of earlier versions, which had at most one null trial, with the settings of the first trial."""
    null = plan.get("null")
    if not null:
        return {**plan, "nulls": []}
    own = _like(plan["trials"][0])
    served = [
        {**row, "null": null["trial"], "null_of_another_configuration": _like(row) != own} for row in plan["trials"]
    ]
    return {**plan, "trials": served, "nulls": [{**null, "label": "null trial"}]}


def _like(row: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """What a null trial takes over from a trial: LoRA and training, without the seed."""
    lora, training = row["settings"]["lora"], row["settings"]["training"]
    return lora, {name: value for name, value in training.items() if name != "seed"}
