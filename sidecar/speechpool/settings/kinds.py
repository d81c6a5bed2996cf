# ruff: noqa: D102 -- the methods of each kind are Kind's, documented there
"""Kinds of setting values: how each is read from text and from YAML, what is allowed, and how it is written back."""

import ipaddress
import math
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

__all__ = [
    "Address",
    "Choice",
    "EngineOptions",
    "FileMode",
    "FilePath",
    "GroupName",
    "HostPort",
    "Integer",
    "Kind",
    "LanguageTags",
    "Number",
    "Origins",
    "Refused",
    "Secret",
    "Switch",
    "Text",
]

T = TypeVar("T")

OFF = "off"


class Refused(ValueError):
    """A value is not of the kind; the text, where there is one, says more than `Kind.expected` does."""


@dataclass(frozen=True, slots=True)
class Address:
    """A TCP address to listen at; port 0 takes a free one."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


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
        pattern: The regular expression that the whole text matches; it bounds the length.
    """

    what: str
    pattern: str

    @property
    def expected(self) -> str:
        return self.what

    def of_text(self, text: str) -> str:
        if not re.fullmatch(self.pattern, text):
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


@dataclass(frozen=True, slots=True)
class FilePath(Kind[str]):
    """A path.

    Args:
        maximum_bytes: The most bytes it may have.
    """

    maximum_bytes: int = 4096

    @property
    def expected(self) -> str:
        return f"a path of 1 to {self.maximum_bytes} bytes"

    def of_text(self, text: str) -> str:
        size = len(text.encode("utf-8", "surrogateescape"))
        if not text or size > self.maximum_bytes or "\0" in text:
            raise Refused
        return text


@dataclass(frozen=True, slots=True)
class FileMode(Kind[int]):
    """Permission bits, written in octal; the owner can always read and write."""

    @property
    def expected(self) -> str:
        return 'an octal mode from 0600 to 0777 that lets the owner read and write, as "0660"'

    def of_text(self, text: str) -> int:
        if not re.fullmatch(r"0?[0-7]{3}", text):
            raise Refused
        mode = int(text, 8)
        if mode & 0o600 != 0o600:
            raise Refused
        return mode

    def to_value(self, value: int) -> str:
        return f"{value:04o}"


@dataclass(frozen=True, slots=True)
class GroupName(Kind[str]):
    """A group by its name or its number; text in Python."""

    @property
    def expected(self) -> str:
        return "a group's name (at most 32 characters) or its number from 0 to 4294967294"

    def of_text(self, text: str) -> str:
        if text.isascii() and text.isdigit():
            return str(self._number(int(text[:12])))
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_.-]{0,30}\$?", text):
            raise Refused
        return text

    def of_value(self, value: object) -> str:
        if isinstance(value, int) and not isinstance(value, bool):
            return str(self._number(value))
        return Kind.of_value(self, value)

    @staticmethod
    def _number(number: int) -> int:
        if not 0 <= number <= 4_294_967_294:
            raise Refused
        return number


_HOST = r"(?=.{1,253}$)[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*"


@dataclass(frozen=True, slots=True)
class HostPort(Kind[Address | None]):
    """An address to listen at, or off.

    Args:
        loopback: Whether only this machine may reach it.
    """

    loopback: bool = False

    @property
    def expected(self) -> str:
        if self.loopback:
            return "a loopback address as 127.0.0.1:8080, [::1]:8080 or localhost:8080 (port 0 to 65535), or off"
        return "host:port, as 0.0.0.0:9090, [::]:9090 or 127.0.0.1:9090 (port 0 to 65535), or off"

    def of_text(self, text: str) -> Address | None:
        if text.lower() == OFF:
            return None
        match = re.fullmatch(r"(?:\[([0-9A-Fa-f:.]{2,45})\]|([^:\[\]\s]{1,253})):([0-9]{1,5})", text)
        if not match or int(match[3]) > 65535:
            raise Refused
        return Address(self._host(match[1], match[2]), int(match[3]))

    def to_value(self, value: Address | None) -> str:
        return OFF if value is None else str(value)

    def _host(self, bracketed: str | None, plain: str | None) -> str:
        host = _ip_address(bracketed) if bracketed else _plain_host(plain or "")
        if self.loopback and not _is_loopback(host):
            raise Refused
        return host


def _ip_address(host: str) -> str:
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        raise Refused from None


def _plain_host(host: str) -> str:
    if re.fullmatch(r"[0-9.]+", host):
        return _ip_address(host)
    if not re.fullmatch(_HOST, host):
        raise Refused
    return host


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


class _Many(Kind[tuple[str, ...]]):
    """A list of texts: separated by commas in the environment, a YAML list in a file; a tuple in Python."""

    minimum = 0
    maximum = 10

    @abstractmethod
    def of_one(self, text: str) -> str:
        """One element, or `ValueError`."""

    def of_text(self, text: str) -> tuple[str, ...]:
        return self.of_value([part.strip() for part in text.split(",")])

    def of_value(self, value: object) -> tuple[str, ...]:
        if not isinstance(value, (list, tuple)) or not self.minimum <= len(value) <= self.maximum:
            raise Refused
        if not all(isinstance(one, str) for one in value):
            raise Refused
        read = tuple(self.of_one(one) for one in value)
        if len(set(read)) != len(read):
            raise Refused("one of them is there twice")
        return read

    def to_value(self, value: Sequence[str]) -> list[str]:
        return list(value)


LANGUAGE_PATTERN = r"[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8}){0,3}"


@dataclass(frozen=True, slots=True)
class LanguageTags(_Many):
    """BCP 47 tags, 1 to 10 of them (ten is the most that Azure detects among)."""

    minimum = 1

    @property
    def expected(self) -> str:
        return "a list of 1 to 10 different language tags, as [en-US, de-DE]"

    def of_one(self, text: str) -> str:
        if not re.fullmatch(LANGUAGE_PATTERN, text):
            raise Refused
        return text


@dataclass(frozen=True, slots=True)
class Origins(_Many):
    """Web origins: scheme, host and port, without a path; at most 32."""

    maximum = 32

    @property
    def expected(self) -> str:
        return "a list of at most 32 different web origins, as [http://localhost:3000]"

    def of_one(self, text: str) -> str:
        if not re.fullmatch(r"https?://([A-Za-z0-9.-]{1,253}|\[[0-9A-Fa-f:]{2,45}\])(:[0-9]{1,5})?", text):
            raise Refused
        return text.lower()


EngineTable = Mapping[str, Mapping[str, Any]]
"""The options of each engine, by the engine's name and the option's."""

_SECRET_WORDS = frozenset({"key", "token", "secret", "password", "passphrase", "credential", "credentials", "apikey"})


@dataclass(frozen=True, slots=True)
class EngineOptions(Kind[EngineTable]):
    """For each engine a mapping of its own options; the engine itself judges them.

    Keys and tokens are refused: a settings file is often a ConfigMap, which many people may read.
    """

    @property
    def expected(self) -> str:
        return "a mapping from the names of engines to mappings of their options, as {local: {voice: en-us}}"

    def of_text(self, text: str) -> EngineTable:
        raise Refused(f"a mapping is given in a file, not as text of {len(text)} characters")

    def of_value(self, value: object) -> EngineTable:
        if not isinstance(value, Mapping) or not all(isinstance(one, Mapping) for one in value.values()):
            raise Refused
        return {_option_name(name): _plain_mapping(options) for name, options in value.items()}

    def to_value(self, value: EngineTable) -> EngineTable | None:
        return {name: _plain_mapping(options) for name, options in value.items()} or None


def _plain_mapping(options: Mapping[Any, Any], depth: int = 0) -> dict[str, Any]:
    return {_option_name(name): _plain(one, depth + 1) for name, one in options.items()}


def _plain(value: object, depth: int) -> object:
    """A copy made of JSON types alone."""
    if depth > 8:
        raise Refused("options nest at most 8 deep")
    if isinstance(value, Mapping):
        return _plain_mapping(value, depth)
    if isinstance(value, (list, tuple)):
        return [_plain(one, depth + 1) for one in value]
    if value is None or isinstance(value, (bool, int, str)) or (isinstance(value, float) and math.isfinite(value)):
        return value
    raise Refused("options are text, finite numbers, true, false, lists and mappings")


def _option_name(name: object) -> str:
    if not isinstance(name, str):
        raise Refused(f"the name of an option must be text, not {name!r}")
    words = re.findall(r"[A-Z]?[a-z0-9]+|[A-Z]+", name)
    if words and words[-1].lower() in _SECRET_WORDS:
        raise Refused(f"{name} looks like a key or a token, which belongs into the environment, not into a file")
    return name
