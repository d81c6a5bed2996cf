"""Checks of fields, with messages that name the field, its value and its bounds."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import TypeVar

from speechpool.errors import SettingsError

__all__ = ["check_choice", "check_integer", "check_number", "check_text", "read"]

T = TypeVar("T")


def check_choice(name: str, value: object, choices: Sequence[object]) -> None:
    """Refuse a value that is not one of `choices`."""
    if not any(value is choice or (isinstance(value, str) and value == choice) for choice in choices):
        known = ", ".join("null" if choice is None else str(choice) for choice in choices)
        raise SettingsError(f"{name} must be one of {known}; got {value!r}")


def check_integer(name: str, value: object, minimum: int, maximum: int) -> None:
    """Refuse a value that is no integer from `minimum` to `maximum`."""
    if not isinstance(value, int) or isinstance(value, bool) or not minimum <= value <= maximum:
        raise SettingsError(f"{name} must be an integer from {minimum} to {maximum}; got {value!r}")


def check_number(name: str, value: object, minimum: float, maximum: float) -> None:
    """Refuse a value that is no number from `minimum` to `maximum`."""
    good = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if not good or not minimum <= value <= maximum:  # type: ignore[operator] # `good` is evaluated first
        raise SettingsError(f"{name} must be a number from {minimum:g} to {maximum:g}; got {value!r}")


def check_text(name: str, value: object, maximum_bytes: int) -> None:
    """Refuse a value that is no text, or has more than `maximum_bytes` in UTF-8."""
    if not isinstance(value, str):
        raise SettingsError(f"{name} must be text; got {type(value).__name__}")
    size = len(value.encode("utf-8", "replace"))
    if size > maximum_bytes:
        raise SettingsError(f"{name} must have at most {maximum_bytes} bytes; got {size}")


def read(kind: type[T], values: object, name: str, *, required: Sequence[str] = ()) -> T:
    """Make a dataclass that checks itself from JSON's types.

    Args:
        kind: The dataclass.
        values: Its fields by name.
        name: What messages call it.
        required: Fields that have to be there.

    Raises:
        SettingsError: Names the field that is unknown, missing or wrong.
    """
    if not isinstance(values, Mapping):
        raise SettingsError(f"{name} must be an object; got {type(values).__name__}")
    known = {field.name: field for field in fields(kind)}  # type: ignore[arg-type] # a dataclass, says the docstring
    unknown = [key for key in values if key not in known]
    if unknown:
        raise SettingsError(f"{name}.{unknown[0]} is unknown; known are {', '.join(known)}")
    missing = [key for key in required if key not in values]
    if missing:
        raise SettingsError(f"{name}.{missing[0]} is missing")
    lists = {key: tuple(value) for key, value in values.items() if isinstance(value, list)}
    try:
        return kind(**{**values, **lists})
    except SettingsError as error:
        raise SettingsError(f"{name}.{error}") from None
