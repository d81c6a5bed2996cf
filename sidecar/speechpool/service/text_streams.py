"""Text streams: text that comes piece by piece, said by one client as it comes, or clause after clause."""

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import cast

from speechpool.errors import EngineTimeout, InvalidInput
from speechpool.service.clauses import Clause, ClauseSplitter
from speechpool.service.context import Context
from speechpool.service.events import ClauseStarted, SpeakEvent
from speechpool.service.pieces import Pieces
from speechpool.service.requests import SpeakOptions, refuse_control_characters
from speechpool.service.utterances import UtteranceStream
from speechpool.speech.engine import Speaking, SpeakingPieces, StreamingSynthesisClient, SynthesisClient

__all__ = ["MAX_PENDING_CHARACTERS", "TextStream"]

MAX_PENDING_CHARACTERS = 4096
"""Text that may wait to be said before `add()` waits: about 4 minutes of speech."""


class TextStream(UtteranceStream):
    """An utterance whose text comes while it is said. Made by `SpeechService.speak_text()`.

    A pool with `text_streaming` is given the text as it comes. For any other it is cut into clauses by
    `ClauseSplitter`; the next is requested as soon as the engine has made the one before, however far the consumer is.
    `add()`, `flush()` and `finish()` belong to one task; once the stream has ended they do nothing, and the iterator
    tells why.

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
        self._pieces: Pieces | None = None  # where the engine is given the text while it comes
        self._is_begun = False
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
        if self._pieces:
            await self._add_piece(self._pieces, text)
            return
        self._queue(self._splitter.add(text))
        while self._waiting_characters > MAX_PENDING_CHARACTERS and self._ended_at is None:
            self._has_room.clear()
            await self._has_room.wait()

    async def flush(self) -> None:
        """Let what came so far be said, though its clause is not complete."""
        if self._pieces:
            self._pieces.flush()
        else:
            self._queue(self._splitter.flush())

    async def finish(self) -> None:
        """No more text comes: the summary follows the last clause."""
        self._is_finished = True
        if self._pieces:
            self._pieces.finish()
            return
        self._queue(self._splitter.flush())
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

    # --- piece by piece ---

    @property
    def _comes_in_pieces(self) -> bool:
        return not self._context.lexicon.has_phonemes  # phonemes need SSML, which does not come in pieces

    def _admit(self) -> None:
        super()._admit()
        if self._speech_pool.settings.text_streaming and self._comes_in_pieces:
            context = self._context
            self._pieces = Pieces(
                context.lexicon, more_characters=context.settings.max_ssml_characters, clock=context.clock
            )

    async def _add_piece(self, pieces: Pieces, text: str) -> None:
        pieces.add(text)
        if self._clause:
            self._account.extend(text)
        await pieces.wait_for_room(MAX_PENDING_CHARACTERS)

    async def _whole(self, pieces: Pieces) -> Clause | None:
        """All text as one clause, that grows; None where nothing is to be said, or is said."""
        if self._is_begun or not await pieces.wait_speakable():
            return None
        self._is_begun = True
        return Clause(pieces.text, 0)

    def _start(self, client: SynthesisClient, clause: Clause) -> Speaking:
        if not self._pieces:
            return super()._start(client, clause)
        speaking = cast("StreamingSynthesisClient", client).speak_pieces(self._utterance(Clause("", 0)))
        self._words = self._pieces.begin()
        return speaking

    async def _relay(self, speaking: Speaking, clause: Clause) -> None:
        if not self._pieces:
            await super()._relay(speaking, clause)
            return
        limit_seconds = self._context.settings.chunk_gap_timeout_seconds
        writing = self._pieces.write_to(cast("SpeakingPieces", speaking), limit_seconds, self._on_written)
        try:
            async with asyncio.TaskGroup() as tasks:
                writer = tasks.create_task(writing)
                await super()._relay(speaking, clause)
                writer.cancel()
        except BaseExceptionGroup as group:
            raise group.exceptions[0] from None

    def _on_written(self) -> None:
        if self._patience:
            self._patience.look_again()

    def _due_at(self, began_at: float, asked_at: float) -> float | None:
        """Only what an engine has all text for, or a whole clause to begin with, is due."""
        pieces, settings = self._pieces, self._context.settings
        if not pieces:
            return super()._due_at(began_at, asked_at)
        if pieces.all_written_at is not None:
            return super()._due_at(pieces.all_written_at, max(asked_at, pieces.all_written_at))
        if pieces.clause_written_at is None or self._clause_has_audio:
            return None
        return pieces.clause_written_at + settings.chunk_gap_timeout_seconds

    def _silence(self) -> EngineTimeout:
        if not self._pieces or self._pieces.all_written_at is not None:
            return super()._silence()
        limit_seconds = self._context.settings.chunk_gap_timeout_seconds
        return EngineTimeout(f"no audio of the first clause for chunk_gap_timeout_seconds = {limit_seconds:g}")

    # --- clause by clause ---

    def _queue(self, clauses: Sequence[Clause]) -> None:
        self._clauses.extend(clauses)
        self._waiting_characters += sum(len(clause.text) for clause in clauses)
        self._has_news.set()

    async def _next_clause(self) -> Clause | None:
        if self._pieces:
            return await self._whole(self._pieces)
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
        if self._pieces:
            return ()
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
        if self._pieces:
            self._pieces.close()
