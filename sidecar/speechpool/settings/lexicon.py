# ruff: noqa: D102 -- the methods of the kind are Kind's, documented there
"""The pronunciation lexicon as a setting: words and how they are said."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from speechpool.settings.kinds import Kind, Refused

__all__ = ["MAX_ENTRIES", "LexiconEntries", "LexiconEntry"]

MAX_ENTRIES = 1_000
"""Most entries. A guess: a company's names and terms; more belong into a lexicon of the engine's own."""

MAX_WORD_CHARACTERS = 100
"""Longest word or phrase; a guess."""

MAX_SAID_CHARACTERS = 200
"""Longest alias or phoneme text; a guess."""

# What XML 1.0 forbids, and the controls that nobody can say; white space is told apart from them.
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff\ufffe\uffff]")
_NOT_IPA = re.compile(r"[0-9/\[\]<>&\"{}\\]")


@dataclass(frozen=True, slots=True, kw_only=True)
class LexiconEntry:
    """How a word or phrase is said: one of `alias` and `ipa`.

    Args:
        word: As it is written, without space around it; a space stands for any white space.
        alias: What is said instead of it.
        ipa: How it sounds, in the International Phonetic Alphabet.
    """

    word: str
    alias: str | None = None
    ipa: str | None = None


@dataclass(frozen=True, slots=True)
class LexiconEntries(Kind[tuple[LexiconEntry, ...]]):
    """A list of words, each with an alias or with phonemes."""

    @property
    def expected(self) -> str:
        return (
            f"a list of at most {MAX_ENTRIES} mappings of word (1 to {MAX_WORD_CHARACTERS} characters) and alias or "
            f"ipa (1 to {MAX_SAID_CHARACTERS} characters), as [{{word: SQL, alias: sequel}}]"
        )

    def of_text(self, text: str) -> tuple[LexiconEntry, ...]:
        raise Refused(f"a list is given in a file, not as text of {len(text)} characters")

    def of_value(self, value: object) -> tuple[LexiconEntry, ...]:
        if not isinstance(value, (list, tuple)):
            raise Refused
        if len(value) > MAX_ENTRIES:
            raise Refused(f"it has {len(value)} entries")
        entries = tuple(_entry(one, f"entry {number}") for number, one in enumerate(value, 1))
        words = [entry.word for entry in entries]
        if doubled := next((word for number, word in enumerate(words) if word in words[:number]), None):
            raise Refused(f"the word {doubled!r} is there twice")
        return entries

    def to_value(self, value: Sequence[LexiconEntry]) -> list[dict[str, str]]:
        return [_written(entry) for entry in value]


def _written(entry: LexiconEntry) -> dict[str, str]:
    said = {"alias": entry.alias, "ipa": entry.ipa}
    return {"word": entry.word} | {name: text for name, text in said.items() if text is not None}


def _entry(given: object, where: str) -> LexiconEntry:
    if not isinstance(given, Mapping):
        raise Refused(f"{where} must be a mapping")
    if unknown := [name for name in given if name not in {"word", "alias", "ipa"}]:
        raise Refused(f"{where} has {str(unknown[0])[:64]!r}, and an entry has word and alias or ipa")
    word = _text(given.get("word"), f"word of {where}", MAX_WORD_CHARACTERS)
    alias, ipa = given.get("alias"), given.get("ipa")
    if (alias is None) == (ipa is None):
        raise Refused(f"{where}, {word!r}, must have either alias or ipa")
    if ipa is None:
        return LexiconEntry(word=word, alias=_text(alias, f"alias of {where}", MAX_SAID_CHARACTERS))
    return LexiconEntry(word=word, ipa=_phonemes(_text(ipa, f"ipa of {where}", MAX_SAID_CHARACTERS), where))


def _phonemes(ipa: str, where: str) -> str:
    if found := _NOT_IPA.search(ipa):
        raise Refused(f"ipa of {where} has {found.group()!r}; write the sounds alone, without slashes or brackets")
    return ipa


def _text(given: object, what: str, limit: int) -> str:
    if not isinstance(given, str):
        raise Refused(f"{what} must be text; quote it")
    text = " ".join(given.split())
    if not 1 <= len(text) <= limit:
        raise Refused(f"{what} must have 1 to {limit} characters; it has {len(text)}")
    if found := _CONTROL.search(given):
        raise Refused(f"{what} has the control character U+{ord(found.group()):04X}")
    return text
