"""The pronunciation lexicon: what the engine is given to read instead of what the caller wrote, and the way back.

Decisions alone, no I/O. An alias takes the word's place; phonemes go around it as SSML, which makes SSML of plain text.
Each word that the engine tells of is turned back into the caller's own, so that nobody outside sees the difference.
"""

import html
import re
import unicodedata
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from speechpool.errors import InvalidInput, SettingsError
from speechpool.settings import LexiconEntry
from speechpool.speech.engine import WordBoundary
from speechpool.speech.ssml import ElementEnd, ElementStart, SsmlPart, SsmlText, escape, parse

__all__ = ["Lexicon", "Reading", "SourceWords", "check_lexicon"]

_UNTOUCHED = frozenset({"sub", "phoneme", "say-as", "math"})
"""Elements that say themselves how their text is said."""

# Scripts that put no spaces between words: Thai to Tibetan, Myanmar, Khmer, kana and Han.
_SPACELESS_RANGES = (
    "\u0e00-\u0fff\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff"
    "\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff"
)
_SPACELESS = re.compile(f"[{_SPACELESS_RANGES}]")
_TOKEN = re.compile(f"[{_SPACELESS_RANGES}]|[^\\W{_SPACELESS_RANGES}]+|[^\\w\\s]")
_APOSTROPHES = "'\u2019"
_SPECIAL = re.compile("[&<>\"']")
_POSSESSIVE = re.compile(f"[{_APOSTROPHES}][sS](?!\\w)")


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
class _Piece:
    """A stretch of the caller's text and what became of it.

    Args:
        start: Index of its first character in the caller's text.
        end: Index behind its last one there.
        read_start: Index of its first character in what the engine reads.
        read_end: Index behind its last one there.
        is_copied: Whether it stands there character by character.
        said_words: Of an entry of the lexicon, how many words are said for it; else 0.
    """

    start: int
    end: int
    read_start: int
    read_end: int
    is_copied: bool = False
    said_words: int = 0

    def source_start(self, index: int) -> int:
        """Where a word begins that begins at `index` of what is read."""
        return min(self.start + max(0, index - self.read_start), self.end) if self.is_copied else self.start

    def source_end(self, index: int) -> int:
        """Where a word ends that ends before `index` of what is read."""
        return min(self.start + max(0, index - self.read_start), self.end) if self.is_copied else self.end


@dataclass(frozen=True, slots=True)
class Reading:
    """What an engine is given to read for a caller's text.

    Args:
        source: The caller's text.
        source_is_ssml: Whether that is SSML.
        text: What the engine reads.
        is_ssml: Whether that is SSML.
        pieces: How both belong together, in order; empty where both are the same.
    """

    source: str = field(repr=False)
    source_is_ssml: bool
    text: str = field(repr=False)
    is_ssml: bool
    pieces: tuple[_Piece, ...] = field(default=(), repr=False)


class SourceWords:
    """Turns the words of one reading, as the engine tells them, into the caller's own.

    An entry is one word of the caller's, however many are said for it: the first of them tells it.

    Args:
        reading: What the engine reads.
    """

    def __init__(self, reading: Reading) -> None:
        self._reading = reading
        self._told: _Piece | None = None  # the last entry that was told

    def find(self, word: WordBoundary) -> WordBoundary | None:
        """The caller's word; None where that was told already."""
        if not self._reading.pieces:
            return word
        end = word.text_offset + word.text_length
        first, last = self._piece(word.text_offset), self._piece(max(word.text_offset, end - 1))
        if first.said_words and first is self._told:
            return None
        if last.said_words:
            self._told = last
        start = first.source_start(word.text_offset)
        length = max(0, last.source_end(end) - start)
        told = replace(word, text_offset=start, text_length=length)
        if first.is_copied and first is last:
            return told
        duration = None if first.said_words > 1 else word.duration_seconds
        return replace(told, text=self._text(start, start + length), duration_seconds=duration)

    def _piece(self, index: int) -> _Piece:
        pieces = self._reading.pieces
        return pieces[max(0, bisect_right(pieces, index, key=lambda piece: piece.read_start) - 1)]

    def _text(self, start: int, end: int) -> str:
        text = self._reading.source[start:end]
        return html.unescape(text) if self._reading.source_is_ssml else text


@dataclass(frozen=True, slots=True)
class _Pattern:
    """An entry, ready to be looked for."""

    entry: LexiconEntry
    match: Callable[[str, int], re.Match[str] | None]


@dataclass(frozen=True, slots=True)
class _Found:
    """An entry's word in the caller's text."""

    start: int
    end: int
    entry: LexiconEntry


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
        for entry in sorted(entries, key=lambda entry: (-len(entry.word), entry.word == entry.word.lower())):
            token = _TOKEN.match(entry.word)
            assert token, "an entry's word is neither empty nor white space"
            self._patterns.setdefault(token.group().casefold(), []).append(_pattern(entry))

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
        found = list(self._in_document(text) if is_ssml else self._in_text(text)) if self else []
        if not found:
            return Reading(text, is_ssml, text, is_ssml)
        becomes_ssml = is_ssml or any(one.entry.ipa is not None for one in found)
        writer = _Writer(text, source_is_ssml=is_ssml, is_ssml=becomes_ssml, more_characters=more_characters)
        return writer.write(found)

    def _in_text(self, text: str) -> Iterator[_Found]:
        end = 0
        for token in _TOKEN.finditer(text):
            if token.start() < end:
                continue
            for pattern in self._patterns.get(token.group().casefold(), ()):
                match = pattern.match(text, token.start())
                if match and _is_whole(text, match.start(), match.end()):
                    yield _Found(match.start(), end := match.end(), pattern.entry)
                    break

    def _in_document(self, document: str) -> Iterator[_Found]:
        for run in _runs(parse(document)):
            for found in self._in_text("".join(run.texts)):
                yield _Found(run.starts[found.start], run.ends[found.end - 1], found.entry)


def _pattern(entry: LexiconEntry) -> _Pattern:
    flags = re.IGNORECASE if entry.word == entry.word.lower() else 0
    return _Pattern(entry, re.compile(r"\s+".join(map(re.escape, entry.word.split())), flags).match)


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


# --- what is read --------------------------------------------------------------------------------------------------


class _Writer:
    """Writes what is read, and how it belongs to the caller's text.

    Args:
        source: The caller's text.
        source_is_ssml: Whether that is SSML.
        is_ssml: Whether what is read is.
        more_characters: How much longer than the source it may become.
    """

    def __init__(self, source: str, *, source_is_ssml: bool, is_ssml: bool, more_characters: int) -> None:
        self._source = source
        self._source_is_ssml = source_is_ssml
        self._is_ssml = is_ssml
        self._more_characters = more_characters
        self._written: list[str] = []
        self._length = 0
        self._pieces: list[_Piece] = []

    def write(self, found: Iterable[_Found]) -> Reading:
        begins_document = self._is_ssml and not self._source_is_ssml
        if begins_document:
            self._append("<speak>")
        at = 0
        for one in found:
            self._keep(at, one.start)
            self._replace(one)
            at = one.end
        self._keep(at, len(self._source))
        if begins_document:
            self._append("</speak>")
        text = "".join(self._written)
        return Reading(self._source, self._source_is_ssml, text, self._is_ssml, tuple(self._pieces))

    def _keep(self, start: int, end: int) -> None:
        if self._is_ssml == self._source_is_ssml:
            self._copy(start, end)
            return
        for special in _SPECIAL.finditer(self._source, start, end):
            self._copy(start, special.start())
            start = special.end()
            self._put(special.start(), start, escape(special.group()))
        self._copy(start, end)

    def _copy(self, start: int, end: int) -> None:
        if start < end:
            self._put(start, end, self._source[start:end], is_copied=True)

    def _replace(self, found: _Found) -> None:
        said = found.entry.alias
        if said is not None:
            self._put(found.start, found.end, escape(said) if self._is_ssml else said, said_words=len(said.split()))
            return
        word = self._source[found.start : found.end]
        written = word if self._source_is_ssml else escape(word)
        sounds = escape(found.entry.ipa or "")
        marked = f'<phoneme alphabet="ipa" ph="{sounds}">{written}</phoneme>'
        self._put(found.start, found.end, marked, said_words=len(word.split()))

    def _put(self, start: int, end: int, text: str, *, is_copied: bool = False, said_words: int = 0) -> None:
        read_start = self._length
        self._append(text)
        self._pieces.append(_Piece(start, end, read_start, self._length, is_copied, said_words))
        if self._length - end > self._more_characters:
            raise InvalidInput(
                f"the lexicon makes input more than {self._more_characters} characters (maxSsmlCharacters) longer; "
                "send less at once",
                param="input",
                code="input_too_long",
            )

    def _append(self, text: str) -> None:
        self._written.append(text)
        self._length += len(text)
