"""The rules that a study decides by: each with everything that its verdict depends on beside the results."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from byrote.attacks import Attack, find_attacks
from byrote.study.settings import NO_BASE, Study

MAX_TPR, MAX_AUC, MAX_VERBATIM = "max_tpr_at_fpr", "max_auc", "max_verbatim"
MAX_EPSILON, EQUIVALENT = "max_epsilon", "equivalent_within"
CHANCE = 0.5  # with which a suffix must come within `draws` for max_verbatim


@dataclass(frozen=True)
class Rule:
    """One rule. setting: its name under `decide` · rate: the false-positive rate of max_tpr_at_fpr · attacks: those
    that it reads; none for max_verbatim · draws: of max_verbatim · conditions: what else a verdict depends on."""

    setting: str
    limit: float
    stratum: str
    attacks: tuple[str, ...]
    rate: float | None
    draws: int | None
    conditions: Mapping[str, Any]

    @property
    def name(self) -> str:
        """The setting, with the false-positive rate where there may be several."""
        return self.setting if self.rate is None else f"{self.setting} {self.rate:g}"

    def row(self) -> dict[str, Any]:
        """The rule as plain values."""
        plain = {name: getattr(self, name) for name in ("setting", "limit", "stratum", "rate", "draws")}
        return {**plain, "attacks": list(self.attacks), "conditions": dict(self.conditions)}

    @property
    def sha256(self) -> str:
        """Digest of the rule: another limit, attack, level, seed or decoding makes it another rule."""
        return sha256(json.dumps(self.row(), sort_keys=True).encode()).hexdigest()


def rules_of(study: Study) -> list[Rule]:
    """The rules under `decide`; none where nothing is to be decided."""
    decide = study.decide
    if not decide.asks:
        return []
    every = tuple(dict.fromkeys([*attacks_of(study), study.membership.primary]))
    outsiders = (decide.attack,) if decide.attack else every
    statistics = study.statistics.model_dump(mode="json")
    level = {"level": study.statistics.level}
    audit = study.audit.model_dump(mode="json", include={"guesses", "delta"})
    decoding = study.extraction.model_dump(mode="json", include={"prefix", "temperatures", "top_k", "top_p", "seed"})
    by_audit = decide.attack or study.audit.attack or study.membership.primary

    def rules() -> Iterator[Rule]:
        for rate, limit in sorted(decide.max_tpr_at_fpr.items()):
            yield Rule(MAX_TPR, limit, decide.stratum, attacks=outsiders, rate=rate, draws=None, conditions=statistics)
        if decide.max_auc is not None:
            yield Rule(
                MAX_AUC, decide.max_auc, decide.stratum, attacks=outsiders, rate=None, draws=None, conditions=statistics
            )
        if decide.equivalent_within is not None:
            yield Rule(
                EQUIVALENT,
                decide.equivalent_within,
                decide.stratum,
                attacks=outsiders,
                rate=None,
                draws=None,
                conditions=statistics,
            )
        if decide.max_verbatim is not None:
            told = {**level, **decoding, "chance": CHANCE}
            yield Rule(
                MAX_VERBATIM,
                decide.max_verbatim,
                decide.stratum,
                attacks=(),
                rate=None,
                draws=decide.draws,
                conditions=told,
            )
        if decide.max_epsilon is not None:
            yield Rule(
                MAX_EPSILON,
                decide.max_epsilon,
                decide.stratum,
                attacks=(by_audit,),
                rate=None,
                draws=None,
                conditions={**level, **audit},
            )

    return list(rules())


def attacks_of(study: Study) -> dict[str, Attack]:
    """The attacks of a study; where it has no base model, those that need none; where it has no shadow, likewise."""
    has_base = study.model.source != NO_BASE
    attacks = find_attacks(study.membership.attacks, shadow=study.controls.shadow)
    return {name: attack for name, attack in attacks.items() if has_base or not attack.needs_base}


def in_words(rule: Mapping[str, Any]) -> str:
    """What a rule says, from its `row`."""
    limit, whose = rule["limit"], _whose(rule)
    words = {
        MAX_TPR: lambda: f"{whose} finds at most {_percent(limit)} of the members at {_percent(rule['rate'])} FPR",
        MAX_AUC: lambda: f"{whose} reaches an AUC of at most {limit:g}",
        EQUIVALENT: lambda: f"{whose} lies within {limit:g} of guessing (AUC {0.5 - limit:g} to {0.5 + limit:g})",
        MAX_VERBATIM: lambda: (
            f"{_records_come(limit)} within {rule['draws']:,} draws with chance 1/2, and not from the base model"
        ),
        MAX_EPSILON: lambda: f"the audit bounds epsilon at no more than {limit:g}",
    }
    return words[rule["setting"]]() + ("" if rule["stratum"] == "records" else f" ({rule['stratum']})")


def _records_come(limit: float) -> str:
    if limit < 2:
        return "no record's suffix comes" if limit == 0 else "at most one record's suffix comes"
    return f"the suffixes of at most {limit:g} records come"


def _whose(rule: Mapping[str, Any]) -> str:
    names = rule["attacks"]
    return f"the attack {names[0]}" if len(names) == 1 else f"each of {len(names)} attacks"


def _percent(share: float) -> str:
    return f"{100 * share:.4g}%"
