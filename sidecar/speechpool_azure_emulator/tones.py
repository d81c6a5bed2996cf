"""Tones whose every sample says which utterance it belongs to.

Each utterance has a mark. In 16-bit PCM the mark is the low byte of every sample (0 to 255), and the high byte is a
quiet sine of 400 Hz. In mu-law and A-law the mark is the low seven bits of every byte (0 to 127), and the sign makes a
square wave of 400 Hz. So a test needs no signal processing: `marks_in(audio, ...)` is the set of marks of all samples,
and holds exactly one mark where every sample is that utterance's.
"""

import math
from collections.abc import Iterator

from speechpool.formats import AudioFormat, Codec

__all__ = ["mark_of", "marks_in", "tone"]

_FREQUENCY_HZ = 400
_LOOP_SECONDS = 0.04  # a whole number of periods, and of samples at every rate that Azure has
_AMPLITUDE = 12  # of 127: quiet


def mark_of(number: int, audio: AudioFormat) -> int:
    """The mark of an utterance.

    Args:
        number: The utterance's, counted from 1 in the emulator's life.
        audio: The format it is made in; raw.
    """
    return number % 256 if audio.codec is Codec.PCM else number % 128


def marks_in(audio: bytes, codec: Codec = Codec.PCM) -> set[int]:
    """The marks of all samples.

    Args:
        audio: Whole samples.
        codec: pcm, mulaw or alaw.
    """
    if codec is Codec.PCM:
        return set(audio[::2])
    return {byte & 0x7F for byte in set(audio)}


def tone(mark: int, audio: AudioFormat, chunk_bytes: int, total_bytes: int) -> Iterator[bytes | memoryview]:
    """The audio of one utterance in chunks.

    Args:
        mark: As `mark_of` says.
        audio: Its format; raw.
        chunk_bytes: Bytes of each chunk but the last; whole samples.
        total_bytes: Bytes altogether.
    """
    once = _loop(mark, audio)
    # Long enough for a chunk that begins anywhere in the loop: every chunk is a view, nothing is copied or computed.
    view = memoryview(once * (chunk_bytes // len(once) + 2))
    for position in range(0, total_bytes, chunk_bytes):
        start = position % len(once)
        yield view[start : start + min(chunk_bytes, total_bytes - position)]


def _loop(mark: int, audio: AudioFormat) -> bytes:
    samples = round(audio.sample_rate_hz * _LOOP_SECONDS)
    phases = (2 * math.pi * _FREQUENCY_HZ * index / audio.sample_rate_hz for index in range(samples))
    if audio.codec is not Codec.PCM:
        return bytes(mark | (0x80 if math.sin(phase) < 0 else 0) for phase in phases)
    loop = bytearray(2 * samples)
    loop[0::2] = bytes([mark]) * samples
    loop[1::2] = bytes(round(_AMPLITUDE * math.sin(phase)) & 0xFF for phase in phases)
    return bytes(loop)
