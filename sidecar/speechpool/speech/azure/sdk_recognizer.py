"""One recogniser of the SDK's, with its stream, connection and events."""

import math
import threading
from collections.abc import Mapping, Sequence
from typing import ClassVar, NamedTuple, Protocol

import azure.cognitiveservices.speech as sdk
from azure.cognitiveservices.speech import audio
from azure.cognitiveservices.speech.languageconfig import AutoDetectSourceLanguageConfig

from speechpool.formats import AudioFormat, Codec
from speechpool.speech.azure.border import SdkConnection, hush_at_exit
from speechpool.speech.azure.bridge import Bridge
from speechpool.speech.azure.sdk_results import results_of
from speechpool.speech.engine import LanguageMode, RecognitionProfile

__all__ = ["Canceled", "Heard", "SdkRecognizer", "client_properties"]

_WAVE_FORMATS = {
    Codec.PCM: (16, audio.AudioStreamWaveFormat.PCM),
    Codec.MULAW: (8, audio.AudioStreamWaveFormat.MULAW),
    Codec.ALAW: (8, audio.AudioStreamWaveFormat.ALAW),
}

# What the SDK keeps of the service's first message of a turn, to name it when it connects again.
_TURN_TAG = "SPEECH-UspContinuationServiceTag"


class Canceled(NamedTuple):
    """The SDK ended a recognition, or could not connect."""

    is_end_of_stream: bool
    code: str
    details: str


class Heard(Protocol):
    """Who is told what a recogniser says; called on the loop."""

    def connected(self) -> None:
        """A connection is open."""

    def disconnected(self) -> None:
        """It is lost."""

    def partial(self, json: str) -> None:
        """A hypothesis came."""

    def phrase(self, json: str) -> None:
        """A stretch of audio is done with."""

    def speech_started(self, ticks: int) -> None:
        """Speech began."""

    def speech_ended(self, ticks: int) -> None:
        """Speech ended."""

    def canceled(self, canceled: Canceled) -> None:
        """The recognition ends, or the connection was refused."""

    def stopped(self) -> None:
        """Nothing more comes."""


def client_properties(profile: RecognitionProfile, *, frame_ms: int, stop_seconds: float) -> dict[str, str]:
    """Properties of the SDK by name that a client is made with; none but the second is in its documents.

    Args:
        profile: The client's.
        frame_ms: Audio in one message; the SDK's own is 100 ms, which a result waits for.
        stop_seconds: How long to wait at a stop for a service that does not answer; the SDK's own is 10.
    """
    frame_bytes = profile.format.bytes_per_second * frame_ms // 1000
    return {
        "SPEECH-BytesPerFrame": str(frame_bytes - frame_bytes % 2),
        # A no-match after each stretch of silence: the sign that the service still listens. Off in later versions.
        "Continuous-LegacyDefaultDisconnectSilenceTimeout": "true",
        "SPEECH-StopRecognitionTimeoutInSeconds": str(max(1, math.ceil(stop_seconds))),
    }


class SdkRecognizer:
    """Made, opened, started and released in threads of ours: all of that blocks. Writing does not.

    Args:
        config: Where it connects to, and as whom.
        profile: What it understands.
        heard: Is told of everything.
        bridge: The way to it.
    """

    shows_turns: ClassVar = False
    """Whether the SDK that is loaded shows `has_turn_begun`: known once a turn was seen."""

    def __init__(self, config: sdk.SpeechConfig, profile: RecognitionProfile, heard: Heard, bridge: Bridge) -> None:
        config.output_format = sdk.OutputFormat.Detailed
        config.request_word_level_timestamps()
        if profile.language_mode is LanguageMode.DETECT:
            config.set_property(sdk.PropertyId.SpeechServiceConnection_LanguageIdMode, "Continuous")
        self._lock = threading.Lock()  # a stop that overtakes its start is lost
        self._stream = audio.PushAudioInputStream(_stream_format(profile.format))
        self._recognizer = recognizer = sdk.SpeechRecognizer(
            config, audio.AudioConfig(stream=self._stream), **_languages(profile)
        )
        self.session_id: str = recognizer.properties.get_property(sdk.PropertyId.Speech_SessionId)
        self._phrases: sdk.PhraseListGrammar | None = None
        self._has_ended = False  # no more audio comes
        self._results = [results_of(recognizer, kind) for kind in ("recognizing", "recognized")]
        for results, hear in zip(self._results, (heard.partial, heard.phrase), strict=True):
            bridge.connect(results, str, hear)
        bridge.connect(recognizer.speech_start_detected, _offset, heard.speech_started)
        bridge.connect(recognizer.speech_end_detected, _offset, heard.speech_ended)
        bridge.connect(recognizer.canceled, _canceled, heard.canceled)
        bridge.connect(recognizer.session_stopped, lambda _: None, lambda _: heard.stopped())
        self._connection = SdkConnection(
            sdk.Connection.from_recognizer(recognizer),
            bridge,
            connected=heard.connected,
            disconnected=heard.disconnected,
        )
        hush_at_exit(self)

    @property
    def native(self) -> sdk.SpeechRecognizer:
        """The SDK's own, to show it a renewed token."""
        return self._recognizer

    @property
    def takes_commits(self) -> bool:
        """Whether this version of the SDK can ask for the final result of a segment."""
        return hasattr(self._stream, "commit")

    @property
    def has_turn_begun(self) -> bool:
        """Whether the service has begun to answer; False for ever in a version of the SDK that does not show it."""
        recognizer = self._recognizer
        return recognizer is not None and bool(recognizer.properties.get_property_by_name(_TURN_TAG))

    def note_turn(self) -> None:
        """The service has answered: see whether this version of the SDK shows that."""
        if self.has_turn_begun:
            SdkRecognizer.shows_turns = True

    def open(self) -> None:
        """Begin to connect: `connected` or `canceled` tells how it went, a service that never answers nothing."""
        self._connection.open()

    def start(self, properties: Mapping[str, str], phrases: Sequence[str]) -> None:
        """Begin to recognise what is written, also what was written before. Blocks for 1 ms, not for the network.

        Args:
            properties: Names of `PropertyId` with their values, for this session.
            phrases: That are likely.

        Raises:
            RuntimeError: The SDK refuses: its recogniser is dead.
        """
        with self._lock:
            if self._recognizer is None:
                return  # released already
            for name, value in properties.items():
                self._recognizer.properties.set_property(getattr(sdk.PropertyId, name), value)
            if phrases:
                self._phrases = sdk.PhraseListGrammar.from_recognizer(self._recognizer)
                for phrase in phrases:
                    self._phrases.addPhrase(phrase)
            self._recognizer.start_continuous_recognition_async().get()

    def write(self, data: bytes) -> None:
        """Hand over audio, never empty; returns at once, whatever the amount."""
        self._stream.write(data)

    def commit(self) -> int:
        """Ask for the final result of all audio written; the number that its result carries, 0 where it was refused.

        The SDK refuses within 100 ms of the commit before.
        """
        return int(self._stream.commit())

    def finish(self) -> None:
        """No more audio: what is written is heard to its end, then `stopped` is told."""
        self._has_ended = True
        self._stream.close()

    def release(self) -> None:
        """Stop, and let go of everything; blocks, up to the stop's limit where the service does not answer.

        After the end of the audio there is nothing to stop; after an error it would wait for its limit (measured).
        """
        with self._lock:
            recognizer, self._recognizer = self._recognizer, None
            if recognizer is None:
                return
            self._disconnect(recognizer)
            try:
                if not self._has_ended:
                    recognizer.stop_continuous_recognition_async().get()
            finally:
                self._connection.release()
                self._results = []
                self._phrases = None
                del recognizer  # the last reference but for the stream's
                self._stream = None

    def hush(self) -> None:
        """Tell nobody of anything any more."""
        recognizer = self._recognizer
        if recognizer is not None:
            self._disconnect(recognizer)
            self._connection.release()

    def _disconnect(self, recognizer: sdk.SpeechRecognizer) -> None:
        for signal in (
            *self._results,
            recognizer.speech_start_detected,
            recognizer.speech_end_detected,
            recognizer.canceled,
            recognizer.session_stopped,
        ):
            signal.disconnect_all()


def _stream_format(form: AudioFormat) -> audio.AudioStreamFormat:
    bits, wave_format = _WAVE_FORMATS[form.codec]
    return audio.AudioStreamFormat(form.sample_rate_hz, bits, 1, wave_stream_format=wave_format)


def _languages(profile: RecognitionProfile) -> dict[str, object]:
    if profile.language_mode is LanguageMode.DETECT:
        languages = AutoDetectSourceLanguageConfig(languages=list(profile.languages))
        return {"auto_detect_source_language_config": languages}
    return {"language": profile.languages[0]}


def _offset(event: sdk.RecognitionEventArgs) -> int:
    return int(event.offset)


def _canceled(event: sdk.SpeechRecognitionCanceledEventArgs) -> Canceled:
    told = event.cancellation_details
    return Canceled(told.reason is sdk.CancellationReason.EndOfStream, told.code.name, told.error_details)
