"""Sentences on checkpoints, from made-up rows."""

import math
from dataclasses import replace
from typing import Any

import pandas as pd

from byrote.figures import FIGURES, Options
from byrote.report.checkpoints import checkpoints_grid, sentences
from byrote.tables.build import Tables
from fake_tables import fake_tables

BASE = {"auc_low": 0.4, "auc_high": 0.9, "loss_base": math.log(30), "loss_members": 2.0, "strongest": "wbc"}


def tables_of(*rows: tuple[str, int, float, float, str, bool], lacking: int = 0) -> Tables:
    """series, steps, perplexity of non-members, AUC, verdict, last_held each; `lacking` subjects without steps."""
    tables = fake_tables(ranks=(1,), matrices=("q", "k", "v", "o"))
    template = tables.checkpoints.iloc[0].to_dict()
    table = pd.DataFrame(
        [
            {
                **template,
                **BASE,
                **{"trial": f"t{number}", "label": f"c{steps}", "series": series, "steps": steps, "auc": area},
                **{"loss_nonmembers": math.log(perplexity), "verdict": verdict, "last_held": last},
                "rules": f"max_auc: {verdict}" if verdict else "",
            }
            for number, (series, steps, perplexity, area, verdict, last) in enumerate(rows)
        ]
    )
    trial = tables.trials.iloc[0].to_dict()
    trials: list[dict[str, Any]] = [
        {**trial, "trial": row["trial"], "label": row["label"]} for _, row in table.iterrows()
    ]
    trials += [{**trial, "trial": f"none{n}", "label": f"merged {n}", "steps": None} for n in range(lacking)]
    return replace(tables, checkpoints=table, trials=pd.DataFrame(trials))


def test_the_last_held_with_what_it_gives_up() -> None:
    tables = tables_of(("out", 100, 22, 0.55, "held", True), ("out", 200, 20, 0.7, "exceeded", False))
    assert sentences(tables) == [
        "The last checkpoint at which every rule is held is that of step 100. The perplexity of non-members is lowest "
        "after 200 steps: 20.00 (2.996 nats a token); the base model's is 30.00. That of step 100 is 22.00, 10.0% "
        "higher."
    ]


def test_nothing_is_given_up_where_the_best_is_held_and_earlier_ones_are_said() -> None:
    tables = tables_of(("out", 100, 22, 0.55, "undecided", False), ("out", 200, 20, 0.5, "held", True))
    (sentence,) = sentences(tables)
    assert "is that of step 200; at 1 earlier checkpoint some rule is not." in sentence
    assert sentence.endswith("Nothing is given up.")


def test_without_rules_the_trade_off_is_named() -> None:
    (sentence,) = sentences(tables_of(("out", 100, 22, 0.55, "", False), ("out", 200, 20, 0.7, "", False)))
    assert sentence.startswith("No rule was set, so no checkpoint is picked here. The perplexity of non-members is")
    assert "There the AUC of ratio is 0.700; it is lowest after 100 steps, 0.550 at a perplexity of 22.00." in sentence
    (alike,) = sentences(tables_of(("out", 100, 20, 0.55, "", False), ("out", 200, 22, 0.7, "", False)))
    assert alike.endswith("There the AUC of ratio is lowest too: 0.550.")


def test_trainings_and_subjects_without_an_order_are_told_apart() -> None:
    rows = [(name, steps, 20, 0.6, "exceeded", False) for name in ("a", "b") for steps in (1, 2)]
    tables = tables_of(*rows, lacking=2)
    first, second, third = sentences(tables)
    assert first.startswith("At none of 2 checkpoints of a is every rule held.")
    assert second.startswith("At none of 2 checkpoints of b is every rule held.")
    why = "its files do not say after how many steps it was saved"
    assert third == f"2 subjects stand in no order of steps: merged 0 ({why}) and merged 1 ({why})."
    grid = checkpoints_grid(tables)
    assert grid.headers[0] == "training"
    assert [row[0] for row in grid.rows] == ["a", "a", "b", "b"]
    drawn = FIGURES["leakage_by_step"].function(tables, Options())
    seen = [[line for line in axes.get_lines() if line.get_alpha() != 0] for axes in drawn.axes]
    assert [len(lines) for lines in seen] == [3, 3]  # a line a training, and guessing or the base


def test_the_grid_has_each_rule_the_control_and_the_base() -> None:
    grid = checkpoints_grid(tables_of(("out", 1, 20, 0.6, "held", False), ("out", 2, 20, 0.6, "held", True)))
    shown = dict(zip(grid.headers, grid.rows[0], strict=True))
    assert shown["rules"] == "max_auc: held"
    assert shown["AUC of its control"] == "0.500 (0.470 to 0.530)"
    assert shown["loss, base model"] == "3.401"
    assert shown["TPR of ratio at an FPR"] == "3.0% (1.0% to 6.0%) at 1.0%"


def test_no_table_no_sentence() -> None:
    tables = fake_tables(ranks=(1,))
    assert sentences(replace(tables, checkpoints=tables.checkpoints.head(0))) == []
