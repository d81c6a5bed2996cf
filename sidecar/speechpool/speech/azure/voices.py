"""Azure's voices: what the endpoints list, and the voices that OpenAI's names stand for. Pure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from speechpool.speech.engine import Voice
from speechpool.speech.voices import OPENAI_VOICES, VoiceBook

__all__ = ["OPENAI_ALIASES", "Voices", "read_voices"]

OPENAI_ALIASES = {
    "alloy": "en-US-AvaMultilingualNeural",
    "ash": "en-US-AndrewMultilingualNeural",
    "ballad": "en-US-BrianMultilingualNeural",
    "cedar": "en-US-ChristopherMultilingualNeural",
    "coral": "en-US-EmmaMultilingualNeural",
    "echo": "en-US-SteffanMultilingualNeural",
    "fable": "en-US-LewisMultilingualNeural",
    "marin": "en-US-SerenaMultilingualNeural",
    "nova": "en-US-JennyMultilingualNeural",
    "onyx": "en-US-DerekMultilingualNeural",
    "sage": "en-US-NancyMultilingualNeural",
    "shimmer": "en-US-AmandaMultilingualNeural",
    "verse": "en-US-BrandonMultilingualNeural",
}
"""Multilingual voices, each distinct, of the gender that OpenAI's voice sounds like; they speak other languages too."""

_FEMALE = frozenset({"alloy", "coral", "marin", "nova", "sage", "shimmer"})

_HOME_LANGUAGE = "en-us"

_LONG_NAME = "Microsoft Server Speech Text to Speech Voice"


def read_voices(entries: object) -> tuple[Voice, ...]:
    """The voices of a list as the service gives it; what is not as expected in it is left out."""
    return tuple(_read(entries)) if isinstance(entries, list) else ()


def _read(entries: list[Any]) -> Iterator[Voice]:
    for entry in entries:
        if not isinstance(entry, Mapping):
            continue
        name, language = entry.get("ShortName"), entry.get("Locale")
        if isinstance(name, str) and isinstance(language, str) and name and language:
            yield Voice(
                name=name,
                language=language,
                gender=_gender(entry.get("Gender")),
                description=_description(entry),
                styles=tuple(style for style in _list(entry.get("StyleList")) if isinstance(style, str)),
            )


def _gender(text: object) -> str:
    gender = str(text).casefold()
    return gender if gender in {"female", "male"} else "neutral"


def _description(entry: Mapping[str, Any]) -> str:
    person = entry.get("LocalName") or entry.get("DisplayName")
    place = entry.get("LocaleName") or entry.get("Locale")
    return f"Azure: {person or entry.get('ShortName')}, {place}"


def _list(value: object) -> Sequence[object]:
    return value if isinstance(value, list) else ()


class Voices:
    """Finds voices by name; as long as no list is known, any name that is no alias is let through.

    Args:
        lists: What each endpoint lists; the same voice may be in several.
        language: BCP 47 tag of the language whose voices OpenAI's names stand for.
        aliases: Names that the settings add; they win over OpenAI's.
    """

    def __init__(self, lists: Iterable[Sequence[Voice]], *, language: str, aliases: Mapping[str, str]) -> None:
        self._by_name = {voice.name.casefold(): voice for voices in lists for voice in voices}
        self.all: tuple[Voice, ...] = tuple(self._by_name.values())
        self.aliases = {**_stand_ins(self.all, language), **aliases}
        self._book = VoiceBook((voice.name for voice in self.all), self.aliases)

    def resolve(self, name: str) -> str:
        """Azure's own name of a voice, by that name in any letter case, or by an alias.

        Raises:
            InvalidInput: No such voice (param `voice`, code `voice_not_found`).
        """
        wanted = _short(self._book.alias(name))
        if not self._by_name:
            return wanted
        if found := self._by_name.get(wanted.casefold()):
            return found.name
        raise self._book.unknown(name)


def _short(name: str) -> str:
    """The short form of the long one: "Microsoft Server … Voice (en-US, JennyNeural)" is "en-US-JennyNeural"."""
    if not name.startswith(_LONG_NAME):
        return name
    language, _, voice = name.removeprefix(_LONG_NAME).strip(" ()").partition(",")
    return f"{language.strip()}-{voice.strip()}"


def _stand_ins(voices: Sequence[Voice], language: str) -> dict[str, str]:
    """A voice for each of OpenAI's names: of the language and the gender, each once while there are enough."""
    if not voices:
        return dict(OPENAI_ALIASES)
    free = {voice.name: voice for voice in voices}
    chosen: dict[str, str] = {}
    for alias in OPENAI_VOICES:
        name = next(_wishes(alias, free, language), voices[0].name)
        free.pop(name, None)
        chosen[alias] = name
    return chosen


def _wishes(alias: str, free: Mapping[str, Voice], language: str) -> Iterator[str]:
    """The voices that could stand for OpenAI's, the best first."""
    at_home = language.casefold() == _HOME_LANGUAGE
    if at_home and OPENAI_ALIASES[alias] in free:
        yield OPENAI_ALIASES[alias]
    gender = "female" if alias in _FEMALE else "male"
    kept = frozenset(OPENAI_ALIASES.values()) if at_home else frozenset()  # each has a name of its own
    natives = [voice for voice in free.values() if voice.language.casefold() == language.casefold()]
    natives = [voice for voice in natives if voice.name not in kept]
    yield from (voice.name for voice in natives if voice.gender == gender)
    if OPENAI_ALIASES[alias] in free:
        yield OPENAI_ALIASES[alias]
    yield from (voice.name for voice in natives)
    yield from free
