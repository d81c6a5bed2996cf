"""The voices that espeak-ng has, under names that can be typed ("en-us", "en-us+f2"), and OpenAI's names for some.

A name is a language's tag and perhaps a variant of its voice. Used on both sides: the engine lists voices and resolves
names, the workers resolve the names in SSML.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from speechpool.errors import InvalidInput
from speechpool.speech.engine import Voice
from speechpool.speech.voices import VoiceBook

__all__ = ["OPENAI_ALIASES", "Catalog", "EspeakVoice"]

OPENAI_ALIASES = {
    "alloy": "en-us+f2",
    "ash": "en-us+m3",
    "ballad": "en-gb-x-rp+m2",
    "cedar": "en-us+m7",
    "coral": "en-us+f3",
    "echo": "en-us+m1",
    "fable": "en-gb+f4",
    "marin": "en-us+f4",
    "nova": "en-us+f5",
    "onyx": "en-us+m8",
    "sage": "en-us+steph",
    "shimmer": "en-us+linda",
    "verse": "en-us+m4",
}
"""Chosen by pitch and gender, each distinct; "alloy" is the one that pocketsphinx understands best."""

_MUTE = frozenset({"fo", "kaa", "xex"})
"""Listed by espeak-ng 1.52, which has no dictionaries for them: they say next to nothing (measured: every voice)."""

_VARIANT = "variant"
_LISTED_WITH_VARIANTS = "en-us"  # a hundred variants of each of 140 languages would be a list that nobody reads
_PREFERRED = {"en": "en-us", "fr": "fr-fr", "es": "es", "pt": "pt-br", "zh": "cmn"}
"""Voices of languages whose tag alone, or with a region that has no voice, does not say which one."""


@dataclass(frozen=True, slots=True)
class EspeakVoice:
    """A voice or, where `tag` is "variant", a variant of any voice.

    Args:
        tag: Language tag, as espeak-ng writes it.
        identifier: What the library knows it by.
        name: For people.
        gender: "male", "female" or "neutral".
    """

    tag: str
    identifier: str
    name: str
    gender: str


class Catalog:
    """Finds voices by name.

    Args:
        found: What the library lists.
        aliases: Names that the settings add; they win over OpenAI's names, and those over the library's.
    """

    def __init__(self, found: Sequence[EspeakVoice], aliases: Mapping[str, str]) -> None:
        self._found = tuple(found)
        self._voices: dict[str, EspeakVoice] = {}
        self._variants: dict[str, EspeakVoice] = {}
        for voice in found:
            if voice.tag == _VARIANT:
                self._variants.setdefault(_variant_name(voice).casefold(), voice)
            elif voice.tag not in _MUTE:
                self._voices.setdefault(voice.tag.casefold(), voice)
        self._book = VoiceBook(self._names(), {**OPENAI_ALIASES, **aliases})

    @property
    def found(self) -> tuple[EspeakVoice, ...]:
        """What it was made from."""
        return self._found

    def voices(self) -> list[Voice]:
        """The voices worth a list: one for each language, and every variant of American English."""
        listed = [self._describe(voice, None) for voice in self._voices.values()]
        english = self._voices.get(_LISTED_WITH_VARIANTS)
        if english:
            listed += [self._describe(english, variant) for variant in self._variants.values()]
        return listed

    def resolve(self, name: str) -> str:
        """The voice's own name, by that name in any letter case, an alias, or a language tag.

        Raises:
            InvalidInput: No such voice (param `voice`, code `voice_not_found`).
        """
        wanted = self._book.alias(name)
        language, plus, variant = wanted.casefold().partition("+")
        voice = self._by_language(language)
        if voice is None or (plus and variant not in self._variants):
            raise self._book.unknown(name)
        return voice.tag.casefold() + (f"+{_variant_name(self._variants[variant])}" if plus else "")

    def has(self, name: str) -> bool:
        """Whether `resolve` finds it."""
        try:
            self.resolve(name)
        except InvalidInput:
            return False
        return True

    def identifier(self, name: str) -> str:
        """What the library knows a voice by; `name` is from `resolve`."""
        language, plus, variant = name.partition("+")
        return f"{self._voices[language].identifier}{plus}{variant}"

    def _by_language(self, tag: str) -> EspeakVoice | None:
        primary = tag.partition("-")[0]
        for candidate in (tag, _PREFERRED.get(primary, primary)):
            if candidate in self._voices:
                return self._voices[candidate]
        return None

    def _names(self) -> list[str]:
        return [*self._voices, *(f"{_LISTED_WITH_VARIANTS}+{name}" for name in self._variants)]

    def _describe(self, voice: EspeakVoice, variant: EspeakVoice | None) -> Voice:
        return Voice(
            name=voice.tag.casefold() + (f"+{_variant_name(variant)}" if variant else ""),
            language=_bcp47(voice.tag),
            gender=(variant or voice).gender,
            description=f"espeak-ng: {voice.name}" + (f", variant {variant.name}" if variant else ""),
        )


def _variant_name(variant: EspeakVoice) -> str:
    """The library finds a variant by the name of its file: "!v/f2" is "f2"."""
    return variant.identifier.rpartition("/")[2]


def _bcp47(tag: str) -> str:
    """A tag in the usual letter case: language in small letters, region in capitals, script with one capital."""
    language, *rest = tag.split("-")
    private = False
    written = [language.lower()]
    for part in rest:
        private = private or len(part) == 1
        written.append(part if private else {2: part.upper(), 4: part.title()}.get(len(part), part))
    return "-".join(written)
