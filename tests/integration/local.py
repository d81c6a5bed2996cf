"""The embedded engine for tests: clients made, warmed and closed, and what they say and hear."""

import contextlib
import wave
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest_asyncio

from speechpool.formats import AudioFormat, Codec
from speechpool.speech.engine import (
    AudioChunk,
    Bookmark,
    Final,
    Partial,
    RecognitionEvent,
    RecognitionOptions,
    RecognitionProfile,
    SynthesisProfile,
    Utterance,
    Viseme,
    WordBoundary,
)
from speechpool.speech.loading import load_engine
from speechpool.speech.local.engine import LocalEngine
from speechpool.speech.local.recognizer import LocalRecognizer
from speechpool.speech.local.synthesizer import LocalSynthesizer

__all__ = [
    "PCM_16K",
    "PCM_24K",
    "RECORDINGS",
    "Heard",
    "Said",
    "engine",
    "hear",
    "listen",
    "open_engine",
    "recognizer",
    "recording",
    "say",
    "synthesizer",
    "utterance",
]

PCM_16K = AudioFormat(Codec.PCM, 16_000)
PCM_24K = AudioFormat(Codec.PCM, 24_000)

RECORDINGS = {
    "0870": "and mister john dashwood had then leisure to consider how much there might be prudently in his power to do"
    " for them",
    "0880": "he was not an ill disposed young man",
    "0890": "unless to be rather cold hearted and rather selfish is to be ill disposed",
    "0920": "had he married a more amiable woman he might have been made still more respectable than he was",
    "0930": "he might even have been made amiable himself",
}
"""What a human voice says in each of tests/data/recordings."""


def recording(name: str) -> bytes:
    """The samples of a recording."""
    with wave.open(str(Path(__file__).parent.parent / f"data/recordings/austen-{name}.wav")) as file:
        return file.readframes(file.getnframes())


@dataclass
class Said:
    """What came of an utterance."""

    chunks: list[bytes] = field(default_factory=list)
    words: list[WordBoundary] = field(default_factory=list)
    marks: list[Bookmark] = field(default_factory=list)
    visemes: list[Viseme] = field(default_factory=list)

    @property
    def audio(self) -> bytes:
        return b"".join(self.chunks)

    def take(self, event) -> None:
        match event:
            case AudioChunk(data):
                self.chunks.append(data)
            case WordBoundary():
                self.words.append(event)
            case Bookmark():
                self.marks.append(event)
            case Viseme():
                self.visemes.append(event)


@dataclass
class Heard:
    """What came of a recognition."""

    events: list[RecognitionEvent] = field(default_factory=list)

    @property
    def finals(self) -> list[Final]:
        return [event for event in self.events if isinstance(event, Final)]

    @property
    def partials(self) -> list[Partial]:
        return [event for event in self.events if isinstance(event, Partial)]

    @property
    def text(self) -> str:
        return " ".join(final.text for final in self.finals)


def utterance(text: str, voice: str = "en-us", **options) -> Utterance:
    return Utterance(text=text, voice=voice, **options)


async def say(client: LocalSynthesizer, text: str, voice: str = "en-us", **options) -> Said:
    said = Said()
    async for event in client.speak(utterance(text, voice, **options)):
        said.take(event)
    return said


async def listen(recognizing) -> Heard:
    heard = Heard()
    async for event in recognizing:
        heard.events.append(event)
    return heard


async def hear(client: LocalRecognizer, audio: bytes, **options) -> Heard:
    recognizing = client.recognize(RecognitionOptions(**options))
    await recognizing.write(audio)
    await recognizing.finish()
    return await listen(recognizing)


@contextlib.asynccontextmanager
async def open_engine(**options) -> AsyncIterator[LocalEngine]:
    engine = load_engine("local", options)
    await engine.open()
    try:
        yield engine
    finally:
        await engine.close()


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def engine() -> AsyncIterator[LocalEngine]:
    """One engine for the tests of a module, on the loop that they share."""
    async with open_engine() as engine:
        yield engine


@contextlib.asynccontextmanager
async def synthesizer(engine: LocalEngine, audio_format: AudioFormat = PCM_24K) -> AsyncIterator[LocalSynthesizer]:
    client = await engine.create_synthesizer(SynthesisProfile(format=audio_format))
    try:
        await client.warm()
        yield client
    finally:
        await client.close()


@contextlib.asynccontextmanager
async def recognizer(engine: LocalEngine) -> AsyncIterator[LocalRecognizer]:
    client = await engine.create_recognizer(RecognitionProfile(format=PCM_16K, languages=("en-US",)))
    try:
        await client.warm()
        yield client
    finally:
        await client.close()
