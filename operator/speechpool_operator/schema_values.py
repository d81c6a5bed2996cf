"""The schema of a setting's value, by the kind of values that it takes."""

from functools import singledispatch
from typing import Any

from speechpool.settings.kinds import Choice, Integer, Kind, Number, Switch, Text
from speechpool.settings.lexicon import (
    MAX_ENTRIES,
    MAX_SAID_CHARACTERS,
    MAX_WORD_CHARACTERS,
    LexiconEntries,
)
from speechpool.settings.lists import LANGUAGE_PATTERN, MAX_LANGUAGE_CHARACTERS, LanguageTags
from speechpool_operator.schema_rules import Rule, rules_of, text_rule

__all__ = ["value_schema"]


@singledispatch
def value_schema(kind: Kind[Any]) -> dict[str, Any]:
    """The schema of the values of a kind, without a description.

    Raises:
        TypeError: No schema is known for the kind.
    """
    raise TypeError(f"a SpeechPool cannot hold values of {type(kind).__name__} yet: add a schema for them here")


@value_schema.register
def _integer(kind: Integer) -> dict[str, Any]:
    least = 0 if kind.off else kind.minimum
    made = {"type": "integer", "format": "int64", "minimum": least, "maximum": kind.maximum}
    if not kind.off or kind.minimum == 1:
        return made
    return _with_rule(made, f"self == 0 || self >= {kind.minimum}", kind)


@value_schema.register
def _number(kind: Number) -> dict[str, Any]:
    least = 0 if kind.off else kind.minimum
    made = {"type": "number", "minimum": _plain(least), "maximum": _plain(kind.maximum)}
    rule = f"self >= {float(kind.minimum)!r}"  # CEL compares a double with a double only
    if kind.off:
        return _with_rule(made, f"self == 0.0 || {rule}", kind)
    # of a whole number the API server compares the bound without its fraction: 0 would be at least 0.1
    return made if float(kind.minimum).is_integer() else _with_rule(made, rule, kind)


@value_schema.register
def _switch(kind: Switch) -> dict[str, Any]:
    return {"type": "string", "enum": [kind.to_value(True), kind.to_value(False)]}


@value_schema.register
def _choice(kind: Choice) -> dict[str, Any]:  # type: ignore[type-arg] # singledispatch takes classes, not generics
    return {"type": "string", "enum": [str(word) for word in kind.words]}


@value_schema.register
def _text(kind: Text) -> dict[str, Any]:
    return {
        "type": "string",
        "minLength": 1,
        "maxLength": kind.maximum,
        "x-kubernetes-validations": rules_of([_whole_text(kind)]),
    }


@value_schema.register
def _languages(kind: LanguageTags) -> dict[str, Any]:
    different = Rule("self.all(one, self.exists_one(other, other == one))", "must differ from each other: remove one")
    tag = text_rule(LANGUAGE_PATTERN, "must be a language tag, as en-US")
    return {
        "type": "array",
        "minItems": kind.minimum,
        "maxItems": kind.maximum,
        "x-kubernetes-list-type": "atomic",
        "items": {"type": "string", "maxLength": MAX_LANGUAGE_CHARACTERS, "x-kubernetes-validations": rules_of([tag])},
        "x-kubernetes-validations": rules_of([different]),
    }


@value_schema.register
def _lexicon(_kind: LexiconEntries) -> dict[str, Any]:
    one_of_two = Rule("has(self.alias) != has(self.ipa)", "must have either alias or ipa: set one, remove the other")
    return {
        "type": "array",
        "maxItems": MAX_ENTRIES,
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["word"],
        "items": {
            "type": "object",
            "description": "How a word or phrase is said: one of alias and ipa.",
            "required": ["word"],
            "properties": {
                "word": _said("The word or phrase as it is written.", MAX_WORD_CHARACTERS),
                "alias": _said("What is said instead of it.", MAX_SAID_CHARACTERS),
                "ipa": _said("How it sounds, in the International Phonetic Alphabet.", MAX_SAID_CHARACTERS, _SOUNDS),
            },
            "x-kubernetes-validations": rules_of([one_of_two]),
        },
    }


_NOT_WHITE = r"self.matches(r'[^\s\p{Z}\x{85}]')"
"""Whether something is left when white space is stripped, as the settings model does."""


def _whole_text(kind: Text) -> Rule:
    whole = text_rule(kind.pattern, f"must be {kind.expected}")
    return Rule(f"{whole.rule} && {_NOT_WHITE}", whole.message)


_CONTROLS = r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\x{FFFE}\x{FFFF}]"
_SAYABLE = Rule(
    f"!self.matches(r'{_CONTROLS}') && {_NOT_WHITE}",
    "must have a character that is not white space, and no control character",
)
_SOUNDS = Rule(
    r"""!self.matches(r'[0-9/\[\]<>&"{}\\]')""",
    "must be the sounds alone, without digits, slashes, brackets and quotes",
)


def _said(description: str, limit: int, *more: Rule) -> dict[str, Any]:
    return {
        "type": "string",
        "minLength": 1,
        "maxLength": limit,
        "description": f"{description} Values: 1 to {limit} characters.",
        "x-kubernetes-validations": rules_of([_SAYABLE, *more]),
    }


def _with_rule(schema: dict[str, Any], rule: str, kind: Kind[Any]) -> dict[str, Any]:
    return {**schema, "x-kubernetes-validations": rules_of([Rule(rule, f"must be {kind.expected}")])}


def _plain(value: float) -> float:
    """A whole number without its fraction."""
    return int(value) if value == int(value) else value
