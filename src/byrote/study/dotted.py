"""Dotted names of settings: which there are, and setting one in a raw mapping."""

import types
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, NamedTuple, Union, cast, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from byrote.study.settings import AXIS_SHORT, Part, Study


class Setting(NamedTuple):
    """What a dotted name stands for. Where it belongs to variants (corpus sources, canary designs) that differ in it,
    `kind` and `default` are those of the first, and the words tell them apart."""

    kind: Any
    default: Any
    default_words: str
    meaning: str


def dotted_names() -> dict[str, Setting]:
    """Every setting, by dotted name. Variants are merged; the seed of the study and the axes of its grid are in it."""
    places: dict[str, list[tuple[str, FieldInfo]]] = {}
    for name, variant, field in _fields(Study, "", ""):
        places.setdefault(name, []).append((variant, field))
    return {name: _setting(fields) for name, fields in places.items()}


def _fields(part: type[BaseModel], prefix: str, variant: str) -> Iterator[tuple[str, str, FieldInfo]]:
    """Dotted name, variant ('' where there are none) and field of every setting of a part, rooms after plain ones."""
    for field_name, field in part.model_fields.items():
        if field_name == "provenance":
            continue
        inner = [kind for kind in _flat_union(field.annotation) if isinstance(kind, type) and issubclass(kind, Part)]
        for kind in inner:
            tag = next((k for k, v in variants_of(field_name).items() if v is kind), variant)
            yield from _fields(kind, f"{prefix}{field_name}.", tag)
        if not inner:
            yield prefix + field_name, variant, field


def _setting(fields: Sequence[tuple[str, FieldInfo]]) -> Setting:
    first = fields[0][1]
    default = None if first.is_required() else first.get_default(call_default_factory=True)
    words = _by_variant([(variant, _default_words(variant, field)) for variant, field in fields])
    return Setting(
        first.annotation, default, words, _by_variant([(variant, field.description or "") for variant, field in fields])
    )


def _default_words(variant: str, field: FieldInfo) -> str:
    if variant in variants_of("canaries") and get_args(field.annotation) == (variant,):
        return "none"  # canaries.design, where nothing is said of canaries
    if field.is_required():
        return "required"
    default = field.get_default(call_default_factory=True)
    if isinstance(default, tuple | list):
        return f"[{', '.join(map(str, cast('Sequence[object]', default)))}]"
    return "null" if default is None else str(default).lower() if isinstance(default, bool) else str(default)


def _by_variant(meanings: Sequence[tuple[str, str]]) -> str:
    """`train`, or `train (phee, hub); required (files)` where variants differ."""
    by_words: dict[str, list[str]] = {}
    for variant, words in meanings:
        by_words.setdefault(words, []).append(variant)
    if len(by_words) == 1:
        return meanings[0][1]
    return "; ".join(f"{words} ({', '.join(variants)})" for words, variants in by_words.items())


def set_dotted(raw: dict[str, Any], name: str, value: Any) -> None:
    """Set a dotted name in a raw mapping, in place. Changing a variant drops the other variant's own keys."""
    head, _, rest = name.partition(".")
    if head == "grid" and rest:
        values = cast("list[Any]", value) if isinstance(value, list) else [value]
        grids = raw.get("grid")
        if isinstance(grids, list):
            raw["grid"] = [_with_axis(grid, rest, values) for grid in cast("list[Any]", grids)]
        else:
            raw["grid"] = _with_axis(grids, rest, values)
        return
    if not rest:
        raw[head] = value
        return
    room = _room(raw, head)
    variants = variants_of(head)
    tag = next((t for t in ("source", "design") if rest == t and variants), None)
    if tag and isinstance(value, str) and value in variants and room.get(tag) not in (None, value):
        room = {key: kept for key, kept in room.items() if key in variants[value].model_fields and key in _COMMON}
    raw[head] = room
    set_dotted(room, rest, value)


def _with_axis(grid: Any, axis: str, values: list[Any]) -> Any:
    """A raw grid with one of its axes replaced or added; as it is where it is none, which is refused later."""
    if not isinstance(grid, dict | None):
        return grid
    long = AXIS_SHORT.get(axis, axis)
    kept = {name: had for name, had in cast("dict[str, Any]", grid or {}).items() if AXIS_SHORT.get(name, name) != long}
    return {**kept, long: values}


def _room(raw: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The mapping under a name; an empty one where there is none."""
    room = raw.get(name)
    return cast("dict[str, Any]", room) if isinstance(room, dict) else {}


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
