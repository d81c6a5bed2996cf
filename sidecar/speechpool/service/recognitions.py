"""Recognitions: audio that comes piece by piece to text, event by event."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from enum import Enum

from speechpool.errors import EngineTimeout, InvalidInput, SpeechError
from speechpool.service.backlog import Backlog
from speechpool.service.buffers import BufferClosed, EventBuffer
from speechpool.service.context import Context
from speechpool.service.deadlines import Attempts, is_broken, stop
from speechpool.service.events import Behind, RecognitionSummary, RecognizeEvent
from speechpool.service.replay import Replay
from speechpool.service.requests import RecognizeRequest, check_recognition
from speechpool.service.selection import choose_recognition, matching_language
from speechpool.service.sessions import Activity
from speechpool.service.speech_pools import RecognitionPool, Use
from speechpool.service.streams import EventStream
from speechpool.settings import LanguageMode, PoolKind
from speechpool.speech.engine import (
    Final,
    Partial,
    RecognitionClient,
    RecognitionEvent,
    RecognitionOptions,
    Recognizing,
)

__all__ = ["MAX_PENDING_SECONDS", "RecognitionStream"]

MAX_PENDING_SECONDS = 10.0
"""Audio that may wait for the engine before `write()` waits."""

_PIECE_SECONDS = 0.5  # what the engine is handed at a time: each is awaited, so each must be short
_COMMIT_WEIGHT = 64  # bytes of audio that a commit counts for: without audio between them they are bounded too
_MAX_EVENTS = 1000


class _Mark(Enum):
    """What is written beside audio, in its place."""

    COMMIT = "commit"
    FINISH = "finish"


class RecognitionStream(EventStream[RecognizeEvent]):
    """One recognition. Made by `SpeechService.recognize()`.

    `write()`, `commit()` and `finish()` belong to one task, the iterator to another. Once the stream has ended writing
    does nothing, and the iterator tells why. Audio over `max_recognition_seconds` ends it as `finish()` does.

    Args:
        context: What all uses share.
        request: What is asked for.

    Raises:
        InvalidInput: An option is wrong.
        EngineUnavailable: The engine is not open.
        PoolClosed: The service is draining.
    """

    def __init__(self, context: Context, request: RecognizeRequest) -> None:
        context.check_open()
        check_recognition(request, context.engine.capabilities)
        super().__init__(context, Activity.LISTENING, request.session_id, _MAX_EVENTS)
        self._request = request
        self._pending: EventBuffer[bytes | _Mark] = EventBuffer(self._size(MAX_PENDING_SECONDS))
        self._written_seconds = 0.0
        self._heard_seconds = 0.0
        self._heard_at_event_seconds = 0.0
        self._backlog = Backlog(self._tell_behind)
        self._first_audio_at: float | None = None
        self.first_event_seconds: float | None = None
        self._is_finished = False
        self._is_at_end = False
        self._is_held_up = False
        self._has_lost_client = False
        self._end_deadline = asyncio.timeout(None)  # over the listener, from the end of the audio on
        self._replay: Replay[bytes | _Mark] = Replay()
        self._is_preparing = False
        self._attempts = Attempts()
        self._use: Use[RecognitionClient] | None = None
        self._feed_deadline: asyncio.Timeout | None = None  # over the feeder, while the engine takes something
        self.language = request.language or ""

    # --- the writer's side ---

    async def write(self, audio: bytes) -> None:
        """Hand over audio in the request's format, cut anywhere; waits while `MAX_PENDING_SECONDS` of it wait.

        Raises:
            InvalidInput: It comes after `finish()`.
        """
        self._check_unfinished()
        limit_seconds = self._context.settings.max_recognition_seconds
        piece_bytes = self._size(_PIECE_SECONDS)
        for begin in range(0, len(audio), piece_bytes):
            piece = audio[begin : begin + piece_bytes]
            self._written_seconds += self._request.format.seconds(len(piece))
            if self._written_seconds > limit_seconds:
                await self.finish()
                return
            await self._push(piece, len(piece))
            self._note_backlog()

    async def commit(self) -> None:
        """Let the current segment become its `Final` now, in order with the audio before and after it.

        Raises:
            InvalidInput: It comes after `finish()`.
        """
        self._check_unfinished()
        await self._push(_Mark.COMMIT, _COMMIT_WEIGHT)

    async def finish(self) -> None:
        """No more audio comes: the last `Final` and the summary follow. Again: nothing happens."""
        if not self._is_finished:
            self._is_finished = True
            await self._push(_Mark.FINISH, 0)

    async def cancel(self) -> None:
        """Stop now; the summary is the only event that follows. Safe at any time, from any task."""
        await self._cancel_now()

    def _check_unfinished(self) -> None:
        # Audio beyond the longest time is dropped; the iterator has told the end, or is about to.
        if self._is_finished and self._written_seconds <= self._context.settings.max_recognition_seconds:
            raise InvalidInput("audio came after its end", param="audio", code="audio_finished")

    async def _push(self, item: bytes | _Mark, weight: int) -> None:
        try:
            await self._pending.put(item, weight)
        except BufferClosed:
            return  # the stream has ended: the iterator tells how

    def _size(self, seconds: float) -> int:
        """Bytes of so many seconds, whole samples."""
        return round(seconds * self._request.format.bytes_per_second) // 2 * 2

    def _note_backlog(self) -> None:
        if not self._pending.is_closed:
            self._backlog.note(self._request.format.seconds(self._pending.weight))

    def _tell_behind(self, seconds: float) -> None:
        if not self._buffer.is_closed:
            self._buffer.put_now((Behind(seconds=seconds), 0.0))

    @property
    def attempts(self) -> int:
        """Clients that tried it so far, or were to be acquired for it."""
        return self._attempts.count

    # --- before the task ---

    def check_servable(self) -> None:
        """Refuse what no pool can serve, before anything is acquired.

        Raises:
            InvalidInput: No pool understands the language.
            NotFound: There is no such pool.
        """
        self._choose_pool()

    def _admit(self) -> None:
        self._speech_pool = self._choose_pool()
        self.pool = self._speech_pool.name
        settings = self._speech_pool.settings
        self._language = (
            matching_language(self._request.language, settings.languages) if self._request.language else None
        )
        is_single = settings.language_mode is LanguageMode.SINGLE
        self.language = self._language or (settings.languages[0] if is_single else "")  # empty until it is detected
        self._converter = self._context.codecs.converter(self._request.format, self._speech_pool.format)
        self._speech_pool.caps.admit()

    def _choose_pool(self) -> RecognitionPool:
        """The session's own pool if it knows the language, because its client is there; else the best."""
        request, pools = self._request, self._context.pools.recognition
        bound = self._claim.bound_pool(PoolKind.SPEECH_TO_TEXT)
        for pool in pools if request.pool is None else ():
            if pool is bound and (not request.language or matching_language(request.language, pool.settings.languages)):
                return pool
        return choose_recognition(
            pools, request.language, self._context.settings.default_language, request.pool, request.format
        )

    # --- the task ---

    async def _work(self) -> None:
        async with self._converter:
            while not await self._try():
                pass

    async def _try(self) -> bool:
        """Recognise with one client; False where it told nothing and another may be fed the same."""
        attempts = self._attempts
        attempts.begin()
        self._use = None
        try:
            async with self._speech_pool.use(self._session_id) as self._use:
                await self._hear_with(self._use)
        except SpeechError as error:
            endpoint = self.report.endpoint if self._use else None
            can_go_on = attempts.may_go_on(error, endpoint=endpoint, is_acquiring=self._use is None)
            if self._is_preparing or not (can_go_on and self._replay.is_whole):
                raise
            self._context.metrics.retried(self._speech_pool.name, error)
            await asyncio.sleep(attempts.pause_seconds)
            return False
        return True

    async def _hear_with(self, use: Use[RecognitionClient]) -> None:
        self._claim.bind(self._speech_pool, use.tier.value)
        self._heard_seconds = self._heard_at_event_seconds = 0.0
        self._is_at_end = False
        recognizing: Recognizing | None = None
        try:
            self._attempts.check_endpoint(use.client.endpoint)
            recognizing = use.client.recognize(self._options())
            self._acquired(use.tier.value, use.wait_seconds)
            await self._hear_all(recognizing)
        except BaseException as error:
            if recognizing:
                await stop(recognizing, use)
            if is_broken(error):
                use.discard()
            raise
        finally:
            if recognizing:
                self._take_report(recognizing.report)
            self._has_lost_client = not use.client.is_reusable

    def _options(self) -> RecognitionOptions:
        request = self._request
        return RecognitionOptions(
            language=self._language,
            phrases=request.phrases,
            grammar=request.grammar,
            words=request.words,
            partials=request.partials,
            segmentation_silence_ms=request.segmentation_silence_ms,
            segmentation_maximum_ms=request.segmentation_maximum_ms,
            segmentation_strategy=request.segmentation_strategy,
            start_sensitivity=request.start_sensitivity,
        )

    async def _hear_all(self, recognizing: Recognizing) -> None:
        """Feed and listen at once, until the engine has told everything."""
        self._end_deadline = asyncio.timeout(None)
        try:
            async with asyncio.TaskGroup() as tasks:
                feeder = tasks.create_task(self._feed(recognizing))
                await self._listen(recognizing)
                feeder.cancel()
        except BaseExceptionGroup as group:
            raise group.exceptions[0] from None

    async def _feed(self, recognizing: Recognizing) -> None:
        for item in self._replay.items:
            async with self._engine_limit():
                await self._hand_on(recognizing, item)
        while not self._is_at_end:
            taken = await self._pending.get()
            async with self._engine_limit():
                for item in await self._prepared(taken):
                    self._replay.add(item, self._seconds_of(item))
                    await self._hand_on(recognizing, item)
            self._note_backlog()

    async def _prepared(self, item: bytes | _Mark) -> Sequence[bytes | _Mark]:
        """What the engine is handed for an item, in the pool's format."""
        self._is_preparing = True  # an item that is broken off here is lost
        if item is _Mark.FINISH:
            items: list[bytes | _Mark] = [await self._converter.finish(), item]
        elif item is _Mark.COMMIT:
            items = [item]
        else:
            self._first_audio_at = self._first_audio_at or self._context.clock()
            items = [await self._converter.feed(item)]
        self._is_preparing = False
        return [each for each in items if each]

    async def _hand_on(self, recognizing: Recognizing, item: bytes | _Mark) -> None:
        if item is _Mark.FINISH:
            await recognizing.finish()
            self._is_at_end = True
            self._expect_event()
        elif item is _Mark.COMMIT:
            await recognizing.commit()
        else:
            await recognizing.write(item)
            self._heard_seconds += self._seconds_of(item)

    def _seconds_of(self, item: bytes | _Mark) -> float:
        return self._speech_pool.format.seconds(len(item)) if isinstance(item, bytes) else 0.0

    @asynccontextmanager
    async def _engine_limit(self) -> AsyncIterator[None]:
        """The engine must take what it is handed, in so much time."""
        limit_seconds = self._context.settings.chunk_gap_timeout_seconds
        self._feed_deadline = deadline = asyncio.timeout(None if self._is_held_up else limit_seconds)
        try:
            async with deadline:
                yield
        except TimeoutError:
            if not deadline.expired():
                raise
            raise EngineTimeout(
                f"the recogniser took no audio for chunk_gap_timeout_seconds = {limit_seconds:g}"
            ) from None
        finally:
            self._feed_deadline = None

    async def _listen(self, recognizing: Recognizing) -> None:
        try:
            async with self._end_deadline:
                async for event in recognizing:
                    self._replay.forget()
                    self._take_report(recognizing.report)
                    self._note(event)
                    if self._is_wanted(event):
                        await self._hand_over(event)
        except TimeoutError:
            if not self._end_deadline.expired():
                raise
            raise EngineTimeout("the recogniser told nothing after the end of the audio") from None

    async def _hand_over(self, event: RecognitionEvent) -> None:
        """Give an event to the consumer, whose time is not the engine's."""
        for deadline in (self._end_deadline, self._feed_deadline):
            _reschedule(deadline, None)
        self._is_held_up = True
        await self._buffer.put((event, 0.0))
        self._is_held_up = False
        limit_seconds = self._context.settings.chunk_gap_timeout_seconds
        _reschedule(self._feed_deadline, asyncio.get_running_loop().time() + limit_seconds)
        self._expect_event()

    def _expect_event(self) -> None:
        """At the end of the audio: something must come, at the latest when all that was not told of could be played."""
        if self._is_at_end:
            untold_seconds = self._heard_seconds - self._heard_at_event_seconds
            wait_seconds = self._context.settings.chunk_gap_timeout_seconds + untold_seconds
            _reschedule(self._end_deadline, asyncio.get_running_loop().time() + wait_seconds)

    def _is_wanted(self, event: RecognitionEvent) -> bool:
        return self._request.partials or not isinstance(event, Partial)

    def _note(self, event: RecognitionEvent) -> None:
        self._heard_at_event_seconds = self._heard_seconds
        if self.first_event_seconds is None and self._first_audio_at is not None:
            self.first_event_seconds = self._context.clock() - self._first_audio_at
        if isinstance(event, Final):
            self.language = event.language

    # --- the end ---

    def _on_end(self, task: asyncio.Task[None]) -> None:
        self._backlog.close()
        self._pending.clear()
        self._pending.close()
        if self._has_lost_client:
            self._claim.replace_client(PoolKind.SPEECH_TO_TEXT)
        super()._on_end(task)

    def _count(self) -> None:
        self._speech_pool.caps.count_audio(self._heard_seconds)
        self._context.metrics.heard(self, audio_seconds=self._heard_seconds)

    def _summary(self) -> RecognitionSummary:
        return RecognitionSummary(
            outcome=self.outcome,
            pool=self.pool,
            tier=self.tier,
            wait_seconds=self.wait_seconds,
            audio_seconds=self._heard_seconds,
            first_event_seconds=self.first_event_seconds,
            seconds=self.seconds,
            language=self.language,
            report=self.report,
            warm_miss=self.is_warm_miss,
        )


def _reschedule(deadline: asyncio.Timeout | None, when: float | None) -> None:
    if deadline and not deadline.expired():
        deadline.reschedule(when)
