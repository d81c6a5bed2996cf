"""The speech service: engine, pools, sessions and all work in one place, without HTTP."""

import asyncio
import contextlib
import logging
import random
from collections.abc import Awaitable, Sequence
from types import TracebackType
from typing import Any, Self

from speechpool.audio.codecs import Codecs
from speechpool.errors import PoolClosed, SettingsError, SpeechPoolError
from speechpool.service.clauses import Clause
from speechpool.service.context import Context
from speechpool.service.lexicon import check_lexicon
from speechpool.service.metrics import Metrics, Named
from speechpool.service.pool_table import PoolTable
from speechpool.service.process_facts import LoopLag
from speechpool.service.readiness import Readiness, Reason, not_warm
from speechpool.service.recognitions import RecognitionStream
from speechpool.service.renewal import Renewal
from speechpool.service.requests import RecognizeRequest, SpeakOptions, SpeakRequest, TranscribeRequest, check_input
from speechpool.service.sessions import Sessions
from speechpool.service.text_streams import TextStream
from speechpool.service.transcriptions import TranscriptionStream
from speechpool.service.utterances import UtteranceStream
from speechpool.settings import Settings
from speechpool.speech.engine import Engine, Voice

__all__ = ["SpeechService"]

logger = logging.getLogger(__name__)

FIRST_BACKOFF_SECONDS = 0.5
"""After the first failure to open the engine; doubled with each further one, with jitter."""

MAX_BACKOFF_SECONDS = 30.0
"""Between two attempts to open the engine."""

CLOSE_SECONDS = 5.0
"""How long each step of closing may take: sessions, pools, engine, codecs."""


class SpeechService:
    """Speaks and listens with warm clients of one engine.

    `open()` returns at once and warms in the background; until the engine is open, work is refused with
    `EngineUnavailable`. Everything runs on the loop that called `open()`.

    Args:
        engine: Makes the clients; opened and closed here.
        settings: Those in force at the start.
        codecs: Encode, decode and resample; made here where None, and closed here in any case.
        metrics: Where work is counted; made here where None.
    """

    def __init__(
        self, engine: Engine, settings: Settings, *, codecs: Codecs | None = None, metrics: Metrics | None = None
    ) -> None:
        self._context = Context(
            engine, settings, codecs or Codecs(workers=settings.codec_workers), metrics or Metrics()
        )
        self._renewal = Renewal(self._context)
        self._has_changed = asyncio.Event()  # what the engine works with: opening it is worth another attempt
        self._lag = LoopLag(self.metrics.loop_was_late)
        self._opened_at: float | None = None
        self._was_ready = False
        self._starting: asyncio.Task[None] | None = None
        self._ending: asyncio.Task[None] | None = None
        self._closing: asyncio.Task[None] | None = None

    # --- what it is ---

    @property
    def settings(self) -> Settings:
        """Those in force."""
        return self._context.settings

    @property
    def engine(self) -> Engine:
        """What makes the clients."""
        return self._context.engine

    @property
    def metrics(self) -> Metrics:
        """Where work is counted."""
        return self._context.metrics

    @property
    def sessions(self) -> Sessions:
        """All sessions; there once it is opened."""
        return self._context.sessions

    @property
    def active(self) -> int:
        """Utterances and recognitions under way."""
        return len(self._context.active)

    @property
    def is_accepting(self) -> bool:
        """Whether new work is taken, as far as the service's life goes."""
        return self._context.is_accepting

    @property
    def is_started(self) -> bool:
        """Whether it was ready once, or `startup_wait_seconds` have passed since `open()`."""
        return self.readiness().started

    def readiness(self) -> Readiness:
        """Whether work can be done at once, and why not."""
        reasons = tuple(self._reasons())
        self._was_ready = self._was_ready or not reasons
        return Readiness(ready=not reasons, started=self._was_ready or self._has_waited(), reasons=reasons)

    def _reasons(self) -> list[Reason]:
        if not self._context.is_accepting:
            return [Reason(component="service", reason="Draining", message="it is shutting down")]
        if error := self._context.engine_error:
            return [Reason(component="engine", reason=type(error).__name__, message=str(error))]
        cold = not_warm(self._context.pools.all)
        if cold and (problem := self.engine.problem):
            # Warm clients go on whatever the engine's trouble is; where some are missing it is the reason.
            return [Reason(component="engine", reason="EngineProblem", message=problem), *cold]
        return cold

    def _has_waited(self) -> bool:
        if self._opened_at is None:
            return False
        return self._context.clock() - self._opened_at >= self.settings.startup_wait_seconds

    def voices(self) -> Sequence[Voice]:
        """The engine's voices; none before it is open."""
        return list(self.engine.voices)

    def languages(self) -> Sequence[str]:
        """What the recognition pools understand, in the order of the pools."""
        tags = (tag for pool in self._context.pools.recognition for tag in pool.settings.languages)
        return tuple(dict.fromkeys(tags))

    def pools(self) -> dict[str, dict[str, Any]]:
        """The snapshot of each pool, by name."""
        return {pool.name: self.pool(pool.name) for pool in self._context.pools.all}

    def pool(self, name: str) -> dict[str, Any]:
        """The snapshot of one pool, with what its clients are.

        Raises:
            NotFound: There is no such pool.
        """
        pools = self._context.pools
        return {**pools[name].describe(), "replacing": name in pools.replacing}

    # --- work ---

    def speak(self, request: SpeakRequest) -> UtteranceStream:
        """Say a text. Nothing happens before the stream is entered.

        Raises:
            InvalidInput: A field is wrong.
            EngineUnavailable: The engine is not open.
            PoolClosed: The service is draining.
        """
        self._context.check_open()
        check_input(request, self.settings, self.engine.capabilities)
        return UtteranceStream(self._context, request, Clause(request.text, 0), is_ssml=request.is_ssml)

    def speak_text(self, options: SpeakOptions) -> TextStream:
        """Say a text that comes piece by piece; raises as `speak()` does."""
        return TextStream(self._context, options)

    def recognize(self, request: RecognizeRequest) -> RecognitionStream:
        """Listen to audio that comes piece by piece; raises as `speak()` does."""
        return RecognitionStream(self._context, request)

    def transcribe(self, request: TranscribeRequest) -> TranscriptionStream:
        """Listen to a whole recording; raises as `speak()` does."""
        return TranscriptionStream(self._context, request)

    # --- life ---

    async def __aenter__(self) -> Self:
        """Open."""
        await self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close, with the drain that the settings allow; none after an error."""
        await self.close(0.0 if kind else None)

    async def open(self) -> None:
        """Begin: the engine is opened and the pools are warmed in the background, again and again until they are.

        Raises:
            SettingsError: The engine cannot make what a pool is to hold, or say what the lexicon has.
        """
        context = self._context
        self._check_lexicon(context.settings)
        context.pools = PoolTable(
            context.engine,
            context.settings.pools,
            background=context.background,
            clock=context.clock,
            observe=self._on_pool_event,
        )
        context.sessions = Sessions(context)
        context.engine.on_stale(self._on_stale)
        self._opened_at = context.clock()
        self.metrics.watch(context)
        self._lag.start()
        self._starting = context.background.spawn(self._start(), "start")

    async def _start(self) -> None:
        if await self._open_engine():
            await self._context.pools.open()

    async def _open_engine(self) -> bool:
        """Open the engine, as often as it takes; False where it never can be with these settings."""
        backoff_seconds = FIRST_BACKOFF_SECONDS
        while True:
            try:
                await self.engine.open()
            except SpeechPoolError as error:
                self._context.engine_error = error
                if isinstance(error, SettingsError):
                    return False  # trying again would only repeat it
                logger.warning("engine not open", extra={"engine": self.engine.name, "reason": str(error)})
            else:
                self._context.engine_error = None
                return True
            await self._wait_for_change(backoff_seconds * random.uniform(0.5, 1.0))
            backoff_seconds = min(backoff_seconds * 2, MAX_BACKOFF_SECONDS)

    async def _wait_for_change(self, longest_seconds: float) -> None:
        self._has_changed.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(longest_seconds):
                await self._has_changed.wait()

    def _on_stale(self, reason: str) -> None:
        self._has_changed.set()
        self._renewal.begin(reason)

    async def wait_ready(self) -> None:
        """Wait until it is ready for the first time.

        Raises:
            PoolClosed: It is shut down before that.
            SettingsError: The engine can never be opened with these settings.
        """
        if self._starting:
            await asyncio.wait({self._starting})
            if isinstance(error := self._context.engine_error, SettingsError):
                raise error
        await self._context.pools.wait_warm()

    async def wait_started(self) -> bool:
        """Wait until it is ready, at most `startup_wait_seconds` after `open()`; whether it is.

        Raises:
            PoolClosed, SettingsError: As from `wait_ready()`.
        """
        try:
            async with asyncio.timeout(self.settings.startup_wait_seconds):
                await self.wait_ready()
        except TimeoutError:
            return False
        return True

    async def apply(self, old: Settings, new: Settings) -> None:
        """Let `new` be in force, all or nothing.

        A pool with another format, other languages or another kind is replaced by a new one: the old one serves until
        the new one is warm, then drains. All else holds when this returns.

        Raises:
            SettingsError: A pool refuses, or the engine cannot say what the lexicon has; everything is as before.
        """
        self._check_lexicon(new)
        if old.pools != new.pools:
            self._context.pools.apply(new.pools)
        self._context.take(new)

    def _check_lexicon(self, settings: Settings) -> None:
        check_lexicon(settings.lexicon, phonemes=self.engine.capabilities.phonemes, engine=self.engine.name)

    def start_draining(self) -> None:
        """Take no new work from now on, and be not ready; what is under way goes on."""
        self._context.is_accepting = False

    async def end_work(self, drain_seconds: float | None = None) -> None:
        """End idle sessions at once, what is under way within the drain, then the pools; engine and codecs stay open.

        Whoever is served still, or waits still for a client, at the end of the drain gets `PoolClosed`.

        Args:
            drain_seconds: How long what is under way may go on, >= 0; None for `shutdown_timeout_seconds`.
        """
        if drain_seconds is None:
            drain_seconds = self.settings.shutdown_timeout_seconds
        self.start_draining()
        if self._ending is None:
            self._ending = asyncio.create_task(self._end_work(drain_seconds), name="speechpool-end-work")
        await asyncio.shield(self._ending)

    async def close(self, drain_seconds: float | None = None) -> None:
        """End the work as `end_work()` does, then the engine and the codecs; safe to repeat.

        Args:
            drain_seconds: As for `end_work()`; without effect where that was called before.
        """
        self.start_draining()
        if self._closing is None:
            self._closing = asyncio.create_task(self._close(drain_seconds), name="speechpool-close")
        await asyncio.shield(self._closing)

    async def _close(self, drain_seconds: float | None) -> None:
        await self.end_work(drain_seconds)
        await self._context.background.close()
        await _bounded(self.engine.close(), "engine")
        await _bounded(self._context.codecs.close(), "codecs")
        self._lag.stop()

    async def _end_work(self, drain_seconds: float) -> None:
        if self._starting is None:
            return
        sessions = self._context.sessions
        await _bounded(sessions.end_idle(), "sessions")
        await self._end_active(drain_seconds)
        await _bounded(sessions.end_idle(), "sessions")
        self._starting.cancel()  # it would open the pools again
        await _bounded(self._context.pools.close(CLOSE_SECONDS), "pools")

    async def _end_active(self, drain_seconds: float) -> None:
        """Wait for what is under way; what is left then ends with an error for its consumer."""
        tasks = {stream.task for stream in self._context.active if stream.task}
        if tasks:
            await asyncio.wait(tasks, timeout=drain_seconds)
        ended = PoolClosed("the sidecar shut down before this was done")
        await asyncio.gather(*(stream.abort(ended) for stream in list(self._context.active)))

    # --- what the pools tell ---

    def _on_pool_event(self, name: str, pool: Named, **facts: object) -> None:
        self.metrics.pool_event(name, pool, **facts)
        if name in _WARNED:
            error = facts.get("error")
            reason = str(error) if isinstance(error, SpeechPoolError) else type(error).__name__
            logger.warning(_WARNED[name], extra={"pool": pool.name, "reason": reason})


_WARNED = {
    "creation_failed": "client could not be made",
    "warm_failed": "client could not be proved warm",
    "leak_suspected": "client is out for longer than leak_after_sec",
}


async def _bounded(step: Awaitable[object], name: str) -> None:
    try:
        async with asyncio.timeout(CLOSE_SECONDS):
            await step
    except TimeoutError:
        logger.warning("closing took too long", extra={"step": name})
    except SpeechPoolError as error:
        logger.warning("closing failed", extra={"step": name, "reason": str(error)})
