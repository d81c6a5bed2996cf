"""One recognition with Azure: audio in, events out, and everything that can go wrong between."""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Self

from speechpool.errors import EngineFailed, EngineTimeout, SpeechPoolError
from speechpool.formats import Codec
from speechpool.speech.azure.failures import Work, failure
from speechpool.speech.azure.options import AzureOptions
from speechpool.speech.azure.pacing import Pace, Timeline
from speechpool.speech.azure.patience import NEVER, Commits, CommitStep, Patience
from speechpool.speech.azure.results import read_partial, read_phrase
from speechpool.speech.azure.sdk_recognizer import Canceled, SdkRecognizer
from speechpool.speech.azure.segments import Segments
from speechpool.speech.engine import Partial, RecognitionEvent, RecognitionOptions, RecognitionProfile, UseReport

__all__ = ["AzureRecognizing"]

MAX_AHEAD_SECONDS = 2.0
"""Audio that may wait to be sent: enough that the SDK never waits for us."""

MAX_EVENTS = 1000
"""Events that may wait for the consumer before `write()` waits; partial results replace one another."""

_PIECE_SECONDS = 0.1  # how finely a long write waits for room
_COMMIT_PAUSE_SECONDS = 0.1  # the SDK refuses a commit sooner after another (push_audio_input_stream.cpp)
_SEGMENT_SILENCE_MS = 1000  # guess: above what the service itself ends a segment by
_EXTRA_SILENCE_SECONDS = 0.5  # guess: so that silence is found where noise was before
_RECONNECTS = 5  # the SDK tries so often to connect again
_SILENCE = {Codec.PCM: b"\0", Codec.MULAW: b"\xff", Codec.ALAW: b"\xd5"}


class AzureRecognizing:
    """One recognition under way; made by `AzureRecognizer.recognize`.

    Args:
        recognizer: The SDK's, connected; for this recognition alone.
        profile: What it understands.
        options: The caller's, checked.
        settings: The engine's.
        endpoint: Name of the endpoint, for people.
        on_end: Called once, with the error if there was one, when the recogniser is done with.
    """

    def __init__(
        self,
        recognizer: SdkRecognizer,
        profile: RecognitionProfile,
        options: RecognitionOptions,
        settings: AzureOptions,
        *,
        endpoint: str,
        on_end: Callable[[SpeechPoolError | None], None],
    ) -> None:
        self._recognizer = recognizer
        self._format = profile.format
        self._options = options
        self._inline_commit = settings.inline_commit and recognizer.takes_commits
        self._language = options.language or profile.languages[0]
        self._endpoint = endpoint
        self._on_end = on_end
        self._loop = asyncio.get_running_loop()
        self._began_at = self._loop.time()
        maximum_seconds = (options.segmentation_maximum_ms or 0) / 1000
        self._pace = Pace(max_ahead_seconds=MAX_AHEAD_SECONDS, segmentation_maximum_seconds=maximum_seconds)
        self._patience = Patience(
            answer_seconds=settings.recognition_answer_seconds,
            silent_seconds=settings.recognition_silent_seconds,
            reconnect_seconds=_RECONNECTS * settings.connect_timeout_seconds,
            end_seconds=settings.recognition_end_seconds,
            segmentation_maximum_seconds=maximum_seconds,
        )
        self._commits = Commits(wait_seconds=settings.commit_seconds)
        self._committed_at = -NEVER
        self._committed_seconds = 0.0
        self._clock = Timeline()
        self._segments = Segments(self._clock, language=self._language, partials=options.partials)
        self._events: deque[RecognitionEvent] = deque()
        self._changed = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._odd = b""
        self._is_finished = False  # no more audio comes
        self._is_cancelled = False
        self._is_over = False  # the recogniser is done with
        self._error: SpeechPoolError | None = None
        self._report = UseReport(endpoint=endpoint, reference=recognizer.session_id)

    def __repr__(self) -> str:
        state = "over" if self._is_over else "finishing" if self._is_finished else "listening"
        return f"<AzureRecognizing {state} {self._pace.written_seconds:.1f} s {len(self._events)} events>"

    # --- the caller's side ---

    @property
    def is_over(self) -> bool:
        """Whether its recogniser is done with; events may wait still."""
        return self._is_over

    @property
    def is_answered(self) -> bool:
        """Whether the service said anything of it."""
        return self._patience.is_answered

    @property
    def report(self) -> UseReport:
        """Whether its connection was open before it began, which endpoint served it, and Azure's session id."""
        return self._report

    async def write(self, audio: bytes) -> None:
        """Hand over audio, cut anywhere; waits while the SDK is behind by more than 2 s of audio.

        After `cancel()` it does nothing.

        Raises:
            EngineFailed: `finish()` was called, or Azure broke off.
            EngineTimeout: Azure does not answer.
            EngineUnavailable: Azure cannot be reached any more.
            AuthenticationFailed: Azure refused the credentials.
            Throttled: Azure asks for fewer requests.
        """
        if self._is_finished:
            raise EngineFailed("audio came after the end of the recognition")
        audio = self._odd + audio
        whole = len(audio) - len(audio) % self._sample_bytes
        self._odd = audio[whole:]
        piece_bytes = round(self._format.bytes_per_second * _PIECE_SECONDS)
        for begin in range(0, whole, piece_bytes):
            await self._write_piece(audio[begin : min(begin + piece_bytes, whole)])

    async def commit(self) -> None:
        """Force the current segment to its `Final` now; there is always one, with empty text where nothing was said.

        By the SDK's own commit where it has one. Where it has none, or where the service does not answer it and no
        audio follows, silence is written that ends the segment; times stay the caller's.
        """
        if self._is_over or self._is_finished:
            return
        if not self._pace.written_seconds:
            self._push(self._segments.nothing(0.0))
            return
        await asyncio.sleep(self._committed_at + _COMMIT_PAUSE_SECONDS - self._loop.time())
        self._commit_now()

    async def finish(self) -> None:
        """No more audio: a segment under way gets its `Final`, then iteration ends."""
        if self._is_over or self._is_finished:
            return
        self._is_finished = True
        self._patience.finished(self._loop.time(), self._pace.unacknowledged_seconds)
        self._arm()
        self._close_stream()

    async def cancel(self) -> None:
        """Stop now: iteration ends without error and without a further event; the SDK is stopped behind it."""
        self._is_cancelled = True
        self._events.clear()
        self._end(None)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> RecognitionEvent:
        while not self._is_cancelled:
            if self._events:
                self._changed.set()  # there is room
                return self._events.popleft()
            if self._error:
                raise self._error
            if self._is_over:
                break
            await self._wait(None)
        raise StopAsyncIteration

    # --- the recogniser's side ---

    def connected(self) -> None:
        """The SDK connected again."""
        self._patience.connected()
        if not self._report.was_warm and not self._report.connect_seconds:
            self._tell_cold(self._loop.time() - self._began_at)

    def disconnected(self) -> None:
        """The connection is lost; the SDK opens another, and sends again what has no result."""
        now = self._loop.time()
        self._patience.lost(now)
        if not self._patience.is_answered:
            self._tell_cold(0.0)
        self._arm()

    def partial(self, json: str) -> None:
        """A hypothesis came."""
        self._heard()
        with self._reading():
            self._tell(self._segments.partial(read_partial(json, self._clock)))

    def phrase(self, json: str) -> None:
        """A stretch of audio is done with."""
        self._heard()
        with self._reading():
            phrase = read_phrase(json, self._clock, language=self._language, words=self._options.words)
            self._pace.acknowledged(phrase.end_seconds)
            self._commits.settle(phrase.commit_token, has_text=phrase.final is not None)
            self._tell(self._segments.phrase(phrase))
            self._changed.set()  # there may be room

    def speech_started(self, ticks: int) -> None:
        """Speech began."""
        self._heard()
        self._tell(self._segments.started(ticks))

    def speech_ended(self, ticks: int) -> None:
        """Speech ended."""
        self._heard()
        self._tell(self._segments.ended(ticks))

    def canceled(self, canceled: Canceled) -> None:
        """The recognition ends: with its audio, or because something failed."""
        if not canceled.is_end_of_stream:
            self.fail(failure(canceled.code, canceled.details, work=Work.RECOGNITION, endpoint=self._endpoint))

    def stopped(self) -> None:
        """Nothing more comes."""
        if not self._is_finished:
            self.fail(EngineFailed(f"Azure ({self._endpoint}) ended the recognition before its audio ended"))
            return
        if self._commits.due_at != NEVER:
            self._push(self._segments.nothing(self._pace.written_seconds))
        self._end(None)

    def fail(self, error: SpeechPoolError) -> None:
        """It cannot go on; what was heard before is still handed out."""
        if not self._is_over:
            self._error = error
            self._end(error)

    # --- within ---

    @property
    def _sample_bytes(self) -> int:
        return 2 if self._format.codec is Codec.PCM else 1

    async def _write_piece(self, piece: bytes) -> None:
        length_seconds = self._format.seconds(len(piece))
        while not self._is_over and (wait_seconds := self._room_in(length_seconds)):
            await self._wait(wait_seconds)
        if self._error:
            raise self._error
        if not self._is_over:
            self._put(piece)

    def _room_in(self, length_seconds: float) -> float:
        """When to look again whether so much can be written; 0 for now."""
        if len(self._events) >= MAX_EVENTS:
            return 1.0  # or as soon as one is taken
        return self._pace.wait_seconds(length_seconds, self._loop.time())

    def _put(self, data: bytes) -> None:
        self._recognizer.write(data)
        now, length_seconds = self._loop.time(), self._format.seconds(len(data))
        self._pace.wrote(length_seconds, now)
        self._patience.wrote(length_seconds, now)
        self._arm()

    def _commit_now(self) -> None:
        if self._is_over:
            return
        self._committed_at = self._loop.time()
        self._committed_seconds = self._pace.written_seconds
        token = self._recognizer.commit() if self._inline_commit else 0
        if token:
            self._commits.asked(token, self._committed_at)
        else:
            self._write_silence()
        self._arm()

    def _write_silence(self) -> None:
        silence_ms = self._options.segmentation_silence_ms or _SEGMENT_SILENCE_MS
        length_seconds = silence_ms / 1000 + _EXTRA_SILENCE_SECONDS
        samples = round(length_seconds * self._format.sample_rate_hz)
        self._clock.insert(self._pace.written_seconds, length_seconds)
        self._commits.silenced(length_seconds, self._loop.time())
        self._put(_SILENCE[self._format.codec] * (samples * self._sample_bytes))

    def _close_stream(self) -> None:
        """Once all is sent: what the SDK holds back at the end it sends in a turn of its own, cut within a word."""
        if self._is_over:
            return
        ahead_seconds = self._pace.ahead_seconds(self._loop.time())
        if ahead_seconds > 0:
            self._loop.call_later(min(ahead_seconds, _PIECE_SECONDS), self._close_stream)
        else:
            self._recognizer.finish()

    def _heard(self) -> None:
        if not self._patience.is_answered:
            self._recognizer.note_turn()
        self._patience.heard(self._loop.time())

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """What cannot be read ends the recognition, and is never shown: it may hold text."""
        try:
            yield
        except (ValueError, TypeError, AttributeError):
            self.fail(EngineFailed(f"Azure ({self._endpoint}) sent a result that cannot be read"))

    def _tell(self, events: Iterable[RecognitionEvent]) -> None:
        for event in events:
            if isinstance(event, Partial) and self._events and isinstance(self._events[-1], Partial):
                self._events.pop()  # nobody took it, and this one replaces it
            self._push(event)

    def _push(self, event: RecognitionEvent) -> None:
        if not self._is_over:
            self._events.append(event)
            self._changed.set()

    def _tell_cold(self, connect_seconds: float) -> None:
        self._report = UseReport(
            was_warm=False,
            connect_seconds=connect_seconds,
            endpoint=self._report.endpoint,
            reference=self._report.reference,
        )

    def _end(self, error: SpeechPoolError | None) -> None:
        if self._is_over:
            return
        self._is_over = True
        if self._timer:
            self._timer.cancel()
        self._changed.set()
        self._on_end(error)

    async def _wait(self, limit_seconds: float | None) -> None:
        self._changed.clear()
        try:
            async with asyncio.timeout(limit_seconds):
                await self._changed.wait()
        except TimeoutError:
            pass

    # --- what is overdue ---

    def _arm(self) -> None:
        """Look at the earliest time at which something may be overdue; later ones are found then."""
        due_at = min((due for due, _ in self._deadlines()), default=NEVER)
        due_at = min(due_at, self._commits.due_at)
        if self._is_over or due_at == NEVER or (self._timer and self._timer.when() <= due_at):
            return
        if self._timer:
            self._timer.cancel()
        self._timer = self._loop.call_at(due_at, self._look)

    def _deadlines(self) -> list[tuple[float, str]]:
        return list(self._patience.deadlines(shows_turns=SdkRecognizer.shows_turns))

    def _look(self) -> None:
        self._timer = None
        now = self._loop.time()
        if not self._patience.is_answered and self._recognizer.has_turn_begun:
            self._patience.answered()
        for due_at, what in self._deadlines():
            if due_at <= now:
                self.fail(EngineTimeout(f"Azure ({self._endpoint}) {what}"))
                return
        if self._commits.due_at <= now:
            self._overdue_commit()
        self._arm()

    def _overdue_commit(self) -> None:
        step = self._commits.overdue()
        if step is CommitStep.ANSWER:
            self._push(self._segments.nothing(self._pace.written_seconds))
        elif not self._is_finished and self._pace.written_seconds == self._committed_seconds:
            self._write_silence()
