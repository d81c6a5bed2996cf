"""What can be asked of the service, and the checks that need no engine."""

import re
from dataclasses import dataclass, field

from speechpool.errors import InvalidInput
from speechpool.formats import AudioFormat, Codec

__all__ = [
    "DEFAULT_INPUT_FORMAT",
    "RESPONSE_FORMATS",
    "SAMPLE_RATES",
    "RecognizeRequest",
    "SpeakOptions",
    "SpeakRequest",
    "TranscribeRequest",
    "check_session_id",
    "check_speed",
    "check_text",
    "refuse_control_characters",
    "target_format",
]

RESPONSE_FORMATS: dict[str, Codec] = {
    "mp3": Codec.MP3,
    "opus": Codec.OPUS,
    "aac": Codec.AAC,
    "flac": Codec.FLAC,
    "wav": Codec.PCM,
    "pcm": Codec.PCM,
    "mulaw": Codec.MULAW,
    "alaw": Codec.ALAW,
}
"""OpenAI's names of response formats, and the two of telephony, with the codec of each."""

SAMPLE_RATES = (8_000, 16_000, 22_050, 24_000, 44_100, 48_000)
"""Samples a second that may be asked for, in Hz."""

SPEEDS = (0.25, 4.0)
"""OpenAI's range of `speed`."""

DEFAULT_INPUT_FORMAT = AudioFormat(Codec.PCM, 16_000)

_SESSION_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
# What XML 1.0 forbids: an engine would refuse it, or worse, speak until it.
_CONTROL_CHARACTERS = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff\ufffe\uffff]")
_TELEPHONY_RATE_HZ = 8_000
_DEFAULT_RATE_HZ = 24_000  # OpenAI's pcm is 24 kHz


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeakOptions:
    """How something is to be said.

    Args:
        voice: The engine's name of a voice or one of OpenAI's; None for the setting `default_voice`.
        speed: Relative speed, 0.25 to 4.0.
        style: A speaking style the voice knows.
        response_format: One of `RESPONSE_FORMATS`.
        sample_rate_hz: One of `SAMPLE_RATES`; None for 24000, or 8000 where the format is mulaw or alaw.
        word_boundaries: Whether `WordBoundary` events come out.
        visemes: Whether `Viseme` events come out.
        session_id: The session whose client says it; None for any client.
        pool: Name of a pool; None to choose by format.
    """

    voice: str | None = None
    speed: float = 1.0
    style: str | None = None
    response_format: str = "mp3"
    sample_rate_hz: int | None = None
    word_boundaries: bool = False
    visemes: bool = False
    session_id: str | None = None
    pool: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeakRequest(SpeakOptions):
    """One text to say, with how.

    Args:
        text: What to say. Never logged.
        is_ssml: Whether `text` is an SSML document.
    """

    text: str = field(repr=False)
    is_ssml: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RecognizeRequest:
    """How audio that comes piece by piece is to be recognised.

    Args:
        language: BCP 47 tag ("en-US") or its language alone ("en"); None for the pool's own choice.
        phrases: Words and phrases that are likely.
        grammar: The closed set of sentences that can be recognised; empty for free dictation.
        words: Whether `Final.words` is wanted.
        partials: Whether `Partial` events are wanted.
        segmentation_silence_ms: Silence that ends a segment, 100 to 5000 ms; None for the engine's own.
        format: Format of what is written, raw; converted where the pool's differs.
        session_id: The session whose client listens; None for any client.
        pool: Name of a pool; None to choose by language.
    """

    language: str | None = None
    phrases: tuple[str, ...] = field(default=(), repr=False)
    grammar: tuple[str, ...] = field(default=(), repr=False)
    words: bool = False
    partials: bool = True
    segmentation_silence_ms: int | None = None
    format: AudioFormat = DEFAULT_INPUT_FORMAT
    session_id: str | None = None
    pool: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TranscribeRequest:
    """A whole recording to recognise.

    Args:
        upload: The file's bytes, any container the codecs know.
        language: As in `RecognizeRequest`, and so are the others.
        phrases: Words and phrases that are likely.
        grammar: The closed set of sentences that can be recognised.
        words: Whether word times are wanted.
        segmentation_silence_ms: Silence that ends a segment, 100 to 5000 ms.
        session_id: The session whose client listens.
        pool: Name of a pool.
    """

    upload: bytes = field(repr=False)
    language: str | None = None
    phrases: tuple[str, ...] = field(default=(), repr=False)
    grammar: tuple[str, ...] = field(default=(), repr=False)
    words: bool = True
    segmentation_silence_ms: int | None = None
    session_id: str | None = None
    pool: str | None = None


def check_text(text: str, limit: int, *, param: str = "input") -> None:
    """Refuse text that no engine should get.

    Raises:
        InvalidInput: It is empty, longer than `limit` characters, or holds control characters.
    """
    if not text.strip():
        raise InvalidInput(f"{param} must not be empty", param=param, code="empty_input")
    if len(text) > limit:
        raise InvalidInput(
            f"{param} must have at most {limit} characters; it has {len(text)}", param=param, code="input_too_long"
        )
    refuse_control_characters(text, param=param)


def refuse_control_characters(text: str, *, param: str = "input") -> None:
    """Refuse characters that XML 1.0 does not know.

    Raises:
        InvalidInput: There is one; the message says where and which.
    """
    if found := _CONTROL_CHARACTERS.search(text):
        raise InvalidInput(
            f"{param} holds the control character U+{ord(found.group()):04X} at index {found.start()}; remove it",
            param=param,
            code="control_character",
        )


def check_speed(speed: float) -> None:
    """Refuse a speed outside of OpenAI's range.

    Raises:
        InvalidInput: It is.
    """
    low, high = SPEEDS
    if not low <= speed <= high:
        raise InvalidInput(f"speed must be from {low} to {high}; got {speed}", param="speed", code="invalid_speed")


def check_session_id(session_id: str) -> None:
    """Refuse a session id that could not stand in a path or a log.

    Raises:
        InvalidInput: It is not 1 to 128 letters, digits, dots, underscores, colons or hyphens.
    """
    if not _SESSION_ID.fullmatch(session_id):
        raise InvalidInput(
            "session_id must be 1 to 128 characters of A-Z a-z 0-9 . _ : -",
            param="session_id",
            code="invalid_session_id",
        )


def target_format(options: SpeakOptions) -> AudioFormat:
    """The format of the audio that `options` ask for.

    Raises:
        InvalidInput: The format or the rate is not one of ours.
    """
    codec = RESPONSE_FORMATS.get(options.response_format)
    if codec is None:
        known = ", ".join(RESPONSE_FORMATS)
        raise InvalidInput(
            f"response_format must be one of {known}; got {options.response_format[:40]!r}",
            param="response_format",
            code="unsupported_format",
        )
    return AudioFormat(codec, _sample_rate(codec, options.sample_rate_hz))


def _sample_rate(codec: Codec, sample_rate_hz: int | None) -> int:
    if sample_rate_hz is None:
        return _TELEPHONY_RATE_HZ if codec in {Codec.MULAW, Codec.ALAW} else _DEFAULT_RATE_HZ
    if sample_rate_hz not in SAMPLE_RATES:
        known = ", ".join(map(str, SAMPLE_RATES))
        raise InvalidInput(
            f"sample_rate must be one of {known}; got {sample_rate_hz}",
            param="sample_rate",
            code="unsupported_sample_rate",
        )
    return sample_rate_hz
