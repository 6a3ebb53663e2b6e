"""Controls that rules read: the same question where nothing was learned. One that is off leaves a rule undecided."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from byrote.statistics.verdicts import two_sided_p
from byrote.tables.compared import ScoredStratum

LEVEL = 0.01  # chance that any control of a run is called off where nothing is to be found
MOST_NAMED = 3  # attacks without a control that are named; more are counted, and the table `membership` names them
Row = Mapping[str, Any]


@dataclass(frozen=True)
class Control:
    """A control that was measured. kind: base model, null trial, second shadow, blind or references · p_value:
    two-sided, of nothing to be found, by document; NaN where there is no test · test: equal for controls that are one
    test."""

    kind: str
    attack: str
    value: float
    p_value: float
    test: tuple[Any, ...]

    @property
    def words(self) -> str:
        """`loss on the base model: AUC 0.71, p 0.0002`."""
        of = {
            "base model": f"{self.attack} on the base model: AUC",
            "null trial": f"{self.attack} under the null trial: AUC",
            "second shadow": f"{self.attack} under the second shadow: AUC",
            "blind": "a classifier that never saw a model: AUC",
            "references": "the audit of references never planted: epsilon",
        }[self.kind]
        return f"{of} {self.value:.3g}, p {self.p_value:.2g}"


@dataclass(frozen=True)
class Controls:
    """The controls of a rule on one subject. missing: why there is none → the attacks that have none."""

    measured: tuple[Control, ...]
    missing: Mapping[str, tuple[str, ...]]


def controls_of_attacks(
    scored: ScoredStratum, attacks: Sequence[str], membership: Mapping[str, Row], nulls: Mapping[str, str | None]
) -> Controls:
    """What stands beside these attacks on a stratum: the base model or a null trial or a second shadow, and the blind
    classifier.

    membership: rows of that table by attack · nulls: control of the trial → its key, which makes the same
    control of two subjects one test.
    """
    roles, stratum = scored.planned["roles"], scored.compared.stratum.name
    documents = min(len(set(groups)) for groups in scored.compared.groups)
    measured: list[Control] = []
    missing: dict[str, tuple[str, ...]] = {}
    for attack in attacks:
        row = membership[attack]
        if row.get("auc_control") is None:
            why = str(row["control"])
            why = why.removeprefix("none: ") if why.startswith("none: ") else f"it has no AUC under the {why}"
            missing[why] = (*missing.get(why, ()), attack)
            continue
        p_value = two_sided_p(row["auc_control"], row.get("auc_control_se"), documents)
        under = nulls.get(row["control"])
        measured.append(Control(row["control"], attack, row["auc_control"], p_value, (roles, stratum, attack, under)))
    blind = next(iter(membership.values()))
    if blind.get("auc_blind") is None:
        missing[str(blind["blind_note"]).removeprefix("none: ")] = ("blind classifier",)
    else:
        measured.append(Control("blind", "", blind["auc_blind"], blind["blind_p_value"], (roles, stratum, "blind")))
    return Controls(tuple(measured), missing)


def off_tests(controls: Sequence[Control]) -> dict[tuple[Any, ...], bool]:
    """Which tests of all rules of a run call a control off, at LEVEL in all (Bonferroni).

    One test each for the models' controls and for references; the blind classifier, on as many sets of records as
    there are, is one test, by twice the mean of its p-values (Vovk & Wang 2020). Where there are both the blind one has
    half of the level: its p comes from permutations and cannot be as small as a share among many.
    """
    p_values = {control.test: control.p_value for control in controls if not math.isnan(control.p_value)}
    blind = {control.test for control in controls if control.kind == "blind"} & p_values.keys()
    others = p_values.keys() - blind
    share = LEVEL / 2 if blind and others else LEVEL
    off = {test: p_values[test] <= share / len(others) for test in others}
    if blind:
        together = (1 if len(blind) == 1 else 2) * sum(p_values[test] for test in blind) / len(blind)
        off |= dict.fromkeys(blind, together <= share)
    return off


def in_words(controls: Controls, off: Mapping[tuple[Any, ...], bool]) -> str:
    """What the column `control` says: which is off, how many are not, which are missing."""
    bad = [control.words for control in controls.measured if off.get(control.test)]
    tested = [control for control in controls.measured if control.test in off]
    untested = [control for control in controls.measured if control.test not in off]
    kinds = ", ".join(dict.fromkeys("blind classifier" if c.kind == "blind" else c.kind for c in tested))
    parts = [f"off: {'; '.join(bad)}"] if bad else []
    parts += (
        [f"{len(bad) or 'none'} of {len(tested)} {'are' if len(bad) > 1 else 'is'} off ({kinds})"] if tested else []
    )
    parts += [f"not tested: {', '.join(c.attack or c.kind for c in untested)}"] if untested else []
    parts += [f"missing for {_few(names)}: {why}" for why, names in controls.missing.items()]
    return "; ".join(parts) or "none"


def _few(names: Sequence[str]) -> str:
    return ", ".join(names) if len(names) <= MOST_NAMED else f"{len(names)} attacks"
