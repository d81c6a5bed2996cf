"""Azure's SDK as its users use it, pointed at the emulator."""

import math
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import azure.cognitiveservices.speech as sdk

from speechpool_azure_emulator import RunningEmulator

PATIENCE_SECONDS = 30.0
Format = sdk.SpeechSynthesisOutputFormat
MULAW_8K = {"samples_per_second": 8_000, "bits_per_sample": 16, "wave_stream_format": sdk.AudioStreamWaveFormat.MULAW}
KEEP = {"SpeechSynthesis_KeepConnectionAfterStopping": "true"}


def sound(seconds: float, rate_hz: int = 16_000) -> bytes:
    """A loud tone, 16-bit PCM."""
    samples = range(round(rate_hz * seconds))
    return b"".join(struct.pack("<h", int(8_000 * math.sin(index / 5))) for index in samples)


def silence(seconds: float, rate_hz: int = 16_000) -> bytes:
    """Nothing, 16-bit PCM."""
    return bytes(2 * round(rate_hz * seconds))


def configuration(url: str, *, style: str = "host", key: str | None = "k", **properties: str) -> sdk.SpeechConfig:
    """A SpeechConfig for the emulator; `style` is "host" or "endpoint"."""
    config = sdk.SpeechConfig(**{style: url}, **({"subscription": key} if key else {}))
    for name, value in properties.items():
        documented = getattr(sdk.PropertyId, name, None)
        if documented is not None:
            config.set_property(documented, value)
        else:
            config.set_property_by_name(name.replace("SPEECH_", "SPEECH-"), value)
    return config


@dataclass
class Spoken:
    """What became of one utterance."""

    audio: bytes
    reason: str
    code: str | None
    details: str
    connection_ms: str
    seconds: float


def spoken(result: sdk.SpeechSynthesisResult) -> Spoken:
    cancellation = result.cancellation_details
    return Spoken(
        audio=result.audio_data,
        reason=result.reason.name,
        code=cancellation.error_code.name if cancellation else None,
        details=cancellation.error_details if cancellation else "",
        connection_ms=result.properties.get_property(
            sdk.PropertyId.SpeechServiceResponse_SynthesisConnectionLatencyMs, ""
        ),
        seconds=result.audio_duration.total_seconds(),
    )


@dataclass
class Talker:
    """A synthesizer and what its events said."""

    synthesizer: sdk.SpeechSynthesizer
    events: list[tuple[Any, ...]] = field(default_factory=list)

    def say(self, text: str = "Hello there, my good friend.") -> Spoken:
        return spoken(self.synthesizer.speak_text_async(text).get())

    def say_ssml(self, document: str) -> Spoken:
        return spoken(self.synthesizer.speak_ssml_async(document).get())

    def open(self) -> None:
        """Connect, and wait until it is connected."""
        connected = threading.Event()
        connection = sdk.Connection.from_speech_synthesizer(self.synthesizer)
        connection.connected.connect(lambda _: connected.set())
        connection.open(True)
        assert connected.wait(PATIENCE_SECONDS)
        connection.connected.disconnect_all()


@contextmanager
def talker(
    emulator: RunningEmulator, output: Format = Format.Raw24Khz16BitMonoPcm, **configured: Any
) -> Iterator[Talker]:
    """A synthesizer of the emulator; released at the end."""
    config = configuration(emulator.url, **{"SpeechSynthesis_FirstChunkTimeoutMs": "30000", **configured})
    config.set_speech_synthesis_output_format(output)
    held = Talker(sdk.SpeechSynthesizer(config, audio_config=None))
    try:
        yield held
    finally:
        del held.synthesizer  # the last reference: its connection closes now


@dataclass
class Understood:
    """What became of one recognition; each event a tuple that begins with its kind."""

    events: list[tuple[Any, ...]] = field(default_factory=list)
    results: list[sdk.SpeechRecognitionResult] = field(default_factory=list)

    def of(self, kind: str) -> list[Any]:
        return [event[1] for event in self.events if event[0] == kind]

    @property
    def finals(self) -> list[str]:
        return self.of("final")

    @property
    def code(self) -> str | None:
        """The error's code; None at the end of a stream, which is none."""
        return next((code for code in self.of("canceled") if code != "NoError"), None)


@contextmanager
def listener(
    emulator: RunningEmulator,
    *,
    audio_format: dict[str, Any] | None = None,
    languages: list[str] | None = None,
    phrases: tuple[str, ...] = (),
    detailed: bool = False,
    **configured: Any,
) -> Iterator[tuple[sdk.SpeechRecognizer, sdk.audio.PushAudioInputStream, Understood, threading.Event]]:
    """A recogniser of the emulator, its stream, what it said, and whether its session stopped."""
    quick = {"SPEECH_StopRecognitionTimeoutInSeconds": "1", "SPEECH_TransmitLengthBeforThrottleMs": "60000"}
    config = configuration(emulator.url, **{**quick, **configured})
    if detailed:
        config.output_format = sdk.OutputFormat.Detailed
    stream = sdk.audio.PushAudioInputStream(
        sdk.audio.AudioStreamFormat(**(audio_format or {"samples_per_second": 16_000}))
    )
    detection = sdk.languageconfig.AutoDetectSourceLanguageConfig(languages=languages) if languages else None
    recognizer = sdk.SpeechRecognizer(
        config, audio_config=sdk.audio.AudioConfig(stream=stream), auto_detect_source_language_config=detection
    )
    grammar = sdk.PhraseListGrammar.from_recognizer(recognizer)
    for phrase in phrases:
        grammar.addPhrase(phrase)
    understood, stopped = Understood(), threading.Event()
    _note_events(recognizer, understood, stopped)
    try:
        yield recognizer, stream, understood, stopped
    finally:
        for signal in (recognizer.recognizing, recognizer.recognized, recognizer.canceled, recognizer.session_stopped):
            signal.disconnect_all()
        del recognizer, grammar


def _note_events(recognizer: sdk.SpeechRecognizer, understood: Understood, stopped: threading.Event) -> None:
    def final(event: sdk.SpeechRecognitionEventArgs) -> None:
        understood.results.append(event.result)
        understood.events.append(("final", event.result.text))
        understood.events.append(("reason", event.result.reason.name))

    events = understood.events
    recognizer.recognizing.connect(lambda event: events.append(("partial", event.result.text)))
    recognizer.recognized.connect(final)
    recognizer.speech_start_detected.connect(lambda event: events.append(("start", event.offset)))
    recognizer.speech_end_detected.connect(lambda event: events.append(("end", event.offset)))
    recognizer.canceled.connect(lambda event: events.append(("canceled", event.cancellation_details.code.name)))
    recognizer.session_stopped.connect(lambda _: stopped.set())


def understand(emulator: RunningEmulator, audio: bytes, **how: Any) -> Understood:
    """All of some audio, recognised continuously."""
    with listener(emulator, **how) as (recognizer, stream, understood, stopped):
        recognizer.start_continuous_recognition_async().get()
        stream.write(audio)
        stream.close()
        assert stopped.wait(PATIENCE_SECONDS)
        recognizer.stop_continuous_recognition_async().get()
    return understood
