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
from speechpool.settings.lexicon import LexiconEntry
from speechpool.speech.engine import WordBoundary
from speechpool.speech.ssml import ElementEnd, ElementStart, SsmlPart, SsmlText, escape, parse

__all__ = ["Lexicon", "Reading", "check_lexicon"]

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
        said_start: Where in what the engine reads its words begin; -1 where it is no entry of the lexicon.
        is_copied: Whether it stands there character by character.
    """

    start: int
    end: int
    read_start: int
    read_end: int
    said_start: int
    is_copied: bool

    def source_start(self, index: int) -> int:
        """Where a word begins that begins at `index` of what is read."""
        return self.start + max(0, index - self.read_start) if self.is_copied else self.start

    def source_end(self, index: int) -> int:
        """Where a word ends whose last character is at `index` of what is read."""
        return min(self.start + index - self.read_start + 1, self.end) if self.is_copied else self.end


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

    def in_source(self, word: WordBoundary) -> WordBoundary | None:
        """A word of what was read, as a word of the caller's text; None where that was told already.

        An entry counts as one word of the caller's, however many words its alias has: the first of them tells it.
        """
        if not self.pieces:
            return word
        last = max(word.text_offset, word.text_offset + word.text_length - 1)
        first_piece, last_piece = self._piece(word.text_offset), self._piece(last)
        if first_piece.said_start >= 0 and self._is_later_word(first_piece, word.text_offset):
            return None
        start = first_piece.source_start(word.text_offset)
        end = max(start, last_piece.source_end(last)) if word.text_length else start
        told = replace(word, text_offset=start, text_length=end - start)
        if first_piece.is_copied and first_piece is last_piece:
            return told
        has_more = first_piece.said_start >= 0 and len(self._said(first_piece).split()) > 1
        duration = None if has_more else word.duration_seconds
        return replace(told, text=self._source_text(start, end), duration_seconds=duration)

    def _piece(self, index: int) -> _Piece:
        return self.pieces[max(0, bisect_right(self.pieces, index, key=lambda piece: piece.read_start) - 1)]

    def _is_later_word(self, piece: _Piece, index: int) -> bool:
        return any(map(str.isalnum, self.text[piece.said_start : index]))

    def _said(self, piece: _Piece) -> str:
        return self.text[piece.said_start : piece.read_end]

    def _source_text(self, start: int, end: int) -> str:
        text = self.source[start:end]
        return html.unescape(text) if self.source_is_ssml else text


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

    def read(self, text: str, *, is_ssml: bool, more_characters: int, wrap: Callable[[str], str]) -> Reading:
        """What an engine is given to read for `text`.

        Args:
            text: The caller's.
            is_ssml: Whether it is an SSML document.
            more_characters: How much longer it may become.
            wrap: Makes an SSML document of marked-up text, for plain text that needs phonemes.

        Raises:
            InvalidInput: It is not valid SSML, or becomes too long.
        """
        found = list(self._in_document(text) if is_ssml else self._in_text(text)) if self else []
        if not found:
            return Reading(text, is_ssml, text, is_ssml)
        is_markup = is_ssml or any(one.entry.ipa is not None for one in found)
        return _Writer(text, is_markup=is_markup, more_characters=more_characters).reading(found, is_ssml, wrap)

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
        is_markup: Whether what is read is SSML.
        more_characters: How much longer than the source it may become.
    """

    def __init__(self, source: str, *, is_markup: bool, more_characters: int) -> None:
        self._source = source
        self._is_markup = is_markup
        self._more_characters = more_characters
        self._written: list[str] = []
        self._length = 0
        self._pieces: list[_Piece] = []

    def reading(self, found: Iterable[_Found], is_ssml: bool, wrap: Callable[[str], str]) -> Reading:
        copy = self._copy if is_ssml == self._is_markup else self._escape
        at = 0
        for one in found:
            copy(at, one.start)
            self._replace(one, is_ssml)
            at = one.end
        copy(at, len(self._source))
        text = "".join(self._written)
        pieces = tuple(self._pieces)
        if is_ssml != self._is_markup:
            text, pieces = _wrapped(text, pieces, wrap)
        return Reading(self._source, is_ssml, text, self._is_markup, pieces)

    def _replace(self, found: _Found, is_ssml: bool) -> None:
        entry = found.entry
        if entry.ipa is not None:
            word = self._source[found.start : found.end]
            tag = f'<phoneme alphabet="ipa" ph="{escape(entry.ipa)}">'
            self._put(found.start, found.end, tag, f"{word if is_ssml else escape(word)}</phoneme>", is_entry=True)
        else:
            alias = entry.alias or ""
            self._put(found.start, found.end, "", escape(alias) if self._is_markup else alias, is_entry=True)

    def _copy(self, start: int, end: int) -> None:
        if start < end:
            self._put(start, end, "", self._source[start:end], is_copied=True)

    def _escape(self, start: int, end: int) -> None:
        """Copy plain text into SSML: runs as they are, each special character as a reference of its own."""
        at = start
        for special in _SPECIAL.finditer(self._source, start, end):
            self._copy(at, special.start())
            self._put(*special.span(), "", escape(special.group()))
            at = special.end()
        self._copy(at, end)

    def _put(
        self, start: int, end: int, before: str, text: str, *, is_entry: bool = False, is_copied: bool = False
    ) -> None:
        said_start = self._length + len(before)
        read_end = said_start + len(text)
        self._pieces.append(_Piece(start, end, self._length, read_end, said_start if is_entry else -1, is_copied))
        self._written += (before, text)
        self._length = read_end
        if read_end - end > self._more_characters:
            raise InvalidInput(
                f"the lexicon makes input more than {self._more_characters} characters (maxSsmlCharacters) longer; "
                "send less at once",
                param="input",
                code="input_too_long",
            )


def _wrapped(text: str, pieces: Iterable[_Piece], wrap: Callable[[str], str]) -> tuple[str, tuple[_Piece, ...]]:
    document = wrap(text)
    by = document.index(text)
    moved = (
        replace(
            piece,
            read_start=piece.read_start + by,
            read_end=piece.read_end + by,
            said_start=piece.said_start + by if piece.said_start >= 0 else -1,
        )
        for piece in pieces
    )
    return document, tuple(moved)
