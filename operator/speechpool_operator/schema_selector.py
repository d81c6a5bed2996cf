"""The schema of a SpeechPool's selector: Kubernetes' label selector, with bounds, and never empty."""

from typing import Any, Final

from speechpool_operator.schema_rules import Rule, rules_of

__all__ = [
    "LABEL_KEY",
    "LABEL_VALUE",
    "MAX_KEY_CHARACTERS",
    "MAX_PREFIX_CHARACTERS",
    "MAX_TERMS",
    "MAX_VALUES",
    "MAX_VALUE_CHARACTERS",
    "OPERATORS",
    "selector_schema",
]

MAX_TERMS: Final = 16
"""Most labels, and most expressions, of a selector; a guess far above what one writes by hand."""

MAX_VALUES: Final = 32
"""Most values of one expression; a guess, likewise."""

MAX_KEY_CHARACTERS: Final = 317
"""A DNS name of 253, a slash, and a name of 63 (Kubernetes, "Labels and Selectors")."""

MAX_PREFIX_CHARACTERS: Final = 253
"""Longest DNS name before the slash of a label's name (there too)."""

MAX_VALUE_CHARACTERS: Final = 63
"""Longest value of a label (there too)."""

OPERATORS: Final = ("In", "NotIn", "Exists", "DoesNotExist")

LABEL_VALUE: Final = r"([A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?)?"
LABEL_KEY: Final = (
    r"([a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*/)?"
    r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?"
)

_A_KEY = "a label's name, as app or example.com/app: at most 63 characters, after a DNS name of at most 253"
_A_VALUE = "at most 63 of letters, digits, -, _ and ., with a letter or digit at both ends"


def selector_schema() -> dict[str, Any]:
    """The schema of `spec.selector`."""
    some = Rule(
        "(has(self.matchLabels) && size(self.matchLabels) > 0) || "
        "(has(self.matchExpressions) && size(self.matchExpressions) > 0)",
        "must have at least one term: add a label to matchLabels, as app: voice-agent, or an expression",
    )
    return {
        "type": "object",
        "description": "Which pods' sidecars this is for, by the labels of the pod; all terms must hold. "
        "Values: at least one term. A change holds at once.",
        "properties": {"matchLabels": _labels_schema(), "matchExpressions": _expressions_schema()},
        "x-kubernetes-map-type": "atomic",
        "x-kubernetes-validations": rules_of([some]),
    }


def _labels_schema() -> dict[str, Any]:
    keys = Rule(
        f"self.all(key, size(key) <= {MAX_KEY_CHARACTERS} && {_is_key('key')})",
        f"must have keys that are each {_A_KEY}",
    )
    return {
        "type": "object",
        "maxProperties": MAX_TERMS,
        "description": f"Labels that a pod must have. Values: at most {MAX_TERMS}, each a label's name and its value.",
        "additionalProperties": _label_value_schema(),
        "x-kubernetes-validations": rules_of([keys]),
    }


def _is_key(name: str) -> str:
    return f"{name}.indexOf('/') <= {MAX_PREFIX_CHARACTERS} && {name}.matches(r'^({LABEL_KEY})$')"


def _label_value_schema() -> dict[str, Any]:
    return {
        "type": "string",
        "maxLength": MAX_VALUE_CHARACTERS,
        "x-kubernetes-validations": rules_of([Rule(f"self.matches(r'^({LABEL_VALUE})$')", f"must be {_A_VALUE}")]),
    }


def _expressions_schema() -> dict[str, Any]:
    return {
        "type": "array",
        "maxItems": MAX_TERMS,
        "x-kubernetes-list-type": "atomic",
        "description": f"Expressions that must be true of a pod's labels. Values: at most {MAX_TERMS}.",
        "items": _expression_schema(),
    }


def _expression_schema() -> dict[str, Any]:
    some = Rule(
        "!(self.operator in ['In', 'NotIn']) || (has(self.values) && size(self.values) > 0)",
        "must have at least one value with the operators In and NotIn: add one",
        field="values",
    )
    none = Rule(
        "!(self.operator in ['Exists', 'DoesNotExist']) || !has(self.values) || size(self.values) == 0",
        "must be empty with the operators Exists and DoesNotExist: remove it",
        field="values",
    )
    return {
        "type": "object",
        "description": "One expression about one label.",
        "required": ["key", "operator"],
        "properties": {
            "key": {
                "type": "string",
                "minLength": 1,
                "maxLength": MAX_KEY_CHARACTERS,
                "description": "The label's name.",
                "x-kubernetes-validations": rules_of([Rule(_is_key("self"), f"must be {_A_KEY}")]),
            },
            "operator": {
                "type": "string",
                "enum": list(OPERATORS),
                "description": "How the label is compared: In and NotIn with values, Exists and DoesNotExist alone.",
            },
            "values": {
                "type": "array",
                "maxItems": MAX_VALUES,
                "x-kubernetes-list-type": "atomic",
                "description": f"Values of the label, for In and NotIn: 1 to {MAX_VALUES} of them.",
                "items": _label_value_schema(),
            },
        },
        "x-kubernetes-validations": rules_of([some, none]),
    }
