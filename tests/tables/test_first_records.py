"""Whether members' loss fell, against a slow obvious twin."""

import numpy as np
import pytest

from byrote.records import Assignment, Role, TokenScores
from byrote.tables.first_records import FIRST, learned_nothing


def scores(logprobs: dict[str, list[float]]) -> TokenScores:
    values = np.array([v for tokens in logprobs.values() for v in tokens], dtype=np.float32)
    offsets = np.cumsum([0, *map(len, logprobs.values())])
    return TokenScores(tuple(logprobs), offsets, values, values > 0, values, values)


def measured(members: float, nonmembers: float) -> str | None:
    """The warning where each side's loss fell by so much; records after the first FIRST say the opposite."""
    roles, base, tuned = [], {}, {}
    for role, fell in ((Role.MEMBER, members), (Role.NONMEMBER, nonmembers)):
        for i in range(FIRST + 10):
            name, tokens = f"{role}{i}", [-3.0 - 0.01 * j for j in range(1 + i % 4)]
            roles.append(Assignment(name, role, 1))
            base[name] = tokens
            tuned[name] = [t + (fell if i < FIRST else -fell) for t in tokens]
    tuned = dict(reversed(tuned.items()))  # another order than the base's
    return learned_nothing(scores(base), scores(tuned), roles)


@pytest.mark.parametrize(
    ("members", "nonmembers", "said"),
    [
        (0.5, 0.1, None),
        (0.5, 0.5, None),
        (0.1, 0.5, "swapped"),
        (-0.1, -0.2, "did not fall"),
        (0.0, 0.0, "did not fall"),
    ],
)
def test_what_is_said_of_the_first_records(members: float, nonmembers: float, said: str | None):
    told = measured(members, nonmembers)
    assert (told is None) == (said is None)
    if told and said:
        assert said in told
        assert f"changed by {-members:+.3f}" in told.replace("+-", "-")


def test_nothing_is_said_without_a_record_on_each_side():
    assert learned_nothing(scores({"a": [-1.0]}), scores({"a": [-2.0]}), [Assignment("a", Role.MEMBER, 1)]) is None
