"""Text streams: text that comes piece by piece, said clause after clause by one client."""

import asyncio
from collections import deque
from collections.abc import Sequence

from speechpool.errors import InvalidInput
from speechpool.service.clauses import Clause, ClauseSplitter
from speechpool.service.context import Context
from speechpool.service.events import ClauseStarted, SpeakEvent
from speechpool.service.requests import SpeakOptions, refuse_control_characters
from speechpool.service.utterances import UtteranceStream

__all__ = ["MAX_PENDING_CHARACTERS", "TextStream"]

MAX_PENDING_CHARACTERS = 4096
"""Text that may wait to be said before `add()` waits: about 4 minutes of speech."""


class TextStream(UtteranceStream):
    """An utterance whose text comes while it is said. Made by `SpeechService.speak_text()`.

    Text is cut into clauses by `ClauseSplitter`; the next is requested as soon as the engine has made the one before,
    however far the consumer is. `add()`, `flush()` and `finish()` belong to one task; once the stream has ended they do
    nothing, and the iterator tells why.

    Args:
        context: What all uses share.
        options: How it is to be said.
    """

    def __init__(self, context: Context, options: SpeakOptions) -> None:
        super().__init__(context, options, None)
        self._splitter = ClauseSplitter()
        self._clauses: deque[Clause] = deque()
        self._waiting_characters = 0
        self._index = 0
        self._is_finished = False
        self._has_news = asyncio.Event()
        self._has_room = asyncio.Event()

    async def add(self, text: str) -> None:
        """Take a piece of the text, waiting while too much of it is not said yet.

        Raises:
            InvalidInput: The piece is too long, holds control characters, or comes after `finish()`.
            QuotaExceeded: The pool's cap on characters is reached.
        """
        self._check_piece(text)
        if self._ended_at is not None:
            return
        self._speech_pool.caps.admit(len(text))
        self._characters += len(text)
        self._queue(self._splitter.add(text))
        while self._waiting_characters > MAX_PENDING_CHARACTERS and self._ended_at is None:
            self._has_room.clear()
            await self._has_room.wait()

    async def flush(self) -> None:
        """Let what came so far be said, though its clause is not complete."""
        self._queue(self._splitter.flush())

    async def finish(self) -> None:
        """No more text comes: the summary follows the last clause."""
        self._queue(self._splitter.flush())
        self._is_finished = True
        self._has_news.set()

    def _check_piece(self, text: str) -> None:
        limit = self._context.settings.max_input_characters
        if self._is_finished:
            raise InvalidInput("text came after its end", param="text", code="text_finished")
        if len(text) > limit:
            raise InvalidInput(
                f"text must come in pieces of at most {limit} characters; this one has {len(text)}",
                param="text",
                code="input_too_long",
            )
        refuse_control_characters(text, param="text")

    def _queue(self, clauses: Sequence[Clause]) -> None:
        self._clauses.extend(clauses)
        self._waiting_characters += sum(len(clause.text) for clause in clauses)
        self._has_news.set()

    async def _next_clause(self) -> Clause | None:
        while True:
            while self._clauses:
                clause = self._clauses.popleft()
                self._waiting_characters -= len(clause.text)
                self._has_room.set()
                if not clause.is_blank:
                    return clause
                # Nothing to say, but part of the text.
                self._account.begin(clause.text, is_ssml=False, at_seconds=self._transcoder.seconds_in)
            if self._is_finished:
                return None
            self._has_news.clear()
            await self._has_news.wait()

    def _opening(self, clause: Clause) -> Sequence[SpeakEvent]:
        if self._clause_attempts == 1:
            self._index += 1
        return [
            ClauseStarted(
                index=self._index - 1,
                text_offset=clause.offset,
                text_length=len(clause.text),
                audio_offset_seconds=self._clause_at_seconds,
            )
        ]

    def _on_end(self, task: asyncio.Task[None]) -> None:
        super()._on_end(task)
        self._has_room.set()
