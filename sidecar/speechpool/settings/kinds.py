# ruff: noqa: D102 -- the methods of each kind are Kind's, documented there
"""What a setting's values may be: how each kind is read from text and from YAML, and how it is written back."""

import math
import re
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

__all__ = ["Choice", "Integer", "Kind", "Number", "Refused", "Secret", "Switch", "Text"]

T = TypeVar("T")


class Refused(ValueError):
    """A value is not of the kind; the text, where there is one, says more than `Kind.expected` does."""


class Kind(ABC, Generic[T]):
    """What a setting's values may be; reading raises `Refused`."""

    @property
    @abstractmethod
    def expected(self) -> str:
        """What is allowed, as it follows "must be"."""

    @abstractmethod
    def of_text(self, text: str) -> T:
        """The value that an environment variable or a flag means; `text` is stripped and not empty."""

    def of_value(self, value: object) -> T:
        """The value that a scalar, list or mapping of a file means; never null. Text only, unless overridden."""
        if not isinstance(value, str):
            raise Refused
        return self.of_text(value.strip())

    def to_value(self, value: T) -> object:
        """The value as a file holds it (JSON types); None where a file would leave it out."""
        return value


@dataclass(frozen=True, slots=True)
class Integer(Kind[int | None]):
    """A whole number.

    Args:
        minimum: The smallest, inclusive.
        maximum: The largest, inclusive.
        off: Whether 0 is allowed beside them and means "off" (None in Python).
    """

    minimum: int
    maximum: int
    off: bool = False

    @property
    def expected(self) -> str:
        return f"a whole number from {self.minimum} to {self.maximum}" + (", or 0 for off" if self.off else "")

    def of_text(self, text: str) -> int | None:
        if not re.fullmatch(r"[+-]?[0-9]{1,18}", text):
            raise Refused
        return self.of_value(int(text))

    def of_value(self, value: object) -> int | None:
        if isinstance(value, bool) or not isinstance(value, int):
            raise Refused
        if self.off and value == 0:
            return None
        if not self.minimum <= value <= self.maximum:
            raise Refused
        return value

    def to_value(self, value: int | None) -> int:
        return value or 0


@dataclass(frozen=True, slots=True)
class Number(Kind[float | None]):
    """A finite number, with or without a fraction; always a float in Python.

    Args:
        minimum: The smallest, inclusive.
        maximum: The largest, inclusive.
        off: Whether 0 is allowed beside them and means "off" (None in Python).
    """

    minimum: float
    maximum: float
    off: bool = False

    @property
    def expected(self) -> str:
        return f"a number from {self.minimum:.12g} to {self.maximum:.12g}" + (", or 0 for off" if self.off else "")

    def of_text(self, text: str) -> float | None:
        if not re.fullmatch(r"[+-]?([0-9]{1,18}(\.[0-9]{0,18})?|\.[0-9]{1,18})", text):
            raise Refused
        return self.of_value(float(text))

    def of_value(self, value: object) -> float | None:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise Refused
        if self.off and value == 0:
            return None
        if not self.minimum <= value <= self.maximum:  # refuses NaN too
            raise Refused
        return float(value)

    def to_value(self, value: float | None) -> int | float:
        if value is None:
            return 0
        return int(value) if math.floor(value) == value else value


_TRUE = frozenset({"true", "1", "yes", "on", "enabled"})
_FALSE = frozenset({"false", "0", "no", "off", "disabled"})


@dataclass(frozen=True, slots=True)
class Switch(Kind[bool]):
    """On or off: true or false in the environment, Enabled or Disabled in a file; a bool in Python."""

    @property
    def expected(self) -> str:
        return "Enabled or Disabled (in the environment: true or false)"

    def of_text(self, text: str) -> bool:
        word = text.lower()
        if word not in _TRUE | _FALSE:
            raise Refused
        return word in _TRUE

    def of_value(self, value: object) -> bool:
        if value not in ("Enabled", "Disabled"):
            raise Refused
        return value == "Enabled"

    def to_value(self, value: bool) -> str:
        return "Enabled" if value else "Disabled"


@dataclass(frozen=True, slots=True)
class Choice(Kind[T]):
    """One of some words, in any case.

    Args:
        words: The words as they are written back.
        make: Turns a word into the Python value.
    """

    words: tuple[str, ...]
    make: Callable[[str], T]

    @property
    def expected(self) -> str:
        return "one of " + ", ".join(self.words) if len(self.words) > 2 else " or ".join(self.words)

    def of_text(self, text: str) -> T:
        for word in self.words:
            if word.lower() == text.lower():
                return self.make(word)
        raise Refused

    def to_value(self, value: T) -> str:
        return str(value)


@dataclass(frozen=True, slots=True)
class Text(Kind[str]):
    """A short text of a known shape.

    Args:
        what: What it is, with its bounds, as it follows "must be".
        pattern: The regular expression that the whole text matches.
        maximum: The most characters, which the pattern may bound further.
    """

    what: str
    pattern: str
    maximum: int

    @property
    def expected(self) -> str:
        return self.what

    def of_text(self, text: str) -> str:
        if len(text) > self.maximum or not re.fullmatch(self.pattern, text):
            raise Refused
        return text


@dataclass(frozen=True, slots=True)
class Secret(Kind[str]):
    """A key or a token: printable ASCII without spaces; no message ever shows it.

    Args:
        minimum: The fewest characters.
        maximum: The most characters.
    """

    minimum: int
    maximum: int

    @property
    def expected(self) -> str:
        return f"{self.minimum} to {self.maximum} printable ASCII characters without spaces"

    def of_text(self, text: str) -> str:
        if not self.minimum <= len(text) <= self.maximum or not re.fullmatch(r"[!-~]+", text):
            raise Refused
        return text
