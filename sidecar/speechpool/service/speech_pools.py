"""Pools of speech clients: one `WarmableResourcePool` for each pool of the settings, with the engine's hooks."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import asdict
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from speechpool.errors import SettingsError
from speechpool.formats import INPUT_FORMATS, AudioFormat, output_format
from speechpool.pools import AllocationTier, Lease, WarmableResourcePool
from speechpool.service.caps import PoolCaps
from speechpool.settings import PoolKind, PoolSettings
from speechpool.speech.engine import (
    Client,
    Engine,
    LanguageMode,
    RecognitionClient,
    RecognitionProfile,
    SynthesisClient,
    SynthesisProfile,
)

__all__ = ["CIRCUIT_PROBE_SECONDS", "RecognitionPool", "SpeechPool", "SynthesisPool", "Use", "make_pool"]

C = TypeVar("C", bound=Client)
PoolObserver = Callable[..., None]

CIRCUIT_PROBE_SECONDS = 10.0
"""How often a pool whose engine is down tries again: as the Azure engine tries its endpoints at most. So long it takes
at most from the engine's recovery to the pool's."""


class Use(Generic[C]):
    """One client in use, in an `async with` block; made by `SpeechPool.use()`.

    Attributes:
        client: The client.
        tier: How it was come by.
        wait_seconds: How long it was waited for.

    Args:
        lease: The pool's own handle, not entered yet.
        begin: Called before the client is waited for.
        end: Called when it is given back, or was waited for in vain.
    """

    __slots__ = ("_begin", "_end", "_lease", "client", "tier", "wait_seconds")

    def __init__(self, lease: Lease[C], begin: Callable[[], None], end: Callable[[], None]) -> None:
        self._lease = lease
        self._begin = begin
        self._end = end

    async def __aenter__(self) -> Self:
        """Acquire.

        Raises:
            PoolError: As `WarmableResourcePool.acquire` does.
        """
        self._begin()
        try:
            lease = await self._lease.__aenter__()
        except BaseException:
            self._end()
            raise
        self.client, self.tier, self.wait_seconds = lease.resource, lease.tier, lease.wait_seconds
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Give the client back; it is closed if it cannot serve again."""
        try:
            if not self.client.is_reusable:
                self._lease.discard()
            await self._lease.__aexit__(kind, error, traceback)
        finally:
            self._end()

    def discard(self) -> None:
        """Close the client when the use ends, instead of using it again."""
        self._lease.discard()


class SpeechPool(Generic[C]):
    """A named pool of clients of one kind and one format.

    Args:
        settings: The pool's settings.
        audio_format: What its clients make, or take.
        create: Makes a client.
        clock: Monotonic seconds.
        observe: Called with the pool's events.
    """

    def __init__(
        self,
        settings: PoolSettings,
        audio_format: AudioFormat,
        create: Callable[[], Awaitable[C]],
        *,
        clock: Callable[[], float],
        observe: PoolObserver,
    ) -> None:
        self.settings = settings
        self.format = audio_format
        self.caps = PoolCaps(
            settings.name,
            clock,
            characters=settings.max_characters_per_minute,
            audio_seconds=settings.max_audio_seconds_per_minute,
        )
        self._create = create
        self._uses = 0
        self._unused = asyncio.Event()
        self._unused.set()
        self.pool: WarmableResourcePool[C] = WarmableResourcePool(
            factory=self._make,
            name=settings.name,
            warm_fn=_warm,
            reset_fn=_reset,
            close_fn=_close,
            on_event=observe,
            circuit_probe_sec=CIRCUIT_PROBE_SECONDS,
            **settings.keywords(),
        )

    @property
    def name(self) -> str:
        """The pool's name in the settings."""
        return self.settings.name

    @property
    def kind(self) -> PoolKind:
        """Whether it speaks or listens."""
        return self.settings.kind

    @property
    def short_kind(self) -> str:
        """The kind in three letters: "tts" or "stt"."""
        return "tts" if self.kind is PoolKind.TEXT_TO_SPEECH else "stt"

    @property
    def is_warm(self) -> bool:
        """Whether a warm client is idle now."""
        return bool(self.pool.snapshot()["warm_pool_size"])

    async def until_unused(self) -> None:
        """Wait until nobody has a client of it, or waits for one."""
        await self._unused.wait()

    async def _make(self) -> C:
        client = await self._create()
        # A client that dies while idle must leave the stock before somebody asks for it.
        client.on_lost(lambda: _forget(self.pool, client))
        return client

    def use(self, session_id: str | None = None) -> Use[C]:
        """A client for an `async with` block, the session's own where one is named."""
        return Use(self.pool.session(session_id or "", keep=True), self._begin_use, self._end_use)

    def _begin_use(self) -> None:
        self._uses += 1
        self._unused.clear()

    def _end_use(self) -> None:
        self._uses -= 1
        if not self._uses:
            self._unused.set()

    async def hold(self, session_id: str) -> AllocationTier:
        """Let the session have a client of its own from now on."""
        _, tier = await self.pool.acquire_for_session(session_id)
        return tier

    async def let_go(self, session_id: str) -> bool:
        """End the session in this pool; True if it was there."""
        return await self.pool.release_for_session(session_id)

    def reconfigure(self, settings: PoolSettings) -> PoolSettings:
        """Apply settings of the same shape; the old ones.

        Raises:
            SettingsError: A value is out of bounds; nothing was changed.
        """
        self.pool.reconfigure(**settings.keywords())
        self.caps.resize(
            characters=settings.max_characters_per_minute, audio_seconds=settings.max_audio_seconds_per_minute
        )
        old, self.settings = self.settings, settings
        return old

    def stop_refilling(self) -> None:
        """Make no client that nobody asks for, and close those that are idle."""
        self.pool.reconfigure(warm_pool_size=0, warm_pool_max=None)

    def describe(self) -> dict[str, Any]:
        """The pool's snapshot, with what its clients are, oldest first."""
        return {
            **self.pool.snapshot(),
            "kind": self.kind.value,
            "format": {"codec": self.format.codec.value, "sample_rate_hz": self.format.sample_rate_hz},
            **self._describe_kind(),
            "clients": [{**asdict(facts), "state": facts.state.value} for facts in self.pool.items()],
            "caps": {
                "max_characters_per_minute": self.settings.max_characters_per_minute,
                "max_audio_seconds_per_minute": self.settings.max_audio_seconds_per_minute,
            },
        }

    def _describe_kind(self) -> dict[str, Any]:
        if self.kind is PoolKind.TEXT_TO_SPEECH:
            return {"text_streaming": self.settings.text_streaming}
        return {"languages": list(self.settings.languages), "language_mode": self.settings.language_mode.value}


SynthesisPool = SpeechPool[SynthesisClient]
RecognitionPool = SpeechPool[RecognitionClient]


def make_pool(
    engine: Engine, settings: PoolSettings, *, clock: Callable[[], float], observe: PoolObserver
) -> SynthesisPool | RecognitionPool:
    """The pool that `settings` describe, not yet prepared.

    Raises:
        SettingsError: The engine cannot make such clients.
    """
    if settings.kind is PoolKind.TEXT_TO_SPEECH:
        said = _synthesis_profile(engine, settings)
        return SpeechPool(settings, said.format, lambda: engine.create_synthesizer(said), clock=clock, observe=observe)
    heard = _recognition_profile(engine, settings)
    return SpeechPool(settings, heard.format, lambda: engine.create_recognizer(heard), clock=clock, observe=observe)


def _synthesis_profile(engine: Engine, settings: PoolSettings) -> SynthesisProfile:
    able = engine.capabilities
    wanted = output_format(settings.output_format)
    if wanted not in able.output_formats:
        raise SettingsError(
            f"pools.{settings.name}.outputFormat = {settings.output_format!r}: engine {engine.name!r} does not make "
            f"it; it makes {_listed(able.output_formats)}"
        )
    if settings.text_streaming and not able.text_streaming:
        raise SettingsError(
            f"pools.{settings.name}.textStreaming = true: engine {engine.name!r} takes no text piece by piece; "
            "leave it out, and such text is spoken clause by clause"
        )
    return SynthesisProfile(format=wanted, text_streaming=settings.text_streaming)


def _listed(formats: Iterable[AudioFormat]) -> str:
    return ", ".join(sorted(f"{each.codec} {each.sample_rate_hz} Hz" for each in formats))


def _recognition_profile(engine: Engine, settings: PoolSettings) -> RecognitionProfile:
    able = engine.capabilities
    # An engine that names no languages decides when it is asked.
    unknown = [tag for tag in settings.languages if able.languages and tag not in able.languages]
    if unknown:
        raise SettingsError(
            f"pools.{settings.name}.languages = {', '.join(unknown)}: engine {engine.name!r} does not recognise it; "
            f"it recognises {', '.join(sorted(able.languages))}"
        )
    mode = settings.language_mode
    if mode is LanguageMode.DETECT and not able.language_detection:
        raise SettingsError(
            f"pools.{settings.name}.languageMode = Detect: engine {engine.name!r} detects no languages; use Single"
        )
    taken = INPUT_FORMATS[settings.input_format]
    if taken not in able.input_formats:
        raise SettingsError(
            f"pools.{settings.name}.inputFormat = {settings.input_format!r}: engine {engine.name!r} does not take it; "
            f"it takes {_listed(able.input_formats)}"
        )
    return RecognitionProfile(format=taken, languages=settings.languages, language_mode=mode)


def _forget(pool: WarmableResourcePool[C], client: C) -> None:
    pool.invalidate(client)


async def _warm(client: Client) -> bool:
    return await client.warm()


async def _reset(client: Client) -> None:
    await client.clear_session_state()


async def _close(client: Client) -> None:
    await client.close()
