# ruff: noqa: D102 -- the methods of each kind are Kind's, documented there
"""Kinds of values that hold several: languages, web origins, the options of engines."""

import math
import re
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from speechpool.settings.kinds import Kind, Refused

__all__ = ["LANGUAGE_PATTERN", "MAX_LANGUAGE_CHARACTERS", "EngineOptions", "LanguageTags", "Origins"]


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
MAX_LANGUAGE_CHARACTERS = 30
"""The most that the pattern lets through."""


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
        return "a mapping from the names of engines to mappings of their options, as {local: {option: value}}"

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
