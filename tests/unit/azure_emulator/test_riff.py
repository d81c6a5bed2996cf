import struct

import pytest

from speechpool.formats import AudioFormat, Codec
from speechpool_azure_emulator.riff import read_header


def header(tag: int, channels: int, rate_hz: int, bits: int) -> bytes:
    block = channels * bits // 8
    fmt = struct.pack("<HHIIHH", tag, channels, rate_hz, rate_hz * block, block, bits)
    return b"RIFF\0\0\0\0WAVEfmt " + struct.pack("<I", len(fmt)) + fmt + b"data\0\0\0\0"


@pytest.mark.parametrize(
    ("data", "audio"),
    [
        (header(1, 1, 16_000, 16), AudioFormat(Codec.PCM, 16_000)),
        (header(1, 1, 8_000, 16), AudioFormat(Codec.PCM, 8_000)),
        (header(7, 1, 8_000, 8), AudioFormat(Codec.MULAW, 8_000)),
        (header(7, 1, 8_000, 16), AudioFormat(Codec.MULAW, 8_000)),
        (header(6, 1, 8_000, 8), AudioFormat(Codec.ALAW, 8_000)),
        (header(1, 2, 16_000, 16), None),
        (header(1, 1, 16_000, 8), None),
        (header(3, 1, 16_000, 32), None),
        (b"RIFF", None),
    ],
)
def test_the_header_says_what_the_audio_is(data: bytes, audio: AudioFormat | None) -> None:
    assert read_header(data)[0] == audio


def test_audio_behind_the_header_is_given_back() -> None:
    assert read_header(header(1, 1, 16_000, 16) + b"audio")[1] == b"audio"
