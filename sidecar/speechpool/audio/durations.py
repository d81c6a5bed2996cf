"""How much audio compressed bytes hold, counted from their frame headers as they pass by; nothing is decoded."""

import struct
from collections.abc import Callable

from speechpool.formats import AudioFormat, Codec

__all__ = ["COUNTED_CODECS", "counter"]

_OPUS_RATE_HZ = 48_000  # RFC 7845, 4: granule positions count at this rate whatever the audio's own

# ISO 11172-3 and 13818-3, layer III: kbit/s by the header's index, MPEG-1 and MPEG-2 (and 2.5)
_MP3_KBITS_1 = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 0)
_MP3_KBITS_2 = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160, 0)
_MP3_RATES_HZ = {3: (44_100, 48_000, 32_000), 2: (22_050, 24_000, 16_000), 0: (11_025, 12_000, 8_000)}
_MP3_HEADER_BYTES = 4

_OGG_PAGE = struct.Struct("<4sBBqIIIB")


def counter(audio: AudioFormat) -> Callable[[bytes], int]:
    """A function that takes a stream's bytes, cut anywhere, and says how many more samples (at the format's rate) came.

    Args:
        audio: mp3, or opus in Ogg.

    Raises:
        KeyError: Another codec.
    """
    return COUNTED_CODECS[audio.codec](audio.sample_rate_hz).feed


class _Mp3Frames:
    """Counts the frames of an mp3 stream by their headers."""

    def __init__(self, sample_rate_hz: int) -> None:
        self._rate_hz = sample_rate_hz
        self._buffer = bytearray()
        self._to_skip = 0

    def feed(self, data: bytes) -> int:
        self._buffer += data
        samples = 0
        while self._skipped() and len(self._buffer) >= _MP3_HEADER_BYTES:
            frame = _mp3_frame(int.from_bytes(self._buffer[:_MP3_HEADER_BYTES], "big"))
            if frame is None:
                del self._buffer[:1]  # not at a frame: look for the next one
            else:
                self._to_skip, frame_samples = frame
                samples += frame_samples
        return samples

    def _skipped(self) -> bool:
        """Whether the last frame's bytes have all gone by."""
        gone = min(self._to_skip, len(self._buffer))
        del self._buffer[:gone]
        self._to_skip -= gone
        return self._to_skip == 0


def _mp3_frame(header: int) -> tuple[int, int] | None:
    """A frame's bytes and samples; None where this is no header of layer III."""
    version, layer, bit_rate, rate, padding = (
        (header >> 19) & 3,
        (header >> 17) & 3,
        (header >> 12) & 15,
        (header >> 10) & 3,
        (header >> 9) & 1,
    )
    if header >> 21 != 0x7FF or version not in _MP3_RATES_HZ or layer != 1 or rate == 3:
        return None
    kbits = (_MP3_KBITS_1 if version == 3 else _MP3_KBITS_2)[bit_rate]
    if not kbits:
        return None
    samples = 1_152 if version == 3 else 576
    return samples // 8 * kbits * 1_000 // _MP3_RATES_HZ[version][rate] + padding, samples


class _OggOpusPages:
    """Counts the samples of an Opus stream in Ogg by its pages' granule positions."""

    def __init__(self, sample_rate_hz: int) -> None:
        self._rate_hz = sample_rate_hz
        self._buffer = bytearray()
        self._skip = 0  # samples at 48 kHz that a player drops at the beginning
        self._counted = 0

    def feed(self, data: bytes) -> int:
        self._buffer += data
        before = self._counted
        while self._read_page():
            pass
        return self._counted - before

    def _read_page(self) -> bool:
        if len(self._buffer) < _OGG_PAGE.size:
            return False
        marker, _, _, granule, _, _, _, segments = _OGG_PAGE.unpack_from(self._buffer)
        if marker != b"OggS":
            del self._buffer[:1]
            return True
        body = _OGG_PAGE.size + segments
        end = body + sum(self._buffer[_OGG_PAGE.size : body])
        if len(self._buffer) < max(body, end):
            return False
        if self._buffer[body : body + 8] == b"OpusHead":
            self._skip = int.from_bytes(self._buffer[body + 10 : body + 12], "little")
        elif granule > 0:
            self._counted = max(self._counted, (granule - self._skip) * self._rate_hz // _OPUS_RATE_HZ)
        del self._buffer[:end]
        return True


COUNTED_CODECS: dict[Codec, Callable[[int], _Mp3Frames | _OggOpusPages]] = {
    Codec.MP3: _Mp3Frames,
    Codec.OPUS: _OggOpusPages,
}
"""The compressed codecs that pools can hold."""
