"""How many members count where documents were drawn whole: a document, not a member, is drawn at random."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from byrote.records import Record
from byrote.statistics.verdicts import count_bounds


@dataclass(frozen=True)
class Documents:
    """Members' documents. drawn, of_all: how many were drawn, and are there · hit: drawn documents with a member that
    counts · largest: members of the largest document left out · whole: whether every member of the drawn documents was
    computed, or is too short to be."""

    drawn: int
    of_all: int
    hit: int
    largest: int
    whole: bool

    @classmethod
    def of(
        cls, drawn: set[str], left_out: set[str], hits: set[str], records: Mapping[str, Record], *, whole: bool
    ) -> "Documents":
        """drawn, left_out: members, not none · hits: those of the drawn that count"""
        groups = {records[member].group for member in drawn}
        others = Counter(records[member].group for member in left_out)
        hit = {records[member].group for member in hits}
        return cls(len(groups), len(groups) + len(others), len(hit), max(others.values()), whole)

    def bounds(self, hits: int, left: int, error: float) -> tuple[int, int]:
        """The fewest and the most members that count, each with this error; `hits` were seen, `left` not computed.

        Documents that hold one that counts are bounded as a sample without replacement. Each of them holds one at
        least; one that was left out holds at most as many as the largest that was left out.
        """
        fewest, most = count_bounds(self.of_all, self.drawn, self.hit, error)
        more = min(left, (most - self.hit) * self.largest) if self.whole else left
        return hits + fewest - self.hit, hits + more
