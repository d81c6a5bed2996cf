"""Where words are in a text, found one after the other. Pure.

The SDK has offsets of its own, but into the document that it was sent: in its own units, behind references such as
`&amp;`, and -1 for a word that is written otherwise there.
"""

from collections.abc import Iterable
from typing import Self

from speechpool.speech.ssml import SsmlText

__all__ = ["WordFinder"]

_REACH_CHARACTERS = 400
"""Guess: a word further away than this was not skipped over, but is written otherwise where it stands."""


class WordFinder:
    """Finds each next word of a text that is being said.

    Args:
        text: What there is of it; more may follow.
    """

    def __init__(self, text: str = "") -> None:
        self._text = text
        self._at = 0
        self._places: list[tuple[int, int]] | None = None  # of each character, where that is not its own index

    @classmethod
    def of_parts(cls, parts: Iterable[SsmlText]) -> Self:
        """For the text of an SSML document; offsets are the document's."""
        finder = cls()
        finder._places = []
        for part in parts:
            finder._text += part.text
            finder._places += _places(part)
        return finder

    def add(self, text: str) -> None:
        """More text follows the one there is; not for documents."""
        self._text += text

    def find(self, word: str) -> tuple[int, int]:
        """Offset and length of the next place where `word` stands; length 0, at the next text, where it does not."""
        at = self._text.find(word, self._at, self._at + _REACH_CHARACTERS + len(word)) if word else -1
        if at < 0:
            return self._offset(self._next_text()), 0
        self._at = at + len(word)
        begin = self._offset(at)
        return begin, self._end(self._at - 1) - begin

    def _next_text(self) -> int:
        rest = self._text[self._at : self._at + _REACH_CHARACTERS]
        return self._at + len(rest) - len(rest.lstrip())

    def _offset(self, index: int) -> int:
        if self._places is None:
            return index
        return self._places[index][0] if index < len(self._places) else self._end(index - 1)

    def _end(self, index: int) -> int:
        if self._places is None:
            return index + 1
        return self._places[min(index, len(self._places) - 1)][1] if self._places else 0


def _places(part: SsmlText) -> list[tuple[int, int]]:
    if part.end - part.start != len(part.text):  # a reference: its characters are all in one place
        return [(part.start, part.end)] * len(part.text)
    return [(place, place + 1) for place in range(part.start, part.end)]
