"""The utterances of one WebSocket, waiting and under way."""

import asyncio
from collections import deque
from dataclasses import dataclass, field

from speechpool.errors import InvalidInput
from speechpool.service.requests import SpeakOptions, SpeakRequest
from speechpool.service.text_streams import TextStream
from speechpool.service.utterances import UtteranceStream

__all__ = ["TextInbox", "Turn"]


class TextInbox:
    """Text that came for an utterance and was not handed to the service yet.

    Args:
        piece_characters: The most characters that the service takes at a time.
        limit_characters: The most characters that may wait.
    """

    def __init__(self, *, piece_characters: int, limit_characters: int) -> None:
        self._piece_characters = piece_characters
        self._limit_characters = limit_characters
        self._waiting: deque[str | None] = deque()  # None: speak what came so far
        self._waiting_characters = 0
        self._changed = asyncio.Event()
        self.is_finished = False

    def add(self, text: str) -> None:
        """Take a piece of text.

        Raises:
            InvalidInput: More text waits than may.
        """
        self._waiting_characters += len(text)
        if self._waiting_characters > self._limit_characters:
            message = f"at most {self._limit_characters} characters of an utterance may wait to be spoken"
            raise InvalidInput(message, param="text", code="input_too_long")
        last = self._waiting[-1] if self._waiting else None
        if last is not None and len(last) + len(text) <= self._piece_characters:
            self._waiting[-1] = last + text
        else:
            self._waiting.append(text)
        self._changed.set()

    def flush(self) -> None:
        """Have what came so far spoken now."""
        if not self._waiting or self._waiting[-1] is not None:
            self._waiting.append(None)
            self._changed.set()

    def finish(self) -> None:
        """No more text comes."""
        self.is_finished = True
        self._changed.set()

    async def feed(self, stream: TextStream) -> None:
        """Hand everything over, as it comes, until the text is finished."""
        while True:
            await self._hand_over(stream)
            if self.is_finished:
                break
            self._changed.clear()
            await self._changed.wait()
        await stream.finish()

    async def _hand_over(self, stream: TextStream) -> None:
        while self._waiting:
            text = self._waiting.popleft()
            if text is None:
                await stream.flush()
            else:
                self._waiting_characters -= len(text)
                await stream.add(text)


@dataclass(eq=False, slots=True, kw_only=True)
class Turn:
    """One utterance.

    Args:
        id: The client's name for it, or ours.
        ask: How, and for a whole text what, to speak.
        inbox: Where text comes in piece by piece; None for a whole text.
        stream: What the service makes of it, once its turn has come.
        task: What speaks it.
        error: Why it was ended from outside, if not by `cancel`.
        played_seconds: How far the client's player had come when it canceled; None for all that went out.
        has_audio: Whether any audio went out.
        is_told: Whether the client was told how it ended.
    """

    id: str
    ask: SpeakRequest | SpeakOptions
    inbox: TextInbox | None = None
    stream: UtteranceStream | TextStream | None = field(default=None, repr=False)
    task: asyncio.Task[None] | None = None
    error: Exception | None = None
    played_seconds: float | None = None
    has_audio: bool = False
    is_told: bool = False
