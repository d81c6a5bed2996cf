"""What an engine is: the protocol between SpeechPool and whatever makes and understands speech.

An engine is found by the entry point group `speechpool.engines`; the entry point is a callable that takes the
engine's own settings and returns an `Engine`. An engine makes clients; a pool keeps them. A client is created, proved
warm, used for one utterance (or one recognition) at a time, reset, checked and closed; the pool never uses a client
for two things at once, and closes each exactly once.

Everything here runs on one event loop. An engine whose library has threads or processes of its own meets the loop
inside the engine.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from speechpool.formats import AudioFormat
from speechpool.speech.events import (
    AudioChunk,
    Bookmark,
    Final,
    LanguageMode,
    Partial,
    RecognitionEvent,
    RecognitionOptions,
    RecognitionProfile,
    RecognizedWord,
    SpeechEnded,
    SpeechEvent,
    SpeechStarted,
    SynthesisProfile,
    UseReport,
    Utterance,
    Viseme,
    WordBoundary,
)

__all__ = [
    "AudioChunk",
    "Bookmark",
    "Client",
    "Engine",
    "EngineCapabilities",
    "EngineFactory",
    "Final",
    "LanguageMode",
    "Measurement",
    "Partial",
    "RecognitionClient",
    "RecognitionEvent",
    "RecognitionOptions",
    "RecognitionProfile",
    "RecognizedWord",
    "Recognizing",
    "Speaking",
    "SpeakingPieces",
    "SpeechEnded",
    "SpeechEvent",
    "SpeechStarted",
    "StaleCallback",
    "StreamingSynthesisClient",
    "SynthesisClient",
    "SynthesisProfile",
    "UseReport",
    "Utterance",
    "Viseme",
    "Voice",
    "WordBoundary",
]


# --- clients -------------------------------------------------------------------------------------------------------


class Client(Protocol):
    """What every pooled client can do."""

    @property
    def endpoint(self) -> str | None:
        """Which endpoint serves it, as its `UseReport`s say; None where an engine has none."""

    @property
    def is_ready(self) -> bool:
        """Whether it can be used now: warm-up done, connection or worker alive, nothing under way but what is stopping.

        Never blocks.
        """

    @property
    def is_reusable(self) -> bool:
        """Whether it may serve again after `clear_session_state()`; False once it is broken or was single-use."""

    async def warm(self) -> bool:
        """Prove the client: True once its connection is open (its worker answers), False or raise where it is not.

        Raises:
            SpeechError: Why it cannot be warm.
        """

    def on_lost(self, callback: "LostCallback") -> None:
        """Call `callback()` once, on the loop, if the client dies by itself (worker killed, connection dropped)."""

    async def clear_session_state(self) -> None:
        """Forget all of the last use: options, phrases, grammar, handlers; raises where that failed."""

    async def close(self) -> None:
        """Release everything, within a bound of its own; safe in every state."""


class LostCallback(Protocol):
    """Called without arguments when a client dies by itself."""

    def __call__(self) -> None:
        """Take note; must not raise and must not block."""


class Speaking(Protocol):
    """One utterance under way: iterate it for its events; it ends when all audio came.

    Iterating raises `InvalidInput` where the engine refuses the text (nothing was said), `EngineTimeout`,
    `EngineFailed`, `WorkerDied`, `Throttled` or `AuthenticationFailed` otherwise. The consumer's pace is the
    producer's: what is not taken is buffered up to a bound, then the engine waits.
    """

    def __aiter__(self) -> AsyncIterator[SpeechEvent]:
        """The events, in order."""

    async def cancel(self) -> None:
        """Stop now, within 50 ms; iteration ends without error, and no audio follows. Safe when already ended."""

    @property
    def report(self) -> UseReport:
        """How it was served, as known now."""


class SpeakingPieces(Speaking, Protocol):
    """An utterance whose text comes while it is said."""

    async def write(self, text: str) -> None:
        """Hand over the next piece; waits while the engine is behind by more than its bound."""

    async def finish(self) -> None:
        """No more text: the rest of the audio comes, then iteration ends."""


class SynthesisClient(Client, Protocol):
    """Makes audio from text; one utterance at a time."""

    def speak(self, utterance: Utterance) -> Speaking:
        """Start an utterance; returns at once.

        Raises:
            EngineFailed: The client is not ready (closed, broken, or still speaking).
        """


class StreamingSynthesisClient(SynthesisClient, Protocol):
    """Of a profile with `text_streaming`: takes text piece by piece, and speaks before it has all."""

    def speak_pieces(self, utterance: Utterance) -> SpeakingPieces:
        """Start an utterance whose text comes by `write`; its own `text` is empty. Returns at once.

        Raises:
            EngineFailed: The client is not ready.
        """


class Recognizing(Protocol):
    """One recognition under way: write audio, iterate for events; it ends after `finish()` and the last event.

    Iterating and `write` raise `SpeechError`s as `Speaking` does.
    """

    async def write(self, audio: bytes) -> None:
        """Hand over audio in the profile's format; waits while the engine is behind by more than its bound."""

    async def commit(self) -> None:
        """Force the current segment to its `Final` now; audio may follow."""

    async def finish(self) -> None:
        """No more audio: the last `Final` comes, if there was speech since the one before, then iteration ends."""

    async def cancel(self) -> None:
        """Stop now; iteration ends without error and without a further event. Safe when already ended."""

    @property
    def report(self) -> UseReport:
        """How it was served, as known now."""

    def __aiter__(self) -> AsyncIterator[RecognitionEvent]:
        """The events, in order."""


class RecognitionClient(Client, Protocol):
    """Makes text from audio; one recognition at a time."""

    def recognize(self, options: RecognitionOptions) -> Recognizing:
        """Start a recognition; returns at once; a grammar or phrase that cannot be used is told by iterating.

        Raises:
            EngineFailed: The client is not ready.
            InvalidInput: The options are not for this client (language, unknown words of a grammar).
        """


# --- engines -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Voice:
    """A voice that an engine has.

    Args:
        name: The engine's own name, unique in the engine.
        language: BCP 47 tag.
        gender: "male", "female" or "neutral".
        description: One line for people.
        styles: Speaking styles it knows.
    """

    name: str
    language: str
    gender: str
    description: str = ""
    styles: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineCapabilities:
    """What an engine can do; what it cannot is refused or made up for before it is asked.

    Args:
        output_formats: Formats its synthesis clients can make natively.
        input_formats: Raw formats its recognition clients take.
        languages: BCP 47 tags it recognises.
        ssml: Whether it takes SSML.
        word_boundaries: Whether it tells word times of what it says.
        visemes: Whether it tells visemes.
        text_streaming: Whether profiles may ask for it; otherwise text is cut at clauses.
        phrases: Whether hints are used.
        grammar: Whether a closed set of sentences can be given.
        language_detection: Whether `LanguageMode.DETECT` works.
        segmentation: Whether the segmentation options and `start_sensitivity` are heeded.
        phonemes: Whether SSML's `<phoneme alphabet="ipa">` is spoken as written.
    """

    output_formats: frozenset[AudioFormat]
    input_formats: frozenset[AudioFormat]
    languages: frozenset[str]
    ssml: bool = False
    word_boundaries: bool = False
    visemes: bool = False
    text_streaming: bool = False
    phrases: bool = False
    grammar: bool = False
    language_detection: bool = False
    segmentation: bool = False
    phonemes: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """One number that an engine exports; the metric's name is `speechpool_engine_<name>`.

    Args:
        name: In the form of Prometheus, with its unit: "warm_misses_total", "native_threads".
        documentation: One line for people.
        value: The number now.
        is_counter: Whether it only ever grows; its name then ends in "_total".
        labels: Few and bounded; never a session, a text, a key.
    """

    name: str
    documentation: str
    value: float
    is_counter: bool = False
    labels: Mapping[str, str] = field(default_factory=dict)


@runtime_checkable
class Engine(Protocol):
    """Makes clients. One instance a process; opened before the first client, closed after the last."""

    @property
    def name(self) -> str:
        """As in the setting `engine`: "local", "azure"."""

    @property
    def capabilities(self) -> EngineCapabilities:
        """What it can do; constant."""

    @property
    def voices(self) -> Sequence[Voice]:
        """The voices it has; known after `open()`."""

    @property
    def problem(self) -> str | None:
        """Why no client can be made at present, in a sentence for people, without secrets; None where one can."""

    def on_stale(self, callback: "StaleCallback") -> None:
        """Call `callback(reason)`, on the loop, each time all clients made before should be replaced one by one."""

    def measurements(self) -> Sequence[Measurement]:
        """What it exports, as it is now. Never blocks."""

    def resolve_voice(self, name: str) -> str:
        """The engine's own name for a voice, by its name or by one of OpenAI's (alloy, ash, …).

        Raises:
            InvalidInput: No such voice (param `voice`, code `voice_not_found`).
        """

    async def open(self) -> None:
        """Check that the engine can work here, and learn its voices.

        Raises:
            EngineUnavailable: It cannot now, with the reason and what to do; it is tried again.
            SettingsError: It never can with its options; the sidecar ends.
        """

    async def create_synthesizer(self, profile: SynthesisProfile) -> SynthesisClient:
        """A new client; not proved warm yet. Safe to cancel: what was started is closed."""

    async def create_recognizer(self, profile: RecognitionProfile) -> RecognitionClient:
        """A new client; not proved warm yet. Safe to cancel: what was started is closed."""

    async def close(self) -> None:
        """Release what clients do not hold."""


class StaleCallback(Protocol):
    """Called when the clients there are were made with something that has changed since."""

    def __call__(self, reason: str) -> None:
        """Take note; `reason` is one word for logs and metrics ("credentials"). Must not raise, must not block."""


class EngineFactory(Protocol):
    """What the entry point names."""

    def __call__(self, options: Mapping[str, Any]) -> Engine:
        """Make an engine from its own section of the settings (`engines.<name>` of the file).

        Raises:
            SettingsError: An option is unknown or out of bounds.
        """
