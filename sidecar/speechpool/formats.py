"""Audio formats by name: what an engine makes, what a pool holds, what a caller may ask for."""

from dataclasses import dataclass
from enum import StrEnum

from speechpool.errors import SettingsError

__all__ = ["INPUT_FORMATS", "OUTPUT_FORMATS", "RAW_CODECS", "AudioFormat", "Codec", "output_format"]


class Codec(StrEnum):
    """How samples are written. `pcm` is signed 16 bit little endian, mono; all others are mono too."""

    PCM = "pcm"
    MULAW = "mulaw"
    ALAW = "alaw"
    MP3 = "mp3"
    OPUS = "opus"
    FLAC = "flac"
    AAC = "aac"


RAW_CODECS = frozenset({Codec.PCM, Codec.MULAW, Codec.ALAW})
"""Codecs without a container: every sample has the same number of bytes, and any sample boundary may be cut."""


@dataclass(frozen=True, slots=True)
class AudioFormat:
    """One mono audio format.

    Args:
        codec: How samples are written.
        sample_rate_hz: Samples a second.
    """

    codec: Codec
    sample_rate_hz: int

    @property
    def is_raw(self) -> bool:
        """Whether the format has no container and a fixed number of bytes a sample."""
        return self.codec in RAW_CODECS

    @property
    def bytes_per_second(self) -> int:
        """Bytes of one second of audio; raw formats only.

        Raises:
            ValueError: The format is compressed.
        """
        if not self.is_raw:
            raise ValueError(f"{self.codec} has no fixed number of bytes a second")
        return self.sample_rate_hz * (2 if self.codec is Codec.PCM else 1)

    def seconds(self, size_bytes: int) -> float:
        """How long `size_bytes` of this raw format play, in seconds."""
        return size_bytes / self.bytes_per_second


OUTPUT_FORMATS: dict[str, AudioFormat] = {
    "Raw8Khz16BitMonoPcm": AudioFormat(Codec.PCM, 8_000),
    "Raw16Khz16BitMonoPcm": AudioFormat(Codec.PCM, 16_000),
    "Raw22050Hz16BitMonoPcm": AudioFormat(Codec.PCM, 22_050),
    "Raw24Khz16BitMonoPcm": AudioFormat(Codec.PCM, 24_000),
    "Raw44100Hz16BitMonoPcm": AudioFormat(Codec.PCM, 44_100),
    "Raw48Khz16BitMonoPcm": AudioFormat(Codec.PCM, 48_000),
    "Raw8Khz8BitMonoMULaw": AudioFormat(Codec.MULAW, 8_000),
    "Raw8Khz8BitMonoALaw": AudioFormat(Codec.ALAW, 8_000),
    "Audio24Khz96KBitRateMonoMp3": AudioFormat(Codec.MP3, 24_000),
    "Ogg24Khz16BitMonoOpus": AudioFormat(Codec.OPUS, 24_000),
}
"""The names a pool's `outputFormat` may have: Azure Speech's own (`SpeechSynthesisOutputFormat`)."""

INPUT_FORMATS: dict[str, AudioFormat] = {name: each for name, each in OUTPUT_FORMATS.items() if each.is_raw}
"""The names a pool's `inputFormat` may have: those of the raw formats."""


def output_format(name: str) -> AudioFormat:
    """The format that a pool setting names.

    Raises:
        SettingsError: The name is not one of `OUTPUT_FORMATS`.
    """
    try:
        return OUTPUT_FORMATS[name]
    except KeyError:
        known = ", ".join(OUTPUT_FORMATS)
        raise SettingsError(f"outputFormat must be one of {known}; got {name!r}") from None
