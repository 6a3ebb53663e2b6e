# pyright: reportUnknownMemberType=false
"""YAML with 1.2's numbers and booleans, and no key given twice."""

from typing import Any

import yaml

from byrote.errors import StudyError


class _Loader(yaml.SafeLoader):
    """YAML with 1.2's numbers and booleans (1e-3 is a number, `no` is a word) and no key given twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
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
        return yaml.load(text, _Loader)  # a SafeLoader
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        raise StudyError(f"{where}{line}: not valid YAML: {getattr(error, 'problem', None) or error}") from None
