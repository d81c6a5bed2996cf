"""Clients of Azure Speech for programs without an event loop: every call blocks until it is done, and is bounded.

Each keeps its connection open between uses, so that a pool of them is warm. They may be called from any thread; what
they do runs on one event loop in the background.
"""

import asyncio
import logging
import os
from collections.abc import Coroutine
from dataclasses import replace
from typing import Any, Self, TypeVar

from speechpool.errors import EngineFailed, EngineUnavailable, InvalidInput
from speechpool.formats import OUTPUT_FORMATS, AudioFormat, Codec
from speechpool.speech.azure.background import Background, background
from speechpool.speech.azure.synthesizer import AzureSynthesizer
from speechpool.speech.engine import AudioChunk, SynthesisProfile, Utterance

__all__ = ["BlockingClient", "SpeechSynthesizer"]

logger = logging.getLogger(__name__)

T = TypeVar("T")

DEFAULT_VOICE = "en-US-AvaMultilingualNeural"
"""The SDK's own default."""

_ENVIRONMENT = {"key": "AZURE_SPEECH_KEY", "region": "AZURE_SPEECH_REGION", "endpoint": "AZURE_SPEECH_ENDPOINT"}
_PCM_RATES = sorted(form.sample_rate_hz for form in OUTPUT_FORMATS.values() if form.codec is Codec.PCM)
_SPEEDS = (0.25, 4.0)
_CLOSE_SECONDS = 5.0


class BlockingClient:
    """What both kinds have in common: where they connect to, and what is cleared between sessions.

    Args:
        speech_key: The resource's key; else `AZURE_SPEECH_KEY`.
        speech_region: The resource's region; else `AZURE_SPEECH_REGION`.
        endpoint: Its address, where it has one of its own; else `AZURE_SPEECH_ENDPOINT`. It comes before the region.
        call_connection_id: Names the session in debug logs.
        timeout_seconds: Longest wait of one call, > 0.

    Raises:
        InvalidInput: `timeout_seconds` is not > 0.
    """

    def __init__(
        self,
        *,
        speech_key: str | None = None,
        speech_region: str | None = None,
        endpoint: str | None = None,
        call_connection_id: str | None = None,
        timeout_seconds: float = 30.0,
    ) -> None:
        if not timeout_seconds > 0:
            raise InvalidInput(f"timeout_seconds must be > 0; got {timeout_seconds}", param="timeout_seconds")
        given = {"key": speech_key, "region": speech_region, "endpoint": endpoint}
        found = {name: value or os.environ.get(_ENVIRONMENT[name]) for name, value in given.items()}
        self._options = {name: value for name, value in found.items() if value}
        self._timeout_seconds = timeout_seconds
        self._home: Background | None = None
        self._is_closed = False
        self.call_connection_id = call_connection_id

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {'closed' if self._is_closed else 'ready' if self.is_ready else 'not ready'}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        home = getattr(self, "_home", None)
        if home is not None and not self._is_closed:
            self._release_soon(home)

    @property
    def is_ready(self) -> bool:
        """Whether it can be used: not closed, and no connection that it had is lost."""
        raise NotImplementedError

    def set_call_connection_id(self, call_connection_id: str | None) -> None:
        """Name the session in debug logs, until `clear_session_state()`."""
        self.call_connection_id = call_connection_id

    def _run(self, work: Coroutine[Any, Any, T], limit_seconds: float | None = None) -> T:
        if self._is_closed:
            work.close()
            raise EngineFailed(f"the {type(self).__name__} is closed")
        return self._background.run(work, limit_seconds or self._timeout_seconds)

    @property
    def _background(self) -> Background:
        if self._home is None:
            self._home = background()
        return self._home

    def close(self) -> None:
        """Close its connections; safe to call again."""
        raise NotImplementedError

    def _release_soon(self, home: Background) -> None:
        """Nobody holds it any more: close its connections without waiting."""
        raise NotImplementedError


class SpeechSynthesizer(BlockingClient):
    """Makes audio of text; one utterance at a time, on a connection that stays open.

    Args:
        speech_key: The resource's key; else `AZURE_SPEECH_KEY`.
        speech_region: The resource's region; else `AZURE_SPEECH_REGION`.
        endpoint: Its address; else `AZURE_SPEECH_ENDPOINT`.
        voice: Azure's name of the voice that speaks where a call names none.
        call_connection_id: Names the session in debug logs.
        timeout_seconds: Longest wait of one call, > 0.
    """

    def __init__(
        self,
        *,
        speech_key: str | None = None,
        speech_region: str | None = None,
        endpoint: str | None = None,
        voice: str = DEFAULT_VOICE,
        call_connection_id: str | None = None,
        timeout_seconds: float = 30.0,
    ) -> None:
        super().__init__(
            speech_key=speech_key,
            speech_region=speech_region,
            endpoint=endpoint,
            call_connection_id=call_connection_id,
            timeout_seconds=timeout_seconds,
        )
        self.voice = voice
        self._clients: dict[int, AzureSynthesizer] = {}
        self._turn: asyncio.Lock | None = None

    @property
    def is_ready(self) -> bool:
        """Whether it can be used: not closed, nothing under way, and no connection that it had is lost."""
        return not self._is_closed and all(client.is_ready for client in self._clients.values())

    def warm_connection(self, sample_rate: int = 24_000) -> bool:
        """Open the connection for a sample rate; True once it is open.

        Raises:
            InvalidInput: Azure does not make this sample rate.
            SettingsError: Key, region or endpoint is missing or malformed.
            AuthenticationFailed: Azure refused the credentials.
            Throttled: Azure asks for fewer requests.
            EngineUnavailable: Azure cannot be reached.
            EngineTimeout: It did not answer within `timeout_seconds`.
            EngineFailed: `close()` was called.
        """
        self._run(self._warm(_checked_rate(sample_rate)))
        return True

    def synthesize_to_pcm(
        self,
        text: str,
        voice: str | None = None,
        sample_rate: int = 24_000,
        *,
        style: str | None = None,
        speed: float = 1.0,
    ) -> bytes:
        """All audio of a text, as 16 bit mono PCM, little endian.

        Args:
            text: Plain text.
            voice: Azure's name of the voice, or one of OpenAI's; None for the client's own.
            sample_rate: 8000, 16000, 22050, 24000, 44100 or 48000 Hz. Each has a connection of its own.
            style: A speaking style that the voice knows.
            speed: 0.25 to 4.0; 1.0 is the voice's own.

        Raises:
            InvalidInput: The text, the voice or the sample rate cannot be spoken.
            SettingsError: Key, region or endpoint is missing or malformed.
            AuthenticationFailed: Azure refused the credentials.
            Throttled: Azure asks for fewer requests.
            EngineUnavailable: Azure cannot be reached.
            EngineTimeout: It did not finish within `timeout_seconds`.
            EngineFailed: Azure broke off, or `close()` was called.
        """
        if not text.strip():
            raise InvalidInput("text must have something to say; it is empty", param="text", code="empty")
        if not _SPEEDS[0] <= speed <= _SPEEDS[1]:
            raise InvalidInput(f"speed must be from {_SPEEDS[0]} to {_SPEEDS[1]}; got {speed}", param="speed")
        utterance = Utterance(text=text, voice=voice or self.voice, style=style, speed=speed)
        return self._run(self._synthesize(utterance, _checked_rate(sample_rate)))

    def clear_session_state(self) -> None:
        """Forget the session: what is under way is stopped. Connections stay open."""
        self.call_connection_id = None
        if self._clients and not self._is_closed:
            self._run(self._clear(), _CLOSE_SECONDS)

    def close(self) -> None:
        """Close its connections; safe to call again."""
        if not self._is_closed and self._home is not None:
            self._run(_close_all(self._clients), _CLOSE_SECONDS)
        self._is_closed = True

    def _release_soon(self, home: Background) -> None:
        clients = self._clients
        home.post(lambda: asyncio.ensure_future(_close_all(clients)))

    # --- on the loop ---

    async def _warm(self, sample_rate: int) -> AzureSynthesizer:
        client = self._clients.get(sample_rate)
        if client is None or not client.is_ready:
            if client is not None:
                await client.close()
            engine = await self._background.engine(self._options)
            form = AudioFormat(Codec.PCM, sample_rate)
            client = await engine.create_synthesizer(SynthesisProfile(format=form))
            self._clients[sample_rate] = client
        return client

    async def _synthesize(self, utterance: Utterance, sample_rate: int) -> bytes:
        self._turn = self._turn or asyncio.Lock()
        async with self._turn:
            is_used = sample_rate in self._clients
            try:
                return await self._speak(utterance, sample_rate)
            except (EngineFailed, EngineUnavailable):
                if not is_used:
                    raise
                # Its connection may have died unnoticed; nothing was handed out, so another one may try.
                return await self._speak(utterance, sample_rate, anew=True)

    async def _speak(self, utterance: Utterance, sample_rate: int, *, anew: bool = False) -> bytes:
        if anew:
            await self._clients.pop(sample_rate).close()
        engine = await self._background.engine(self._options)
        client = await self._warm(sample_rate)
        speaking = client.speak(replace(utterance, voice=engine.resolve_voice(utterance.voice)))
        try:
            pcm = b"".join([event.data async for event in speaking if isinstance(event, AudioChunk)])
        except BaseException:
            await speaking.cancel()
            raise
        report = speaking.report
        logger.debug(
            "text synthesized",
            extra={"bytes": len(pcm), "was_warm": report.was_warm, "call_connection_id": self.call_connection_id},
        )
        return pcm

    async def _clear(self) -> None:
        for sample_rate, client in list(self._clients.items()):
            try:
                await client.clear_session_state()
            except EngineFailed:
                await self._clients.pop(sample_rate).close()


async def _close_all(clients: dict[int, AzureSynthesizer]) -> None:
    for client in list(clients.values()):
        await client.close()
    clients.clear()


def _checked_rate(sample_rate: int) -> int:
    if sample_rate not in _PCM_RATES:
        known = ", ".join(map(str, _PCM_RATES))
        raise InvalidInput(f"sample_rate must be one of {known}; got {sample_rate!r}", param="sample_rate")
    return sample_rate
