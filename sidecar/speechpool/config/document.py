"""Reading one YAML document into plain values, with a bound on everything.

YAML 1.2's core types alone: `no` and `0660` stay text, and there are no dates. Names that are there twice are refused
(PyYAML would keep the last), and aliases count as often as they are used, so that a short text cannot become a huge
value.
"""

import re
from typing import Any

import yaml

__all__ = ["DocumentError", "read_document"]

MAX_NODES = 20_000
MAX_DEPTH = 20


class DocumentError(ValueError):
    """The text is not a document that can be read; one line that says where and why."""


def read_document(text: str) -> object:
    """The document's value: None, bool, int, float, text, list or dict.

    Args:
        text: YAML, or JSON, which is YAML too. Nothing at all is None.

    Raises:
        DocumentError: The text is not YAML, holds a name twice, or is too large or too deep.
    """
    try:
        loader = _Loader(text)
        try:
            node = loader.get_single_node()
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        # error.problem names what was found; str(error) would quote the text around it
        raise DocumentError(f"{where}not valid YAML: {error.problem}") from None
    except yaml.YAMLError:
        raise DocumentError("not valid YAML: it holds characters that YAML does not allow") from None
    return None if node is None else _Builder().value(node, 0)


class _Loader(yaml.SafeLoader):
    """Composes nodes; counts them while the text is read, so that reading ends at the bound."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 # PyYAML's own shape

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.nodes = 0
        self.depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        self.nodes += 1
        self.depth += 1
        _check_bounds(self.nodes, self.depth, self.peek_event().start_mark.line)  # type: ignore[no-untyped-call] # stubs
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


_TAG = "tag:yaml.org,2002:"
for _tag, _pattern, _first in (
    ("null", r"null|Null|NULL|~|", ["n", "N", "~", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?(0|[1-9][0-9]*)", list("-+0123456789")),
    ("float", r"[-+]?(\.[0-9]+|(0|[1-9][0-9]*)(\.[0-9]*)?)([eE][-+]?[0-9]+)?", list("-+.0123456789")),
    ("float", r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)", list("-+.")),
):
    _Loader.add_implicit_resolver(_TAG + _tag, re.compile(f"(?:{_pattern})$"), _first)


def _check_bounds(nodes: int, depth: int, line: int) -> None:
    if nodes > MAX_NODES:
        raise DocumentError(f"line {line + 1}: more than {MAX_NODES} values, aliases counted as often as they are used")
    if depth > MAX_DEPTH:
        raise DocumentError(f"line {line + 1}: values nest more than {MAX_DEPTH} deep")


class _Builder:
    """Makes values of nodes; what an alias points to is made, and counted, anew each time."""

    def __init__(self) -> None:
        self.nodes = 0

    def value(self, node: yaml.Node, depth: int) -> object:
        self.nodes += 1
        _check_bounds(self.nodes, depth, node.start_mark.line)
        if isinstance(node, yaml.MappingNode) and node.tag == _TAG + "map":
            return self.mapping(node, depth)
        if isinstance(node, yaml.SequenceNode) and node.tag == _TAG + "seq":
            return [self.value(one, depth + 1) for one in node.value]
        return _scalar(node)

    def mapping(self, node: yaml.MappingNode, depth: int) -> dict[Any, object]:
        values: dict[Any, object] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode):
                raise DocumentError(f"line {line}: a name must be plain text, not a list or a mapping")
            key = self.value(key_node, depth + 1)
            if key in values:
                raise DocumentError(f"line {line}: {str(key)[:64]!r} is there twice in one mapping; remove one")
            values[key] = self.value(value_node, depth + 1)
        return values


def _scalar(node: yaml.Node) -> object:
    text = str(node.value)
    try:
        match node.tag.removeprefix(_TAG):
            case "null":
                return None
            case "bool":
                return {"true": True, "false": False}[text.lower()]
            case "int":
                return int(text)
            case "float":
                return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
            case "str":  # JSON writes what is beyond 16 bits as two escapes
                return text.encode("utf-16", "surrogatepass").decode("utf-16")
    except (ValueError, KeyError):
        pass
    raise DocumentError(
        f"line {node.start_mark.line + 1}: a value that cannot be read: use text, numbers, true, false, lists and "
        "mappings without tags"
    )
