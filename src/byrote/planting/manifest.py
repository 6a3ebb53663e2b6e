"""The manifest of canaries that were put into a data set before anything was trained on it, and the check that the data
still holds them.

It names every canary, planted or left out by a fair coin, and the references, which were never candidates. Whoever
reads it knows the coin, so it is kept from the trainer and readable by its owner alone.
"""

import json
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any, cast

from byrote.errors import CorpusError
from byrote.records import CANARIES, MEMBERS, Assignment, Record, Role

VERSION = 1
FAIR = 0.5  # the coin of a manifest, and the one that the audit of one run needs
_SHOWN = 3


def deal(names: Sequence[str], copies: Sequence[int], inclusion: float, seed: int) -> list[Assignment]:
    """Canaries with the numbers of copies, shuffled, and each in or out by a coin of its own, which falls after the
    copies are dealt and knows nothing of them. Both come from Python's `random` under the seed."""
    dealt = list(copies)
    random.Random(f"copies {seed}").shuffle(dealt)
    coin = random.Random(f"coin {seed}")
    return [
        Assignment(name, Role.CANARY_IN if coin.random() < inclusion else Role.CANARY_OUT, times)
        for name, times in zip(names, dealt, strict=True)
    ]


@dataclass(frozen=True)
class ManifestCanary:
    """One canary or reference. copies: how often it is in the data where its role is canary_in, or would be where it is
    canary_out; 0 of a reference. content: the columns that hold it, as in a row of the data."""

    name: str
    role: Role
    copies: int
    content: Mapping[str, Any]

    @property
    def sha256(self) -> str:
        """Digest of the content as canonical JSON, in hexadecimal."""
        return _digest(self.content)


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What was planted where, and how.

    kind: synthetic, new-token or high-temperature · seed: of texts, copies, coin and places · model: what wrote the
    texts, with its hashes · columns: what each column of the data is for (text; or prompt and completion; or messages)
    · data, planted: name, sha256 and rows of the data before and after · canaries: canaries, then references.
    """

    kind: str
    seed: int
    temperature: float
    model: Mapping[str, str]
    columns: Mapping[str, str]
    data: Mapping[str, Any]
    planted: Mapping[str, Any]
    canaries: tuple[ManifestCanary, ...]

    def assignments(self) -> list[Assignment]:
        """Role and copies of every canary and reference."""
        return [Assignment(c.name, c.role, c.copies) for c in self.canaries]

    @property
    def of_copies(self) -> Counter[int]:
        """Copies → how many canaries have so many, planted and left out together."""
        return Counter(c.copies for c in self.canaries if c.role is not Role.REFERENCE)

    def as_json(self) -> dict[str, Any]:
        """The file's content, with the digest over all of it."""
        canaries = [
            {"name": c.name, "role": c.role.value, "copies": c.copies, "sha256": c.sha256, "content": dict(c.content)}
            for c in self.canaries
        ]
        rest = ("kind", "seed", "temperature", "model", "columns", "data", "planted")
        content = {"version": VERSION, **{name: getattr(self, name) for name in rest}, "canaries": canaries}
        return {**content, "digest": _digest(content)}

    def dump(self) -> str:
        """The file's text."""
        return json.dumps(self.as_json(), indent=1, ensure_ascii=False) + "\n"


def read_manifest(path: str | Path, expected: str | None = None) -> tuple[Manifest, str]:
    """A manifest and the sha256 of its file.

    expected: the sha256 that the file must have; None takes it as it is. Raises CorpusError where the file cannot be
    read, is no manifest, is cut short or of another version, and where it was edited: its digest, the hash of a canary
    or the roles that its seed deals are others.
    """
    path = Path(path).expanduser()
    try:
        data = path.read_bytes()
        raw = json.loads(data)
    except OSError as error:
        raise CorpusError(f"cannot read the manifest {path}: {error.strerror or error} (canaries.path)") from None
    except ValueError as error:
        told = f"{path} is no whole manifest: not valid JSON ({error})"
        raise CorpusError(f"{told}; take the file as `byrote canaries make` wrote it") from None
    found = sha256(data).hexdigest()
    if expected is not None and found != expected:
        raise CorpusError(
            f"{path} has the sha256 {found[:16]}…, not {expected[:16]}… (canaries.sha256): it is another manifest; "
            "name the one that belongs to the data, or set canaries.sha256 to null"
        )
    raw = cast("dict[str, Any]", raw if isinstance(raw, dict) else {})
    if not {"version", "digest", "canaries"} <= raw.keys():
        raise CorpusError(f"{path} is no manifest of canaries; name the file that `byrote canaries make` wrote")
    if raw["version"] != VERSION:
        raise CorpusError(
            f"{path} is of version {raw['version']!r}, this byrote reads {VERSION}; make the canaries anew"
        )
    if _digest({name: value for name, value in raw.items() if name != "digest"}) != raw["digest"]:
        raise _edited(path, "its digest does not fit its content")
    try:
        return _parse(raw, path), found
    except (KeyError, TypeError, ValueError) as error:
        raise _edited(path, f"a part of it is missing or of another kind ({error!r})") from None


def _parse(raw: Mapping[str, Any], path: Path) -> Manifest:
    canaries = tuple(ManifestCanary(c["name"], Role(c["role"]), c["copies"], c["content"]) for c in raw["canaries"])
    for canary, row in zip(canaries, raw["canaries"], strict=True):
        if canary.sha256 != row["sha256"]:
            raise _edited(path, f"the hash of {canary.name} does not fit its content")
    rest = {name: raw[name] for name in ("kind", "seed", "temperature", "model", "columns", "data", "planted")}
    manifest = Manifest(**rest, canaries=canaries)
    candidates = [c for c in canaries if c.role is not Role.REFERENCE]
    dealt = deal([c.name for c in candidates], sorted(c.copies for c in candidates), FAIR, manifest.seed)
    if dealt != [Assignment(c.name, c.role, c.copies) for c in candidates]:
        raise _edited(path, f"its roles and copies are not those that the seed {manifest.seed} deals")
    return manifest


def _edited(path: Path, why: str) -> CorpusError:
    return CorpusError(f"{path} was edited: {why}; take the manifest as `byrote canaries make` wrote it")


def check_planted(manifest: Manifest, canaries: Sequence[Record], records: Sequence[Record], members: str) -> None:
    """Whether the corpus holds each planted canary as often as the manifest says, in the members alone, and no other.

    canaries: the manifest's, as records, in its order; texts are compared as they are. members: what the study calls
    the members' split. Raises CorpusError that names canaries by their names, never their texts.
    """
    name_of = {r.text: c.name for r, c in zip(canaries, manifest.canaries, strict=True)}
    there = Counter(name_of[r.text] for r in records if r.split == MEMBERS and r.text in name_of)
    outside = [f"{name_of[r.text]} ({r.split})" for r in records if r.split != MEMBERS and r.text in name_of]
    if outside:
        raise CorpusError(
            f"{len(outside)} canaries of the manifest are in splits that nothing is trained on: {_few(outside)}; "
            "canaries belong to the members' file alone, take them out"
        )
    leaked = [c.name for c in manifest.canaries if c.role is not Role.CANARY_IN and there[c.name]]
    if leaked:
        raise CorpusError(
            f"corpus.members ({members!r}) has {len(leaked)} canaries that the manifest left out: {_few(leaked)}; the "
            "file and the manifest do not belong together, name those of one `byrote canaries make`"
        )
    wrong = [
        f"{c.name} ({there[c.name]} of {c.copies})"
        for c in manifest.canaries
        if c.role is Role.CANARY_IN and there[c.name] != c.copies
    ]
    if wrong:
        raise CorpusError(
            f"corpus.members ({members!r}) does not hold {len(wrong)} of the planted canaries as often as the manifest "
            f"says: {_few(wrong)}; a step between `byrote canaries make` and the training dropped or repeated rows, or "
            "corpus.limit cut the file: name the file that was trained on, and its manifest"
        )


def canary_records(manifest: Manifest, read: Sequence[Record]) -> list[Record]:
    """Every canary and reference once, as a document of its own, in the manifest's order. read: the records that the
    corpus makes of their content."""
    pairs = zip(read, manifest.canaries, strict=True)
    return [replace(r, record=c.name, group=c.name, split=CANARIES) for r, c in pairs]


def without_canaries(records: Sequence[Record], canaries: Sequence[Record]) -> list[Record]:
    """The records that are no copy of a canary. CorpusError where one of them has a canary's name."""
    texts, names = {r.text for r in canaries}, {r.record for r in canaries}
    kept = [r for r in records if r.text not in texts]
    taken = [r.record for r in kept if r.record in names]
    if taken:
        raise CorpusError(f"{len(taken)} records have the name of a canary: {_few(taken)}; set corpus.id to null")
    return kept


def _few(names: Sequence[str]) -> str:
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")


def _digest(content: Any) -> str:
    return sha256(json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()).hexdigest()
