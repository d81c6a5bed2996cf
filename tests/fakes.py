"""A small engine with dials: the whole protocol of `speechpool.speech.engine`, on any loop and any clock.

It says a text as audio whose length follows from the text and whose samples name the client that made it; it hears a
word for every 0.5 s of sound. It can be slow, fail, hang and die. It keeps every client it made, and writes down what
no pool may do to a client in `violations`.
"""

import array
import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

from speechpool.errors import EngineFailed, EngineUnavailable, InvalidInput, SpeechError, WorkerDied
from speechpool.formats import OUTPUT_FORMATS, AudioFormat, Codec
from speechpool.speech.engine import (
    AudioChunk,
    Bookmark,
    EngineCapabilities,
    Final,
    LostCallback,
    Measurement,
    Partial,
    RecognitionEvent,
    RecognitionOptions,
    RecognitionProfile,
    RecognizedWord,
    SpeechEnded,
    SpeechEvent,
    SpeechStarted,
    StaleCallback,
    SynthesisProfile,
    UseReport,
    Utterance,
    Viseme,
    Voice,
    WordBoundary,
)

__all__ = [
    "CHUNK_SECONDS",
    "SECONDS_PER_CHARACTER",
    "FakeEngine",
    "FakeRecognizer",
    "FakeSynthesizer",
    "audio_of",
    "makers_of",
    "sound",
]

SECONDS_PER_CHARACTER = 0.06
CHUNK_SECONDS = 0.1
WORD_SECONDS = 0.5
SEGMENT_SILENCE_SECONDS = 0.5
PCM_16K = AudioFormat(Codec.PCM, 16_000)


def audio_of(text: str, audio_format: AudioFormat, maker: int = 1) -> bytes:
    """What the client numbered `maker` makes of `text`."""
    size = round(len(text) * SECONDS_PER_CHARACTER * audio_format.sample_rate_hz)
    if audio_format.codec is not Codec.PCM:
        return bytes([maker % 256]) * size
    return array.array("h", [maker]).tobytes() * size


def makers_of(pcm: bytes) -> list[int]:
    """The numbers of the clients that made this PCM, in order."""
    samples = array.array("h")
    samples.frombytes(pcm)
    makers: list[int] = []
    for sample in samples:
        if not makers or makers[-1] != sample:
            makers.append(sample)
    return makers


def sound(seconds: float, value: int = 1000, rate_hz: int = 16_000) -> bytes:
    """PCM that is heard as speech; `value` 0 is silence."""
    return array.array("h", [value]).tobytes() * round(seconds * rate_hz)


@dataclass
class Fault:
    """What goes wrong in an utterance or a recognition."""

    error: SpeechError | InvalidInput | None = None  # raised; None: hangs instead
    after_chunks: int = 0
    dies: bool = False  # the client is dead afterwards


@dataclass
class FakeEngine:
    """An engine with dials; what is set holds from then on."""

    name: str = "fake"
    create_seconds: float = 0.2
    warm_seconds: float = 0.0
    close_seconds: float = 0.0
    reset_seconds: float = 0.0
    first_chunk_seconds: float = 0.05
    chunk_seconds: float = 0.001  # time between two chunks
    cancel_seconds: float = 0.001
    recognition_rate: float = 0.1  # seconds to recognise one second
    recognition_buffer_seconds: float = 1.0
    open_error: EngineUnavailable | None = None
    create_error: SpeechError | None = None
    warm_result: bool | SpeechError = True
    reset_error: SpeechError | None = None
    single_use_recognizers: bool = False
    word_boundaries: bool = True
    report: UseReport = field(default_factory=UseReport)  # of every use
    problem_text: str | None = None
    stale_callbacks: list[StaleCallback] = field(default_factory=list)
    measured: Sequence[Measurement] = ()
    faults: list[Fault] = field(default_factory=list)  # one is taken by each utterance or recognition
    clients: "list[FakeClient]" = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    said: list[tuple[int, Utterance]] = field(default_factory=list)  # number of the client, what
    asked: list[RecognitionOptions] = field(default_factory=list)
    written: list[list[str]] = field(default_factory=list)  # the pieces of each utterance in pieces
    write_seconds: float = 0.0
    opened: int = 0
    closed: int = 0
    output_formats: frozenset[AudioFormat] = frozenset(OUTPUT_FORMATS.values())
    input_formats: frozenset[AudioFormat] = frozenset({PCM_16K})
    languages: frozenset[str] = frozenset({"en-US", "de-DE", "fr-FR"})
    detected_language: str | None = None  # what is heard where no language is asked for
    text_streaming: bool = False
    segmentation: bool = False
    phonemes: bool = False

    @property
    def capabilities(self) -> EngineCapabilities:
        return EngineCapabilities(
            output_formats=self.output_formats,
            input_formats=self.input_formats,
            languages=self.languages,
            ssml=True,
            word_boundaries=self.word_boundaries,
            visemes=True,
            phrases=True,
            grammar=True,
            language_detection=True,
            text_streaming=self.text_streaming,
            segmentation=self.segmentation,
            phonemes=self.phonemes,
        )

    @property
    def voices(self) -> Sequence[Voice]:
        return (
            Voice(name="one", language="en-US", gender="female"),
            Voice(name="two", language="de-DE", gender="male"),
        )

    def resolve_voice(self, name: str) -> str:
        if name in {"one", "two"}:
            return name
        if name == "alloy":
            return "one"
        raise InvalidInput(f"no voice {name!r}", param="voice", code="voice_not_found")

    async def open(self) -> None:
        if self.open_error:
            raise self.open_error
        self.opened += 1

    @property
    def problem(self) -> str | None:
        return self.problem_text

    def on_stale(self, callback: StaleCallback) -> None:
        self.stale_callbacks.append(callback)

    def measurements(self) -> Sequence[Measurement]:
        return self.measured

    async def close(self) -> None:
        self.closed += 1

    async def create_synthesizer(self, profile: SynthesisProfile) -> "FakeSynthesizer":
        await self._create()
        client = FakeSynthesizer(self, profile)
        self.clients.append(client)
        return client

    async def create_recognizer(self, profile: RecognitionProfile) -> "FakeRecognizer":
        await self._create()
        client = FakeRecognizer(self, profile)
        self.clients.append(client)
        return client

    async def _create(self) -> None:
        await asyncio.sleep(self.create_seconds)
        if self.create_error:
            raise self.create_error

    def fail(
        self, error: SpeechError | InvalidInput | None, *, after_chunks: int = 0, times: int = 1, dies: bool = False
    ) -> None:
        """Let the next `times` uses fail, or hang where `error` is None."""
        self.faults += [Fault(error, after_chunks, dies)] * times

    @property
    def synthesizers(self) -> "list[FakeSynthesizer]":
        return [client for client in self.clients if isinstance(client, FakeSynthesizer)]

    @property
    def recognizers(self) -> "list[FakeRecognizer]":
        return [client for client in self.clients if isinstance(client, FakeRecognizer)]

    @property
    def open_clients(self) -> "list[FakeClient]":
        return [client for client in self.clients if not client.closes]

    @property
    def busy_clients(self) -> "list[FakeClient]":
        return [client for client in self.clients if client.is_busy]

    def check(self, *, all_closed: bool = False) -> None:
        """Assert what holds for every client at any time, or after the end."""
        assert not self.violations, self.violations
        assert all(client.closes <= 1 for client in self.clients), "a client was closed twice"
        if all_closed:
            assert not self.open_clients, f"clients left open: {self.open_clients}"


class FakeClient:
    """What both kinds of clients do."""

    def __init__(self, engine: FakeEngine) -> None:
        self.engine = engine
        self.number = len(engine.clients) + 1
        self.is_alive = True
        self.is_warm = False
        self.is_busy = False
        self.is_spent = False
        self.is_dirty = False
        self.uses = 0
        self.resets = 0
        self.closes = 0
        self._lost: list[LostCallback] = []

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.number}>"

    @property
    def is_ready(self) -> bool:
        return self.is_alive and self.is_warm and not self.closes and not self.is_busy

    @property
    def endpoint(self) -> str | None:
        return self.engine.report.endpoint

    @property
    def is_reusable(self) -> bool:
        return self.is_alive and not self.closes and not self.is_spent

    async def warm(self) -> bool:
        await asyncio.sleep(self.engine.warm_seconds)
        if isinstance(self.engine.warm_result, SpeechError):
            raise self.engine.warm_result
        self.is_warm = self.engine.warm_result
        return self.is_warm

    def on_lost(self, callback: LostCallback) -> None:
        self._lost.append(callback)

    def die(self) -> None:
        """As a killed worker: everybody who cares is told at once."""
        if self.is_alive:
            self.is_alive = False
            for callback in self._lost:
                callback()

    async def clear_session_state(self) -> None:
        self.resets += 1
        if self.is_busy:
            self.engine.violations.append(f"{self!r} was reset while busy")
        await asyncio.sleep(self.engine.reset_seconds)
        if self.engine.reset_error:
            raise self.engine.reset_error
        self.is_dirty = False

    async def close(self) -> None:
        self.closes += 1
        await asyncio.sleep(self.engine.close_seconds)

    def begin(self) -> Fault | None:
        """A use begins; what will go wrong in it."""
        if not self.is_ready:
            raise EngineFailed(f"{self!r} is not ready")
        self.uses += 1
        self.is_busy = self.is_dirty = True
        return self.engine.faults.pop(0) if self.engine.faults else None

    async def trip(self, fault: Fault | None, chunk: int, canceled: asyncio.Event) -> None:
        """Let the fault happen if its time has come."""
        if not self.is_alive:
            self.is_busy = False
            raise WorkerDied(f"{self!r} died")
        if fault is None or chunk < fault.after_chunks:
            return
        if fault.dies:
            self.die()
        if fault.error is None:
            await canceled.wait()
            return
        self.is_busy = False
        self.is_spent = not isinstance(fault.error, InvalidInput)
        raise fault.error


async def _sleep(seconds: float, canceled: asyncio.Event) -> None:
    try:
        async with asyncio.timeout(seconds):
            await canceled.wait()
    except TimeoutError:
        pass


class FakeSynthesizer(FakeClient):
    """Says texts."""

    def __init__(self, engine: FakeEngine, profile: SynthesisProfile) -> None:
        super().__init__(engine)
        self.profile = profile

    def speak(self, utterance: Utterance) -> "FakeSpeaking":
        fault = self.begin()
        self.engine.said.append((self.number, utterance))
        return FakeSpeaking(self, utterance, fault)

    def speak_pieces(self, utterance: Utterance) -> "FakeSpeakingPieces":
        assert self.profile.text_streaming, "this client takes no pieces"
        assert not utterance.text
        fault = self.begin()
        self.engine.said.append((self.number, utterance))
        return FakeSpeakingPieces(self, utterance, fault)


class FakeSpeaking:
    """One utterance; makes a chunk when it is asked for one."""

    def __init__(self, client: FakeSynthesizer, utterance: Utterance, fault: Fault | None) -> None:
        self._client = client
        self._utterance = utterance
        self._fault = fault
        self._canceled = asyncio.Event()
        self._events = self._make()
        self.is_done = False
        self.report = client.engine.report

    def __aiter__(self) -> AsyncIterator[SpeechEvent]:
        return self._events

    async def _make(self) -> AsyncIterator[SpeechEvent]:
        engine = self._client.engine
        audio_format = self._client.profile.format
        audio = audio_of(self._utterance.text, audio_format, self._client.number)
        step = round(CHUNK_SECONDS * audio_format.bytes_per_second) // 2 * 2
        words = self._words()
        for index, begin in enumerate(range(0, len(audio), step)):
            await _sleep(engine.chunk_seconds if index else engine.first_chunk_seconds, self._canceled)
            await self._client.trip(self._fault, index, self._canceled)
            if self._canceled.is_set():
                break
            while words and words[0].audio_offset_seconds < audio_format.seconds(begin + step):
                yield words.pop(0)
            yield AudioChunk(audio[begin : begin + step])
            if self._canceled.is_set():
                break
        self._end()

    def _words(self) -> list[SpeechEvent]:
        utterance = self._utterance
        events: list[SpeechEvent] = []
        if utterance.word_boundaries and self._client.engine.word_boundaries:
            for found in re.finditer(r"\w+", re.sub(r"<[^>]*>", lambda tag: " " * len(tag.group()), utterance.text)):
                at = found.start() * SECONDS_PER_CHARACTER
                events.append(
                    WordBoundary(
                        text=found.group(),
                        audio_offset_seconds=at,
                        text_offset=found.start(),
                        text_length=len(found.group()),
                    )
                )
                if utterance.visemes:
                    events.append(Viseme(viseme_id=1, audio_offset_seconds=at))
        if utterance.is_ssml:
            events += [Bookmark(name="mark", audio_offset_seconds=0.0)] * utterance.text.count("<mark")
        return events

    def _end(self) -> None:
        if not self.is_done:
            self.is_done = True
            self._client.is_busy = False

    async def cancel(self) -> None:
        self._canceled.set()
        if not self.is_done:
            await asyncio.sleep(self._client.engine.cancel_seconds)
            self._end()


class FakeSpeakingPieces(FakeSpeaking):
    """An utterance that says each piece as it comes."""

    def __init__(self, client: FakeSynthesizer, utterance: Utterance, fault: Fault | None) -> None:
        super().__init__(client, utterance, fault)
        self.pieces: list[str] = []
        self._is_finished = False
        self._changed = asyncio.Event()
        client.engine.written.append(self.pieces)

    async def write(self, text: str) -> None:
        await asyncio.sleep(self._client.engine.write_seconds)
        self.pieces.append(text)
        self._changed.set()

    async def finish(self) -> None:
        self._is_finished = True
        self._changed.set()

    async def cancel(self) -> None:
        self._changed.set()
        await super().cancel()

    async def _make(self) -> AsyncIterator[SpeechEvent]:
        engine, audio_format = self._client.engine, self._client.profile.format
        made, chunk = 0, 0
        while not self._canceled.is_set():
            if made == len(self.pieces):
                if self._is_finished:
                    break
                self._changed.clear()
                await self._changed.wait()
                continue
            piece = self.pieces[made]
            await _sleep(engine.chunk_seconds if chunk else engine.first_chunk_seconds, self._canceled)
            await self._client.trip(self._fault, chunk, self._canceled)
            if self._canceled.is_set():
                break
            for word in self._words_of("".join(self.pieces[:made]), piece):
                yield word
            if audio := audio_of(piece, audio_format, self._client.number):
                chunk += 1
                yield AudioChunk(audio)
            made += 1
        self._end()

    def _words_of(self, before: str, piece: str) -> list[SpeechEvent]:
        if not self._client.engine.word_boundaries:
            return []
        return [
            WordBoundary(
                text=found.group(),
                audio_offset_seconds=(len(before) + found.start()) * SECONDS_PER_CHARACTER,
                text_offset=len(before) + found.start(),
                text_length=len(found.group()),
            )
            for found in re.finditer(r"\w+", piece)
        ]


class FakeRecognizer(FakeClient):
    """Hears a word for every 0.5 s of sound."""

    def __init__(self, engine: FakeEngine, profile: RecognitionProfile) -> None:
        super().__init__(engine)
        self.profile = profile

    def recognize(self, options: RecognitionOptions) -> "FakeRecognizing":
        if options.grammar and "xyzzy" in " ".join(options.grammar):
            raise InvalidInput("grammar: not in the dictionary: xyzzy", param="grammar", code="unknown_words")
        self.engine.asked.append(options)
        return FakeRecognizing(self, options, self.begin())


class FakeRecognizing:
    """One recognition: hears when it is listened to."""

    def __init__(self, client: FakeRecognizer, options: RecognitionOptions, fault: Fault | None) -> None:
        self._client = client
        self._format = client.profile.format
        self._quiet = b"\xff" if self._format.codec is Codec.MULAW else b"\x00"
        self._options = options
        self._fault = fault
        self._canceled = asyncio.Event()
        self._changed = asyncio.Event()
        self._pending: list[tuple[str, bytes]] = []
        self.report = client.engine.report
        self._events = self._hear()
        self._now = self._start = self._silence = 0.0
        self._words: list[RecognizedWord] = []
        self._speaking = False

    async def write(self, audio: bytes) -> None:
        limit = self._client.engine.recognition_buffer_seconds
        while self._pending_seconds() + self._format.seconds(len(audio)) > limit and self._pending:
            if self._canceled.is_set() or not self._client.is_alive:
                raise WorkerDied(f"{self._client!r} died")
            await _sleep(0.01, self._canceled)
        self._push("audio", audio)

    async def commit(self) -> None:
        self._push("commit", b"")

    async def finish(self) -> None:
        self._push("finish", b"")

    async def cancel(self) -> None:
        self._canceled.set()
        self._changed.set()
        await asyncio.sleep(self._client.engine.cancel_seconds)
        self._end()

    def __aiter__(self) -> AsyncIterator[RecognitionEvent]:
        return self._events

    def _pending_seconds(self) -> float:
        return self._format.seconds(sum(len(audio) for _, audio in self._pending))

    def _push(self, kind: str, audio: bytes) -> None:
        self._pending.append((kind, audio))
        self._changed.set()

    def _end(self) -> None:
        self._client.is_busy = False
        self._client.is_spent = self._client.is_spent or self._client.engine.single_use_recognizers

    async def _hear(self) -> AsyncIterator[RecognitionEvent]:
        chunk = 0
        while not self._canceled.is_set():
            if not self._pending:
                self._changed.clear()
                await _sleep(0.05, self._changed)
                await self._client.trip(None, chunk, self._canceled)
                continue
            await self._client.trip(self._fault, chunk, self._canceled)
            chunk += 1
            kind, audio = self._pending[0]
            await _sleep(self._format.seconds(len(audio)) * self._client.engine.recognition_rate, self._canceled)
            self._pending.pop(0)
            if self._canceled.is_set():
                break
            for event in self._heard(audio) if kind == "audio" else self._segment():
                yield event
            if kind == "finish":
                break
        self._end()

    def _heard(self, audio: bytes) -> list[RecognitionEvent]:
        events: list[RecognitionEvent] = []
        step = round(0.1 * self._format.bytes_per_second)
        for begin in range(0, len(audio), step):
            piece = audio[begin : begin + step]
            events += self._listen(bool(piece.strip(self._quiet)), self._format.seconds(len(piece)))
        return events

    def _listen(self, is_sound: bool, seconds: float) -> list[RecognitionEvent]:
        events: list[RecognitionEvent] = []
        if is_sound and not self._speaking:
            self._speaking, self._start = True, self._now
            events.append(SpeechStarted(offset_seconds=self._now))
        self._silence = 0.0 if is_sound else self._silence + seconds
        self._now += seconds
        if self._speaking and is_sound and self._now - self._start >= (len(self._words) + 1) * WORD_SECONDS - 1e-6:
            begin = self._start + len(self._words) * WORD_SECONDS
            text = f"word{len(self._words) + 1}"
            self._words.append(
                RecognizedWord(text=text, start_seconds=begin, end_seconds=begin + WORD_SECONDS, confidence=0.9)
            )
            if self._options.partials:
                events.append(Partial(text=self._text(), offset_seconds=self._start))
        if self._speaking and self._silence >= SEGMENT_SILENCE_SECONDS - 1e-6:
            events += self._segment()
        return events

    def _text(self) -> str:
        return " ".join(word.text for word in self._words)

    def _segment(self) -> list[RecognitionEvent]:
        if not self._speaking:
            return []
        self._speaking = False
        final = Final(
            text=self._text(),
            offset_seconds=self._start,
            duration_seconds=self._now - self._start,
            language=self._options.language
            or self._client.engine.detected_language
            or self._client.profile.languages[0],
            confidence=0.9,
            words=tuple(self._words) if self._options.words else (),
        )
        self._words = []
        return [SpeechEnded(offset_seconds=self._now), final]
