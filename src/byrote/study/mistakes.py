"""Mistakes of a study as plain lines: the key, the value, what is right, and the nearest right name."""

import difflib
import re
from collections.abc import Sequence
from typing import Any, cast

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from byrote.study.dotted import dotted_names, variants_of
from byrote.study.settings import Study


def nearest(name: str, known: Sequence[str]) -> str:
    leaf = {k.rsplit(".", 1)[-1]: k for k in reversed(known)}
    close = difflib.get_close_matches(name, known, 1, 0.6) or [
        leaf[k] for k in difflib.get_close_matches(name.rsplit(".", 1)[-1], list(leaf), 1, 0.7)
    ]
    return f"; did you mean {close[0]!r}?" if close else ""


def explain_all(error: ValidationError, where: str) -> str:
    """Every mistake of a study, one a line. A list that is called empty because its items failed is not repeated."""
    errors = _one_a_union(error.errors())
    inner = {e["loc"][:-1] for e in errors}
    return "\n".join(explain(e, where) for e in errors if not (e["type"] == "too_short" and e["loc"] in inner))


_UNION = re.compile(r"int|float|str|constrained-\w+|literal\[.*\]")


def _one_a_union(errors: Sequence[ErrorDetails]) -> list[ErrorDetails]:
    """pydantic names each kind of value that a setting may have in an error of its own: one for all of them."""
    joined: dict[tuple[int | str, ...], ErrorDetails] = {}
    for error in errors:
        *place, last = error["loc"] or ("",)
        if not (isinstance(last, str) and len(place) > 1 and _UNION.fullmatch(last)):
            joined[error["loc"]] = error
            continue
        may = error["msg"].split(",")[0].removeprefix("Input should be ")
        before = joined.get(tuple(place))
        words = f"{before['msg']} or {may}" if before else f"Input should be {may}"
        joined[tuple(place)] = {**error, "loc": tuple(place), "type": "union", "msg": words}
    return list(joined.values())


LONGEST = 600  # characters of a message that may hold what was given


def short(words: str, most: int = 120) -> str:
    """The beginning of words that are too long for a line, and how long they are."""
    return words if len(words) <= most else f"{words[:most]}… ({len(words):,} characters)"


_TAGS = {"corpus": "source", "canaries": "design"}
_NO_MAPPING = ("model_attributes_type", "model_type", "dict_type")


def explain(error: ErrorDetails, where: str) -> str:
    """One line for one pydantic error: key, value, what is right."""
    variants = {tag for part in ("corpus", "canaries") for tag in variants_of(part)}
    steps = [step for i, step in enumerate(error["loc"]) if not (i == 1 and step in variants)]
    name = "".join(f"[{s}]" if isinstance(s, int) else f".{s}" for s in steps).lstrip(".") or "study"
    kind, value = error["type"], error["input"]
    if kind == "extra_forbidden":
        known = list(dotted_names())
        parts = [k for k in known if k.rpartition(".")[0] == name.rpartition(".")[0]]
        variant = next((str(s) for s in error["loc"][:2] if s in variants), None)
        if variant and name in known:
            return f"{where}: {name} is not a key of {variant!r}; it belongs to another {steps[0]}"
        tops = list(Study.model_fields)
        near = nearest(name, parts if "." in name else tops) or nearest(name, known)
        return f"{where}: unknown key {name!r}{near}"
    if kind == "missing" and name in _TAGS:
        return f"{where}: {name}.{_TAGS[name]} is required; it is one of {', '.join(variants_of(name))}"
    if kind == "missing":
        return f"{where}: {name} is required"
    message = short(error["msg"].removeprefix("Value error, ").removeprefix("Assertion failed, "), LONGEST)
    if kind.startswith("union_tag"):
        choices, tag = list(variants_of(name)), _TAGS[name]
        mapping = cast("dict[str, Any]", value) if isinstance(value, dict) else {tag: value}
        choice = mapping.get(tag)
        if tag not in mapping:
            return f"{where}: {name}.{tag} is required; it is one of {', '.join(choices)}"
        near = nearest(str(choice), choices)
        return f"{where}: {name}.{tag} must be one of {', '.join(choices)}, got {short(repr(choice))}{near}"
    if kind in _NO_MAPPING:
        return f"{where}: {name} must be a mapping of names to values, got {short(repr(value))}"
    given = "" if kind == "value_error" else f", got {short(repr(value))}"
    near = (
        nearest(value, error.get("ctx", {}).get("expected", "").replace("'", "").replace(" or ", ", ").split(", "))
        if (kind == "literal_error" and isinstance(value, str))
        else ""
    )
    return f"{where}: {name}: {message[:1].lower() + message[1:]}{given}{near}"
