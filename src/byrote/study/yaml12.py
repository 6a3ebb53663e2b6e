# pyright: reportUnknownMemberType=false
"""YAML with 1.2's numbers and booleans, and no key given twice."""

from typing import Any

import yaml

from byrote.errors import StudyError

MOST_VALUES = 100_000
"""Values in a YAML text, counted each time that an alias repeats them: ten lines of aliases can hold billions."""


class _Loader(yaml.SafeLoader):
    """YAML with 1.2's numbers and booleans (1e-3 is a number, `no` is a word) and no key given twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                raise yaml.constructor.ConstructorError(None, None, "a key must be a word", key_node.start_mark)
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                raise yaml.constructor.ConstructorError(None, None, f"key {key!r} occurs twice", key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep)


def _yaml_1_2_scalars() -> None:
    import re

    dropped = {"tag:yaml.org,2002:bool", "tag:yaml.org,2002:float", "tag:yaml.org,2002:timestamp"}
    _Loader.yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in resolvers if tag not in dropped]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    number = re.compile(r"^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$|^[-+]?\.(inf|Inf)$|^\.(nan|NaN)$")
    _Loader.add_implicit_resolver("tag:yaml.org,2002:float", number, list("-+0123456789."))
    _Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"^(true|True|false|False)$"), list("tTfF"))


_yaml_1_2_scalars()


def parse_yaml(text: str, where: str) -> Any:
    """The value of a YAML text. StudyError says where it is broken."""
    try:
        loader = _Loader(text)  # a SafeLoader
        node = loader.get_single_node()
        if node is None:
            return None
        if _size(node, {}) > MOST_VALUES:
            raise StudyError(
                f"{where}: holds more than {MOST_VALUES:,} values, aliases counted; write out what is meant"
            )
        return loader.construct_document(node)
    except (ValueError, OverflowError) as error:  # a number of thousands of digits, a date that is none
        raise StudyError(f"{where}: not valid YAML: {str(error).split(';')[0]}") from None
    except RecursionError:
        raise StudyError(f"{where}: an alias holds itself, or values are nested too deeply; write it flat") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        said = getattr(error, "problem", None) or getattr(error, "reason", None) or error
        raise StudyError(f"{where}{line}: not valid YAML: {said}") from None


def _size(node: yaml.Node, known: dict[int, int]) -> int:
    """How many values a node holds, with those of its aliases each time; each node is counted out once."""
    if id(node) not in known:
        inside: list[yaml.Node] = []
        if isinstance(node, yaml.MappingNode):
            inside = [part for pair in node.value for part in pair]
        elif isinstance(node, yaml.SequenceNode):
            inside = list(node.value)
        known[id(node)] = 1 + sum(_size(part, known) for part in inside)
    return known[id(node)]
