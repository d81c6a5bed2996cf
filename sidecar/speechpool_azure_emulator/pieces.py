"""Text that comes piece by piece, given on as whole words or whole sentences."""

import asyncio
import re
from collections.abc import AsyncIterator

__all__ = ["Pieces"]


_WORD_END = re.compile(r".*\s", re.DOTALL)
_SENTENCE_END = re.compile(r".*[.!?]\s", re.DOTALL)


class Pieces:
    """The pieces of one request.

    Args:
        by_sentence: Whether whole sentences are given on; else whole words.
    """

    def __init__(self, *, by_sentence: bool = False) -> None:
        self.count = 0
        self._last_end = _SENTENCE_END if by_sentence else _WORD_END
        self._text = ""
        self._is_finished = False
        self._news = asyncio.Event()

    def add(self, text: str) -> None:
        """A piece has come."""
        self.count += 1
        self._text += text
        self._news.set()

    def finish(self) -> None:
        """No more pieces."""
        self._is_finished = True
        self._news.set()

    async def __aiter__(self) -> AsyncIterator[str]:
        """The text as far as it is whole, when it comes."""
        while True:
            await self._news.wait()
            self._news.clear()
            whole, self._text = self._split()
            if whole.strip():
                yield whole
            if self._is_finished and not self._text:
                return

    def _split(self) -> tuple[str, str]:
        if self._is_finished:
            return self._text, ""
        found = self._last_end.match(self._text)
        end = found.end() if found else 0
        return self._text[:end], self._text[end:]
