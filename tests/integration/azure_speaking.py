"""What the tests of synthesis with Azure share: clients of the real SDK, and what comes of an utterance."""

import asyncio
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from speechpool.errors import SpeechError
from speechpool.formats import AudioFormat, Codec
from speechpool.speech.azure.credentials import CredentialSource, FixedCredential
from speechpool.speech.azure.endpoints import Endpoint
from speechpool.speech.azure.engine import AzureEngine
from speechpool.speech.azure.failures import Work
from speechpool.speech.azure.options import AzureOptions
from speechpool.speech.azure.pieces import AzureStreamingSynthesizer
from speechpool.speech.azure.places import place_of
from speechpool.speech.azure.probe import Probe
from speechpool.speech.azure.requester import Requester
from speechpool.speech.azure.synthesizer import AzureSynthesizer
from speechpool.speech.azure.threads import SdkThreads
from speechpool.speech.engine import (
    AudioChunk,
    Bookmark,
    Speaking,
    SpeechEvent,
    SynthesisProfile,
    UseReport,
    Utterance,
    Viseme,
    WordBoundary,
)

PCM24 = AudioFormat(Codec.PCM, 24_000)
LIMIT_SECONDS = 30  # far above what anything here takes
VOICE = "en-US-AvaNeural"
KEY = "0123456789abcdef0123456789abcdef"


@dataclass
class Heard:
    """All that came of one utterance."""

    events: list[SpeechEvent] = field(default_factory=list)
    report: UseReport = field(default_factory=UseReport)

    @property
    def audio(self) -> bytes:
        return b"".join(event.data for event in self.events if isinstance(event, AudioChunk))

    @property
    def chunks(self) -> list[bytes]:
        return [event.data for event in self.events if isinstance(event, AudioChunk)]

    @property
    def words(self) -> list[WordBoundary]:
        return [event for event in self.events if isinstance(event, WordBoundary)]

    @property
    def visemes(self) -> list[Viseme]:
        return [event for event in self.events if isinstance(event, Viseme)]

    @property
    def bookmarks(self) -> list[Bookmark]:
        return [event for event in self.events if isinstance(event, Bookmark)]


def utterance(text: str = "Hello brave new world", **options: Any) -> Utterance:
    return Utterance(**{"text": text, "voice": VOICE, **options})


async def hear(speaking: Speaking) -> Heard:
    """All of an utterance, or the error that it ends with."""
    heard = Heard()
    async with asyncio.timeout(LIMIT_SECONDS):
        async for event in speaking:
            heard.events.append(event)
    heard.report = speaking.report
    return heard


async def first_audio(speaking: Speaking) -> bytes:
    async with asyncio.timeout(LIMIT_SECONDS):
        async for event in speaking:
            if isinstance(event, AudioChunk):
                return event.data
    raise AssertionError("it ended without audio")


class Studio:
    """Clients of one endpoint."""

    def __init__(self, url: str, threads: SdkThreads, credentials: CredentialSource, options: dict[str, Any]) -> None:
        self.threads = threads
        self.credentials = credentials
        self.options = AzureOptions(**{"endpoints": (), "connect_timeout_seconds": LIMIT_SECONDS, **options})
        limit_seconds = self.options.connect_timeout_seconds
        place = place_of(url)
        self.probe = Probe(
            place,
            Work.SYNTHESIS,
            credentials,
            threads,
            Requester(limit_seconds, proxy=None, properties={}),
            timeout_seconds=limit_seconds,
        )
        self.endpoint = Endpoint(
            place, Work.SYNTHESIS, credentials, clock=time.monotonic, rng=random.Random(1), explain=self.explain
        )
        self.clients: list[AzureSynthesizer] = []

    async def explain(self, endpoint: Endpoint) -> SpeechError:
        return await self.probe.why()

    def client(self, form: AudioFormat = PCM24, *, pieces: bool = False, **options: Any) -> Any:
        made = AzureStreamingSynthesizer if pieces else AzureSynthesizer
        profile = SynthesisProfile(format=form, text_streaming=pieces)
        changed = AzureOptions(**{**_fields(self.options), **options})
        client = made(profile, self.endpoint, self.credentials, self.threads, changed)
        self.clients.append(client)
        return client

    async def warm(self, form: AudioFormat = PCM24, **options: Any) -> Any:
        client = self.client(form, **options)
        assert await client.warm()
        return client

    async def say(self, client: AzureSynthesizer, text: str = "Hello brave new world", **options: Any) -> Heard:
        """One utterance, after which the client is free again."""
        heard = await hear(client.speak(utterance(text, **options)))
        await client.clear_session_state()
        return heard

    async def quiet(self) -> None:
        """Wait until the SDK's threads have nothing to do."""
        async with asyncio.timeout(LIMIT_SECONDS):
            while self.threads.busy or self.threads.disposing:  # noqa: ASYNC110 - threads count them, not this loop
                await asyncio.sleep(0.005)


def _fields(options: AzureOptions) -> dict[str, Any]:
    return {name: getattr(options, name) for name in options.__dataclass_fields__}


@asynccontextmanager
async def studio_at(url: str, credentials: CredentialSource | None = None, **options: Any) -> AsyncIterator[Studio]:
    """Clients of the endpoint at a URL; at the end nothing of the SDK's is left."""
    threads = SdkThreads(limit=64)
    studio = Studio(url, threads, credentials or FixedCredential("AZURE_SPEECH_KEY", None), options)
    try:
        yield studio
    finally:
        for client in studio.clients:
            await client.close()
        await studio.probe.close()
        assert await threads.close(LIMIT_SECONDS)
        assert threads.stuck == 0


async def said(client: Any, engine: AzureEngine, text: str = "hello") -> bytes:
    """The audio of one utterance by an engine's client."""
    heard = await hear(client.speak(utterance(text, voice=engine.resolve_voice("alloy"))))
    return heard.audio


def held() -> tuple[int, int]:
    """Threads and file descriptors of this process."""
    return len([*Path("/proc/self/task").iterdir()]), len([*Path("/proc/self/fd").iterdir()])
