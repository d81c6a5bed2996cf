"""What callers may ask for and send: OpenAI's `response_format` names and ours, with their sample rates."""

import functools
from dataclasses import dataclass

from speechpool.errors import InvalidInput
from speechpool.formats import AudioFormat, Codec

__all__ = ["RESPONSE_FORMATS", "SAMPLE_RATES_HZ", "ResponseFormat", "input_format", "response_format"]

SAMPLE_RATES_HZ = (8_000, 16_000, 22_050, 24_000, 44_100, 48_000)
"""Every sample rate that can be asked for; opus has no 22,050 and no 44,100 (RFC 6716, 2)."""

_OPUS_RATES_HZ = (8_000, 16_000, 24_000, 48_000)
_SPEECH_RATE_HZ = 24_000  # what OpenAI's pcm and wav have
_TELEPHONE_RATE_HZ = 8_000  # G.711
_RECOGNITION_RATE_HZ = 16_000
_SHOWN_CHARACTERS = 40


@dataclass(frozen=True, slots=True)
class ResponseFormat:
    """One format that a reply can have.

    Args:
        name: As in `response_format`.
        audio: The audio inside; PCM for `wav`.
        content_type: The reply's media type; raw formats carry their rate, which nothing else in the reply says.
    """

    name: str
    audio: AudioFormat
    content_type: str


# name: (codec, media type, rates, default rate)
_OFFERED: dict[str, tuple[Codec, str, tuple[int, ...], int]] = {
    "mp3": (Codec.MP3, "audio/mpeg", SAMPLE_RATES_HZ, _SPEECH_RATE_HZ),
    "opus": (Codec.OPUS, "audio/ogg;codecs=opus", _OPUS_RATES_HZ, _SPEECH_RATE_HZ),
    "aac": (Codec.AAC, "audio/aac", SAMPLE_RATES_HZ, _SPEECH_RATE_HZ),
    "flac": (Codec.FLAC, "audio/flac", SAMPLE_RATES_HZ, _SPEECH_RATE_HZ),
    "wav": (Codec.PCM, "audio/wav", SAMPLE_RATES_HZ, _SPEECH_RATE_HZ),
    "pcm": (Codec.PCM, "audio/pcm;rate={rate}", SAMPLE_RATES_HZ, _SPEECH_RATE_HZ),
    "mulaw": (Codec.MULAW, "audio/PCMU;rate={rate}", SAMPLE_RATES_HZ, _TELEPHONE_RATE_HZ),  # RFC 4856, 2.1.15
    "alaw": (Codec.ALAW, "audio/PCMA;rate={rate}", SAMPLE_RATES_HZ, _TELEPHONE_RATE_HZ),  # RFC 4856, 2.1.14
}

RESPONSE_FORMATS = tuple(_OFFERED)
"""The names of `response_format`: OpenAI's six, then G.711's two."""

# name: (codec, rates, default rate)
_TAKEN: dict[str, tuple[Codec, tuple[int, ...], int]] = {
    "pcm": (Codec.PCM, SAMPLE_RATES_HZ, _RECOGNITION_RATE_HZ),
    "mulaw": (Codec.MULAW, (_TELEPHONE_RATE_HZ,), _TELEPHONE_RATE_HZ),
    "alaw": (Codec.ALAW, (_TELEPHONE_RATE_HZ,), _TELEPHONE_RATE_HZ),
}


@functools.cache  # asked for at each request; there are few, and errors are not kept
def response_format(name: str, sample_rate_hz: int | None = None) -> ResponseFormat:
    """The format that a request asks for.

    Args:
        name: One of `RESPONSE_FORMATS`.
        sample_rate_hz: One of `SAMPLE_RATES_HZ` that the format has; None for its default: 24,000, and 8,000 for
            `mulaw` and `alaw`.

    Raises:
        InvalidInput: No such format (param `response_format`, code `unsupported_format`), or not at that rate
            (param `sample_rate`, code `unsupported_sample_rate`).
    """
    if name not in _OFFERED:
        raise _unknown_format(name, RESPONSE_FORMATS, "response_format")
    codec, content_type, rates_hz, default_hz = _OFFERED[name]
    rate_hz = _checked_rate(name, default_hz if sample_rate_hz is None else sample_rate_hz, rates_hz, "sample_rate")
    return ResponseFormat(name, AudioFormat(codec, rate_hz), content_type.format(rate=rate_hz))


def input_format(
    name: str, sample_rate_hz: int | None = None, *, format_param: str = "format", rate_param: str = "sample_rate"
) -> AudioFormat:
    """The format of audio that a caller streams to a recogniser: `pcm` at any rate, `mulaw` and `alaw` at 8,000.

    Args:
        name: "pcm", "mulaw" or "alaw".
        sample_rate_hz: Samples a second; None for 16,000 (`pcm`) or 8,000 (`mulaw`, `alaw`).
        format_param: The field of the format, for the error.
        rate_param: The field of the sample rate, for the error.

    Raises:
        InvalidInput: No such format (code `unsupported_format`), or not at that rate (code `unsupported_sample_rate`).
    """
    if name not in _TAKEN:
        raise _unknown_format(name, tuple(_TAKEN), format_param)
    codec, rates_hz, default_hz = _TAKEN[name]
    rate_hz = default_hz if sample_rate_hz is None else sample_rate_hz
    return AudioFormat(codec, _checked_rate(name, rate_hz, rates_hz, rate_param))


def _checked_rate(name: str, rate_hz: int, rates_hz: tuple[int, ...], param: str) -> int:
    if rate_hz in rates_hz:
        return rate_hz
    offered = ", ".join(map(str, rates_hz))
    message = f"{param} of {name} must be one of {offered}; got {_shown(rate_hz)}"
    raise InvalidInput(message, param=param, code="unsupported_sample_rate")


def _unknown_format(name: str, known: tuple[str, ...], param: str) -> InvalidInput:
    message = f"{param} must be one of {', '.join(known)}; got {_shown(name)}"
    return InvalidInput(message, param=param, code="unsupported_format")


def _shown(value: object) -> str:
    shown = repr(value)
    return shown if len(shown) <= _SHOWN_CHARACTERS else f"{shown[:_SHOWN_CHARACTERS]}…"
