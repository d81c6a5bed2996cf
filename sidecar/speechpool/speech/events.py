"""What an engine is asked for and what it tells: the data of the protocol; `speechpool.speech.engine` exports it."""

from dataclasses import dataclass, field

from speechpool.formats import AudioFormat
from speechpool.settings import LanguageMode

__all__ = [
    "AudioChunk",
    "Bookmark",
    "Final",
    "LanguageMode",
    "Partial",
    "RecognitionEvent",
    "RecognitionOptions",
    "RecognitionProfile",
    "RecognizedWord",
    "SpeechEnded",
    "SpeechEvent",
    "SpeechStarted",
    "SynthesisProfile",
    "UseReport",
    "Utterance",
    "Viseme",
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
