"""The pronunciation lexicon: which words of a text are said how.

Decisions alone, no I/O. An alias takes the word's place; phonemes go around it as SSML, which makes SSML of plain text.
"""

import re
import unicodedata
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from speechpool.errors import SettingsError
from speechpool.service.readings import Found, Reading, Writer
from speechpool.settings import LexiconEntry
from speechpool.speech.ssml import ElementEnd, ElementStart, SsmlPart, SsmlText, parse

__all__ = ["Lexicon", "LexiconStream", "check_lexicon"]

_UNTOUCHED = frozenset({"sub", "phoneme", "say-as", "math"})
"""Elements that say themselves how their text is said."""

# Scripts that put no spaces between words: Thai to Tibetan, Myanmar, Khmer, kana and Han.
_SPACELESS_RANGES = (
    "\u0e00-\u0fff\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff"
    "\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff"
)
_SPACELESS = re.compile(f"[{_SPACELESS_RANGES}]")
_TOKEN = re.compile(f"[{_SPACELESS_RANGES}]|[^\\W{_SPACELESS_RANGES}]+|[^\\w\\s]")
_SPACE = re.compile(r"\s+")
_APOSTROPHES = "'\u2019"
_POSSESSIVE = re.compile(f"[{_APOSTROPHES}][sS](?!\\w)")
_EDGE_CHARACTERS = 3  # how many behind a word say whether it goes on: "'s" and what follows


def check_lexicon(entries: Sequence[LexiconEntry], *, phonemes: bool, engine: str) -> None:
    """Refuse entries that an engine cannot say.

    Args:
        entries: The setting.
        phonemes: Whether the engine speaks phonemes as they are written.
        engine: Its name.

    Raises:
        SettingsError: One has phonemes and the engine speaks none.
    """
    for number, entry in enumerate(entries):
        if entry.ipa is not None and not phonemes:
            raise SettingsError(
                f"lexicon[{number}].ipa (of {entry.word!r}): engine {engine!r} speaks no phonemes; use alias"
            )


@dataclass(frozen=True, slots=True)
class _Pattern:
    """An entry, ready to be looked for."""

    entry: LexiconEntry
    match: Callable[[str, int], re.Match[str] | None]

    def may_begin_at(self, text: str, start: int) -> bool:
        """Whether all text from `start` on is the beginning of its word."""
        word, begun = self.entry.word, text[start:]
        if " " in word:
            begun = _SPACE.sub(" ", begun)
        if len(begun) >= len(word):
            return False
        return word.startswith(begun.lower() if _is_any_case(word) else begun)


class Lexicon:
    """Words and how they are said.

    Whole words only, the longest entry first, from left to right in one pass: what was put in is not looked at again.
    An entry in lower case finds its word in any case, one with a capital letter exactly as it is written.

    Args:
        entries: The setting; their number and lengths are bounded there.
    """

    def __init__(self, entries: Sequence[LexiconEntry] = ()) -> None:
        self._patterns: dict[str, list[_Pattern]] = {}
        # of two that find the same, the one that says it exactly
        for entry in sorted(entries, key=lambda entry: (-len(entry.word), _is_any_case(entry.word))):
            token = _TOKEN.match(entry.word)
            assert token, "an entry's word is neither empty nor white space"
            self._patterns.setdefault(token.group().casefold(), []).append(_pattern(entry))
        self._keys = sorted(self._patterns)

    @property
    def has_phonemes(self) -> bool:
        """Whether it makes SSML of plain text."""
        return any(pattern.entry.ipa is not None for group in self._patterns.values() for pattern in group)

    def __bool__(self) -> bool:
        """Whether it has any entry."""
        return bool(self._patterns)

    def read(self, text: str, *, is_ssml: bool, more_characters: int) -> Reading:
        """What an engine is given to read for `text`.

        Args:
            text: The caller's.
            is_ssml: Whether it is an SSML document.
            more_characters: How much longer it may become.

        Raises:
            InvalidInput: It is not valid SSML, or becomes too long.
        """
        if not self:
            return Reading(text, is_ssml, text, is_ssml)
        found = list(self._in_document(text)) if is_ssml else self.find(text)[0]
        if not found:
            return Reading(text, is_ssml, text, is_ssml)
        becomes_ssml = is_ssml or any(one.entry.ipa is not None for one in found)
        writer = Writer(text, source_is_ssml=is_ssml, is_ssml=becomes_ssml, more_characters=more_characters)
        return writer.write(found)

    def find(self, text: str, start: int = 0, *, is_final: bool = True) -> tuple[list[Found], int]:
        """The entries' words in plain text, and the index up to which that is sure.

        Args:
            text: All there is of it.
            start: Where to begin: behind what was sure before.
            is_final: Whether no more text comes.
        """
        found: list[Found] = []
        sure = start
        for token in _TOKEN.finditer(text, start):
            if token.start() < sure:
                continue
            if not is_final and self._is_open(text, token):
                return found, token.start()
            if one := self._at(text, token):
                found.append(one)
                sure = one.end
        return found, len(text)

    def _at(self, text: str, token: re.Match[str]) -> Found | None:
        for pattern in self._patterns.get(token.group().casefold(), ()):
            match = pattern.match(text, token.start())
            if match and _is_whole(text, match.start(), match.end()):
                return Found(match.start(), match.end(), pattern.entry)
        return None

    def _is_open(self, text: str, token: re.Match[str]) -> bool:
        """Whether more text may tell otherwise what begins at a token."""
        key, start = token.group().casefold(), token.start()
        if token.end() == len(text) and self._begins_key(key):
            return True
        for pattern in self._patterns.get(key, ()):
            match = pattern.match(text, start)
            if match is None and pattern.may_begin_at(text, start):
                return True
            if match and match.end() + _EDGE_CHARACTERS > len(text):
                return True
            if match and _is_whole(text, start, match.end()):
                return False
        return False

    def _begins_key(self, start: str) -> bool:
        at = bisect_left(self._keys, start)
        return at < len(self._keys) and self._keys[at].startswith(start)

    def _in_document(self, document: str) -> Iterator[Found]:
        for run in _runs(parse(document)):
            for found in self.find("".join(run.texts))[0]:
                yield Found(run.starts[found.start], run.ends[found.end - 1], found.entry)


def _pattern(entry: LexiconEntry) -> _Pattern:
    flags = re.IGNORECASE if _is_any_case(entry.word) else 0
    return _Pattern(entry, re.compile(r"\s+".join(map(re.escape, entry.word.split())), flags).match)


def _is_any_case(word: str) -> bool:
    return word == word.lower()


def _is_whole(text: str, start: int, end: int) -> bool:
    """Whether no word goes on across either edge; an apostrophe between letters is part of a word, but for 's."""
    if _is_word(text[start]) and (_joins(text, start) or _is_apostrophe_in_word(text, start - 1)):
        return False
    if not _is_word(text[end - 1]):
        return True
    return not _joins(text, end) and (not _is_apostrophe_in_word(text, end) or bool(_POSSESSIVE.match(text, end)))


def _is_apostrophe_in_word(text: str, at: int) -> bool:
    if not 0 < at < len(text) - 1 or text[at] not in _APOSTROPHES:
        return False
    return _is_word(text[at - 1]) and _is_word(text[at + 1])


def _joins(text: str, at: int) -> bool:
    """Whether the characters before and at an index are of one word."""
    if not 0 < at < len(text):
        return False
    before, after = text[at - 1], text[at]
    if _is_mark(after):
        return True
    return _is_word(before) and _is_word(after) and not _SPACELESS.match(before) and not _SPACELESS.match(after)


def _is_word(character: str) -> bool:
    return character.isalnum() or character == "_" or _is_mark(character)


def _is_mark(character: str) -> bool:
    return unicodedata.category(character).startswith("M")


class LexiconStream:
    """Plain text that comes piece by piece, with the aliases put in as soon as they are sure.

    What may begin an entry waits for the text behind it. Phonemes need SSML, which does not come in pieces: the lexicon
    must have none.

    Args:
        lexicon: The words.
        more_characters: How much longer the text may become.
    """

    def __init__(self, lexicon: Lexicon, *, more_characters: int) -> None:
        self._lexicon = lexicon
        self._sure = 0
        self.writer = Writer("", source_is_ssml=False, is_ssml=False, more_characters=more_characters)

    def add(self, text: str) -> str:
        """Take a piece; what the engine may read now.

        Raises:
            InvalidInput: The text becomes too long.
        """
        self.writer.source += text
        return self._write(is_final=False)

    def flush(self) -> str:
        """What came so far is all, or shall be said now: the rest of what the engine may read of it."""
        return self._write(is_final=True)

    def _write(self, *, is_final: bool) -> str:
        found, sure = self._lexicon.find(self.writer.source, self._sure, is_final=is_final)
        self.writer.write_until(sure, found)
        self._sure = sure
        return self.writer.take()


# --- SSML ----------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Run:
    """Text of a document that no element parts.

    Args:
        texts: The characters, references resolved, in pieces.
        starts: For each character, its index in the document.
        ends: For each, the index behind it there.
    """

    texts: list[str] = field(default_factory=list)
    starts: list[int] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)

    def add(self, part: SsmlText) -> None:
        self.texts.append(part.text)
        if part.end - part.start == len(part.text):
            self.starts += range(part.start, part.end)
            self.ends += range(part.start + 1, part.end + 1)
        else:  # a reference: each character that it stands for is the whole of it
            self.starts += [part.start] * len(part.text)
            self.ends += [part.end] * len(part.text)


def _runs(parts: Iterable[SsmlPart]) -> Iterator[_Run]:
    """The stretches of text to look into: none in elements that say how they are said, none in CDATA sections."""
    untouched = 0
    run = _Run()
    for part in parts:
        if isinstance(part, SsmlText) and not part.is_cdata:
            if not untouched:
                run.add(part)
            continue
        if run.texts:
            yield run
            run = _Run()
        if isinstance(part, ElementStart):
            untouched += bool(untouched) or part.name in _UNTOUCHED
        elif isinstance(part, ElementEnd):
            untouched -= bool(untouched)
    if run.texts:
        yield run
