"""What an engine reads in place of a caller's text, and the way back from there to the caller's own. Pure.

Each word that the engine tells of is turned back into the caller's own, so that nobody outside sees the difference.
"""

import html
import re
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from speechpool.errors import InvalidInput
from speechpool.settings import LexiconEntry
from speechpool.speech.engine import WordBoundary
from speechpool.speech.ssml import escape

__all__ = ["Found", "Piece", "Readable", "Reading", "SourceWords", "Writer"]

_SPECIAL = re.compile("[&<>\"']")


@dataclass(frozen=True, slots=True)
class Found:
    """An entry's word in the caller's text."""

    start: int
    end: int
    entry: LexiconEntry


@dataclass(frozen=True, slots=True)
class Piece:
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
    pieces: tuple[Piece, ...] = field(default=(), repr=False)


class Readable(Protocol):
    """What has been made of a text so far; a `Reading`, or a `Writer` that goes on."""

    @property
    def source(self) -> str:
        """The caller's text."""

    @property
    def source_is_ssml(self) -> bool:
        """Whether that is SSML."""

    @property
    def pieces(self) -> Sequence[Piece]:
        """How it belongs to what the engine reads."""


class SourceWords:
    """Turns the words of one reading, as the engine tells them, into the caller's own.

    An entry is one word of the caller's, however many are said for it: the first of them tells it.

    Args:
        reading: What the engine reads.
    """

    def __init__(self, reading: Readable) -> None:
        self._reading = reading
        self._told: Piece | None = None  # the last entry that was told

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

    def _piece(self, index: int) -> Piece:
        pieces = self._reading.pieces
        return pieces[max(0, bisect_right(pieces, index, key=lambda piece: piece.read_start) - 1)]

    def _text(self, start: int, end: int) -> str:
        text = self._reading.source[start:end]
        return html.unescape(text) if self._reading.source_is_ssml else text


class Writer:
    """Writes what is read, and how it belongs to the caller's text.

    Args:
        source: The caller's text; it may grow.
        source_is_ssml: Whether that is SSML.
        is_ssml: Whether what is read is.
        more_characters: How much longer than the source it may become.
    """

    def __init__(self, source: str, *, source_is_ssml: bool, is_ssml: bool, more_characters: int) -> None:
        self.source = source
        self.source_is_ssml = source_is_ssml
        self.pieces: list[Piece] = []
        self._is_ssml = is_ssml
        self._more_characters = more_characters
        self._written: list[str] = []
        self._length = 0
        self._at = 0

    def write(self, found: Iterable[Found]) -> Reading:
        """All of the source at once, with its entries in their order."""
        begins_document = self._is_ssml and not self.source_is_ssml
        if begins_document:
            self._append("<speak>")
        self.write_until(len(self.source), found)
        if begins_document:
            self._append("</speak>")
        return Reading(self.source, self.source_is_ssml, self.take(), self._is_ssml, tuple(self.pieces))

    def write_until(self, end: int, found: Iterable[Found]) -> None:
        """The source up to an index, with the entries found since the last call."""
        for one in found:
            self._keep(self._at, one.start)
            self._replace(one)
            self._at = one.end
        self._keep(self._at, end)
        self._at = end

    def take(self) -> str:
        """What was written since the last call."""
        text = "".join(self._written)
        self._written = []
        return text

    def _keep(self, start: int, end: int) -> None:
        if self._is_ssml == self.source_is_ssml:
            self._copy(start, end)
            return
        for special in _SPECIAL.finditer(self.source, start, end):
            self._copy(start, special.start())
            start = special.end()
            self._put(special.start(), start, escape(special.group()))
        self._copy(start, end)

    def _copy(self, start: int, end: int) -> None:
        if start < end:
            self._put(start, end, self.source[start:end], is_copied=True)

    def _replace(self, found: Found) -> None:
        said = found.entry.alias
        if said is not None:
            self._put(found.start, found.end, escape(said) if self._is_ssml else said, said_words=len(said.split()))
            return
        word = self.source[found.start : found.end]
        written = word if self.source_is_ssml else escape(word)
        sounds = escape(found.entry.ipa or "")
        marked = f'<phoneme alphabet="ipa" ph="{sounds}">{written}</phoneme>'
        self._put(found.start, found.end, marked, said_words=len(word.split()))

    def _put(self, start: int, end: int, text: str, *, is_copied: bool = False, said_words: int = 0) -> None:
        read_start = self._length
        self._append(text)
        if is_copied and self.pieces and self.pieces[-1].is_copied:
            before = self.pieces.pop()
            start, read_start = before.start, before.read_start
        self.pieces.append(Piece(start, end, read_start, self._length, is_copied, said_words))
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
