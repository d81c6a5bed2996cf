"""One synthesizer of the SDK's with its connection, and requests to it. All of it blocks: for threads of ours.

Audio is read from an `AudioDataStream`, by one thread for each request. Measured with the SDK 1.53 on an open
connection (2 cores, first audio 50 ms after the request), first byte p50 and CPU of 20 requests at once: stream 65.5 ms
and 39 %, push stream 65 ms and 36 %, `synthesizing` events 66 ms and 40 %. The stream belongs to its request, so that
no audio of another one can be in it, and what nobody reads waits in the SDK.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import azure.cognitiveservices.speech as sdk

from speechpool.formats import OUTPUT_FORMATS, AudioFormat
from speechpool.speech.azure.border import SdkConnection, authorize, hush_at_exit
from speechpool.speech.azure.bridge import Bridge
from speechpool.speech.azure.credentials import Credential
from speechpool.speech.azure.window import Window

__all__ = [
    "COMPRESSED_BYTES_PER_SECOND",
    "Ended",
    "Heard",
    "SdkRequest",
    "SdkSynthesizer",
    "Source",
    "SsmlSource",
    "Wanted",
    "output_format_of",
]

_FIRST_READ_SECONDS = 0.01
"""A read returns when its buffer is full; the first message of the service is longer than this."""

_READ_SECONDS = 0.02
COMPRESSED_BYTES_PER_SECOND = 12_000
"""Of the 96 kbit/s that the densest of our formats has."""

_LAST_EVENTS_SECONDS = 1.0  # guess: they come within one round of the SDK's event thread, 10 ms


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which events a request wants; the service is asked only for those."""

    words: bool = False
    visemes: bool = False
    bookmarks: bool = False


_EVERYTHING = Wanted(words=True, visemes=True, bookmarks=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a request ended.

    Args:
        code: Name of the SDK's error code; None where it was said to its end, or stopped by us.
        details: The SDK's text on it; may quote what was said.
        connect_seconds: How long it waited for a connection of its own; 0 where one was open.
    """

    code: str | None = None
    details: str = ""
    connect_seconds: float = 0.0


class Heard(Protocol):
    """Who is told of a request; called on the loop, in order, `ended` last and always."""

    def began(self, reference: str) -> None:
        """The SDK has taken the request, and calls it so."""

    def audio(self, data: bytes) -> None:
        """Audio came, never empty."""

    def word(self, reference: str, text: str, offset_ticks: int, duration_ticks: int, *, is_word: bool) -> None:
        """A word begins, or a mark of punctuation."""

    def viseme(self, reference: str, viseme_id: int, offset_ticks: int) -> None:
        """A mouth shape begins."""

    def bookmark(self, reference: str, name: str, offset_ticks: int) -> None:
        """A mark was reached."""

    def ended(self, ended: Ended) -> None:
        """Nothing more comes."""


class Source(Protocol):
    """What is to be said."""

    def start(self, synthesizer: sdk.SpeechSynthesizer) -> sdk.SpeechSynthesisResult:
        """Hand it to the SDK, without waiting for the network."""

    def end(self) -> None:
        """Let go of it: the SDK is done with it, or stopped. Any number of times."""


class SsmlSource:
    """A whole document."""

    def __init__(self, ssml: str) -> None:
        self._ssml = ssml

    def start(self, synthesizer: sdk.SpeechSynthesizer) -> sdk.SpeechSynthesisResult:
        """Hand it to the SDK."""
        return synthesizer.start_speaking_ssml_async(self._ssml).get()

    def end(self) -> None:
        """The SDK keeps nothing of it."""


class SdkRequest:
    """One request to a synthesizer, said by `SdkSynthesizer.say` in one thread and stopped from another.

    Args:
        source: What is to be said.
        wanted: Which events.
        window: What may wait for the consumer.
        heard: Is told of all that comes.
        bridge: The way to it.
    """

    def __init__(self, source: Source, wanted: Wanted, window: Window, heard: Heard, bridge: Bridge) -> None:
        self.source = source
        self.wanted = wanted
        self.window = window
        self._heard = heard
        self._bridge = bridge
        self._finished = threading.Condition()
        self._finished_references: list[str] = []

    # --- the SDK's event thread: an event may still be another request's ---

    def connect(self, synthesizer: sdk.SpeechSynthesizer) -> None:
        """Ask for the events that are wanted."""
        heard, connect = self._heard, self._bridge.connect
        if self.wanted.words:
            connect(synthesizer.synthesis_word_boundary, _word, lambda word: heard.word(*word[:-1], is_word=word[-1]))
        if self.wanted.visemes:
            connect(synthesizer.viseme_received, _viseme, lambda viseme: heard.viseme(*viseme))
        if self.wanted.bookmarks:
            connect(synthesizer.bookmark_reached, _bookmark, lambda mark: heard.bookmark(*mark))
        if self.wanted != Wanted():
            synthesizer.synthesis_completed.connect(self._finish)
            synthesizer.synthesis_canceled.connect(self._finish)

    def _finish(self, event: sdk.SpeechSynthesisEventArgs) -> None:
        with self._finished:
            self._finished_references.append(event.result.result_id)
            self._finished.notify_all()

    # --- the request's own thread ---

    def began(self, reference: str) -> None:
        """The SDK calls it so."""
        self._bridge.post(self._heard.began, reference)

    def audio(self, data: bytes) -> None:
        """Hand on what was read."""
        self.window.put(len(data))
        self._bridge.post(self._heard.audio, data)

    def wait_for_events(self, reference: str) -> None:
        """Wait for the event after which no other of this request comes; the audio may end before it."""
        if self.wanted != Wanted():
            with self._finished:
                self._finished.wait_for(lambda: reference in self._finished_references, _LAST_EVENTS_SECONDS)

    def ended(self, ended: Ended) -> None:
        """Nothing more comes."""
        self._bridge.post(self._heard.ended, ended)


class SdkSynthesizer:
    """Made, opened, used and released in threads of ours.

    Args:
        config: Where it connects to, and as whom.
        audio_format: What it makes.
        bridge: The way to the loop.
        connected: Called on the loop each time its connection is open.
        disconnected: Called on the loop each time it is lost.
    """

    def __init__(
        self,
        config: sdk.SpeechConfig,
        audio_format: AudioFormat,
        bridge: Bridge,
        *,
        connected: Callable[[], None],
        disconnected: Callable[[], None],
    ) -> None:
        config.set_speech_synthesis_output_format(output_format_of(audio_format))
        rate = audio_format.bytes_per_second if audio_format.is_raw else COMPRESSED_BYTES_PER_SECOND
        self._sample_bytes = rate // audio_format.sample_rate_hz if audio_format.is_raw else 1
        self._first_bytes = self._whole(int(rate * _FIRST_READ_SECONDS))
        self._read_bytes = self._whole(int(rate * _READ_SECONDS))
        self._lock = threading.Lock()  # a stop that overtakes its start is lost, one that comes late hits the next
        self._turn = threading.Lock()  # a request that was stopped still disconnects its handlers when it ends
        self._running: SdkRequest | None = None
        self._synthesizer: sdk.SpeechSynthesizer | None = sdk.SpeechSynthesizer(config, audio_config=None)
        self._connection = SdkConnection(
            sdk.Connection.from_speech_synthesizer(self._synthesizer),
            bridge,
            connected=connected,
            disconnected=disconnected,
        )
        hush_at_exit(self)

    def open(self) -> None:
        """Begin to connect: `connected` tells when that is done; nothing tells of a refusal."""
        self._connection.open()

    def authorize(self, credential: Credential) -> None:
        """Show a renewed token at the next connection."""
        with self._lock:
            if self._synthesizer is not None:
                authorize(self._synthesizer, credential)

    def say(self, request: SdkRequest) -> None:
        """Say one request to its end, once the one before it has ended."""
        with self._turn:
            try:
                ended = self._say(request)
            except Exception as error:  # noqa: BLE001 - the SDK raises RuntimeError and ValueError, with its own text
                ended = Ended(code=type(error).__name__)
            finally:
                request.source.end()
                with self._lock:
                    self._running = None
                    if self._synthesizer is not None:
                        _disconnect(self._synthesizer, request.wanted)
            request.ended(ended)

    def stop(self, request: SdkRequest) -> None:
        """Stop a request: it ends soon, without error. Nothing if it has ended."""
        request.window.close()
        with self._lock:
            if self._running is request:
                self._stop_running()

    def hush(self) -> None:
        """Hear nothing more of it."""
        synthesizer = self._synthesizer
        if synthesizer is not None:
            _disconnect(synthesizer, _EVERYTHING)
            self._connection.release()

    def release(self) -> None:
        """Stop what runs, and let go of everything; blocks."""
        with self._lock:
            try:
                self._stop_running()
            finally:
                self.hush()
                self._synthesizer = None  # the last reference

    def _stop_running(self) -> None:
        running, self._running = self._running, None
        if running is not None and self._synthesizer is not None:
            running.window.close()
            self._synthesizer.stop_speaking_async().get()
            running.source.end()

    def _say(self, request: SdkRequest) -> Ended:
        stream, reference = self._start(request)
        if stream is None:
            return Ended()
        request.began(reference)
        self._read(stream, request)
        if request.window.is_closed:
            self.stop(request)  # whose thread may come too late: reading ends with the window
        ended = _how(stream)
        if ended.code is None and not request.window.is_closed:
            request.wait_for_events(reference)
        return ended

    def _start(self, request: SdkRequest) -> tuple[sdk.AudioDataStream | None, str]:
        with self._lock:
            if self._synthesizer is None or request.window.is_closed:
                return None, ""
            request.connect(self._synthesizer)
            self._running = request
            result = request.source.start(self._synthesizer)
        return sdk.AudioDataStream(result), result.result_id

    def _read(self, stream: sdk.AudioDataStream, request: SdkRequest) -> None:
        data = _read(stream, self._first_bytes)  # handed on before anything else is asked for
        while (data := data[: self._whole(len(data))]) and not request.window.is_closed:
            request.audio(data)
            request.window.wait()
            data = _read(stream, self._read_bytes)
            if len(data) == self._read_bytes:
                data += _read(stream, self._whole(stream.available_size))

    def _whole(self, size: int) -> int:
        return size - size % self._sample_bytes


def output_format_of(audio_format: AudioFormat) -> sdk.SpeechSynthesisOutputFormat:
    """The SDK's own name of a format.

    Raises:
        ValueError: It has none.
    """
    for name, known in OUTPUT_FORMATS.items():
        if known == audio_format:
            return sdk.SpeechSynthesisOutputFormat[name]
    raise ValueError(f"Azure does not make {audio_format}")


def _read(stream: sdk.AudioDataStream, size: int) -> bytes:
    """The next `size` bytes; fewer at the end."""
    if not size:
        return b""
    data = bytes(size)  # a fresh one each time: the SDK writes into it
    count = stream.read_data(data)
    return data if count == size else data[:count]


def _how(stream: sdk.AudioDataStream) -> Ended:
    milliseconds = stream.properties.get_property(
        sdk.PropertyId.SpeechServiceResponse_SynthesisConnectionLatencyMs, "0"
    )
    connect_seconds = int(milliseconds) / 1000 if milliseconds.isdigit() else 0.0
    canceled = stream.cancellation_details
    if canceled is None or canceled.reason is sdk.CancellationReason.CancelledByUser:
        return Ended(connect_seconds=connect_seconds)
    return Ended(code=canceled.error_code.name, details=canceled.error_details, connect_seconds=connect_seconds)


def _disconnect(synthesizer: sdk.SpeechSynthesizer, wanted: Wanted) -> None:
    """Hear no more events."""
    signals: list[Any] = []
    if wanted.words:
        signals.append(synthesizer.synthesis_word_boundary)
    if wanted.visemes:
        signals.append(synthesizer.viseme_received)
    if wanted.bookmarks:
        signals.append(synthesizer.bookmark_reached)
    if wanted != Wanted():
        signals += synthesizer.synthesis_completed, synthesizer.synthesis_canceled
    for signal in signals:
        signal.disconnect_all()


def _word(event: sdk.SpeechSynthesisWordBoundaryEventArgs) -> tuple[str, str, int, int, bool]:
    ticks = round(event.duration.total_seconds() * 10_000_000)
    is_word = event.boundary_type is sdk.SpeechSynthesisBoundaryType.Word
    return event.result_id, event.text, event.audio_offset, ticks, is_word


def _viseme(event: sdk.SpeechSynthesisVisemeEventArgs) -> tuple[str, int, int]:
    return event.result_id, event.viseme_id, event.audio_offset


def _bookmark(event: sdk.SpeechSynthesisBookmarkEventArgs) -> tuple[str, str, int]:
    return event.result_id, event.text, event.audio_offset
