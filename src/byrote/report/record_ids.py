"""How a report names records: by their ids, by hashes that the owner alone can look up, or by numbers.

Tables under tables/ hold the ids in any case: they are the owner's, as the records are.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, replace
from hashlib import sha256
from hmac import HMAC
from typing import TYPE_CHECKING, Any

import pandas as pd

if TYPE_CHECKING:
    from byrote.tables import Tables

SHORTEST = 8  # hexadecimal digits of a hash


def hashed(names: Iterable[str], salt: bytes) -> dict[str, str]:
    """Each name with its hash: the first digits of HMAC-SHA256 (RFC 2104) under the salt, as many as tell all names
    apart, at least SHORTEST."""
    digests = {name: HMAC(salt, name.encode("utf-8", "surrogatepass"), sha256).hexdigest() for name in names}
    length = SHORTEST
    while len({digest[:length] for digest in digests.values()}) < len(digests):
        length += 1
    return {name: digest[:length] for name, digest in digests.items()}


def numbered(tables: "Tables", names: Iterable[str]) -> dict[str, str]:
    """Each name with a number: records in the order in which the table of the most exposed has them, the others after
    them by their ids' digests, so that no number tells the order of the corpus."""
    exposed = list(dict.fromkeys(tables.records["record"]))
    others = sorted(set(names) - set(exposed), key=lambda name: sha256(name.encode("utf-8", "surrogatepass")).digest())
    return {name: f"#{number}" for number, name in enumerate([*exposed, *others], 1)}


def with_names(tables: "Tables", names: Mapping[str, str]) -> "Tables":
    """The tables with every record under its name of `names`."""
    changed: dict[str, Any] = {}
    for field in fields(tables):
        frame = getattr(tables, field.name)
        if isinstance(frame, pd.DataFrame) and "record" in frame:
            changed[field.name] = frame.assign(record=[names[record] for record in frame["record"]])
    return replace(tables, **changed)


def reworded(messages: Sequence[Mapping[str, Any]], column: str, names: Mapping[str, str]) -> list[dict[str, Any]]:
    """The rows with every id that stands as a word in `column` under its name. An id that is a number is replaced
    wherever that number stands after a colon or in quotes, where messages name ids."""
    return [{**row, column: _reworded(str(row[column]), names)} for row in messages]


def _reworded(message: str, names: Mapping[str, str]) -> str:
    there = sorted((name for name in names if name and name in message), key=len, reverse=True)
    if not there:
        return message
    start = message.find(":") + 1 if any(name.isdigit() for name in there) else 0
    words = re.compile("|".join(rf"(?<![\w-]){re.escape(name)}(?![\w-])" for name in there))
    return message[:start] + words.sub(lambda word: names[word[0]], message[start:])
