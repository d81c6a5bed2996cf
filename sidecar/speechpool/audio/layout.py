"""How uncompressed samples lie in bytes, as a WAV file may hold them."""

from dataclasses import dataclass

from speechpool.formats import AudioFormat, Codec

__all__ = ["SAMPLE_BYTES", "SampleLayout"]

SAMPLE_BYTES = {"u8": 1, "s16": 2, "s24": 3, "s32": 4, "f32": 4, "f64": 8, "mulaw": 1, "alaw": 1}
"""Bytes of one sample of each encoding; all little endian. `u8` is the only unsigned one."""


@dataclass(frozen=True, slots=True)
class SampleLayout:
    """Interleaved samples without a container.

    Args:
        encoding: A key of `SAMPLE_BYTES`.
        channels: Samples of one instant; 1 or more.
        sample_rate_hz: Instants a second.
    """

    encoding: str
    channels: int
    sample_rate_hz: int

    @classmethod
    def of(cls, audio: AudioFormat) -> "SampleLayout":
        """The layout of a raw format.

        Raises:
            ValueError: The format is compressed.
        """
        if not audio.is_raw:
            raise ValueError(f"{audio.codec} has no sample layout")
        encoding = "s16" if audio.codec is Codec.PCM else str(audio.codec)
        return cls(encoding, 1, audio.sample_rate_hz)

    @property
    def frame_bytes(self) -> int:
        """Bytes of one instant: the unit in which audio may be cut."""
        return SAMPLE_BYTES[self.encoding] * self.channels
