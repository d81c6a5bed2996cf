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
from speechpool.settings import LanguageMode

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


# --- what is asked for ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class SynthesisProfile:
    """What synthesis clients of one pool have in common; fixed when a client is created.

    Args:
        format: The format of the audio that the client makes.
        text_streaming: Whether its clients take text piece by piece (`StreamingSynthesisClient`).
    """

    format: AudioFormat
    text_streaming: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RecognitionProfile:
    """What recognition clients of one pool have in common; fixed when a client is created.

    Args:
        format: The format of the audio that is written to the client; raw.
        languages: BCP 47 tags, at least one.
        language_mode: Fixed language, or detection among `languages`.
    """

    format: AudioFormat
    languages: tuple[str, ...]
    language_mode: LanguageMode = LanguageMode.SINGLE


@dataclass(frozen=True, slots=True, kw_only=True)
class Utterance:
    """One thing to say.

    Args:
        text: Plain text, or a whole SSML document where `is_ssml`. Never logged.
        is_ssml: Whether `text` is SSML.
        voice: The engine's own name of the voice; an SSML `<voice>` element overrides it.
        speed: Relative speed, 0.25 to 4.0 (OpenAI's range); 1.0 is the voice's own.
        style: A speaking style the voice knows, or None.
        word_boundaries: Whether `WordBoundary` events are wanted.
        visemes: Whether `Viseme` events are wanted.
    """

    text: str = field(repr=False)
    is_ssml: bool = False
    voice: str
    speed: float = 1.0
    style: str | None = None
    word_boundaries: bool = False
    visemes: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RecognitionOptions:
    """How one recognition differs from the others of its pool; forgotten when it ends.

    Args:
        language: One of the profile's languages, or None for the profile's own choice.
        phrases: Words and phrases that are likely; hints, never a restriction.
        grammar: The closed set of sentences that can be recognised; empty for free dictation.
        words: Whether `Final.words` is wanted.
        partials: Whether `Partial` events are wanted.
        segmentation_silence_ms: Silence that ends a segment, 100 to 5000 ms; None for the engine's own.
        segmentation_maximum_ms: The longest segment, 20,000 to 70,000 ms; None for the engine's own.
        segmentation_strategy: "Default", "Time" or "Semantic"; None for the engine's own.
        start_sensitivity: How readily speech is taken to have begun: "low", "medium" or "high"; None for the engine's
            own.
    """

    language: str | None = None
    phrases: tuple[str, ...] = field(default=(), repr=False)
    grammar: tuple[str, ...] = field(default=(), repr=False)
    words: bool = False
    partials: bool = True
    segmentation_silence_ms: int | None = None
    segmentation_maximum_ms: int | None = None
    segmentation_strategy: str | None = None
    start_sensitivity: str | None = None


# --- what comes back -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class AudioChunk:
    """Audio in the profile's format, in order, never empty; raw chunks hold whole samples."""

    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class WordBoundary:
    """A word begins in the audio.

    Args:
        text: The word. Never logged.
        audio_offset_seconds: Where it begins, from the utterance's first sample.
        duration_seconds: How long it lasts, or None where the engine does not say.
        text_offset: Index of its first character in `Utterance.text`.
        text_length: Number of characters.
    """

    text: str = field(repr=False)
    audio_offset_seconds: float
    duration_seconds: float | None = None
    text_offset: int
    text_length: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Viseme:
    """A mouth shape (Azure's viseme ids, 0 to 21) at a time from the utterance's first sample, in seconds."""

    viseme_id: int
    audio_offset_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Bookmark:
    """An SSML mark was reached, at a time from the utterance's first sample, in seconds."""

    name: str
    audio_offset_seconds: float


SpeechEvent = AudioChunk | WordBoundary | Viseme | Bookmark


@dataclass(frozen=True, slots=True, kw_only=True)
class RecognizedWord:
    """One recognised word; times in seconds from the first sample written, confidence 0 to 1."""

    text: str = field(repr=False)
    start_seconds: float
    end_seconds: float
    confidence: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeechStarted:
    """Speech began, in seconds from the first sample written."""

    offset_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeechEnded:
    """Speech ended, in seconds from the first sample written."""

    offset_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Partial:
    """What the current segment sounds like so far; the next one replaces it."""

    text: str = field(repr=False)
    offset_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Final:
    """A segment's final text.

    Args:
        text: What was said; empty where nothing was understood.
        offset_seconds: Where the segment begins, from the first sample written.
        duration_seconds: How long it lasts.
        language: BCP 47 tag, detected or configured.
        confidence: 0 to 1, or None where the engine has none.
        words: Empty unless asked for.
    """

    text: str = field(repr=False)
    offset_seconds: float
    duration_seconds: float
    language: str
    confidence: float | None = None
    words: tuple[RecognizedWord, ...] = field(default=(), repr=False)


RecognitionEvent = SpeechStarted | SpeechEnded | Partial | Final


@dataclass(frozen=True, slots=True, kw_only=True)
class UseReport:
    """How a client served one use, as far as is known; complete once the use has ended.

    Args:
        was_warm: Whether it rode a connection that was open before it began. True until something else is known.
        connect_seconds: How long it waited for a connection of its own; 0 where it was warm.
        endpoint: Which endpoint served it, for people; None where an engine has none.
        reference: The engine's own id of the use, for its support; None where it gives none.
    """

    was_warm: bool = True
    connect_seconds: float = 0.0
    endpoint: str | None = None
    reference: str | None = None


# --- clients -------------------------------------------------------------------------------------------------------


class Client(Protocol):
    """What every pooled client can do."""

    @property
    def is_ready(self) -> bool:
        """Whether it can be used now: warm-up done, connection or worker alive, nothing under way. Never blocks."""

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
