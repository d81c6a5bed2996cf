"""A SpeechPool's selector: read from the object, and held against the labels of a pod. Pure."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from speechpool.settings import shown
from speechpool_operator.schema_selector import (
    LABEL_KEY,
    LABEL_VALUE,
    MAX_KEY_CHARACTERS,
    MAX_PREFIX_CHARACTERS,
    MAX_TERMS,
    MAX_VALUE_CHARACTERS,
    MAX_VALUES,
    OPERATORS,
)

__all__ = ["Selector", "Term", "read_selector"]

_PATH = "spec.selector"


@dataclass(frozen=True, slots=True)
class Term:
    """One condition on one label.

    Args:
        key: The label's name.
        operator: In, NotIn, Exists or DoesNotExist.
        values: For In and NotIn.
    """

    key: str
    operator: str
    values: frozenset[str] = frozenset()

    def holds(self, labels: Mapping[str, str]) -> bool:
        """Whether it is true of a pod's labels; a pod without the label is NotIn too, as everywhere in Kubernetes."""
        value = labels.get(self.key)
        match self.operator:
            case "In":
                return value in self.values
            case "NotIn":
                return value not in self.values
            case "Exists":
                return value is not None
        return value is None


@dataclass(frozen=True, slots=True)
class Selector:
    """Conditions that all must hold.

    Args:
        terms: At least one, or it selects nothing.
    """

    terms: tuple[Term, ...]

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether a pod with these labels is selected."""
        return bool(self.terms) and all(one.holds(labels) for one in self.terms)


NOTHING = Selector(())
"""What a selector that cannot be read selects."""


def read_selector(tree: object) -> tuple[Selector, tuple[str, ...]]:
    """The selector, and what is wrong with it, each with the field's path.

    Args:
        tree: `spec.selector`, made of JSON types; whatever it is, nothing is raised.

    Returns:
        The selector, which selects nothing where something is wrong, and the problems.
    """
    problems: list[str] = []
    terms = tuple(_terms(tree, problems))
    if not terms and not problems:
        problems.append(f"{_PATH} must have at least one term. Add a label to matchLabels, as app: voice-agent.")
    return (NOTHING if problems else Selector(terms)), tuple(problems)


def _terms(tree: object, problems: list[str]) -> Iterator[Term]:
    if not isinstance(tree, Mapping):
        got = "nothing" if tree is None else shown(tree)
        problems.append(f"{_PATH} must be a mapping with matchLabels or matchExpressions; got {got}. Set it.")
        return
    known = {"matchLabels", "matchExpressions"}
    problems += [f"{_PATH}.{shown(key)} is not a field. Remove it." for key in tree if key not in known]
    yield from _labels(_or_empty(tree.get("matchLabels"), {}), problems)
    yield from _expressions(_or_empty(tree.get("matchExpressions"), []), problems)


def _or_empty(value: object, empty: object) -> object:
    return empty if value is None else value


def _labels(tree: object, problems: list[str]) -> Iterator[Term]:
    path = f"{_PATH}.matchLabels"
    if not isinstance(tree, Mapping) or len(tree) > MAX_TERMS:
        problems.append(f"{path} must be a mapping of at most {MAX_TERMS} labels; got {_size(tree)}. Correct it.")
        return
    for key, value in tree.items():
        if not _is_key(key):
            problems.append(f"{path} must have keys as app or example.com/app; got {shown(key)}. Correct it.")
        elif not _is_value(value):
            problems.append(f"{path}[{key}] must be {_A_VALUE}; got {shown(value)}. Correct it.")
        else:
            yield Term(key, "In", frozenset([value]))


def _expressions(tree: object, problems: list[str]) -> Iterator[Term]:
    path = f"{_PATH}.matchExpressions"
    if not isinstance(tree, list) or len(tree) > MAX_TERMS:
        problems.append(f"{path} must be a list of at most {MAX_TERMS} expressions; got {_size(tree)}. Correct it.")
        return
    for index, one in enumerate(tree):
        found = list(_expression_problems(one, f"{path}[{index}]"))
        problems.extend(found)
        if not found:
            yield Term(one["key"], one["operator"], frozenset(one.get("values") or ()))


def _expression_problems(tree: Any, path: str) -> Iterator[str]:  # noqa: ANN401 # any JSON, judged here
    if not isinstance(tree, Mapping):
        yield f"{path} must be a mapping with key and operator; got {shown(tree)}. Set both."
        return
    for name in tree:
        if name not in {"key", "operator", "values"}:
            yield f"{path}.{shown(name)} is not a field. Remove it."
    if not _is_key(tree.get("key")):
        yield f"{path}.key must be a label's name, as app or example.com/app; got {shown(tree.get('key'))}. Correct it."
    if tree.get("operator") not in OPERATORS:
        yield f"{path}.operator must be one of {', '.join(OPERATORS)}; got {shown(tree.get('operator'))}. Correct it."
    else:
        yield from _values_problems(tree.get("values") or [], tree["operator"], f"{path}.values")


def _values_problems(values: object, operator: str, path: str) -> Iterator[str]:
    if not isinstance(values, list) or len(values) > MAX_VALUES or not all(_is_value(one) for one in values):
        yield f"{path} must be a list of at most {MAX_VALUES} values, each {_A_VALUE}; got {_size(values)}. Correct it."
    elif operator in {"In", "NotIn"} and not values:
        yield f"{path} must have at least one value with the operator {operator}. Add one."
    elif operator not in {"In", "NotIn"} and values:
        yield f"{path} must be empty with the operator {operator}. Remove it."


_A_VALUE = f"at most {MAX_VALUE_CHARACTERS} of letters, digits, -, _ and ., with a letter or digit at both ends"


def _is_key(value: object) -> bool:
    if not isinstance(value, str) or len(value) > MAX_KEY_CHARACTERS or value.find("/") > MAX_PREFIX_CHARACTERS:
        return False
    return bool(re.fullmatch(LABEL_KEY, value))


def _is_value(value: object) -> bool:
    return isinstance(value, str) and len(value) <= MAX_VALUE_CHARACTERS and bool(re.fullmatch(LABEL_VALUE, value))


def _size(value: object) -> str:
    return f"{len(value)} of them" if isinstance(value, (Mapping, list)) else shown(value)
