"""Azure's names of output formats, as clients ask for them in `synthesis.context`."""

import re
from dataclasses import dataclass

from speechpool.formats import AudioFormat, Codec

__all__ = ["OutputFormat", "output_format"]

_PCM = re.compile(r"(?:raw|riff)-(8|16|24|48)khz-16bit-mono-pcm|(?:raw|riff)-(22050|44100)hz-16bit-mono-pcm")
_G711 = re.compile(r"(?:raw|riff)-8khz-8bit-mono-(mulaw|alaw)")
_MP3 = re.compile(r"audio-(16|24|48)khz-\d+kbitrate-mono-mp3")
_OPUS = re.compile(r"ogg-(16|24|48)khz-16bit-mono-opus")


@dataclass(frozen=True, slots=True)
class OutputFormat:
    """One output format.

    Args:
        name: Azure's.
        audio: What it is.
        content_type: Of the audio messages.
    """

    name: str
    audio: AudioFormat
    content_type: str


def output_format(name: str) -> OutputFormat | None:
    """The format of that name; None for one that the emulator does not make."""
    if found := _PCM.fullmatch(name):
        rate_hz = int(found[1]) * 1000 if found[1] else int(found[2])
        return OutputFormat(name, AudioFormat(Codec.PCM, rate_hz), "audio/x-wav")
    if found := _G711.fullmatch(name):
        return OutputFormat(name, AudioFormat(Codec(found[1]), 8_000), "audio/x-wav")
    if found := _MP3.fullmatch(name):
        return OutputFormat(name, AudioFormat(Codec.MP3, int(found[1]) * 1000), "audio/mpeg")
    if found := _OPUS.fullmatch(name):
        return OutputFormat(name, AudioFormat(Codec.OPUS, int(found[1]) * 1000), "audio/ogg")
    return None
