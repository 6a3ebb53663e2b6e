"""Mistakes of a study as plain lines: the key, the value, what is right, and the nearest right name."""

import difflib
from collections.abc import Sequence

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
    errors = error.errors()
    inner = {e["loc"][:-1] for e in errors}
    return "\n".join(explain(e, where) for e in errors if not (e["type"] == "too_short" and e["loc"] in inner))


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
    if kind == "missing":
        return f"{where}: {name} is required"
    message = error["msg"].removeprefix("Value error, ").removeprefix("Assertion failed, ")
    if kind.startswith("union_tag"):
        tag = "source" if name == "corpus" else "design"
        got = value.get(tag) if isinstance(value, dict) else value
        choices = list(variants_of(name))
        near = nearest(str(got), choices)
        return f"{where}: {name}.{tag} must be one of {', '.join(choices)}, got {got!r}{near}"
    got = "" if kind == "value_error" else f", got {value!r}"
    near = (
        nearest(value, error.get("ctx", {}).get("expected", "").replace("'", "").replace(" or ", ", ").split(", "))
        if (kind == "literal_error" and isinstance(value, str))
        else ""
    )
    return f"{where}: {name}: {message[:1].lower() + message[1:]}{got}{near}"
