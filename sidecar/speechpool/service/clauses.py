"""Cuts text that arrives piece by piece into clauses that can be spoken at once.

A clause ends where a speaker would take a breath: after a sentence, in a long sentence after a comma, at the latest at
the maximum length. Nothing is added or lost: the clauses joined are the text.
"""

import re
from dataclasses import dataclass, field, replace

from speechpool.speech.engine import Bookmark, Viseme, WordBoundary

__all__ = ["MAX_CLAUSE_CHARACTERS", "Clause", "ClauseSplitter", "Mark"]

Mark = WordBoundary | Viseme | Bookmark
"""An event at a place in the audio."""

MAX_CLAUSE_CHARACTERS = 300
"""Where a clause is cut when nothing else ends it: about 20 s of speech; a guess."""

MIN_PAUSE_CHARACTERS = 80
"""A comma ends a clause from this length on, about 5 s of speech: shorter ones would cost the voice its melody."""

_CLOSERS = "\"'\u2019\u201d\u00bb)]}\u300d\u300f\uff09\u3011"
_CJK_ENDS = "\u3002\uff01\uff1f\uff61\u2026"
_CJK_PAUSES = "\u3001\uff0c\uff1b\uff1a"
_ABBREVIATION = re.compile(
    r"mrs?|ms|dr|prof|sr|jr|st|vs|etc|no|vol|fig|approx|inc|ltd|co|corp|dept|est|gen|gov|hon|rev|sgt|capt|lt|col|mt|ave"
    r"|jan|feb|mar|apr|jun|jul|aug|sept?|oct|nov|dec|bzw|ca|nr|str|usw|mme|mlle|[a-hj-z]|(?:[a-z]\.)+[a-z]|p\.ex"
)
# A possible end: Latin marks count once the character after them is there; CJK marks and a blank line count at once.
_SENTENCE_END = re.compile(rf"(?:[.!?]+[{re.escape(_CLOSERS)}]*(?=\s)|[{_CJK_ENDS}]+[{re.escape(_CLOSERS)}]*|\n\s*\n)")
_PAUSE = re.compile(rf"[,;:\u2013\u2014](?=\s)|[{_CJK_PAUSES}]")
_LAST_WORD = re.compile(r"(\S+)$")


@dataclass(frozen=True, slots=True)
class Clause:
    """A piece of the text.

    Args:
        text: The characters, with the white space that follows them.
        offset: Index of the first one in all text.
    """

    text: str = field(repr=False)
    offset: int

    @property
    def is_blank(self) -> bool:
        """Whether there is nothing to say."""
        return not any(character.isalnum() for character in self.text)

    def place(self, mark: Mark, begins_seconds: float) -> Mark:
        """A mark of this clause, with its place in all text and, where the clause begins, in all audio."""
        at_seconds = mark.audio_offset_seconds + begins_seconds
        if isinstance(mark, WordBoundary):
            return replace(mark, audio_offset_seconds=at_seconds, text_offset=mark.text_offset + self.offset)
        return replace(mark, audio_offset_seconds=at_seconds)


class ClauseSplitter:
    """Takes text in pieces and gives clauses as soon as each is complete.

    Args:
        max_characters: Longest clause, >= 20.
    """

    def __init__(self, max_characters: int = MAX_CLAUSE_CHARACTERS) -> None:
        self._max_characters = max_characters
        self._pending = ""
        self._offset = 0

    @property
    def pending_characters(self) -> int:
        """Characters that wait for the end of their clause; bounded by the maximum after each `add()`."""
        return len(self._pending)

    def add(self, text: str) -> list[Clause]:
        """Take a piece of text; the clauses that it completes."""
        self._pending += text
        clauses = []
        while end := self._end_of_clause():
            clauses.append(self._take(end))
        return clauses

    def flush(self) -> list[Clause]:
        """What is pending, as a last clause; none where nothing is."""
        return [self._take(len(self._pending))] if self._pending else []

    def _take(self, end: int) -> Clause:
        clause = Clause(self._pending[:end], self._offset)
        self._pending = self._pending[end:]
        self._offset += end
        return clause

    def _end_of_clause(self) -> int:
        """Index after the first complete clause, 0 where there is none yet."""
        end = self._sentence_end()
        if end and end <= self._max_characters:
            return end
        if pause := self._pause():
            return pause
        if len(self._pending) > self._max_characters:
            return self._forced_end()
        return 0

    def _sentence_end(self) -> int:
        for found in _SENTENCE_END.finditer(self._pending):
            if not self._is_abbreviation(found):
                return self._after_space(found.end())
        return 0

    def _is_abbreviation(self, mark: re.Match[str]) -> bool:
        """Whether the mark is the single dot of an abbreviation ("Dr.") or of an initial ("J. S. Bach")."""
        if mark.group() != ".":
            return False
        last = _LAST_WORD.search(self._pending[: mark.start()])
        word = last.group(1).lstrip("([\"'").lower() if last else ""
        return bool(_ABBREVIATION.fullmatch(word))

    def _pause(self) -> int:
        """Index after the first pause that leaves half a clause before it, once there is enough for one; else 0."""
        if len(self._pending) < MIN_PAUSE_CHARACTERS:
            return 0
        for found in _PAUSE.finditer(self._pending, MIN_PAUSE_CHARACTERS // 2, self._max_characters):
            return self._after_space(found.end())
        return 0

    def _forced_end(self) -> int:
        """Where a clause without marks is cut: after its last white space, else at the maximum."""
        space = max(self._pending.rfind(mark, 0, self._max_characters) for mark in " \t\n")
        return space + 1 if space > 0 else self._max_characters

    def _after_space(self, index: int) -> int:
        """Index after the white space that begins at `index`: it belongs to the clause before it."""
        while index < len(self._pending) and self._pending[index].isspace():
            index += 1
        return index
