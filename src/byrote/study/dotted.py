"""Dotted names of settings: which there are, and setting one in a raw mapping."""

import types
from collections.abc import Iterator
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel

from byrote.study.settings import AXIS_SHORT, Part, Study


def dotted_names(part: type[BaseModel] = Study, prefix: str = "") -> dict[str, tuple[Any, Any, str]]:
    """Every field that can be set, by dotted name: its type, default and description. Variants are merged."""
    names: dict[str, tuple[Any, Any, str]] = {}
    for field_name, field in part.model_fields.items():
        if field_name == "provenance":
            continue
        inner = [kind for kind in _flat_union(field.annotation) if isinstance(kind, type) and issubclass(kind, Part)]
        if inner:
            for kind in inner:
                names = {**dotted_names(kind, f"{prefix}{field_name}."), **names}
        else:
            default = None if field.is_required() else field.get_default(call_default_factory=True)
            names[prefix + field_name] = (field.annotation, default, field.description or "")
    return names


def set_dotted(raw: dict[str, Any], name: str, value: Any) -> None:
    """Set a dotted name in a raw mapping, in place. Changing a variant drops the other variant's own keys."""
    head, _, rest = name.partition(".")
    if head == "grid" and rest:
        axes = raw.get("grid") if isinstance(raw.get("grid"), dict) else {}
        long = AXIS_SHORT.get(rest, rest)
        kept = {axis: values for axis, values in (axes or {}).items() if AXIS_SHORT.get(axis, axis) != long}
        raw["grid"] = {**kept, long: value if isinstance(value, list) else [value]}
        return
    if not rest:
        raw[head] = value
        return
    room = raw.get(head)
    if not isinstance(room, dict):
        room = {}
    variants = variants_of(head)
    tag = next((t for t in ("source", "design") if rest == t and variants), None)
    if tag and value in variants and room.get(tag) not in (None, value):
        room = {key: kept for key, kept in room.items() if key in variants[value].model_fields and key in _COMMON}
    raw[head] = room
    set_dotted(room, rest, value)


_COMMON = {"limit", "shared_groups", "append_eos", "max_tokens", "long_records", "seed"}


def variants_of(part: str) -> dict[str, type[Part]]:
    field = Study.model_fields.get(part)
    if field is None:
        return {}
    kinds = [k for k in _flat_union(field.annotation) if isinstance(k, type) and issubclass(k, Part)]
    tags = {"corpus": "source", "canaries": "design"}
    if part not in tags:
        return {}
    return {get_args(kind.model_fields[tags[part]].annotation)[0]: kind for kind in kinds}


def _flat_union(annotation: Any) -> Iterator[Any]:
    origin = get_origin(annotation)
    if origin is Annotated:
        yield from _flat_union(get_args(annotation)[0])
    elif origin in (Union, types.UnionType):
        for inner in get_args(annotation):
            yield from _flat_union(inner)
    else:
        yield annotation
