"""A whole service on the fake engine, in virtual time."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from tests.fakes import FakeEngine, sound

from speechpool.audio.wav import wav_header
from speechpool.formats import AudioFormat, Codec
from speechpool.service.events import AudioBytes
from speechpool.service.requests import SpeakRequest
from speechpool.service.service import SpeechService
from speechpool.settings import PoolKind, PoolSettings, Settings, default_pool

__all__ = ["SENTENCE", "ask", "collect", "listening", "make_settings", "recording", "said", "serving", "speaking"]

SENTENCE = "One two three four five six seven eight nine ten."


def speaking(name: str = "tts", **values: Any) -> PoolSettings:
    """A pool that speaks; two warm clients unless told otherwise."""
    return default_pool(PoolKind.TEXT_TO_SPEECH, name, {"warm_pool_size": 2, **values})


def listening(name: str = "stt", **values: Any) -> PoolSettings:
    """A pool that listens; one warm client unless told otherwise."""
    return default_pool(PoolKind.SPEECH_TO_TEXT, name, {"warm_pool_size": 1, **values})


def make_settings(*pools: PoolSettings, **values: Any) -> Settings:
    """Settings of the tests: a pool of each kind, and a voice the fake engine knows."""
    return Settings(pools=pools or (speaking(), listening()), **{"default_voice": "one", **values})


def recording(seconds: float) -> bytes:
    """A WAV file of sound, as the fake recogniser takes it."""
    audio = sound(seconds)
    return wav_header(AudioFormat(Codec.PCM, 16_000), len(audio)) + audio


@asynccontextmanager
async def serving(engine: FakeEngine, *pools: PoolSettings, **values: Any) -> AsyncIterator[SpeechService]:
    """A service that is ready; afterwards it must have closed everything, once."""
    async with SpeechService(engine, make_settings(*pools, **values)) as service:
        await service.wait_ready()
        yield service
    engine.check(all_closed=True)


def ask(text: str = SENTENCE, **values: Any) -> SpeakRequest:
    """A request for PCM as the pools make it."""
    return SpeakRequest(text=text, **{"response_format": "pcm", **values})


async def collect(stream: Any) -> list[Any]:
    """All events of an entered stream."""
    return [event async for event in stream]


async def said(service: SpeechService, request: SpeakRequest) -> bytes:
    """The audio of a request."""
    async with service.speak(request) as stream:
        return b"".join(event.data for event in await collect(stream) if isinstance(event, AudioBytes))
