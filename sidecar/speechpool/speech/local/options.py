"""The options of the embedded engine: `engines.local` of the settings file."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from speechpool.errors import SettingsError

__all__ = ["LocalOptions"]

_SECTION = "engines.local"


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalOptions:
    """What can be set; restart to change.

    Args:
        words_per_minute: `wordsPerMinute`: how fast speed 1.0 is, 80 to 450 (speak_lib.h's bounds; 175 is its default).
        voices: `voices`: more names for voices, each for one that exists ("receptionist": "en-us+f3").
        espeak_library: `espeakLibrary`: path of libespeak-ng; by default the one of the package espeakng-loader, or
            else the system's.
        espeak_data: `espeakData`: path of its espeak-ng-data; by default the library's own.
        language: `language`: BCP 47 tag of what the three models understand.
        acoustic_model: `acousticModel`: path of a pocketsphinx acoustic model; by default the bundled American English.
        language_model: `languageModel`: path of its language model; likewise.
        dictionary: `dictionary`: path of its dictionary; likewise.

    The three models go together: give all or none.
    """

    words_per_minute: int = 175
    voices: Mapping[str, str] = field(default_factory=dict)
    espeak_library: str | None = None
    espeak_data: str | None = None
    language: str = "en-US"
    acoustic_model: str | None = None
    language_model: str | None = None
    dictionary: str | None = None

    @classmethod
    def parse(cls, options: Mapping[str, Any]) -> "LocalOptions":
        """Read the section.

        Raises:
            SettingsError: Lists every option that is unknown, of the wrong type, out of bounds, or not there.
        """
        problems = [_unknown(name) for name in options if name not in _OPTIONS]
        values = {}
        for name, (argument, check) in _OPTIONS.items():
            if name in options:
                problem = check(options[name])
                if problem:
                    problems.append(f"{_SECTION}.{name} must be {problem}; got {options[name]!r}")
                values[argument] = options[name]
        if 0 < sum(name in options for name in _MODELS) < len(_MODELS):
            problems.append(f"{_SECTION}: {', '.join(_MODELS)} go together; give all or none")
        if problems:
            raise SettingsError("\n".join(problems), problems=tuple(problems))
        return cls(**values)


def _unknown(name: str) -> str:
    return f"{_SECTION}.{name} is unknown; known are {', '.join(_OPTIONS)}"


def _words_per_minute(value: object) -> str | None:
    good = isinstance(value, int) and not isinstance(value, bool) and 80 <= value <= 450
    return None if good else "an integer from 80 to 450"


def _voices(value: object) -> str | None:
    good = isinstance(value, Mapping) and all(isinstance(text, str) and text for pair in value.items() for text in pair)
    return None if good else "a mapping from a voice's other name to its own"


def _path(value: object) -> str | None:
    return None if isinstance(value, str) and Path(value).exists() else "the path of a file or folder that exists"


def _text(value: object) -> str | None:
    return None if isinstance(value, str) and value else "a language tag such as en-US"


_MODELS = ("acousticModel", "languageModel", "dictionary")
_OPTIONS = {
    "wordsPerMinute": ("words_per_minute", _words_per_minute),
    "voices": ("voices", _voices),
    "espeakLibrary": ("espeak_library", _path),
    "espeakData": ("espeak_data", _path),
    "language": ("language", _text),
    "acousticModel": ("acoustic_model", _path),
    "languageModel": ("language_model", _path),
    "dictionary": ("dictionary", _path),
}
