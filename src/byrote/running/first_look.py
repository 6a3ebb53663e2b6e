"""What can be said before the work begins, from a prepared study: sizes and what they can show, and what texts alone
give away. No weights are loaded."""

from dataclasses import dataclass

from byrote.records import Record, Role
from byrote.running.forecast import Power, power_of
from byrote.running.planning import Prepared
from byrote.statistics.blind import BlindTest, blind_test


@dataclass(frozen=True)
class FirstLook:
    """power: what each comparison can show · blind: members told from non-members by their texts · findings: messages
    of everything that was found on reading · trials: what each trial measures"""

    trials: tuple[str, ...]
    power: tuple[Power, ...]
    blind: BlindTest
    findings: tuple[str, ...]


def first_look(prepared: Prepared) -> FirstLook:
    """The check of an audit; reads texts, configurations and tokenizers, no weights."""
    first = prepared.planned[0]
    records = {r.record: r for r in prepared.scored_records}
    drawn = [a for a in first.roles if a.record in records]
    members = [records[a.record] for a in drawn if a.role is Role.MEMBER]
    nonmembers = [records[a.record] for a in drawn if a.role is Role.NONMEMBER]
    return FirstLook(
        trials=tuple(planned.trial.label for planned in prepared.planned),
        power=tuple(power_of(prepared, first)),
        blind=_blind(members, nonmembers, prepared.study.statistics.seed),
        findings=tuple(finding.message for finding in prepared.findings),
    )


def _blind(members: list[Record], nonmembers: list[Record], seed: int) -> BlindTest:
    texts = [r.text for r in members], [r.text for r in nonmembers]
    return blind_test(*texts, [r.group for r in (*members, *nonmembers)], seed=seed)
