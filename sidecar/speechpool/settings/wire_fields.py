"""Reading the fields of a message within their bounds, and writing JSON."""

import dataclasses
import json
import math
from collections.abc import Callable, Mapping
from typing import Any, NoReturn, TypeVar

__all__ = ["MAX_REASON_CHARACTERS", "Fields", "WireError", "bounded", "plain", "write_json"]

MAX_REASON_CHARACTERS = 1024
"""Longest text for people."""

T = TypeVar("T")


class WireError(ValueError):
    """A message is not what it must be; the text names the field and never holds its content."""


def bounded(reason: str) -> str:
    """A text for people: one line, cut to `MAX_REASON_CHARACTERS`."""
    line = "".join(one if one.isprintable() else " " for one in reason[:MAX_REASON_CHARACTERS])
    return line if len(reason) <= MAX_REASON_CHARACTERS else line[:-1] + "…"


class Fields:
    """The fields of one JSON object; what is missing, null or out of bounds is a `WireError` that names it.

    Args:
        values: By name.
        path: Where the object stands in the message, as `pools.tts.`.
    """

    def __init__(self, values: Mapping[str, Any], path: str = "") -> None:
        self._values = values
        self._path = path

    @classmethod
    def of_text(cls, text: str, limit: int) -> "Fields":
        """The fields of a message of at most `limit` bytes."""
        if len(text) > limit:
            raise WireError(f"a message must be at most {limit} bytes; it is larger")
        try:
            values = _DECODER.decode(text)
        except (ValueError, RecursionError):
            raise WireError("a message must be JSON") from None
        if not isinstance(values, dict):
            raise WireError("a message must be a JSON object")
        return cls(values)

    def text(self, name: str, minimum: int, maximum: int, default: str | None = None) -> str:
        """A printable text of `minimum` to `maximum` characters."""
        value = self._value(name, default)
        if not isinstance(value, str) or not minimum <= len(value) <= maximum or not value.isprintable():
            raise self._wrong(name, f"printable text of {minimum} to {maximum} characters")
        return value

    def reason(self, name: str) -> str:
        """A text for people; empty where it is missing or null."""
        value = self._value(name, "")
        if not isinstance(value, str):
            raise self._wrong(name, "text")
        return bounded(value)

    def optional_text(self, name: str, minimum: int, maximum: int) -> str | None:
        """As `text()`; None where it is missing or null."""
        return None if self._values.get(name) is None else self.text(name, minimum, maximum)

    def integer(self, name: str, minimum: int, maximum: int) -> int:
        """A whole number."""
        value = self._value(name)
        if type(value) is int and minimum <= value <= maximum:  # not a bool, which is an int too
            return value
        raise self._wrong(name, f"a whole number from {minimum} to {maximum}")

    def optional_integer(self, name: str, minimum: int, maximum: int) -> int | None:
        """As `integer()`; None where it is missing or null."""
        return None if self._values.get(name) is None else self.integer(name, minimum, maximum)

    def number(self, name: str, minimum: float, maximum: float, default: float) -> float:
        """A finite number."""
        value = self._value(name, default)
        if isinstance(value, bool) or not isinstance(value, int | float) or not minimum <= value <= maximum:
            raise self._wrong(name, f"a number from {minimum} to {maximum}")
        return float(value)

    def flag(self, name: str) -> bool:
        """True or false."""
        value = self._value(name)
        if not isinstance(value, bool):
            raise self._wrong(name, "true or false")
        return value

    def mapping(self, name: str) -> dict[str, Any]:
        """An object, as it was read."""
        value = self._value(name)
        if not isinstance(value, dict):
            raise self._wrong(name, "an object")
        return value

    def optional(self, name: str, read: Callable[[dict[str, Any], str], T]) -> T | None:
        """An object, made by `read` of its values and its path; None where it is missing or null."""
        if self._values.get(name) is None:
            return None
        return read(self.mapping(name), f"{self._path}{name}.")

    def _value(self, name: str, default: object = None) -> object:
        value = self._values.get(name)
        if value is None:
            value = default
        if value is None:
            raise WireError(f"{self._path}{name} is missing")
        return value

    def _wrong(self, name: str, expected: str) -> WireError:
        return WireError(f"{self._path}{name} must be {expected}")


def _not_json(_: str) -> NoReturn:
    raise ValueError


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError
    return value


def plain(message: object) -> dict[str, Any]:
    """The fields of a message or a part of one, by name.

    Raises:
        TypeError: It is none.
    """
    if not dataclasses.is_dataclass(message):
        raise TypeError
    # not dataclasses.asdict(), which copies whatever is within
    return {name: getattr(message, name) for name in message.__dataclass_fields__}


def write_json(value: object) -> str:
    """JSON on one line, equal for equal values; a message and its parts are objects with their fields.

    Raises:
        WireError: The value is not made of JSON types, or holds half a character.
    """
    try:
        text = _ENCODER.encode(value)
        text.encode()
    except (TypeError, ValueError, RecursionError):
        raise WireError("a message must be made of JSON types") from None
    return text


# made once: an operator reads and writes hundreds of messages a second, and making one takes as long as using it
_DECODER = json.JSONDecoder(parse_constant=_not_json, parse_float=_finite)
_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False, default=plain)
