"""The text of an utterance while it comes, for an engine that takes it piece by piece."""

import asyncio
from collections.abc import Callable

from speechpool.service.clauses import ClauseSplitter
from speechpool.service.deadlines import within
from speechpool.service.lexicon import Lexicon, LexiconStream
from speechpool.service.readings import SourceWords
from speechpool.speech.engine import SpeakingPieces

__all__ = ["Pieces"]


class Pieces:
    """All text that came, kept so that another client can be given it from the start.

    Args:
        lexicon: How words are said; one without phonemes.
        more_characters: How much longer the lexicon may make the text.
        clock: Monotonic seconds.
    """

    def __init__(self, lexicon: Lexicon, *, more_characters: int, clock: Callable[[], float]) -> None:
        self._reading = LexiconStream(lexicon, more_characters=more_characters)
        self._splitter = ClauseSplitter()
        self._clock = clock
        self._readable: list[str] = []  # what the engine is given
        self._weights: list[int] = []  # the characters that came with each of them
        self._waiting_weight = 0
        self._held_weight = 0  # of what the lexicon holds back
        self._handed = 0  # how many a client was given, at most
        self._has_clause = False  # whether those hold a whole clause
        self._is_speakable = False
        self._has_news = asyncio.Event()
        self._has_room = asyncio.Event()
        self.text = ""
        self.is_finished = False
        self.clause_written_at: float | None = None
        """When a client had its first whole clause: from then on it can speak."""
        self.all_written_at: float | None = None
        """When a client had all text."""

    def add(self, text: str) -> None:
        """Take a piece.

        Raises:
            InvalidInput: The lexicon makes the text too long.
        """
        self._append(self._reading.add(text), len(text))
        self.text += text
        self._is_speakable = self._is_speakable or any(map(str.isalnum, text))

    def flush(self) -> None:
        """Give a client what the lexicon holds back, though more text might tell otherwise."""
        self._append(self._reading.flush(), 0)

    def finish(self) -> None:
        """No more text comes."""
        if not self.is_finished:
            self.flush()
            self.is_finished = True
            self._has_news.set()

    def begin(self) -> SourceWords:
        """A client begins, with all text before it; what turns its words into the caller's own."""
        self.clause_written_at = self.all_written_at = None
        return SourceWords(self._reading.writer)

    async def wait_speakable(self) -> bool:
        """Wait until there is anything to say; False where the text ended without."""
        while not (self._is_speakable or self.is_finished):
            await self._wait_for_news()
        return self._is_speakable

    async def wait_for_room(self, most_characters: int) -> None:
        """Wait until at most so many characters wait for a client."""
        while self._waiting_weight > most_characters:
            self._has_room.clear()
            await self._has_room.wait()

    def close(self) -> None:
        """Let everybody go who waits for room."""
        self._waiting_weight = 0
        self._has_room.set()

    async def write_to(self, speaking: SpeakingPieces, limit_seconds: float, on_written: Callable[[], None]) -> None:
        """Give a client all text from the start, as it comes.

        Args:
            speaking: What the client says.
            limit_seconds: How long it may take with one piece.
            on_written: Called whenever it has more, and when it has all.

        Raises:
            EngineTimeout: It took a piece for too long.
        """
        bound = limit_seconds, "the engine took no text for", "chunk_gap_timeout_seconds"
        index = 0
        while index < len(self._readable) or not self.is_finished:
            if index == len(self._readable):
                await self._wait_for_news()
                continue
            async with within(*bound):
                await speaking.write(self._readable[index])
            index += 1
            self._note_handed(index)
            on_written()
        async with within(*bound):
            await speaking.finish()
        self.all_written_at = self._clock()
        on_written()

    def _note_handed(self, count: int) -> None:
        if count > self._handed:
            self._handed = count
            self._waiting_weight = max(0, self._waiting_weight - self._weights[count - 1])
            self._has_room.set()
            if any(not clause.is_blank for clause in self._splitter.add(self._readable[count - 1])):
                self._has_clause = True
        if self._has_clause and self.clause_written_at is None:
            self.clause_written_at = self._clock()

    def _append(self, readable: str, weight: int) -> None:
        self._held_weight += weight
        if readable:
            self._readable.append(readable)
            self._weights.append(self._held_weight)
            self._waiting_weight += self._held_weight
            self._held_weight = 0
            self._has_news.set()

    async def _wait_for_news(self) -> None:
        self._has_news.clear()
        await self._has_news.wait()
