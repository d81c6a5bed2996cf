"""What utterances and recognitions tell their consumer, beside the engine's own events."""

from dataclasses import dataclass, field
from typing import Literal

from speechpool.speech.engine import (
    Bookmark,
    Final,
    Partial,
    SpeechEnded,
    SpeechStarted,
    UseReport,
    Viseme,
    WordBoundary,
)

__all__ = [
    "AudioBytes",
    "Behind",
    "ClauseStarted",
    "Outcome",
    "Played",
    "RecognitionSummary",
    "RecognizeEvent",
    "SpeakEvent",
    "SpeechSummary",
]

Outcome = Literal["completed", "canceled"]


@dataclass(frozen=True, slots=True)
class AudioBytes:
    """Audio as the caller asked for it, container included; in order, never empty."""

    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClauseStarted:
    """The engine begins a clause of a text stream; its audio follows.

    Args:
        index: 0 for the first clause of the stream.
        text_offset: Index of its first character in all text of the stream.
        text_length: Number of characters.
        audio_offset_seconds: Where its audio begins, from the stream's first sample.
    """

    index: int
    text_offset: int
    text_length: int
    audio_offset_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """How much went out: what was handed to the consumer, or what its player says it played.

    Args:
        audio_seconds: Seconds of audio.
        characters: Characters of the text that this audio says, at most; never in the middle of a word.
        text: That text. Of an SSML document: its words. Never logged.
        estimated: Whether the text is proportional to the audio, because the engine tells no word times.
    """

    audio_seconds: float
    characters: int
    text: str = field(repr=False)
    estimated: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeechSummary:
    """The last event of an utterance or of a text stream.

    Args:
        outcome: Whether it ended by itself or was canceled.
        pool: Name of the pool that served it.
        tier: "dedicated", "warm" or "cold", as it held up to the first audio; "cached" where no client was needed.
        wait_seconds: How long the client was waited for.
        first_byte_seconds: From the beginning of the wait to the first audio; None where none came.
        audio_seconds: Audio that went out.
        characters: Characters that were asked to be said.
        bytes_sent: Bytes that went out, container included.
        seconds: The whole, from the beginning of the wait.
        rtf: Seconds the engine took for a second of audio, the consumer's own pace left out; None without audio.
        attempts: 1, or more where another client had to take over before the first audio; 0 where none was needed.
        played: What went out and which text that was.
        report: How its last client served it, as the engine tells.
        warm_miss: Whether that client was handed out as dedicated or warm, and then was not.
    """

    outcome: Outcome
    pool: str
    tier: str
    wait_seconds: float
    first_byte_seconds: float | None
    audio_seconds: float
    characters: int
    bytes_sent: int
    seconds: float
    rtf: float | None
    attempts: int
    played: Played
    report: UseReport = field(default_factory=UseReport)
    warm_miss: bool = False


SpeakEvent = AudioBytes | WordBoundary | Viseme | Bookmark | ClauseStarted | SpeechSummary


@dataclass(frozen=True, slots=True, kw_only=True)
class Behind:
    """Audio comes faster than it is recognised: this many seconds of it wait; 0 when caught up."""

    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RecognitionSummary:
    """The last event of a recognition.

    Args:
        outcome: Whether it ended by itself or was canceled.
        pool: Name of the pool that served it.
        tier: "dedicated", "warm" or "cold", as it held up to the first event.
        wait_seconds: How long the client was waited for.
        audio_seconds: Audio that the engine took.
        first_event_seconds: From the first audio to the first event; None where none came.
        seconds: The whole, from the beginning of the wait.
        language: BCP 47 tag of the last `Final`, or the one asked for; empty where it was to be detected and was not.
        report: How its client served it, as the engine tells.
        warm_miss: Whether that client was handed out as dedicated or warm, and then was not.
    """

    outcome: Outcome
    pool: str
    tier: str
    wait_seconds: float
    audio_seconds: float
    first_event_seconds: float | None
    seconds: float
    language: str
    report: UseReport = field(default_factory=UseReport)
    warm_miss: bool = False


RecognizeEvent = SpeechStarted | SpeechEnded | Partial | Final | Behind | RecognitionSummary
