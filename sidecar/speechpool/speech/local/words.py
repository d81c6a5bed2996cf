"""Where in the caller's text a word lies that espeak-ng begins to say."""

import bisect
import unicodedata
from collections.abc import Sequence

__all__ = ["SpokenText"]


class SpokenText:
    """What is said of a text, and where each character of it stands in what espeak-ng reads and in the caller's text.

    espeak-ng reports several words where one is written ("3.14", "$25"), and points into the middle of it; people want
    each written word once, whole. A written word is what stands between spaces, without the punctuation around it; in
    scripts that put no spaces, it is what espeak-ng says it is.

    Args:
        text: The characters that are said.
        read: For each of them, its index in what espeak-ng reads; ascending.
        starts: For each, its index in the caller's text.
        ends: For each, the index behind it in the caller's text.
    """

    def __init__(self, text: str, read: Sequence[int], starts: Sequence[int], ends: Sequence[int]) -> None:
        self._text = text
        self._read = read
        self._starts = starts
        self._ends = ends
        self._told = 0

    @classmethod
    def plain(cls, text: str) -> "SpokenText":
        """A text that is read as it was written."""
        indices = range(len(text) + 1)
        return cls(text, indices[:-1], indices[:-1], indices[1:])

    def word_at(self, index: int, length: int) -> tuple[str, int, int] | None:
        """The next word: its text, and its offset and length in the caller's text.

        Args:
            index: Where espeak-ng points, in what it reads.
            length: The characters that it means.

        Returns:
            None where the word was told already, or nothing is written there.
        """
        at = bisect.bisect_right(self._read, index) - 1
        if at < self._told:
            return None
        begin, end = self._bounds(at, length)
        if begin >= end:
            return None
        self._told = end
        return self._text[begin:end], self._starts[begin], self._ends[end - 1] - self._starts[begin]

    def _bounds(self, at: int, length: int) -> tuple[int, int]:
        if _is_wide(self._text[at]):
            return at, min(at + length, len(self._text))
        begin = end = at
        while begin > self._told and self._belongs(begin - 1):
            begin -= 1
        while end < len(self._text) and self._belongs(end):
            end += 1
        return self._without_punctuation(begin, end)

    def _belongs(self, at: int) -> bool:
        return not self._text[at].isspace() and not _is_wide(self._text[at])

    def _without_punctuation(self, begin: int, end: int) -> tuple[int, int]:
        first, last = begin, end
        while first < last and _is_punctuation(self._text[first]):
            first += 1
        while first < last and _is_punctuation(self._text[last - 1]):
            last -= 1
        return (first, last) if first < last else (begin, end)  # "&" alone is said, so it is a word


def _is_wide(character: str) -> bool:
    return character.isalnum() and unicodedata.east_asian_width(character) in "WF"


def _is_punctuation(character: str) -> bool:
    return unicodedata.category(character).startswith("P")
