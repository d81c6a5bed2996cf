"""What the tests of recognition with Azure share: clients of the real SDK, and sounds that the emulator understands."""

import array
import asyncio
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from speechpool.errors import EngineTimeout, SpeechError
from speechpool.formats import AudioFormat, Codec
from speechpool.speech.azure.credentials import CredentialSource, FixedCredential
from speechpool.speech.azure.endpoints import Endpoint
from speechpool.speech.azure.failures import Work
from speechpool.speech.azure.options import AzureOptions
from speechpool.speech.azure.places import place_of
from speechpool.speech.azure.recognizer import AzureRecognizer
from speechpool.speech.azure.recognizing import AzureRecognizing
from speechpool.speech.azure.threads import SdkThreads
from speechpool.speech.engine import Final, LanguageMode, RecognitionEvent, RecognitionOptions, RecognitionProfile

PCM16 = AudioFormat(Codec.PCM, 16_000)
LIMIT_SECONDS = 30  # far above what anything here takes
_PATIENT = dict.fromkeys(
    ("connect_timeout_seconds", "recognition_answer_seconds", "recognition_end_seconds", "commit_seconds"),
    LIMIT_SECONDS,
)


def sound(seconds: float, form: AudioFormat = PCM16) -> bytes:
    """Loud enough to be speech for the emulator's scripted listener."""
    samples = round(seconds * form.sample_rate_hz)
    if form.codec is Codec.PCM:
        return array.array("h", [8000 if index % 40 < 20 else -8000 for index in range(samples)]).tobytes()
    loud = {Codec.MULAW: (0x90, 0x10), Codec.ALAW: (0x95, 0x15)}[form.codec]
    return bytes(loud[index % 40 < 20] for index in range(samples))


def quiet(seconds: float, form: AudioFormat = PCM16) -> bytes:
    silence = {Codec.PCM: b"\0\0", Codec.MULAW: b"\xff", Codec.ALAW: b"\xd5"}[form.codec]
    return silence * round(seconds * form.sample_rate_hz)


async def explain(endpoint: Endpoint) -> SpeechError:
    """Why no connection opened, as the engine's own probe would say it."""
    return EngineTimeout(f"Azure ({endpoint.name}) did not answer the probe")


class Line:
    """Clients of one endpoint."""

    def __init__(self, url: str, threads: SdkThreads, credentials: CredentialSource, options: dict[str, Any]) -> None:
        self.threads = threads
        self.credentials = credentials
        self.options = AzureOptions(**{"endpoints": (), **_PATIENT, **options})
        self.endpoint = Endpoint(
            place_of(url),
            Work.RECOGNITION,
            credentials,
            clock=time.monotonic,
            rng=random.Random(1),
            explain=explain,
        )

    def client(
        self,
        form: AudioFormat = PCM16,
        languages: tuple[str, ...] = ("en-US",),
        mode: LanguageMode = LanguageMode.SINGLE,
    ) -> AzureRecognizer:
        profile = RecognitionProfile(format=form, languages=languages, language_mode=mode)
        return AzureRecognizer(profile, self.endpoint, self.credentials, self.threads, self.options)

    async def warm(self, *args: Any, **kwargs: Any) -> AzureRecognizer:
        client = self.client(*args, **kwargs)
        assert await client.warm()
        return client

    async def hear(self, *pieces: bytes, **options: Any) -> list[RecognitionEvent]:
        """All events of one recognition on a client of its own."""
        recognizing = (await self.warm()).recognize(RecognitionOptions(**options))
        return await feed(recognizing, *pieces)


@asynccontextmanager
async def line_to(url: str, credentials: CredentialSource | None = None, **options: Any) -> AsyncIterator[Line]:
    """Clients of the endpoint at a URL; at the end nothing of the SDK's is left."""
    threads = SdkThreads(limit=32)
    try:
        yield Line(url, threads, credentials or FixedCredential("AZURE_SPEECH_KEY", None), options)
    finally:
        assert await threads.close(LIMIT_SECONDS)
        assert threads.stuck == 0


async def feed(recognizing: AzureRecognizing, *pieces: bytes, ends: bool = True) -> list[RecognitionEvent]:
    """Write, finish where it `ends`, and listen: all events, or the error that it ends with."""

    async def write() -> None:
        for piece in pieces:
            await recognizing.write(piece)
        if ends:
            await recognizing.finish()

    writing = asyncio.create_task(write())
    try:
        async with asyncio.timeout(LIMIT_SECONDS):
            return [event async for event in recognizing]
    finally:
        writing.cancel()
        await asyncio.gather(writing, return_exceptions=True)


async def next_final(recognizing: AzureRecognizing) -> Final:
    """The next final result; those who wait for it have written before."""
    async with asyncio.timeout(LIMIT_SECONDS):
        async for event in recognizing:
            if isinstance(event, Final):
                return event
    raise AssertionError("it ended without a final")


def texts(events: list[RecognitionEvent]) -> list[str]:
    return [event.text for event in events if isinstance(event, Final)]


def finals(events: list[RecognitionEvent]) -> list[Final]:
    return [event for event in events if isinstance(event, Final)]
