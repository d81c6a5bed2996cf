"""One utterance with Azure, on the loop: what comes of it, in order, until it ends, is cancelled or fails."""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

from speechpool.errors import EngineFailed, SpeechPoolError
from speechpool.speech.azure.failures import Work, failure
from speechpool.speech.azure.sdk_synthesizer import Ended
from speechpool.speech.azure.window import Window
from speechpool.speech.azure.words import WordFinder
from speechpool.speech.engine import AudioChunk, Bookmark, SpeechEvent, UseReport, Viseme, WordBoundary

__all__ = ["AzureSpeaking", "Ties"]

_CANCEL_SECONDS = 0.045
"""How long `cancel()` waits for the SDK: it takes 1 ms, 21 ms in the first of a request (measured)."""

_SUSPECT_SECONDS = 1.0
"""Guess: a service that sent nothing for so long may never send anything: its connection is not used again."""

_TICKS_PER_SECOND = 10_000_000

MakeEvent = Callable[[], SpeechEvent | None]
"""Makes an event once it is sure whose it is; None for what is no event."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ties:
    """What ties an utterance to its client.

    Args:
        endpoint: Name of the endpoint, for people.
        window: What waits for the consumer.
        stop: Stops the request, in a thread.
        on_end: Called once, with the error if there was one, when the SDK has nothing more to do with it.
    """

    endpoint: str
    window: Window
    stop: Callable[["AzureSpeaking"], None]
    on_end: Callable[["AzureSpeaking", SpeechPoolError | None], None]


class AzureSpeaking:
    """One utterance under way; made by `AzureSynthesizer`.

    Args:
        ties: To its client.
        words: Finds words in the caller's text.
        text: The caller's text: no error quotes it.
        expects_audio: Whether an end without audio is a failure.
    """

    def __init__(self, ties: Ties, *, words: WordFinder, text: str, expects_audio: bool) -> None:
        self._ties = ties
        self._words = words
        self._text = text
        self._expects_audio = expects_audio
        self._loop = asyncio.get_running_loop()
        self._waiting_since: float | None = self._loop.time()
        self._events: deque[SpeechEvent] = deque()
        self._early: list[tuple[str, MakeEvent]] = []  # came before the request's own name was known
        self._changed = asyncio.Event()
        self._over = asyncio.Event()  # the SDK has nothing more to do with it
        self._is_wanted = True  # not cancelled
        self._has_ended = False  # whole or failed: what came is still handed out
        self._has_audio = False
        self._is_suspect = False
        self._error: SpeechPoolError | None = None
        self._reference: str | None = None
        self._was_warm = True
        self._connect_seconds = 0.0

    def __repr__(self) -> str:
        state = "over" if self.is_over else "speaking" if self._is_wanted else "stopping"
        return f"<AzureSpeaking {self._reference} {state} {len(self._events)} events>"

    # --- the caller's side ---

    @property
    def report(self) -> UseReport:
        """How it was served; whether it was warm is certain at the end."""
        return UseReport(
            was_warm=self._was_warm,
            connect_seconds=self._connect_seconds,
            endpoint=self._ties.endpoint,
            reference=self._reference,
        )

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> SpeechEvent:
        while self._is_wanted:
            if self._events:
                event = self._events.popleft()
                if isinstance(event, AudioChunk):
                    self._ties.window.take(len(event.data))
                return event
            if self._error:
                raise self._error
            if self._has_ended:
                break
            self._changed.clear()
            await self._changed.wait()
        raise StopAsyncIteration

    async def cancel(self) -> None:
        """Stop now, within 50 ms; iteration ends without error, and no audio follows. Safe when already ended.

        An SDK that takes longer goes on stopping in its thread; what the client says next begins when it has.
        """
        if self._is_wanted and not self.is_over:
            self._is_suspect = self._is_owed_audio()
            self._ties.stop(self)
        self._is_wanted = False
        self._events.clear()
        self._changed.set()
        await self.wait_over(_CANCEL_SECONDS)

    # --- the client's side ---

    @property
    def window(self) -> Window:
        """What waits for the consumer."""
        return self._ties.window

    @property
    def is_over(self) -> bool:
        """Whether the SDK has nothing more to do with it."""
        return self._over.is_set()

    @property
    def has_begun(self) -> bool:
        """Whether the SDK has taken it, or is done with it."""
        return self._reference is not None or self.is_over

    @property
    def is_stopping(self) -> bool:
        """Whether it was cancelled, and the SDK is not done with it yet."""
        return not self._is_wanted and not self.is_over

    @property
    def is_suspect(self) -> bool:
        """Whether it was cancelled after a silence that a dead connection would explain."""
        return self._is_suspect

    @property
    def has_audio(self) -> bool:
        """Whether audio came."""
        return self._has_audio

    async def wait_over(self, limit_seconds: float) -> bool:
        """Wait for the SDK to be done with it; whether it is."""
        if not self.is_over:
            try:
                async with asyncio.timeout(limit_seconds):
                    await self._over.wait()
            except TimeoutError:
                pass
        return self.is_over

    def connection_changed(self) -> None:
        """The client's connection was lost, or another opened."""
        if not self._has_audio:
            self._was_warm = False

    def fail(self, error: SpeechPoolError) -> None:
        """It cannot go on; what came before is still handed out."""
        if not self._has_ended:
            self._has_ended = True
            self._error = error
            self._changed.set()

    # --- what the SDK tells ---

    def began(self, reference: str) -> None:
        """The SDK has taken the request, and calls it so."""
        self._reference = reference
        early, self._early = self._early, []
        for whose, make in early:
            self._tell(whose, make)

    def audio(self, data: bytes) -> None:
        """Audio came."""
        self._has_audio = True
        self._push(AudioChunk(data))

    def word(self, reference: str, text: str, offset_ticks: int, duration_ticks: int, *, is_word: bool) -> None:
        """A word begins, or a mark of punctuation, which is no event: it is behind the word before it."""

        def make() -> WordBoundary | None:
            offset, length = self._words.find(text)
            if not is_word:
                return None
            return WordBoundary(
                text=text,
                audio_offset_seconds=offset_ticks / _TICKS_PER_SECOND,
                duration_seconds=duration_ticks / _TICKS_PER_SECOND,
                text_offset=offset,
                text_length=length,
            )

        self._tell(reference, make)

    def viseme(self, reference: str, viseme_id: int, offset_ticks: int) -> None:
        """A mouth shape begins."""
        seconds = offset_ticks / _TICKS_PER_SECOND
        self._tell(reference, lambda: Viseme(viseme_id=viseme_id, audio_offset_seconds=seconds))

    def bookmark(self, reference: str, name: str, offset_ticks: int) -> None:
        """A mark was reached."""
        seconds = offset_ticks / _TICKS_PER_SECOND
        self._tell(reference, lambda: Bookmark(name=name, audio_offset_seconds=seconds))

    def ended(self, ended: Ended) -> None:
        """Nothing more comes."""
        if ended.connect_seconds > 0:
            self._was_warm = False
            self._connect_seconds = ended.connect_seconds
        error = self._how(ended)
        if error is not None and self._is_wanted:
            self.fail(error)
        self._has_ended = True
        self._over.set()
        self._changed.set()
        self._ties.on_end(self, error)

    # --- within ---

    def _is_owed_audio(self) -> bool:
        """Whether audio should have come long ago."""
        if self._has_audio or self._waiting_since is None:
            return False
        return self._loop.time() - self._waiting_since > _SUSPECT_SECONDS

    def _how(self, ended: Ended) -> SpeechPoolError | None:
        if ended.code is not None:
            return failure(
                ended.code, ended.details, work=Work.SYNTHESIS, endpoint=self._ties.endpoint, text=self._text
            )
        if self._is_wanted and self._expects_audio and not self._has_audio:
            return EngineFailed(f"Azure ({self._ties.endpoint}) ended the synthesis without audio")
        return None

    def _tell(self, whose: str, make: MakeEvent) -> None:
        """Tell an event, if it is this request's: one of the request before may come late."""
        if self._reference is None:
            self._early.append((whose, make))
        elif whose == self._reference:
            self._push(make())

    def _push(self, event: SpeechEvent | None) -> None:
        if event is not None and self._is_wanted and not self._has_ended:
            self._events.append(event)
            self._changed.set()
