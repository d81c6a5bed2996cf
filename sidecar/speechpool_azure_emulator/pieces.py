"""Text that comes piece by piece, given on as whole words."""

import asyncio
from collections.abc import AsyncIterator

__all__ = ["Pieces"]


class Pieces:
    """The pieces of one request."""

    def __init__(self) -> None:
        self.count = 0
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
        """The text as far as it is whole words, when it comes."""
        while True:
            await self._news.wait()
            self._news.clear()
            words, self._text = self._whole_words()
            if words.strip():
                yield words
            if self._is_finished and not self._text:
                return

    def _whole_words(self) -> tuple[str, str]:
        if self._is_finished:
            return self._text, ""
        end = max(self._text.rfind(" "), self._text.rfind("\n")) + 1
        return self._text[:end], self._text[end:]
